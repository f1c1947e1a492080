//! `cargo xtask test`: everything, on this kernel and on others.

use crate::{
    kernel::{self, Series},
    run::{cargo, run, watch},
    setup::{self, Purpose},
    vm,
};
use anyhow::{Result, anyhow, bail};
use std::thread;

/// Cards on which a filter may be attached and never run, or stop running; `cargo xtask vm --nic all` tries the others.
///
/// On one kernel, since each takes minutes: vmxnet3 has native XDP on the newer one alone, and virtio-net's faults are the
/// same on both.
const CARDS: [&str; 3] = ["virtio-no-mrg", "virtio-no-ctrl", "vmxnet3"];

pub(crate) fn test() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "the tests make network namespaces and load BPF programs, and none is skipped: run them as root"
        );
    }
    setup::ensure(Purpose::Matrix)?;
    let mut failures = Failures::default();
    failures.cargo(&["--package", "ntpguard-common", "--package", "ntpguard", "--package", "xtask"]);
    // The lab runs the binary itself.
    run(&mut cargo(&["build", "--package", "ntpguard"]))?;
    // Figures are printed, not asserted: show what the tests say.
    failures.cargo(&["--package", "ntpguard-tests", "--", "--show-output"]);
    // A guest is emulated by one processor: two of them side by side take little longer than one.
    let outcomes = thread::scope(|scope| {
        let runs = kernel::ALL.map(|series| scope.spawn(move || vm::vm(series)));
        runs.map(|run| run.join().unwrap_or_else(|_| Err(anyhow!("its run panicked"))))
    });
    for (series, outcome) in kernel::ALL.into_iter().zip(outcomes) {
        failures.note(&format!("Linux {}", series.name()), outcome);
    }
    failures.note("network cards", vm::matrix::matrix(&[Series::V6_12], &CARDS.map(str::to_owned), 2, None));
    failures.end()?;
    println!("\nall tests passed, on this kernel and on {}", kernel::ALL.map(Series::name).join(" and "));
    Ok(())
}

/// What failed so far. Each step goes to its end all the same, so that one run tells all that is wrong.
#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    /// Runs cargo's tests, each file to its end.
    fn cargo(&mut self, arguments: &[&str]) {
        let (mut file, mut failed) = (String::new(), Vec::new());
        let outcome = watch(cargo(&["test", "--no-fail-fast"]).args(arguments), |line| {
            if let Some(started) = started(line) {
                file = started.to_owned();
            } else if let Some(test) = failed_test(line) {
                failed.push(format!("{file}: {test}"));
            }
        });
        if failed.is_empty() {
            self.note(&format!("cargo test {}", arguments.join(" ")), outcome);
        } else {
            self.0.extend(failed);
        }
    }

    /// Keeps an error, and goes on.
    fn note(&mut self, what: &str, outcome: Result<()>) {
        if let Err(error) = outcome {
            eprintln!("{what}: {error:#}");
            self.0.push(format!("{what}: {error:#}"));
        }
    }

    /// Says all that failed, if anything did.
    fn end(self) -> Result<()> {
        let Self(failures) = self;
        if failures.is_empty() {
            return Ok(());
        }
        let lines: String = failures.iter().map(|failure| format!("\n  - {failure}")).collect();
        bail!("{} failed:{lines}", failures.len())
    }
}

/// The test file that cargo says it runs now.
fn started(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let rest = line.strip_prefix("Running ").or_else(|| line.strip_prefix("Doc-tests "))?;
    rest.split(" (").next()
}

/// The test of which the test harness says that it failed.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_named_by_file_and_test() {
        assert_eq!(started("     Running tests/tc.rs (target/debug/deps/tc-1d2)"), Some("tests/tc.rs"));
        assert_eq!(started("     Running unittests src/lib.rs (target/x)"), Some("unittests src/lib.rs"));
        assert_eq!(started("   Doc-tests ntpguard"), Some("ntpguard"));
        assert_eq!(failed_test("test log::tests::too_much ... FAILED"), Some("log::tests::too_much"));
        assert_eq!(failed_test("test log::tests::too_much ... ok"), None);
    }

    #[test]
    fn every_failure_is_in_the_summary() {
        let mut failures = Failures::default();
        failures.note("Linux 6.1", Ok(()));
        failures.note("Linux 6.12", Err(anyhow::anyhow!("the guest ended")));
        failures.0.push("tests/tc.rs: golden".to_owned());
        let said = failures.end().unwrap_err().to_string();
        assert_eq!(said, "2 failed:\n  - Linux 6.12: the guest ended\n  - tests/tc.rs: golden");
        assert!(Failures::default().end().is_ok());
    }
}
