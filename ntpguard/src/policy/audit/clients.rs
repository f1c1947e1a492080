//! Flags that keep clients from being served, usually by mistake.

use super::Audit;
use crate::{
    conf::diagnostic::Code,
    daemon::{flags::Flags, profile::Diversion},
};

impl Audit<'_> {
    pub(super) fn clients(&mut self) {
        self.untrusted();
        self.diverted();
    }

    /// `notrust` doesn't mean that a host isn't a time source, as it did before ntp 4.2: it requires a MAC
    /// (ntp_proto.c:receive).
    fn untrusted(&mut self) {
        // The keys may be in a file that can't be read.
        if self.conf.blind {
            return;
        }
        for entry in self.policy.entries.iter() {
            let served = !entry.flags.has(Flags::IGNORE.with(Flags::NOSERVE));
            if !entry.flags.has(Flags::NOTRUST) || !served || entry.own {
                continue;
            }
            let message = if !self.conf.trusts_any_key {
                format!(
                    "no client of {} gets time: `notrust` asks for a MAC, and without `trustedkey` none is right",
                    entry.net
                )
            } else if entry.net.is_everything() {
                format!("of {} only clients that send a MAC of a trusted key get time", entry.net)
            } else {
                continue;
            };
            let help = "leave `notrust` away, unless clients have keys: whom no `server` line names is no source of \
                        time anyway";
            self.add(Code::NotrustClients, self.line_of(&entry, Flags::NOTRUST), message, Some(help));
        }
    }

    /// Clients that `mssntp` keeps from being served.
    fn diverted(&mut self) {
        let Some(Diversion { releases, mended }) = self.conf.profile.diverts_mssntp else { return };
        for entry in self.policy.entries.iter() {
            let served = !entry.flags.has(Flags::IGNORE.with(Flags::NOSERVE));
            if entry.flags.has(Flags::MSSNTP) && served && entry.net.is_everything() {
                let message = format!(
                    "{releases} answers no ordinary client of {}: `mssntp` hands all their requests to Samba",
                    entry.net
                );
                let help = format!(
                    "say `mssntp` only for the networks of the domain's members, or take {mended} or later"
                );
                self.add(Code::MssntpClients, self.line_of(&entry, Flags::MSSNTP), message, Some(&help));
            }
        }
    }
}
