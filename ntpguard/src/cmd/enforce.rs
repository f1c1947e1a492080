//! `ntpguard enforce` and `ntpguard monitor`: a trial ends, for good or until nobody confirms; and begins again.

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
/// In which time that process looks at what was said, with room to spare.
const FOLLOWING: Duration = Duration::from_secs(3);
/// How often to look whether somebody has confirmed.
const LOOK: Duration = Duration::from_millis(100);

/// Lets everything pass from now on.
///
/// # Errors
/// Nothing is guarded, or it couldn't be asked.
pub(super) fn monitor(places: &Places) -> Result<(), Fault> {
    say(places, Trial { monitor: true, until: None })?;
    tell(format_args!("{}", trial::words(true)));
    Ok(())
}

/// Drops from now on.
///
/// # Errors
/// As [`monitor`]; or nobody has confirmed, and it is a trial again.
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
    // A process that looks after the filter sees the time itself, but not that somebody has given up.
    say(places, Trial { monitor: true, until: None })?;
    Err(Fault::Environment(anyhow!("nobody has confirmed, and it is a trial again")))
}

/// Has it said, and in force: by the process that looks after the filter, or here. Whatever has become of ntp.conf.
fn say(places: &Places, trial: Trial) -> Result<(), Fault> {
    let place = Pins::open(&places.pin_path).and_then(|pins| pins.current()).environment()?;
    let place = place.with_context(|| instance::nothing(&places.pin_path)).environment()?;
    let saved = trial.save(&places.state_dir);
    // Until when can't be kept anywhere else.
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

/// Puts it in force where it can't be said in the folder of the state.
fn unsaid(maps: &mut Maps, trial: Trial, alone: bool, error: &anyhow::Error) -> Result<(), Fault> {
    maps.set_trial(trial.is_trial()).environment()?;
    if !alone {
        // It goes by what is in force if nothing was said, and by what was said last if something was.
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

/// Waits for somebody to confirm; not, if the time is over or a signal says so. A terminal that hangs up doesn't end the
/// waiting: whoever is locked out can't confirm.
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

/// Confirms when a line comes; not when the terminal is gone.
fn enter(folder: PathBuf) {
    if io::stdin().read_line(&mut String::new()).is_ok_and(|length| length > 0)
        && let Err(error) = Trial::enforcing(None).save(&folder)
    {
        tell(format_args!("{error:#}"));
    }
}
