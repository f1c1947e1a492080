//! The guest's own reports: ntpguard's messages, and the state of its interfaces.

use super::{course::Course, page::REPAIR};
use anyhow::{Context as _, Result};
use serde_json::Value;

impl Course<'_> {
    /// The mode in which `doctor` predicts that this card will be guarded.
    pub(super) fn predict(&mut self) -> Result<String> {
        let on = self.card.guarded();
        let said = self.machine.script(&format!("ntpguard doctor --interface {on} --format json"))?.text;
        let report = json(&said).context("doctor wrote no JSON")?;
        let checks = report["checks"].as_array().context("no checks")?;
        let mode = checks.iter().find(|check| check["check"] == "mode" && check["subject"] == on);
        Ok(mode.and_then(|mode| mode["message"].as_str()).unwrap_or_default().to_owned())
    }

    /// The mode of the guarded interface that `status` reports, if any.
    pub(super) fn status(&mut self) -> Option<String> {
        let said = self.machine.script("ntpguard status --format json").ok()?;
        let report = json(&said.text)?;
        Some(report["interfaces"].get(0)?["mode"].as_str()?.to_owned())
    }

    /// Marks the current end of `run`'s messages: later ones belong to the next step.
    pub(super) fn hear(&mut self) -> Result<()> {
        let lines = self.machine.script("cat /tmp/run.err 2>/dev/null | wc -l")?.text;
        self.heard = lines.trim().parse().unwrap_or(0);
        Ok(())
    }

    /// ntpguard's messages under traffic: the output of `status`, and what `run` has written since [`Course::hear`].
    pub(super) fn says(&mut self) -> Result<String> {
        let stream = self.outside.stream();
        let since = self.heard + 1;
        let script = format!("ntpguard status; tail -n +{since} /tmp/run.err 2>/dev/null");
        let said = self.machine.script(&script)?.text;
        stream.end();
        Ok(said)
    }

    /// How soon `run` has put the filter back since [`Course::hear`], if it had to.
    pub(super) fn mended(&mut self) -> Result<String> {
        let since = self.heard + 1;
        let script = format!("tail -n +{since} /tmp/run.err 2>/dev/null | grep -o '{REPAIR} [^;]*'");
        let said = self.machine.script(&script)?.text;
        Ok(said.lines().map(|line| format!("{}; ", line.trim())).collect())
    }

    /// The first line that says that the filter doesn't run, or didn't for a while.
    pub(super) fn not_running(said: &str) -> Option<&str> {
        const WORDS: &[&str] = &["NOT GUARDING", "isn't guarded", "may have lost the filter"];
        said.lines().map(str::trim).find(|line| WORDS.iter().any(|words| line.contains(words)))
    }

    /// Features, MTUs and XDP programs of the guest's interfaces, as text.
    pub(super) fn look(&mut self) -> Result<String> {
        let each = |name: &str| {
            format!(
                "echo interface {name}\nethtool -k {name} | sed 's/^/{name} /'\n\
                 echo {name} mtu $(cat /sys/class/net/{name}/mtu)\n\
                 ip -details link show dev {name} | grep -o 'xdp.*' | sed 's/^/{name} /'; true\n"
            )
        };
        let all: String = self.card.interfaces().into_iter().map(each).collect();
        self.machine.run(&all)
    }
}

/// The JSON object in an output that may have other lines before and after it.
fn json(text: &str) -> Option<Value> {
    text.lines().find_map(|line| serde_json::from_str::<Value>(line).ok().filter(Value::is_object))
}
