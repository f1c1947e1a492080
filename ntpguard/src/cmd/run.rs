//! `ntpguard run`: policy in, filter on, counters out, until a signal; then off.

use crate::{
    bpf::{self, Guard, Mode, Object},
    cli::{self, Run},
    cmd::watch::Watch,
    compile::Image,
    conf::ConfFile,
    diagnostic::Diagnostic,
    export::{Exporter, Tick},
    fault::{Blame as _, Fault},
    own,
    policy::Policy,
    reading, resolve,
    writer::tell,
};
use ntpguard_common::abi::CAUSES;
use std::{
    future::pending,
    io,
    net::IpAddr,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval, interval_at},
};

/// How soon an interface that comes back is guarded again.
const FOLLOW: Duration = Duration::from_secs(1);

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// The configuration can't be read, or the filter can't be loaded or attached; nothing stays attached then.
pub fn run(options: &cli::Run) -> Result<(), Fault> {
    let read = reading::read(options.config.as_deref(), &options.reading)?;
    tell(format_args!("{}", read.because));
    let names = resolve::Names::default();
    let compiler = Compiler { conf: &read.conf, names: &names, options };
    // What is said of the lines doesn't hang on this host's addresses.
    let policy = compiler.policy(&[]);
    let diagnostics = read.conf.diagnostics.iter().chain(&policy.diagnostics);
    let warnings: Vec<_> = diagnostics.map(|diagnostic| warning(&read.conf, diagnostic)).collect();
    if !warnings.is_empty() {
        // In one piece: none may be lost, however many there are.
        tell(format_args!("{}", warnings.join("\n")));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().environment()?;
    runtime.block_on(guard(options, &compiler))
}

/// One line for a diagnostic; `ntpguard check` has more.
fn warning(conf: &ConfFile, diagnostic: &Diagnostic) -> String {
    let Diagnostic { code, place, message, help } = diagnostic;
    let place = place.map(|place| format!("{}: ", conf.show(place))).unwrap_or_default();
    let help = help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{place}{}: {message}{help}", code.severity().name())
}

/// What doesn't change while the guard runs.
struct Compiler<'a> {
    conf: &'a ConfFile,
    names: &'a resolve::Names,
    options: &'a cli::Run,
}

impl Compiler<'_> {
    fn policy(&self, own: &[IpAddr]) -> Policy {
        Policy::resolve(self.conf, &|name| self.names.addresses(name), own)
    }

    fn image(&self, own: &[IpAddr]) -> Image {
        let Run { interface, xdp_mode, hardened, limiting, .. } = self.options;
        let transmits = interface.iter().all(|interface| bpf::transmits(interface, *xdp_mode));
        Image::compile(&self.policy(own), self.conf, hardened.hardening()).bounded(limiting.bounds(transmits))
    }
}

async fn guard(options: &cli::Run, compiler: &Compiler<'_>) -> Result<(), Fault> {
    // Before anything is attached, so that no signal in between leaves it so.
    let mut interrupted = signal(SignalKind::interrupt()).environment()?;
    let mut terminated = signal(SignalKind::terminate()).environment()?;
    let mut hung_up = signal(SignalKind::hangup()).environment()?;

    // Before they are read, so that no change in between is missed.
    let mut changes = Some(own::Changes::listen().environment()?);
    let mut own = own::addresses().environment()?;

    let (conf, image) = (compiler.conf, &compiler.image(&own));
    let object = if options.trace { Object::Trace } else { Object::Filter };
    let mut guard = Guard::load(object, image.rules.len(), options.limiting.sources).environment()?;
    if options.trace {
        guard.trace(causes(conf, image)).environment()?;
    }
    guard.install(image).environment()?;
    let all = image.rules.len();
    let export = Exporter::new(options.format, conf, image);
    let mut places =
        Places::attach(&options.interface, &mut guard, options.xdp_mode, &export).environment()?;

    let mut watch = Watch::start(&guard, image, &options.limiting).environment()?;

    let start = Instant::now();
    let zero = guard.counters(all).environment()?;
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
            changed = changed(changes.as_ref()) => {
                if let Err(error) = changed {
                    tell(format_args!("can't follow this host's addresses any more: {error}; still guarding"));
                    changes = None;
                }
                follow(&mut guard, compiler, &mut own);
                continue;
            }
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
            _ = hung_up.recv() => {
                tell(format_args!("SIGHUP: still guarding; restart ntpguard to read a changed configuration"));
                continue;
            }
        }
        match guard.counters(if export.shows_hits() { all } else { 0 }) {
            Ok(snapshot) => {
                let now = Instant::now();
                let tracked = watch.as_mut().map(|watch| watch.look(&snapshot)).transpose().environment()?;
                let since = snapshot.since(&last);
                export.tick(&Tick { elapsed: now - then, since, total: &snapshot, tracked });
                (last, then) = (snapshot, now);
            }
            Err(error) => tell(format_args!("can't read the counters: {error:#}; still guarding")),
        }
    }
    let total = guard.counters(all).unwrap_or(last);
    let tracked = watch.map(|watch| watch.end()).transpose().environment()?;
    // Detaches from every interface.
    drop(guard);
    export.totals(&Tick { elapsed: start.elapsed(), since: total.since(&zero), total: &total, tracked });
    Ok(())
}

/// Waits for a change of this host's addresses; for ever if nobody listens any more.
async fn changed(changes: Option<&own::Changes>) -> io::Result<()> {
    match changes {
        Some(changes) => changes.changed().await,
        None => pending().await,
    }
}

/// Puts a policy in force that knows this host's addresses as they are now. The rules, and so their counters, are the
/// same; own addresses have none.
fn follow(guard: &mut Guard, compiler: &Compiler<'_>, own: &mut Vec<IpAddr>) {
    let followed = own::addresses().and_then(|now| {
        if now != *own {
            guard.install(&compiler.image(&now))?;
            tell(format_args!("this host's addresses have changed: {} before, {} now", own.len(), now.len()));
            *own = now;
        }
        Ok(())
    });
    if let Err(error) = followed {
        tell(format_args!("can't follow this host's addresses: {error:#}; still guarding by the old ones"));
    }
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
