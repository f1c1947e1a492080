//! `cargo xtask test`: runs all tests, on this kernel and on others.

use crate::{
    kernel::{self, Series},
    run::{cargo, run, watch},
    setup::{self, Purpose},
    vm,
};
use anyhow::{Result, anyhow, bail};
use std::thread;

/// Cards on which an attached filter may never run, or may stop running; `cargo xtask vm --nic all` tries the others too.
///
/// They run on one kernel only, since each takes minutes: vmxnet3 has native XDP only on the newer kernel, and virtio-net
/// has the same faults on both.
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
    // The lab runs the binary itself, so it has to be built.
    run(&mut cargo(&["build", "--package", "ntpguard"]))?;
    // The tests print figures without asserting them, so their output is shown.
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

/// The failures so far. Every step runs to its end, so that one run reports all faults.
#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    /// Runs cargo's tests; a failing file doesn't stop the others.
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

    /// Records an error, and goes on.
    fn note(&mut self, what: &str, outcome: Result<()>) {
        if let Err(error) = outcome {
            eprintln!("{what}: {error:#}");
            self.0.push(format!("{what}: {error:#}"));
        }
    }

    /// An error that lists all failures; success if there are none.
    fn end(self) -> Result<()> {
        let Self(failures) = self;
        if failures.is_empty() {
            return Ok(());
        }
        let lines: String = failures.iter().map(|failure| format!("\n  - {failure}")).collect();
        bail!("{} failed:{lines}", failures.len())
    }
}

/// The test file that cargo announces in a line of its output.
fn started(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let rest = line.strip_prefix("Running ").or_else(|| line.strip_prefix("Doc-tests "))?;
    rest.split(" (").next()
}

/// The failed test that the test harness reports in a line of its output.
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
