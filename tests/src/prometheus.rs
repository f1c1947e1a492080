//! A real Prometheus in a namespace, its promtool, and scrapes without it.
//!
//! Contract: Prometheus listens only inside the namespace, keeps its data in a temporary folder, and ends with its owner.

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

/// The address on which it listens.
const ADDRESS: &str = "127.0.0.1:9090";
/// Time limit for its start, for an answer, and for a scrape that has the expected values.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running Prometheus; killed when dropped.
pub struct Prometheus<'a> {
    netns: &'a Netns,
    child: Child,
    _files: TempDir,
}

impl<'a> Prometheus<'a> {
    /// Starts a Prometheus that scrapes an address in the namespace every second, as the job `ntpguard`, with a file of rules.
    ///
    /// # Errors
    /// Prometheus isn't unpacked, or doesn't start.
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

    /// The result of a query, by the value of one label.
    ///
    /// # Errors
    /// The query is invalid.
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

    /// Waits until a query has this result.
    ///
    /// # Errors
    /// The query doesn't have the result in time; the error contains the last one.
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
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP response.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and the header fields, unparsed.
    pub head: String,
    /// The body.
    pub body: String,
}

/// Sends a GET request for a path, with additional header lines.
///
/// # Errors
/// Nothing listens there, or no response comes.
pub fn get(netns: &Netns, address: &str, path: &str, head: &str) -> Result<Answer> {
    request(netns, address, &format!("GET {path} HTTP/1.0\r\n{head}\r\n"))
}

/// Sends a request, and reads to the end of the response. Responses to HTTP/1.0 aren't chunked.
///
/// # Errors
/// The same as those of [`get`].
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

/// A promtool command with these arguments.
///
/// # Errors
/// promtool isn't unpacked.
pub fn promtool(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(installed("prometheus/usr/bin/promtool")?);
    command.args(arguments);
    Ok(command)
}
