//! A process that is told to end ends soon, whatever it is doing.
//!
//! `run` hears of signals between two pieces of its work, and reading a million lines is one piece. Wherever it is ended by force it
//! leaves a whole filter, as after a crash, so a thread that waits for the signal ends it when it hasn't ended by itself.

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

/// How long an end in order may take: writing the state, and the totals to one who reads slowly.
const END_TIMEOUT: Duration = Duration::from_secs(4);

/// Waits for SIGTERM and SIGINT from now on.
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
