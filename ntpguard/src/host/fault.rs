//! Errors that know whose fault they are, which the exit code reports to scripts.

use nix::{errno::Errno, unistd::geteuid};
use std::fmt;

/// An error, by who can fix it.
#[derive(Debug)]
pub enum Fault {
    /// The ntp.conf is at fault, or what the command line says about it. Exit code 1.
    Configuration(anyhow::Error),
    /// The system is at fault: rights, interfaces, drivers, the kernel. Exit code 2.
    Environment(anyhow::Error),
    /// The command line is incomplete, as only this host's interfaces show. Exit code 64, as for usage errors that are
    /// found earlier.
    Usage(anyhow::Error),
}

impl Fault {
    /// The process's exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) => Self::CONFIGURATION,
            Self::Environment(_) => Self::ENVIRONMENT,
            Self::Usage(_) => Self::USAGE,
        }
    }

    /// Advice if a right is missing that root has, unless the error mentions it.
    pub fn help(&self) -> Option<&'static str> {
        let words = self.to_string();
        let denied = [Errno::EACCES, Errno::EPERM].iter().any(|errno| words.contains(errno.desc()));
        (denied && !geteuid().is_root() && !words.contains("root")).then_some("run it as root")
    }

    const CONFIGURATION: u8 = 1;
    const ENVIRONMENT: u8 = 2;
    /// The exit code for a usage error (sysexits.h:EX_USAGE).
    pub const USAGE: u8 = 64;

    /// All exit codes, as docs/src/reference/exit-codes.md has them.
    pub const EXIT_CODES: [(u8, &str); 4] = [
        (
            0,
            "The command did what it was asked to do. A closed standard output (a pipe to `head`) is no error.",
        ),
        (
            Self::CONFIGURATION,
            "The configuration is at fault: an ntp.conf or a settings file that can't be read, errors that `check` found \
             (with `--deny-warnings` also warnings), a policy that cuts off the file's own servers. `doctor \
             --deny-warnings` found a warning, and no failure.",
        ),
        (
            Self::ENVIRONMENT,
            "The system is at fault: missing rights, no such interface, a driver or a kernel that refuses, nothing is \
             guarded. `status` found an interface whose filter doesn't run; `doctor` found a failure.",
        ),
        (
            Self::USAGE,
            "The command line makes no sense, or the value of an option in the settings file doesn't; or no interface is \
             named, and not exactly one makes sense.",
        ),
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Configuration(error) | Self::Environment(error) | Self::Usage(error)) = self;
        write!(f, "{error:#}")
    }
}

/// Attributes an error to the configuration or the environment.
pub trait Blame<T> {
    /// The configuration is at fault.
    fn configuration(self) -> Result<T, Fault>;
    /// The environment is at fault.
    fn environment(self) -> Result<T, Fault>;
}

impl<T, E: Into<anyhow::Error>> Blame<T> for Result<T, E> {
    fn configuration(self) -> Result<T, Fault> {
        self.map_err(|error| Fault::Configuration(error.into()))
    }

    fn environment(self) -> Result<T, Fault> {
        self.map_err(|error| Fault::Environment(error.into()))
    }
}
