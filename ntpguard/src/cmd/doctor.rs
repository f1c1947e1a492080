//! `ntpguard doctor`: whether this host is ready.

use crate::{
    cli::Doctor,
    doctor::{Finding, Status, examine},
    export::Format,
    host::fault::{Blame as _, Fault},
};
use anyhow::anyhow;
use serde_json::{Value, json};
use std::{io::Write as _, path::Path};

/// Makes all checks, and prints the findings on standard output.
///
/// # Errors
/// A finding is a failure, or a warning while warnings are denied.
pub(super) fn run(options: &Doctor) -> Result<(), Fault> {
    let findings = examine(Path::new("/"), &options.interfaces, &options.pin_path);
    let mut out = options.format.stdout();
    match options.format {
        Format::Text => write!(out, "{}", text(&findings)),
        Format::Json => writeln!(out, "{}", report(&findings)),
    }
    .environment()?;
    let number = |n, what| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    match (count(&findings, Status::Failure), count(&findings, Status::Warning)) {
        (0, 0) => Ok(()),
        (0, _) if !options.deny_warnings => Ok(()),
        (0, warnings) => Err(Fault::Configuration(anyhow!("{}", number(warnings, "warning")))),
        (failures, warnings) => {
            let (failures, warnings) = (number(failures, "failure"), number(warnings, "warning"));
            Err(Fault::Environment(anyhow!("{failures}, {warnings}: this host isn't ready")))
        }
    }
}

/// One line for each finding, and a second one for its fix.
fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { check, status, subject, message, fix } in findings {
        let line = format!("{:<8} {:<10} {subject}: {message}", status.name(), check.name());
        text.push_str(&shown(&line));
        text.push('\n');
        if let Some(fix) = fix {
            text.push_str(&shown(&format!("{:19} → {fix}", "")));
            text.push('\n');
        }
    }
    text
}

/// Replaces control characters, so that a terminal doesn't obey them: the text contains names of processes and programs.
fn shown(line: &str) -> String {
    line.replace(char::is_control, "\u{fffd}")
}

/// The findings as one JSON object; fields may be added, but are never renamed.
fn report(findings: &[Finding]) -> Value {
    let checks: Vec<_> = findings
        .iter()
        .map(|Finding { check, status, subject, message, fix }| {
            json!({ "check": check.name(), "status": status.name(), "subject": subject, "message": message, "fix": fix })
        })
        .collect();
    json!({
        "failures": count(findings, Status::Failure),
        "warnings": count(findings, Status::Warning),
        "notes": count(findings, Status::Note),
        "checks": checks,
    })
}

fn count(findings: &[Finding], status: Status) -> usize {
    findings.iter().filter(|finding| finding.status == status).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Check;

    #[test]
    fn what_a_process_is_called_moves_no_cursor() {
        let message = "process 7 (\u{1b}[2Jntpd\n)".to_owned();
        let finding =
            Finding { check: Check::Port, status: Status::Ok, subject: "UDP".to_owned(), message, fix: None };
        assert_eq!(text(&[finding]), "ok       port       UDP: process 7 (\u{fffd}[2Jntpd\u{fffd})\n");
    }
}
