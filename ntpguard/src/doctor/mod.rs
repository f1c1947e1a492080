//! Whether this host is ready for ntpguard: facts are read, then judged, and each judgement is a [`Finding`].
//!
//! Contract: nothing is changed, and no packet leaves this host. What can't be read becomes a finding that says so, and the
//! other checks are still made. Files are read below a `root`, which is `/` except in tests.

mod around;
mod attachment;
mod boot;
mod card;
mod daemon;
mod finding;
mod kernel;
mod learning;
mod native;
mod probe;
mod rights;
mod running;
mod shield;
mod timestamps;

pub use finding::{Check, Finding, Status, table};

use std::path::Path;

/// Makes all checks: of the daemon, the kernel, and the interfaces named, or without names those that are worth guarding.
pub fn examine(root: &Path, interfaces: &[String], pin_path: &Path) -> Vec<Finding> {
    let (running, shield) = running::examine(root, interfaces, pin_path);
    let (mut findings, has_source) = daemon::examine(root, &shield);
    findings.extend(kernel::examine(root));
    findings.extend(running);
    findings.extend(learning::examine(root, &shield, has_source, pin_path));
    findings.push(rights::capabilities(root));
    findings.push(rights::bpffs(pin_path));
    findings.extend(attachment::examine(root, interfaces, pin_path));
    findings
}
