//! The matrix as a page of the documentation.

use super::verdict::{Run, Verdict};
use anyhow::{Context as _, Result};
use std::{fmt::Write as _, fs, path::Path};

/// How `run` begins to tell how soon it has put the filter back.
pub(super) const REPAIR: &str = "put back after";

/// What stands around the table in the document.
const MARKS: [&str; 2] = ["<!-- matrix: begin -->", "<!-- matrix: end -->"];

/// A table of all runs: a row a card and kernel, and below it the steps that didn't simply hold.
pub fn markdown(runs: &[Run]) -> String {
    let mut text = String::from(
        "| card | Linux | attached | steps that held | others | boot | all |\n|---|---|---|--:|---|--:|--:|\n",
    );
    for run in runs {
        let held = run.steps.iter().filter(|step| step.verdict == Verdict::Held).count();
        let others: Vec<_> = run.steps.iter().filter(|step| step.verdict != Verdict::Held).collect();
        let others: Vec<_> =
            others.iter().map(|step| format!("{}: {}", step.name, step.verdict.name())).collect();
        writeln!(
            text,
            "| {} | {} | {} | {held} of {} | {} | {:.0} s | {:.0} s |",
            run.card.name(),
            run.kernel,
            run.mode.as_deref().unwrap_or("–"),
            run.steps.len(),
            others.join("; "),
            run.boot.as_secs_f32(),
            run.took.as_secs_f32(),
        )
        .expect("a string takes it");
    }
    text += "\nWhat the others were:\n\n";
    for run in runs {
        for step in run.steps.iter().filter(|step| step.verdict != Verdict::Held) {
            writeln!(
                text,
                "- {}, {}, {}: **{}**. {}",
                run.card.name(),
                run.kernel,
                step.name,
                step.verdict.name(),
                step.note.replace('|', "\\|"),
            )
            .expect("a string takes it");
        }
    }
    text + &repairs(runs)
}

/// How soon programs that drivers had lost were put back: what ntpguard took for it, and what the kernel.
fn repairs(runs: &[Run]) -> String {
    let mut text = String::new();
    for run in runs {
        for step in &run.steps {
            let repairs = step.note.split("; ").filter(|part| part.starts_with(REPAIR));
            for repair in repairs {
                writeln!(text, "- {}, {}, {}: {repair}", run.card.name(), run.kernel, step.name)
                    .expect("a string takes it");
            }
        }
    }
    if text.is_empty() {
        return text;
    }
    "\nHow soon a program that the driver may have lost was put back, from the kernel's word of the event (netlink) until \
     ntpguard asked for it, and how long the emulated kernel and driver took then (BPF_LINK_UPDATE):\n\n"
        .to_owned()
        + &text
}

/// Puts the table between the marks of a document.
///
/// # Errors
/// The document has no marks, or can't be written.
pub fn write(path: &Path, table: &str) -> Result<()> {
    let document = fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    let [begin, end] = MARKS;
    let (before, rest) = document.split_once(begin).with_context(|| format!("there is no line `{begin}`"))?;
    let (_, after) = rest.split_once(end).with_context(|| format!("there is no line `{end}`"))?;
    let document = format!("{before}{begin}\n\n{}\n\n{end}{after}", table.trim_end());
    fs::write(path, document).with_context(|| format!("can't write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{card::Card, verdict::Step};
    use std::time::Duration;

    #[test]
    fn repairs_are_told_of_steps_that_held() {
        let step = |name, note: &str| Step { name, verdict: Verdict::Held, note: note.to_owned() };
        let steps = vec![
            step("MTU 9000", "put back after 2 ms, and 30 ms more in the driver; 0/48 queries"),
            step("reload", "0/48 queries"),
        ];
        let (boot, took) = (Duration::ZERO, Duration::ZERO);
        let run = Run { kernel: "6.12".to_owned(), card: Card::Vmxnet3, mode: None, steps, boot, took };
        let text = markdown(&[run]);
        assert!(
            text.ends_with(
                ":\n\n- vmxnet3, 6.12, MTU 9000: put back after 2 ms, and 30 ms more in the driver\n"
            ),
            "{text}"
        );
        assert!(!markdown(&[]).contains("put back"));
    }
}
