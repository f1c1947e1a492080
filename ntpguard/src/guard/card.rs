//! Messages about a network card: before attaching to it, and when its MTU becomes too large for native XDP.

use super::Service;
use crate::{
    bpf::Hook,
    host::{
        driver::{self, Native, Setup},
        interface::Interface,
        log::{tell, warn},
    },
};
use std::path::Path;

impl Service {
    /// Reports what attaching will do to a card if that is noticeable: packets that are lost meanwhile, offloads that are
    /// turned off, timestamps that are lost. Says nothing about an interface that has an XDP program already, because
    /// replacing a program has other effects.
    pub(super) fn tell_beforehand(&self, all: &[Interface], name: &str) {
        let options = &self.state.options;
        let found = all.iter().find(|interface| interface.name == name && interface.xdp.is_none());
        let Some(found) = found.filter(|_| options.hook == Hook::Xdp && options.xdp_mode.may_be_native())
        else {
            return;
        };
        let setup = Setup::read(Path::new("/"), all, found);
        if driver::predict(&setup) == Native::Runs {
            driver::beforehand(&setup).iter().for_each(|line| tell(format_args!("{line}")));
        }
    }

    /// Warns when the MTU of a natively guarded interface has changed to one at which its driver can't run native XDP.
    pub(super) fn follow_mtus(&mut self, all: &[Interface]) {
        let guarded = all.iter().filter(|one| self.state.options.interface.contains(&one.name));
        for interface in guarded.filter(|one| one.xdp.is_some_and(|xdp| xdp.native)) {
            let before = self.mtus.insert(interface.index, interface.mtu);
            if before == Some(interface.mtu) {
                continue;
            }
            if let Some(words) = driver::mtu_lost(&Setup::read(Path::new("/"), all, interface)) {
                warn(format_args!("{words}"));
            }
        }
    }
}
