//! Whether this host is ready for ntpguard: what is there is read, then judged, and each judgement is a [`Finding`].
//!
//! Contract: nothing is changed, and nothing leaves this host. Whatever can't be read, a finding says so, and the rest is
//! told all the same. What lies in files is read below a `root`, which is `/` but for tests.

mod around;
mod attachment;
mod boot;
mod card;
mod daemon;
mod finding;
mod kernel;
mod native;
mod probe;
mod rights;
mod running;
mod shield;
mod timestamps;

pub use finding::{Check, Finding, Status, table};

use std::path::Path;

/// Looks at everything: the daemon, the kernel, and the interfaces named, or those that are worth guarding.
pub fn examine(root: &Path, interfaces: &[String], pin_path: &Path) -> Vec<Finding> {
    let (running, shield) = running::examine(root, interfaces, pin_path);
    let mut findings = daemon::examine(root, &shield);
    findings.extend(kernel::examine(root));
    findings.extend(running);
    findings.push(rights::capabilities(root));
    findings.push(rights::bpffs(pin_path));
    findings.extend(attachment::examine(root, interfaces, pin_path));
    findings
}
