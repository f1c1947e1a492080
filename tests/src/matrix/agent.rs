//! The guest's side: runs scripts that arrive over a serial line, and answers NTP like a daemon that refuses nobody.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{self, BufRead as _, Write as _},
    net::{Ipv6Addr, UdpSocket},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Reads requests from standard input, one JSON object in each line, and writes the outcome of each to standard output.
///
/// A request has `script`, lines for a shell, and `seconds`, after which the shell is killed. An outcome has `code`, -1 for
/// a killed script, and `text`, everything that the script wrote to standard output and standard error.
///
/// # Errors
/// The connection to the host is lost.
pub fn serve() -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{}", json!({ "ready": true }))?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let script = request["script"].as_str().context("no script")?;
        let seconds = request["seconds"].as_u64().context("no seconds")?;
        let (code, text) =
            execute(script, Duration::from_secs(seconds)).unwrap_or_else(|error| (-1, format!("{error:#}")));
        writeln!(out, "{}", json!({ "code": code, "text": text }))?;
        out.flush()?;
    }
    Ok(())
}

fn execute(script: &str, patience: Duration) -> Result<(i32, String)> {
    // A file rather than a pipe, so that processes which the script leaves running don't keep it open.
    const OUTPUT: &str = "/tmp/output";
    // busybox's shell would run its own `ip` instead of iproute2's.
    const IPROUTE2: &str = "ip() { /bin/ip \"$@\"; }";
    let file = File::create(OUTPUT)?;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{IPROUTE2}\n{script}")])
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let mut child = shell.spawn()?;
    let start = Instant::now();
    let code = loop {
        match child.try_wait()? {
            Some(status) => break status.code().unwrap_or(-1),
            None if start.elapsed() > patience => {
                child.kill()?;
                child.wait()?;
                break -1;
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    Ok((code, String::from_utf8_lossy(&fs::read(OUTPUT)?).into_owned()))
}

/// The port on which every datagram is answered with its length.
pub const ECHO: u16 = 7;

/// Answers modes 3, 6 and 7 on port 123 like a daemon without restrictions, and any datagram on port 7 with its length.
///
/// # Errors
/// A port is in use.
pub fn respond() -> Result<()> {
    let echo = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, ECHO))?;
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok((length, from)) = echo.recv_from(&mut buffer) {
            // The sender may be unreachable for a moment.
            let _ = echo.send_to(&(length as u32).to_be_bytes(), from);
        }
    });
    let ntp = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 123))?;
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = ntp.recv_from(&mut buffer)?;
        if let Some(answer) = answer(&buffer[..length]) {
            let _ = ntp.send_to(&answer, from);
        }
    }
}

/// The answer of a daemon without restrictions, as far as the request's first bytes and its length decide it.
fn answer(request: &[u8]) -> Option<Vec<u8>> {
    let first = *request.first()?;
    match first & 7 {
        3 if request.len() >= 48 => {
            let mut time = request[..48].to_vec();
            // Mode 4, stratum 2, and the request's transmit timestamp as the origin timestamp.
            (time[0], time[1]) = (first & !7 | 4, 2);
            time.copy_within(40..48, 24);
            Some(time)
        }
        // The response bit is in the second byte of mode 6, and in the first byte of mode 7.
        6 if request.len() >= 12 => {
            let mut response = request.to_vec();
            response[1] |= 0x80;
            Some(response)
        }
        7 if request.len() >= 8 => {
            let mut response = request.to_vec();
            response[0] |= 0x80;
            // A list of 440 bytes, the longest that fits into one packet.
            response.resize(440, 0);
            Some(response)
        }
        _ => None,
    }
}
