//! From the command line to a policy: which file, which daemon, whose addresses.

use crate::{
    cli,
    conf::{self, ConfFile},
    detect,
    dialect::{Daemon, Dialect},
    fault::{Blame as _, Fault},
    fingerprint::Fingerprint,
    own,
};
use anyhow::Context as _;
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

/// Where the packages of NTPsec and of ntp.org's ntpd put the file.
pub(crate) const DEFAULT_CONFIGS: [&str; 2] = ["/etc/ntpsec/ntp.conf", "/etc/ntp.conf"];

/// A configuration, and how it came to be read so.
pub struct Read {
    /// The file; `None` if there is none.
    pub path: Option<PathBuf>,
    /// What it says.
    pub conf: ConfFile,
    /// For people: which daemon's reading it is, and why.
    pub because: String,
}

/// Finds the file and the daemon, and reads.
///
/// # Errors
/// The file can't be read, or is one at which the daemon stops.
pub fn read(config: Option<&Path>, reading: &cli::Reading) -> Result<Read, Fault> {
    read_noting(config, reading, &mut Fingerprint::default())
}

/// As [`read`], and notes what was looked for, also when that fails: a change there is what it is tried again for.
///
/// # Errors
/// As there.
pub fn read_noting(
    config: Option<&Path>,
    reading: &cli::Reading,
    sought: &mut Fingerprint,
) -> Result<Read, Fault> {
    if config.is_none() {
        // One that comes is read instead.
        DEFAULT_CONFIGS.iter().for_each(|path| sought.look(Path::new(path)));
    }
    let path = match config {
        Some(path) => Some(path.to_owned()),
        None => default_config().configuration()?,
    };
    let (daemon, why) = daemon(path.as_deref(), reading);
    let beside = || {
        DEFAULT_CONFIGS
            .map(PathBuf::from)
            .into_iter()
            .find(|path| conf::folder_beside(path, daemon).is_some())
    };
    let path = path.or_else(beside);
    let mut conf = ConfFile::new(daemon);
    let outcome = conf.read(path.as_deref());
    sought.join(conf.sought);
    outcome.configuration()?;
    conf.sought = sought.clone();
    let file = match &path {
        Some(path) => path.display().to_string(),
        None => {
            let [sec, org] = DEFAULT_CONFIGS;
            format!("neither {sec} nor {org}, so from what is built in")
        }
    };
    Ok(Read { path, conf, because: format!("policy from {file}, read as {daemon} does ({why})") })
}

/// The daemon, and what speaks for it.
pub fn daemon(config: Option<&Path>, reading: &cli::Reading) -> (Daemon, String) {
    let (mut daemon, why) = match reading.dialect {
        Some(dialect) => (Daemon::new(dialect), "--dialect".to_owned()),
        None => match detect::daemon(config) {
            Some(found) => (found.daemon, found.because),
            None => {
                let why = "a guess: no ntpd runs or is installed here; --dialect says better";
                (Daemon::new(Dialect::Ntp428), why.to_owned())
            }
        },
    };
    daemon.ordering = reading.ordering.unwrap_or(daemon.ordering);
    (daemon, why)
}

/// The addresses of the daemon's host: those given, or this host's.
///
/// # Errors
/// The kernel doesn't tell.
pub fn local_addresses(given: &[IpAddr]) -> Result<Vec<IpAddr>, Fault> {
    if given.is_empty() { own::addresses().environment() } else { Ok(given.to_owned()) }
}

/// The default that is there. One that can't be looked at isn't absent: to guard without it would be to ignore it.
fn default_config() -> anyhow::Result<Option<PathBuf>> {
    for path in DEFAULT_CONFIGS.map(Path::new) {
        if path.try_exists().with_context(|| format!("can't tell whether {} is there", path.display()))? {
            return Ok(Some(path.to_owned()));
        }
    }
    Ok(None)
}
