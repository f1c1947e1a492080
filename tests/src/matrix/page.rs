//! The matrix as part of a page of the documentation.

use super::verdict::{Run, Step, Verdict};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// The beginning of `run`'s message about how soon it has put the filter back.
pub(super) const REPAIR: &str = "put back after";

/// The marks around the table in the document.
const MARKS: [&str; 2] = ["<!-- matrix: begin -->", "<!-- matrix: end -->"];

/// The page's entry for a run: its row of the table, the steps with another verdict than "held", and the repairs.
pub fn entry(run: &Run) -> Value {
    let label = format!("{}, {}", run.card.name(), run.kernel);
    let held = run.steps.iter().filter(|step| step.verdict == Verdict::Held).count();
    let others = || run.steps.iter().filter(|step| step.verdict != Verdict::Held);
    let short: Vec<_> = others().map(|step| format!("{}: {}", step.name, step.verdict.name())).collect();
    let row = format!(
        "| {} | {} | {} | {held} of {} | {} | {:.0} s | {:.0} s |",
        run.card.name(),
        run.kernel,
        run.mode.as_deref().unwrap_or("–"),
        run.steps.len(),
        short.join("; "),
        run.boot.as_secs_f32(),
        run.took.as_secs_f32(),
    );
    let others = others().map(|step| {
        let Step { name, verdict, note } = step;
        format!("- {label}, {name}: **{}**. {}", verdict.name(), note.replace('|', "\\|"))
    });
    // How soon programs that drivers had lost were put back: the times that ntpguard and the kernel took.
    let repairs = run.steps.iter().flat_map(|step| {
        let repairs = step.note.split("; ").filter(|part| part.starts_with(REPAIR));
        repairs.map(|repair| format!("- {label}, {}: {repair}", step.name))
    });
    json!({ "row": row, "others": others.collect::<Vec<_>>(), "repairs": repairs.collect::<Vec<_>>() })
}

/// A table of all runs, with a row for each card and kernel, and below it the other verdicts and the repairs.
pub fn markdown(entries: &[Value]) -> String {
    let row = |entry: &Value| entry["row"].as_str().unwrap_or_default().to_owned();
    let of = |name| {
        let lists = entries.iter().filter_map(move |entry: &Value| entry[name].as_array());
        lists.flatten().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
    };
    let mut text = format!(
        "| card | Linux | attached | steps that held | others | boot | all |\n|---|---|---|--:|---|--:|--:|\n{}\n",
        entries.iter().map(row).collect::<Vec<_>>().join("\n")
    );
    for (words, list) in [
        ("What the others were:", of("others")),
        (
            "How soon a program that the driver may have lost was put back, from the kernel's word of the event (netlink) until \
             ntpguard asked for it, and how long the emulated kernel and driver took then (BPF_LINK_UPDATE):",
            of("repairs"),
        ),
    ] {
        if !list.is_empty() {
            text += &format!("\n{words}\n\n{list}\n");
        }
    }
    text
}

/// Puts the table between the marks of a document.
///
/// # Errors
/// The document doesn't have the marks, or can't be written.
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
    use crate::matrix::card::Card;
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
        let text = markdown(&[entry(&run)]);
        assert!(
            text.ends_with(
                ":\n\n- vmxnet3, 6.12, MTU 9000: put back after 2 ms, and 30 ms more in the driver\n"
            ),
            "{text}"
        );
        assert!(!markdown(&[]).contains("put back"));
    }
}
