//! `ntpguard enforce` and `ntpguard monitor`: end a trial, for good or until the time for confirming it is over, and begin
//! one again.

use crate::{
    bpf::{Maps, Pins},
    cli::Enforce,
    guard::{
        instance::{self, Instance},
        options::Places,
        trial::{self, Trial},
    },
    host::{
        fault::{Blame as _, Fault},
        log::{tell, warn},
    },
};
use anyhow::{Context as _, anyhow};
use ntpguard_common::abi::PolicyWord;
use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    thread::{self, sleep as sleep_here},
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

/// How long to wait for the process that looks after the filter.
const RUN_TIMEOUT: Duration = Duration::from_secs(15);
/// Time within which that process notices a changed trial state, with a margin.
const FOLLOWING: Duration = Duration::from_secs(3);
/// Interval at which the confirmation is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// Begins a trial: everything passes from now on.
///
/// # Errors
/// Nothing is guarded, or the trial couldn't be put in force.
pub(super) fn monitor(places: &Places) -> Result<(), Fault> {
    say(places, Trial { monitor: true, until: None })?;
    tell(format_args!("{}", trial::words(true)));
    Ok(())
}

/// Ends the trial: what the policy refuses is dropped from now on.
///
/// # Errors
/// The same as those of [`monitor`], or that nobody confirmed in time, so that it is a trial again.
pub(super) fn enforce(Enforce { confirm, places }: &Enforce) -> Result<(), Fault> {
    let trial = Trial::enforcing(*confirm);
    say(places, trial)?;
    let Some(time) = confirm else {
        tell(format_args!("{}", trial::words(false)));
        return Ok(());
    };
    tell(format_args!(
        "what the policy refuses is dropped for {} s, and then it is a trial again: unless you press Enter here, or \
         say `ntpguard enforce` elsewhere",
        time.as_secs_f64()
    ));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().environment()?;
    if runtime.block_on(confirmed(places, trial)).environment()? {
        tell(format_args!("confirmed: it stays so"));
        return Ok(());
    }
    // A process that looks after the filter notices the end of the time by itself, but not that this command was interrupted.
    say(places, Trial { monitor: true, until: None })?;
    Err(Fault::Environment(anyhow!("nobody has confirmed, and it is a trial again")))
}

/// Saves the trial state and puts it in force, through the process that looks after the filter or directly. Independent of
/// the state of ntp.conf.
fn say(places: &Places, trial: Trial) -> Result<(), Fault> {
    let place = Pins::open(&places.pin_path).and_then(|pins| pins.current()).environment()?;
    let place = place.with_context(|| instance::nothing(&places.pin_path)).environment()?;
    let saved = trial.save(&places.state_dir);
    // The time limit can be kept only in the saved state, so failing to save it is an error.
    let saved = if trial.until.is_some() { Ok(saved.environment()?) } else { saved };
    let mut maps = Maps::open(place).environment()?;
    let alone = Instance::enter(places).environment()?.is_ok();
    if let Err(error) = saved {
        return unsaid(&mut maps, trial, alone, &error);
    }
    if alone {
        return maps.set_trial(trial.is_trial()).environment();
    }
    let start = Instant::now();
    while start.elapsed() < RUN_TIMEOUT {
        if maps.word().environment()?.has(PolicyWord::TRIAL) == trial.is_trial() {
            return Ok(());
        }
        sleep_here(LOOK);
    }
    Err(Fault::Environment(anyhow!("the ntpguard that looks after the filter doesn't follow; see its log")))
}

/// Puts the trial state in force directly if it couldn't be saved in the state folder.
fn unsaid(maps: &mut Maps, trial: Trial, alone: bool, error: &anyhow::Error) -> Result<(), Fault> {
    maps.set_trial(trial.is_trial()).environment()?;
    if !alone {
        // The other process follows the maps if no trial state was saved, and otherwise the one that was saved last.
        sleep_here(FOLLOWING);
        if maps.word().environment()?.has(PolicyWord::TRIAL) != trial.is_trial() {
            return Err(Fault::Environment(anyhow!(
                "{error:#}; and the ntpguard that looks after the filter goes by what was said there before"
            )));
        }
    }
    warn(format_args!("{error:#}; it is in force, and after the next start the options have the say again"));
    Ok(())
}

/// Waits for a confirmation; `false` if the time is over or a signal arrives. A hang-up of the terminal doesn't end the
/// waiting: a user who is locked out can't confirm, and the trial must return.
async fn confirmed(places: &Places, trial: Trial) -> io::Result<bool> {
    let folder = places.state_dir.clone();
    if io::stdin().is_terminal() {
        thread::spawn(move || enter(folder));
    }
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let _hung_up = signal(SignalKind::hangup())?;
    loop {
        match Trial::load(&places.state_dir) {
            Some(said) if said == trial && trial.is_trial() => return Ok(false),
            Some(said) if said == trial => (),
            said => return Ok(said.is_some_and(|said| !said.monitor)),
        }
        tokio::select! {
            () = sleep(LOOK) => (),
            _ = interrupted.recv() => return Ok(false),
            _ = terminated.recv() => return Ok(false),
        }
    }
}

/// Confirms when a line is entered, but not at the end of input, when the terminal is gone.
fn enter(folder: PathBuf) {
    if io::stdin().read_line(&mut String::new()).is_ok_and(|length| length > 0)
        && let Err(error) = Trial::enforcing(None).save(&folder)
    {
        tell(format_args!("{error:#}"));
    }
}
