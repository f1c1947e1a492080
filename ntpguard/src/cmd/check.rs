//! `ntpguard check`: what the daemon really does with an ntp.conf.

use crate::{
    cli,
    conf::{diagnostic::Severity, locate},
    export::{Format, check::Report},
    host::fault::{Blame as _, Fault},
    policy::{Policy, audit, resolve},
};
use anyhow::anyhow;
use std::io::{self, Write as _};

/// Prints the report on standard output.
///
/// # Errors
/// The file can't be read or has errors, or it has warnings and these are denied.
pub(super) fn run(options: &cli::Check) -> Result<(), Fault> {
    let read = locate::read(options.file.as_deref(), &options.reading)?;
    let names = resolve::Names::default();
    let resolver = |name: &str| names.addresses(name);
    // Entries for local addresses don't interest a reader of the file, and the daemon may run on another host.
    let policy = Policy::resolve(&read.conf, &resolver, &[]);
    let diagnostics = audit::audit(&read.conf, &policy, options.hardening, &resolver);
    let report =
        Report { read: &read, policy: &policy, diagnostics: &diagnostics, hardening: options.hardening };
    match options.format {
        // The report contains no control characters from the files, and it has its own colours, so it is written unescaped.
        Format::Text => write!(io::stdout(), "{}", report.text()),
        Format::Json => writeln!(options.format.stdout(), "{}", report.json()),
    }
    .environment()?;
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    if errors > 0 || (options.deny_warnings && warnings > 0) {
        let number = |n, what| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        return Err(Fault::Configuration(anyhow!(
            "{}, {}",
            number(errors, "error"),
            number(warnings, "warning")
        )));
    }
    Ok(())
}
