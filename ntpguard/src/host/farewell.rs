//! Makes a process that is told to end do so soon, whatever it is doing.
//!
//! `run` checks for signals between pieces of its work, and reading a million lines is one piece. Killed at any point,
//! it leaves a complete filter, as after a crash. So a thread waits for the signal, and ends the process if it doesn't
//! end by itself in time.

use crate::host::{
    log::{told, warn},
    sandbox,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    low_level::pipe,
};
use std::{
    io::{self, Read as _},
    os::unix::net::UnixStream,
    process,
    thread::{Builder, sleep},
    time::Duration,
};

/// How long an orderly end may take: writing the state, and the totals for a slow reader.
const END_TIMEOUT: Duration = Duration::from_secs(4);

/// Starts to wait for SIGTERM and SIGINT.
///
/// # Errors
/// There are no descriptors or threads left.
pub(crate) fn wait() -> io::Result<()> {
    let (mut heard, told_of) = UnixStream::pair()?;
    pipe::register(SIGTERM, told_of.try_clone()?)?;
    pipe::register(SIGINT, told_of)?;
    let end = move || {
        sandbox::renounce();
        if heard.read_exact(&mut [0]).is_ok() {
            sleep(END_TIMEOUT);
            warn(format_args!(
                "ended in the middle of its work, as it was told to; what is in force stays so"
            ));
            told();
            process::exit(0);
        }
    };
    Builder::new().name("farewell".to_owned()).spawn(end).map(drop)
}
