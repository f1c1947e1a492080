//! `ntpguard run`: policy in, filter on, counters out, until a signal; then off.

use crate::{
    bpf::{Guard, Object, Trace},
    cli,
    compile::Image,
    conf::{self, ConfFile},
    export::{Exporter, Tick},
    fault::{Blame as _, Fault},
    policy::Policy,
    resolve,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Instant,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

/// Where the packages of NTPsec and of ntp.org's ntpd put the file.
const DEFAULT_CONFIGS: [&str; 2] = ["/etc/ntpsec/ntp.conf", "/etc/ntp.conf"];

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// The configuration can't be read, or the filter can't be loaded or attached; nothing stays attached then.
pub fn run(options: &cli::Run) -> Result<(), Fault> {
    let path = options.config.clone().or_else(default_config);
    let conf = conf::read(path.as_deref()).configuration()?;
    if path.is_none() {
        let [sec, org] = DEFAULT_CONFIGS;
        eprintln!("note: there is neither {sec} nor {org}: every source may get time, and none may query");
    }
    let image = image(&conf, options);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().environment()?;
    runtime.block_on(guard(options, &conf, &image))
}

fn default_config() -> Option<PathBuf> {
    DEFAULT_CONFIGS.iter().map(Path::new).find(|path| path.exists()).map(Path::to_owned)
}

/// Compiles the policy, and tells what is odd about the lines.
fn image(conf: &ConfFile, options: &cli::Run) -> Image {
    let policy = Policy::resolve(conf, &resolve::addresses);
    for diagnostic in conf.diagnostics.iter().chain(&policy.diagnostics) {
        eprintln!("{}: warning: {}", conf.show(diagnostic.place), diagnostic.message);
    }
    Image::compile(&policy, conf, options.queries)
}

async fn guard(options: &cli::Run, conf: &ConfFile, image: &Image) -> Result<(), Fault> {
    // Before anything is attached, so that no signal in between leaves it so.
    let mut interrupted = signal(SignalKind::interrupt()).environment()?;
    let mut terminated = signal(SignalKind::terminate()).environment()?;

    let object = if options.trace { Object::Trace } else { Object::Filter };
    let mut guard = Guard::load(object, image).environment()?;
    let mut trace = if options.trace { Some(guard.trace().environment()?) } else { None };
    guard.install(image).environment()?;
    let mut export = Exporter::new(options.format, conf, image);
    for interface in options.interface.iter().collect::<BTreeSet<_>>() {
        let attached = guard.attach(interface, options.xdp_mode).environment()?;
        export.attached(interface, attached);
    }

    let start = Instant::now();
    let zero = guard.counters().environment()?;
    let (mut last, mut then) = (zero.clone(), start);
    let mut ticks = interval(options.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
            outcome = traced(&mut trace) => { outcome.environment()?; continue }
        }
        let (now, snapshot) = (Instant::now(), guard.counters().environment()?);
        export.tick(&Tick { elapsed: now - then, since: snapshot.since(&last), total: &snapshot });
        (last, then) = (snapshot, now);
    }
    let total = guard.counters().environment()?;
    // Detaches from every interface.
    drop(guard);
    export.totals(&Tick { elapsed: start.elapsed(), since: total.since(&zero), total: &total });
    Ok(())
}

/// The next lines of the trace; never, when there is none.
async fn traced(trace: &mut Option<Trace>) -> anyhow::Result<()> {
    match trace {
        Some(trace) => trace.next().await,
        None => std::future::pending().await,
    }
}
