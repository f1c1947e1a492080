//! From the options of a guard to the policy that is to be in force.

use crate::{
    bpf::Hook,
    compile::Image,
    conf::{
        AccessList,
        diagnostic::{Code, Diagnostic},
        locate,
    },
    guard::options::Guarding,
    host::{fault::Fault, file_changes::Fingerprint, interface},
    policy::{Policy, audit, resolve::Names},
};
use anyhow::anyhow;
use std::{collections::BTreeSet, net::IpAddr, time::Duration};

/// Timeout for all name look-ups together.
const NAMES_TIMEOUT: Duration = Duration::from_secs(3);

/// An access list, and the image compiled from it.
pub struct LoadedPolicy {
    /// What the configuration file says.
    pub conf: AccessList,
    /// Which file was read, and as which daemon, in words.
    pub because: String,
    /// What goes into the maps.
    pub image: Image,
    /// Warnings about lines of the file, ready to print.
    pub warnings: Vec<String>,
}

impl LoadedPolicy {
    /// Reads the file, looks up the names in it, and compiles it for a host with the addresses `own`. Records in `sought`
    /// every path that was probed, even on failure.
    ///
    /// # Errors
    /// The file can't be read, is one at which the daemon would exit, or cuts off one of its own servers.
    pub fn read(
        options: &Guarding,
        names: &mut Names,
        own: &[IpAddr],
        sought: &mut Fingerprint,
    ) -> Result<Self, Fault> {
        let read = locate::read_noting(options.config.as_deref(), &options.reading, sought)?;
        let locate::Read { conf, because, .. } = read;
        let silent = names.prepare(conf.names(), NAMES_TIMEOUT);
        // Diagnostics don't depend on this host's addresses, so they are omitted here.
        let policy = policy(&conf, names, &[]);
        let cut_off = audit::cut_off(&conf, &policy, &|name| names.addresses(name));
        let certain = |diagnostic: &&Diagnostic| {
            diagnostic.code == Code::ServerCutOff && !options.yes && is_certain(&conf, diagnostic, &silent)
        };
        if let Some(diagnostic) = cut_off.iter().find(certain) {
            let words = warning(&conf, diagnostic);
            return Err(Fault::Configuration(anyhow!("{words}; or say --yes: the daemon drops them, too")));
        }
        let diagnostics = conf.diagnostics.iter().chain(&policy.diagnostics).chain(&cut_off);
        let stale = silent.iter().filter(|name| names.addresses(name).is_ok());
        let stale = stale.map(|name| format!("warning: no answer for {name}: its last good addresses stay"));
        let warnings = diagnostics.map(|diagnostic| warning(&conf, diagnostic)).chain(stale).collect();
        // `image()` resolves a second policy; two at a time would need too much memory for a large file.
        drop(policy);
        let image = image(&conf, options, names, own);
        Ok(Self { conf, because, image, warnings })
    }

    /// Compiles the image again, for changed addresses of this host or changed answers to names.
    pub fn compile(&mut self, options: &Guarding, names: &Names, own: &[IpAddr]) {
        self.image = image(&self.conf, options, names, own);
    }
}

fn policy(conf: &AccessList, names: &Names, own: &[IpAddr]) -> Policy {
    Policy::resolve(conf, &|name| names.addresses(name), own)
}

fn image(conf: &AccessList, options: &Guarding, names: &Names, own: &[IpAddr]) -> Image {
    let Guarding { interface, hook, xdp_mode, hardened, limiting, monitor, .. } = options;
    let native = xdp_mode.may_be_native();
    let transmits = *hook == Hook::Xdp
        && interface
            .iter()
            .all(|name| interface::find(name).is_ok_and(|interface| interface.transmits(native)));
    let image = Image::compile(&policy(conf, names, own), conf, hardened.hardening());
    let mut image = image.bounded(limiting.bounds(transmits));
    image.set_trial(*monitor);
    image
}

/// Whether a server is cut off regardless of the names without an answer (`silent`). At boot, DNS may not be available yet,
/// and one of these names may stand in the restrict line that lets the server in.
fn is_certain(conf: &AccessList, cut_off: &Diagnostic, silent: &BTreeSet<String>) -> bool {
    let server = conf.associations.iter().find(|association| Some(association.place) == cut_off.place);
    let host = server.and_then(|server| server.host.as_deref());
    !conf.restricted().chain(host).any(|name| silent.contains(name))
}

/// A diagnostic as one line; `ntpguard check` prints more.
fn warning(conf: &AccessList, diagnostic: &Diagnostic) -> String {
    let Diagnostic { code, place, message, help } = diagnostic;
    let place = place.map(|place| format!("{}: ", conf.show(place))).unwrap_or_default();
    let help = help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{place}{}: {message}{help}", code.severity().name())
}
