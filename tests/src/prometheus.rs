//! A real Prometheus in a namespace, its promtool, and scrapes by hand.
//!
//! Contract: it listens inside the namespace only, keeps everything in a folder of its own, and ends with its owner.

use crate::{netns::Netns, ntpd::installed};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Where it listens.
const ADDRESS: &str = "127.0.0.1:9090";
/// How long to wait for a start, an answer, or a scrape that has it all.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running Prometheus; killed when dropped.
pub struct Prometheus<'a> {
    netns: &'a Netns,
    child: Child,
    _files: TempDir,
}

impl<'a> Prometheus<'a> {
    /// Starts one that scrapes an address of the namespace every second, under the job `ntpguard`, with a file of rules.
    ///
    /// # Errors
    /// It isn't unpacked, or doesn't come up.
    pub fn start(netns: &'a Netns, target: &str, rules: &Path) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let config = files.path().join("prometheus.yml");
        let rules = rules.canonicalize()?;
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n  - job_name: ntpguard\n    static_configs: [{{targets: [\"{target}\"]}}]\n",
            rules.display()
        );
        fs::write(&config, text)?;
        let mut command = netns.command(installed("prometheus/usr/bin/prometheus")?);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", files.path().join("data").display()));
        command.arg(format!("--web.listen-address={ADDRESS}")).arg("--log.level=error");
        let child = command.stdout(Stdio::null()).spawn().context("can't start prometheus")?;
        let mut prometheus = Self { netns, child, _files: files };
        let start = Instant::now();
        while !get(netns, ADDRESS, "/-/ready", "").is_ok_and(|answer| answer.status == 200) {
            if let Some(status) = prometheus.child.try_wait()? {
                bail!("prometheus ended with {status}");
            }
            if start.elapsed() > START_TIMEOUT {
                bail!("prometheus isn't ready within {} s", START_TIMEOUT.as_secs());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(prometheus)
    }

    /// What a query comes to, by one label.
    ///
    /// # Errors
    /// The query is wrong.
    pub fn query(&self, query: &str, label: &str) -> Result<BTreeMap<String, f64>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = get(self.netns, ADDRESS, &format!("/api/v1/query?query={encoded}"), "")?;
        let answer: Value = serde_json::from_str(&answer.body)?;
        let Some(results) = answer["data"]["result"].as_array() else { bail!("{query}: {answer}") };
        let one = |result: &Value| {
            let value = result["value"][1].as_str()?.parse().ok()?;
            Some((result["metric"][label].as_str().unwrap_or_default().to_owned(), value))
        };
        results.iter().map(|result| one(result).with_context(|| format!("{query}: {result}"))).collect()
    }

    /// Waits until a query comes to this.
    ///
    /// # Errors
    /// It never does; the error has what it came to last.
    pub fn expect(&self, query: &str, label: &str, wanted: &[(&str, f64)]) -> Result<()> {
        let wanted: BTreeMap<_, _> =
            wanted.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let start = Instant::now();
        loop {
            let got = self.query(query, label)?;
            if got == wanted {
                return Ok(());
            }
            if start.elapsed() > START_TIMEOUT {
                bail!("{query} never came to {wanted:?}, but to {got:?}");
            }
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, as it came.
    pub head: String,
    /// Its body.
    pub body: String,
}

/// Gets a path, with more lines of a head.
///
/// # Errors
/// Nobody listens, or no answer comes.
pub fn get(netns: &Netns, address: &str, path: &str, head: &str) -> Result<Answer> {
    request(netns, address, &format!("GET {path} HTTP/1.0\r\n{head}\r\n"))
}

/// Sends a request, and reads to the end of the answer. HTTP/1.0 has none in pieces.
///
/// # Errors
/// As [`get`].
pub fn request(netns: &Netns, address: &str, request: &str) -> Result<Answer> {
    let mut answer = String::new();
    netns.enter(|| -> Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(START_TIMEOUT))?;
        stream.write_all(request.as_bytes())?;
        stream.read_to_string(&mut answer)?;
        Ok(())
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no HTTP: {answer}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("no status: {head}"))?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// promtool with arguments.
///
/// # Errors
/// It isn't unpacked.
pub fn promtool(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(installed("prometheus/usr/bin/promtool")?);
    command.args(arguments);
    Ok(command)
}
