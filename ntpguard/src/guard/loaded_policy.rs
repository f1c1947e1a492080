//! From the options of a guard to what is to be in force.

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

/// How long to wait for names, all in all.
const NAMES_TIMEOUT: Duration = Duration::from_secs(3);

/// An ntp.conf, and the image that was made of it.
pub struct LoadedPolicy {
    /// What the file says.
    pub conf: AccessList,
    /// Which file, and which daemon's reading it is, for people.
    pub because: String,
    /// What goes into the maps.
    pub image: Image,
    /// What is said of the lines, ready to be shown.
    pub warnings: Vec<String>,
}

impl LoadedPolicy {
    /// Reads the file, asks for the names in it, and compiles it for a host with these addresses. Notes what was looked
    /// for, also when that fails.
    ///
    /// # Errors
    /// The file can't be read, or is one at which the daemon stops.
    pub fn read(
        options: &Guarding,
        names: &mut Names,
        own: &[IpAddr],
        sought: &mut Fingerprint,
    ) -> Result<Self, Fault> {
        let read = locate::read_noting(options.config.as_deref(), &options.reading, sought)?;
        let locate::Read { conf, because, .. } = read;
        let silent = names.prepare(conf.names(), NAMES_TIMEOUT);
        // What is said of the lines doesn't hang on this host's addresses.
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
        // The image has a policy of its own, and of many lines two take much memory.
        drop(policy);
        let image = image(&conf, options, names, own);
        Ok(Self { conf, because, image, warnings })
    }

    /// Compiles it anew, for other addresses of this host or other answers to names.
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

/// Whether a server is cut off whatever the names without an answer turn out to be. At boot DNS may not be there yet, and
/// a restrict line may be the one that lets the server in.
fn is_certain(conf: &AccessList, cut_off: &Diagnostic, silent: &BTreeSet<String>) -> bool {
    let server = conf.associations.iter().find(|association| Some(association.place) == cut_off.place);
    let host = server.and_then(|server| server.host.as_deref());
    !conf.restricted().chain(host).any(|name| silent.contains(name))
}

/// One line for a diagnostic; `ntpguard check` has more.
fn warning(conf: &AccessList, diagnostic: &Diagnostic) -> String {
    let Diagnostic { code, place, message, help } = diagnostic;
    let place = place.map(|place| format!("{}: ", conf.show(place))).unwrap_or_default();
    let help = help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{place}{}: {message}{help}", code.severity().name())
}
