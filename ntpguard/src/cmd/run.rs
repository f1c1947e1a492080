//! `ntpguard run`: policy in, filter on, counters out, until a signal; then off.

use crate::{
    bpf::{self, Guard, Mode, Object, Trace},
    cli,
    compile::Image,
    conf::{self, ConfFile},
    export::{Exporter, Tick},
    fault::{Blame as _, Fault, tell},
    policy::Policy,
    resolve,
};
use std::{
    collections::BTreeMap,
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
    match &path {
        Some(path) => tell(format_args!("policy from {}", path.display())),
        None => {
            let [sec, org] = DEFAULT_CONFIGS;
            tell(format_args!(
                "there is neither {sec} nor {org}: every source may get time, and none may query"
            ));
        }
    }
    let policy = Policy::resolve(&conf, &resolve::addresses);
    for diagnostic in conf.diagnostics.iter().chain(&policy.diagnostics) {
        tell(format_args!("{}: warning: {}", conf.show(diagnostic.place), diagnostic.message));
    }
    let image = Image::compile(&policy, &conf, options.hardening());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().environment()?;
    runtime.block_on(guard(options, &conf, &image))
}

fn default_config() -> Option<PathBuf> {
    DEFAULT_CONFIGS.iter().map(Path::new).find(|path| path.exists()).map(Path::to_owned)
}

async fn guard(options: &cli::Run, conf: &ConfFile, image: &Image) -> Result<(), Fault> {
    // Before anything is attached, so that no signal in between leaves it so.
    let mut interrupted = signal(SignalKind::interrupt()).environment()?;
    let mut terminated = signal(SignalKind::terminate()).environment()?;
    let mut hung_up = signal(SignalKind::hangup()).environment()?;

    let object = if options.trace { Object::Trace } else { Object::Filter };
    let mut guard = Guard::load(object, image).environment()?;
    let mut trace = if options.trace { Some(guard.trace().environment()?) } else { None };
    guard.install(image).environment()?;
    let mut export = Exporter::new(options.format, conf, image);
    let mut places = Places::new(&options.interface);
    places.attach(&mut guard, options.xdp_mode, &mut export).environment()?;

    let start = Instant::now();
    let (mut last, mut then) = (guard.counters().environment()?, start);
    let zero = last.clone();
    let mut ticks = interval(options.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
            _ = hung_up.recv() => {
                tell(format_args!("SIGHUP: still guarding; restart ntpguard to read a changed configuration"));
                continue;
            }
            outcome = traced(&mut trace) => {
                if let Err(error) = outcome {
                    tell(format_args!("no more trace: {error:#}; still guarding"));
                    trace = None;
                }
                continue;
            }
        }
        places.follow(&mut guard, options.xdp_mode, &mut export);
        match guard.counters() {
            Ok(snapshot) => {
                let now = Instant::now();
                export.tick(&Tick { elapsed: now - then, since: snapshot.since(&last), total: &snapshot });
                (last, then) = (snapshot, now);
            }
            Err(error) => tell(format_args!("can't read the counters: {error:#}; still guarding")),
        }
    }
    let total = guard.counters().unwrap_or(last);
    // Detaches from every interface.
    drop(guard);
    export.totals(&Tick { elapsed: start.elapsed(), since: total.since(&zero), total: &total });
    export.end();
    Ok(())
}

/// The interfaces to guard, and under which index each is guarded.
struct Places<'a> {
    guarded: BTreeMap<&'a str, Option<u32>>,
}

impl<'a> Places<'a> {
    fn new(interfaces: &'a [String]) -> Self {
        Self { guarded: interfaces.iter().map(|interface| (interface.as_str(), None)).collect() }
    }

    /// Attaches to all of them, or fails at the first that won't.
    fn attach(&mut self, guard: &mut Guard, mode: Mode, export: &mut Exporter<'_>) -> anyhow::Result<()> {
        for (interface, guarded) in &mut self.guarded {
            let attached = guard.attach(interface, mode)?;
            *guarded = bpf::index(interface);
            export.attached(interface, &attached);
        }
        Ok(())
    }

    /// Notices interfaces that are gone, and attaches to those that have come back. The kernel detaches the filter
    /// with its interface, and tells nobody.
    fn follow(&mut self, guard: &mut Guard, mode: Mode, export: &mut Exporter<'_>) {
        for (interface, guarded) in &mut self.guarded {
            let now = bpf::index(interface);
            if *guarded == now {
                continue;
            }
            if guarded.take().is_some() {
                tell(format_args!("{interface} is gone, and nothing guards it until it is back"));
            }
            if now.is_some() {
                match guard.attach(interface, mode) {
                    Ok(attached) => {
                        *guarded = now;
                        export.attached(interface, &attached);
                    }
                    Err(error) => tell(format_args!("{interface} is back, and can't be guarded: {error:#}")),
                }
            }
        }
    }
}

/// The next lines of the trace; never, when there is none.
async fn traced(trace: &mut Option<Trace>) -> anyhow::Result<()> {
    match trace {
        Some(trace) => trace.next().await,
        None => std::future::pending().await,
    }
}
