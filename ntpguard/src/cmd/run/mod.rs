//! `ntpguard run`: reads the policy, attaches the filter and prints counters until a signal arrives. The filter stays
//! attached, unless `--ephemeral` is given.

pub(crate) mod events;
pub(crate) mod interfaces;
pub(crate) mod life;
pub(crate) mod limits;
pub(crate) mod mend;
pub(crate) mod metrics;
pub(crate) mod names;

use crate::{
    bpf::{Hook, Object},
    cli::Run,
    cmd::{
        choose,
        restore::Helper,
        run::{
            events::Feed, interfaces::Guarded, life::Lives, limits::Watch, mend::Mender, metrics::Metrics,
            names::LookUps,
        },
    },
    export::{Exporter, Tick},
    guard::{self, Service, instance::Instance, loaded_policy::LoadedPolicy},
    host::{
        addresses, farewell,
        fault::{Blame as _, Fault},
        log::{tell, warn},
        sandbox,
        secrets::Uncovered,
        service_manager::Manager,
    },
    observe::feed::Unbound,
    policy::resolve,
};
use anyhow::Context as _;
use ntpguard_common::abi::CAUSES;
use std::{
    future::pending,
    io, process,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval, interval_at},
};

/// How soon an interface that comes back is guarded again, and a changed file is read.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// The configuration can't be read, or the filter can't be loaded or attached; what was attached before stays as it was.
pub(super) fn run(mut options: Run) -> Result<(), Fault> {
    choose::to_guard("run", &mut options.guarding, options.places.as_ref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().environment()?;
    runtime.block_on(guard(&options))
}

async fn guard(options: &Run) -> Result<(), Fault> {
    // Installed before anything is attached, so that no signal in between ends the process and leaves the filter there.
    let mut interrupted = signal(SignalKind::interrupt()).environment()?;
    let mut terminated = signal(SignalKind::terminate()).environment()?;
    let mut hung_up = signal(SignalKind::hangup()).environment()?;
    farewell::wait().environment()?;

    // Opened before the addresses are read, so that no change in between is missed.
    let mut changes = Some(addresses::Changes::listen().environment()?);

    let mut instance = options.places.as_ref().map(Instance::alone).transpose().environment()?;
    instance.iter_mut().try_for_each(Instance::stay).environment()?;
    // If the port is in use, nothing has been changed yet.
    let mut metrics = Metrics::start(options.metrics, options.interval)?;
    instance.iter().for_each(Instance::begin);
    let object = if options.trace { Object::Trace } else { guard::object(&options.guarding) };
    guard::fit(&options.guarding)?;
    let mut service = Service::start(options.guarding.clone(), object, instance)?;
    let attached = service.attach(Some(process::id() as i32))?;
    // From here on, this process follows the host's addresses.
    service.advance(changes.is_some());
    // It does its work when this process ends, for whatever reason.
    let mut helper = if options.places.is_none() { helper(&mut service)? } else { None };
    if options.trace {
        service.guard.trace(&causes(&service.loaded)).environment()?;
    }
    // The connection to the service manager and the socket are opened before the sandbox is entered.
    let (mut manager, socket) = (Manager::new(), Unbound::new().environment()?);
    let mut uncovered = options.sandbox.then(|| confine(options, &service)).transpose()?;
    let export = Exporter::new(options.format);
    attached.iter().for_each(|(interface, attached)| export.attached(interface, attached));
    manager.ready(&format!("guarding {}", service.options().interface.join(", ")));
    let mut guarded = Guarded::new(&service.options().interface);
    let mut mender = Mender::default();
    mender.renew(&mut service);
    let mut lives = Lives::default();
    let mut look_ups = LookUps::new(service.options().names_interval);
    let mut watch = watch(&service)?;
    let mut feed = Feed::new(options, &service, socket);

    let start = Instant::now();
    let mut last = service.guard.maps.counters(false).environment()?;
    let mut then = start;
    let mut ticks = interval_at(start.into(), options.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut looks = interval(manager.pace(LOOK));
    loop {
        helper.iter_mut().for_each(|helper| helper.follow(service.cards()));
        tokio::select! {
            _ = ticks.tick() => (),
            _ = looks.tick() => {
                manager.alive();
                if guarded.follow(&mut service, &export) {
                    mender.renew(&mut service);
                }
                let attached = guarded.each().filter(|(_, attached)| *attached);
                lives.follow(&mut service, &mut mender, attached.map(|(name, _)| name));
                service.follow_trial();
                service.advance(changes.is_some());
                feed.begin();
                uncovered.iter_mut().flat_map(Uncovered::look).for_each(tell_uncovered);
                if service.is_outdated() {
                    (watch, look_ups) = reload(&mut service, options.trace, &manager)?;
                }
                continue;
            }
            () = metrics.due() => {
                metrics.publish(&service, watch.as_ref(), &look_ups, &guarded, &lives, feed.losses());
                continue;
            }
            answers = look_ups.answers(|| service.names()) => {
                look_ups.learn(&mut service, answers);
                continue;
            }
            changed = changed(changes.as_ref()) => {
                if let Err(error) = changed {
                    warn(format_args!("can't follow this host's addresses any more: {error}; still guarding"));
                    changes = None;
                }
                follow(&mut service);
                if guarded.follow(&mut service, &export) {
                    mender.renew(&mut service);
                }
                continue;
            }
            () = mender.refused() => {
                mender.fall_back(&mut service);
                mender.renew(&mut service);
                continue;
            }
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
            _ = hung_up.recv() => {
                (watch, look_ups) = reload(&mut service, options.trace, &manager)?;
                continue;
            }
        }
        match service.guard.maps.counters(export.shows_hits()) {
            Ok(snapshot) => {
                let now = Instant::now();
                let tracked = watch.as_mut().map(|watch| watch.look(&snapshot)).transpose().environment()?;
                let since = snapshot.since(&last);
                let (rows, policy, trial) = (service.rows(), service.policy(), service.options().monitor);
                let (elapsed, total) = (now - then, &snapshot);
                export.tick(&Tick { elapsed, since, total, rows, policy, trial, tracked });
                // The next policy counts its hits in other counters.
                (last, then) = (snapshot.without_hits(), now);
            }
            Err(error) => warn(format_args!("can't read the counters: {error:#}; still guarding")),
        }
    }
    manager.stopping();
    drop(feed);
    let total = service.guard.maps.counters(true).unwrap_or(last);
    let tracked = watch.map(|watch| watch.end()).transpose().environment()?;
    let tick = Tick {
        elapsed: start.elapsed(),
        since: total.clone(),
        total: &total,
        rows: service.rows(),
        policy: service.policy(),
        trial: service.options().monitor,
        tracked,
    };
    export.totals(&tick, service.stays());
    service.leave();
    Ok(())
}

/// Reads the configuration again; whatever is wrong with it, guarding goes on. Restarts the look-ups of names and the
/// reading of limits.
fn reload(service: &mut Service, trace: bool, manager: &Manager) -> Result<(Option<Watch>, LookUps), Fault> {
    manager.reloading();
    let status = match service.reload() {
        Ok((change, took)) => {
            tell(format_args!("{change}, in {} ms", took.as_millis()));
            change.to_string()
        }
        Err(fault) => {
            warn(format_args!("the old policy stays: {fault}"));
            format!("the old policy stays: {fault}")
        }
    };
    manager.ready(&status);
    if trace {
        service.guard.trace(&causes(&service.loaded)).environment()?;
    }
    Ok((watch(service)?, LookUps::new(service.options().names_interval)))
}

/// Starts the helper that restores what attaching changes of the cards, now or later. At tc, attaching changes nothing.
fn helper(service: &mut Service) -> Result<Option<Helper>, Fault> {
    let changes = service.options().hook == Hook::Xdp;
    let helper = changes.then(|| Helper::start(service)).transpose();
    if helper.is_err() {
        let all = service.options().interface.clone();
        service.give_up(all.iter());
    }
    helper.environment()
}

/// Gives up the rights and files that aren't needed any more. Returns the check for secret files that become readable again.
fn confine(options: &Run, service: &Service) -> Result<Uncovered, Fault> {
    let places = options.places.iter();
    let writable: Vec<_> = places.flat_map(|places| [&*places.pin_path, &*places.state_dir]).collect();
    let missing = sandbox::enter(&service.loaded.conf.sought, &writable, || {
        resolve::stay().context("can't start the thread that looks names up")
    })
    .environment()?;
    missing.iter().for_each(|missing| warn(format_args!("{missing}")));
    Ok(Uncovered::new())
}

fn tell_uncovered(path: &str) {
    warn(format_args!(
        "ntpguard could read {path} again: another file was put in its place, and has no cover"
    ));
    warn(format_args!("  start `ntpguard run` again, and it is covered"));
}

fn watch(service: &Service) -> Result<Option<Watch>, Fault> {
    Watch::start(&service.guard, &service.loaded.image, &service.options().limiting).environment()
}

/// Waits for a change of this host's addresses or interfaces; for ever if changes can't be followed any more.
async fn changed(changes: Option<&addresses::Changes>) -> io::Result<()> {
    match changes {
        Some(changes) => changes.changed().await,
        None => pending().await,
    }
}

fn follow(service: &mut Service) {
    match service.follow_addresses() {
        Ok(Some((before, now))) => {
            tell(format_args!("this host's addresses have changed: {before} before, {now} now"));
        }
        Ok(None) => (),
        Err(error) => {
            warn(format_args!(
                "can't follow this host's addresses: {error:#}; still guarding by the old ones"
            ));
        }
    }
}

/// For each cause of each rule, the line to blame, as text.
fn causes(loaded: &LoadedPolicy) -> Vec<Option<String>> {
    let LoadedPolicy { conf, image, .. } = loaded;
    let lines = image.rules.iter().flat_map(|rule| CAUSES.map(|cause| rule.cause(cause)));
    lines.map(|line| line.map(|line| conf.quote(line.index))).collect()
}
