//! `ntpguard reload`: reads ntp.conf again, by the process that looks after the filter if there is one.

use crate::{
    bpf::{self, Hook, MapFolder, Maps, Object, Pins},
    cli::{Reload, settings_file},
    guard::{
        Service,
        instance::{Instance, Taken, looks_after, nothing},
        options::{Guarding, Places},
        state::{Summary, Unreadable},
    },
    host::{
        atomic_file,
        fault::{Blame as _, Fault},
        interface::{self, Interface},
        log::{tell, warn},
    },
    policy::limiter_options::Kod,
};
use anyhow::{Context as _, anyhow};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use ntpguard_common::abi::PolicyWord;
use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// How long to wait for the other process.
const RUN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the other process may take to write its state after a policy has come into force.
const KEEPING: Duration = Duration::from_secs(10);

/// Reloads the configuration.
///
/// # Errors
/// The configuration can't be read, and the policy in force stays; or nothing is guarded.
pub(super) fn run(Reload { places, settings }: &Reload) -> Result<(), Fault> {
    match Instance::enter(places).environment()? {
        Ok(instance) => here(instance, settings.as_deref()),
        Err(taken) => there(places, taken),
    }
}

/// Reloads in this process when no other looks after the filter: like `attach`, for the interfaces that are still attached.
fn here(instance: Instance, settings: Option<&Path>) -> Result<(), Fault> {
    let place = instance.pins.current().ok().flatten();
    let options = match (place, instance.state()) {
        (Some(_), Ok(Some(state))) => state.options,
        (Some(place), Err(error)) if Unreadable::is(&error) => anew(&instance, place, settings, error)?,
        (_, known) => {
            if let Err(error) = known {
                warn(format_args!("{error:#}"));
            }
            return Err(Fault::Environment(anyhow!(unknown(&instance))));
        }
    };
    let object = Object::of(options.hook);
    Service::start(options, object, Some(instance))?.resume()
}

/// Replaces lost options of the filter: those of the settings file, with the hook and the trial state that are in force.
fn anew(
    instance: &Instance,
    place: MapFolder,
    settings: Option<&Path>,
    unreadable: anyhow::Error,
) -> Result<Guarding, Fault> {
    let (mut options, file) = settings_file::guarding(settings)?;
    let links = instance.pins.links().environment()?;
    let held = interface::all().environment()?.into_iter().filter(|one| links.contains(&one.index));
    let look =
        |interface: Interface| Some((bpf::look(&instance.pins, &interface).ok()??.0.hook(), interface));
    let guarded: Vec<_> = held.filter_map(look).collect();
    match guarded.first() {
        Some((hook, _)) => options.hook = *hook,
        // The interface indexes may belong to another network namespace; the state would say so, but it can't be read.
        None if !links.is_empty() => {
            return Err(unreadable.context(unknown(instance))).environment();
        }
        None => (),
    }
    if options.hook == Hook::Tc && options.limiting.kod == Kod::Xdp {
        options.limiting.kod = Kod::Auto;
    }
    let in_force = Maps::look(place).and_then(|maps| maps.word()).environment()?;
    options.monitor = in_force.has(PolicyWord::TRIAL);
    options.interface = guarded.into_iter().map(|(_, interface)| interface.name).collect();
    let from = file.map_or_else(|| "the defaults".to_owned(), |file| format!("those of {}", file.display()));
    warn(format_args!(
        "by which options the filter was made is lost: they are {from} from now on, unless `ntpguard attach` says others"
    ));
    Ok(options)
}

/// The error when the options of the filter are unknown.
fn unknown(instance: &Instance) -> String {
    let guards = instance.pins.current().is_ok_and(|current| current.is_some());
    if !guards {
        return nothing(instance.pins.root());
    }
    let [pins, folder] = instance.folders().map(Path::display);
    format!(
        "the filter at {pins} goes on, but {folder} doesn't say any more by which options it was made: \
         `ntpguard attach` with these options makes it anew, without a gap"
    )
}

/// Asks the process that looks after the filter to reload, and waits for the result.
fn there(places: &Places, taken: Taken) -> Result<(), Fault> {
    let state = || match Summary::load(&places.state_dir) {
        // The other process may rewrite the unreadable state.
        Err(error) if Unreadable::is(&error) => Ok(None),
        state => state.environment().map(|state| state.map(|state| (state.attempts, state))),
    };
    let Some(pid) = taken.pid.filter(|_| looks_after(places, taken)) else {
        return Err(Fault::Environment(anyhow!(
            "another ntpguard is at work here: try again when it is done"
        )));
    };
    let before = state()?.map(|(attempts, _)| attempts);
    let generation = generation(places);
    kill(Pid::from_raw(pid), Signal::SIGHUP)
        .with_context(|| format!("can't ask process {pid}"))
        .environment()?;
    let start = Instant::now();
    // If the state can't be written, only the number of the policy in force shows that the reload has succeeded.
    let mut unkept = atomic_file::probe(&places.state_dir).err();
    while start.elapsed() < RUN_TIMEOUT {
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
        let now = self::generation(places);
        if now != generation
            && let Some(now) = now
            && (unkept.is_some() || start.elapsed() > KEEPING)
        {
            tell(format_args!("policy {now} is in force"));
            if unkept.is_none()
                && let Err(error) = Summary::load(&places.state_dir)
            {
                warn(format_args!("{error:#}"));
                return Ok(());
            }
            let why = unkept.take().map_or_else(String::new, |why| format!(": {why:#}"));
            warn(format_args!(
                "process {pid} hasn't kept it{why}; after its next start nobody knows which lines the hits so far belong to"
            ));
            return Ok(());
        }
        sleep(Duration::from_millis(10));
    }
    let why = unkept.map_or_else(String::new, |why| format!(" ({why:#})"));
    Err(Fault::Environment(anyhow!(
        "process {pid} was asked to, and doesn't say what came of it{why}: the policy in force is the one before; see its log"
    )))
}

/// The number of the policy in force.
fn generation(places: &Places) -> Option<u32> {
    let place = Pins::seen(&places.pin_path).ok()??;
    Some(Maps::look(place).ok()?.word().ok()?.generation)
}
