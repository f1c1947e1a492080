//! `ntpguard reload`: reads ntp.conf again, in the process that looks after the filter if there is one.

use crate::{
    bpf::Object,
    cli::Places,
    fault::{Blame as _, Fault},
    home::{Home, Taken, looks_after},
    service::Service,
    state::State,
    writer::tell,
};
use anyhow::{Context as _, anyhow};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// How long to wait for the other process.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reloads.
///
/// # Errors
/// The configuration can't be read, and what was in force stays; or nothing is guarded.
pub(super) fn run(places: &Places) -> Result<(), Fault> {
    match Home::enter(places).environment()? {
        Ok(home) => here(home),
        Err(taken) => there(places, taken),
    }
}

/// Without a process that looks after the filter: as `attach` did, for the interfaces that are still held.
fn here(home: Home) -> Result<(), Fault> {
    let state = home.state().environment()?;
    let state = state.filter(|_| home.pins.current().is_ok_and(|current| current.is_some()));
    let state = state.context("nothing is guarded: `ntpguard attach` first").environment()?;
    let object = Object::of(state.options.hook);
    Service::start(state.options, object, Some(home))?.resume()
}

/// Asks the one that does, and waits for what comes of it.
fn there(places: &Places, taken: Taken) -> Result<(), Fault> {
    let state = || {
        State::load(&places.state_dir).environment().map(|state| state.map(|state| (state.attempts, state)))
    };
    let Some(pid) = taken.pid.filter(|_| looks_after(places, taken)) else {
        return Err(Fault::Environment(anyhow!(
            "another ntpguard is at work here: try again when it is done"
        )));
    };
    let before = state()?.map(|(attempts, _)| attempts);
    kill(Pid::from_raw(pid), Signal::SIGHUP)
        .with_context(|| format!("can't ask process {pid}"))
        .environment()?;
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some((attempts, state)) = state()?
            && Some(attempts) != before
        {
            return match state.failure {
                Some(failure) => Err(Fault::Configuration(anyhow!("{}", failure.message))),
                None => {
                    let generation = state.policy.map_or(0, |policy| policy.generation);
                    tell(format_args!("policy {generation} is in force"));
                    Ok(())
                }
            };
        }
        sleep(Duration::from_millis(10));
    }
    Err(Fault::Environment(anyhow!(
        "process {pid} was asked to, and doesn't say what came of it; see its log"
    )))
}
