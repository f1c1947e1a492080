//! From the options of a guard to what is to be in force.

use crate::{
    audit, bpf::Hook, cli::Guarding, compile::Image, conf::ConfFile, diagnostic::Diagnostic, fault::Fault,
    interface, policy::Policy, reading, resolve::Names,
};
use anyhow::anyhow;
use std::{net::IpAddr, time::Duration};

/// How long to wait for names that have never been looked up.
const PATIENCE: Duration = Duration::from_secs(3);

/// An ntp.conf, and the image that was made of it.
pub struct Ruling {
    /// What the file says.
    pub conf: ConfFile,
    /// Which file, and which daemon's reading it is, for people.
    pub because: String,
    /// What goes into the maps.
    pub image: Image,
    /// What is said of the lines, ready to be shown.
    pub warnings: Vec<String>,
}

impl Ruling {
    /// Reads the file, and compiles it for a host with these addresses.
    ///
    /// # Errors
    /// The file can't be read, or is one at which the daemon stops.
    pub fn read(options: &Guarding, names: &mut Names, own: &[IpAddr]) -> Result<Self, Fault> {
        let reading::Read { conf, because, .. } = reading::read(options.config.as_deref(), &options.reading)?;
        names.prepare(conf.names(), PATIENCE);
        // What is said of the lines doesn't hang on this host's addresses.
        let policy = policy(&conf, names, &[]);
        let cut_off = audit::cut_off(&conf, &policy, &|name| names.addresses(name));
        if let Some(diagnostic) = cut_off.first().filter(|_| !options.yes) {
            let words = warning(&conf, diagnostic);
            return Err(Fault::Configuration(anyhow!("{words}; or say --yes: the daemon drops them, too")));
        }
        let diagnostics = conf.diagnostics.iter().chain(&policy.diagnostics).chain(&cut_off);
        let warnings = diagnostics.map(|diagnostic| warning(&conf, diagnostic)).collect();
        let image = image(&conf, options, names, own);
        Ok(Self { conf, because, image, warnings })
    }

    /// Compiles it anew, for other addresses of this host or other answers to names.
    pub fn compile(&mut self, options: &Guarding, names: &Names, own: &[IpAddr]) {
        self.image = image(&self.conf, options, names, own);
    }
}

fn policy(conf: &ConfFile, names: &Names, own: &[IpAddr]) -> Policy {
    Policy::resolve(conf, &|name| names.addresses(name), own)
}

fn image(conf: &ConfFile, options: &Guarding, names: &Names, own: &[IpAddr]) -> Image {
    let Guarding { interface, hook, xdp_mode, hardened, limiting, monitor, .. } = options;
    let native = xdp_mode.may_be_native();
    let transmits = *hook == Hook::Xdp
        && interface
            .iter()
            .all(|name| interface::find(name).is_ok_and(|interface| interface.transmits(native)));
    let image = Image::compile(&policy(conf, names, own), conf, hardened.hardening());
    let mut image = image.bounded(limiting.bounds(transmits));
    image.monitor(*monitor);
    image
}

/// One line for a diagnostic; `ntpguard check` has more.
fn warning(conf: &ConfFile, diagnostic: &Diagnostic) -> String {
    let Diagnostic { code, place, message, help } = diagnostic;
    let place = place.map(|place| format!("{}: ", conf.show(place))).unwrap_or_default();
    let help = help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{place}{}: {message}{help}", code.severity().name())
}
