//! `ntpguard run`: policy in, filter on, counters out, until a signal; then off.

use crate::{
    bpf::{self, Guard, Mode, Object},
    cli,
    compile::Image,
    conf::{self, ConfFile, Diagnostic},
    export::{Exporter, Tick},
    fault::{Blame as _, Fault},
    policy::Policy,
    resolve,
    writer::tell,
};
use anyhow::Context as _;
use ntpguard_common::abi::CAUSES;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval, interval_at},
};

/// Where the packages of NTPsec and of ntp.org's ntpd put the file.
const DEFAULT_CONFIGS: [&str; 2] = ["/etc/ntpsec/ntp.conf", "/etc/ntp.conf"];

/// How soon an interface that comes back is guarded again.
const FOLLOW: Duration = Duration::from_secs(1);

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// The configuration can't be read, or the filter can't be loaded or attached; nothing stays attached then.
pub fn run(options: &cli::Run) -> Result<(), Fault> {
    let path = match &options.config {
        Some(path) => Some(path.clone()),
        None => default_config().configuration()?,
    };
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
    let warning =
        |diagnostic: &Diagnostic| format!("{}: warning: {}", conf.show(diagnostic.place), diagnostic.message);
    let warnings: Vec<_> = conf.diagnostics.iter().chain(&policy.diagnostics).map(warning).collect();
    if !warnings.is_empty() {
        // In one piece: none may be lost, however many there are.
        tell(format_args!("{}", warnings.join("\n")));
    }
    let image = Image::compile(&policy, &conf, options.hardening());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().environment()?;
    runtime.block_on(guard(options, &conf, &image))
}

/// The default that is there. One that can't be looked at isn't absent: to guard without it would be to ignore it.
fn default_config() -> anyhow::Result<Option<PathBuf>> {
    for path in DEFAULT_CONFIGS.map(Path::new) {
        if path.try_exists().with_context(|| format!("can't tell whether {} is there", path.display()))? {
            return Ok(Some(path.to_owned()));
        }
    }
    Ok(None)
}

async fn guard(options: &cli::Run, conf: &ConfFile, image: &Image) -> Result<(), Fault> {
    // Before anything is attached, so that no signal in between leaves it so.
    let mut interrupted = signal(SignalKind::interrupt()).environment()?;
    let mut terminated = signal(SignalKind::terminate()).environment()?;
    let mut hung_up = signal(SignalKind::hangup()).environment()?;

    let object = if options.trace { Object::Trace } else { Object::Filter };
    let mut guard = Guard::load(object, image).environment()?;
    if options.trace {
        guard.trace(causes(conf, image)).environment()?;
    }
    guard.install(image).environment()?;
    let export = Exporter::new(options.format, conf, image);
    let mut places =
        Places::attach(&options.interface, &mut guard, options.xdp_mode, &export).environment()?;

    let start = Instant::now();
    let zero = guard.counters(true).environment()?;
    let (mut last, mut then) = (zero.clone(), start);
    let mut ticks = interval_at(start.into(), options.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut looks = interval(FOLLOW);
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            _ = looks.tick() => {
                places.follow(&mut guard, options.xdp_mode, &export);
                continue;
            }
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
            _ = hung_up.recv() => {
                tell(format_args!("SIGHUP: still guarding; restart ntpguard to read a changed configuration"));
                continue;
            }
        }
        match guard.counters(export.shows_hits()) {
            Ok(snapshot) => {
                let now = Instant::now();
                export.tick(&Tick { elapsed: now - then, since: snapshot.since(&last), total: &snapshot });
                (last, then) = (snapshot, now);
            }
            Err(error) => tell(format_args!("can't read the counters: {error:#}; still guarding")),
        }
    }
    let total = guard.counters(true).unwrap_or(last);
    // Detaches from every interface.
    drop(guard);
    export.totals(&Tick { elapsed: start.elapsed(), since: total.since(&zero), total: &total });
    Ok(())
}

/// An interface to guard.
struct Place<'a> {
    name: &'a str,
    /// The index under which it is guarded.
    guarded: Option<u32>,
    /// The index under which it came back and couldn't be: said once, and tried again.
    refused: Option<u32>,
}

/// All of them.
struct Places<'a>(Vec<Place<'a>>);

impl<'a> Places<'a> {
    /// Attaches to all of them, each once, and tells when all went well.
    fn attach(
        names: &'a [String],
        guard: &mut Guard,
        mode: Mode,
        export: &Exporter<'_>,
    ) -> anyhow::Result<Self> {
        let (mut places, mut attached) = (Vec::<Place<'_>>::new(), Vec::new());
        for name in names {
            if places.iter().all(|place| place.name != name) {
                attached.push(guard.attach(name, mode)?);
                places.push(Place { name, guarded: bpf::interface_index(name), refused: None });
            }
        }
        places.iter().zip(&attached).for_each(|(place, attached)| export.attached(place.name, attached));
        Ok(Self(places))
    }

    /// Notices interfaces that are gone, and attaches to those that have come back. The kernel detaches the filter
    /// with its interface, and tells nobody.
    fn follow(&mut self, guard: &mut Guard, mode: Mode, export: &Exporter<'_>) {
        for Place { name, guarded, refused } in &mut self.0 {
            let now = bpf::interface_index(name);
            if *guarded == now {
                continue;
            }
            if guarded.take().is_some() {
                tell(format_args!("{name} is gone, and nothing guards it until it is back"));
            }
            if now.is_none() {
                continue;
            }
            match guard.attach(name, mode) {
                Ok(attached) => {
                    (*guarded, *refused) = (now, None);
                    export.attached(name, &attached);
                }
                Err(_) if *refused == now => (),
                Err(error) => {
                    *refused = now;
                    tell(format_args!("{name} is back, and can't be guarded (tried again): {error:#}"));
                }
            }
        }
    }
}

/// The line to blame for each cause of each rule, in words.
fn causes(conf: &ConfFile, image: &Image) -> Vec<Option<String>> {
    let lines = image.rules.iter().flat_map(|rule| CAUSES.map(|cause| rule.cause(cause)));
    lines.map(|line| line.map(|line| format!("{}: {}", conf.show(line.place), line.text))).collect()
}
