//! `ntpguard run --metrics`: what it publishes at each interval.

use super::{interfaces::Guarded, life::Lives, limits::Watch, names::LookUps};
use crate::{
    bpf::snapshot::Counts,
    guard::{Service, loaded_policy::LoadedPolicy},
    host::fault::{Blame as _, Fault},
    metrics::{Drawn, Hit, Lines, Live, MOST, MetricValues, Names, Published, Tracked, interfaces, serve},
    observe::{associations::LiveAssociations, feed::Losses, life::Life, limited},
};
use ntpguard_common::abi::CAUSES;
use std::{
    collections::BTreeMap,
    future::pending,
    net::SocketAddr,
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Maximum age of a reading; Prometheus usually scrapes every 15 s.
const PACE: Duration = Duration::from_secs(5);

/// The metrics endpoint, if there is one.
pub(super) struct Metrics {
    published: Option<(Published, Interval)>,
    lines: Lines,
    /// The lines of drops that trials would have made.
    would_lines: Lines,
    start: SystemTime,
}

impl Metrics {
    /// Starts to listen if an address is given; readings are published at this interval, or more often.
    ///
    /// # Errors
    /// The same as those of [`serve`].
    pub(super) fn start(address: Option<SocketAddr>, pace: Duration) -> Result<Self, Fault> {
        let published = address.map(|address| -> Result<_, Fault> {
            let (published, mut ticks) = (Published::default(), interval(pace.min(PACE)));
            serve(address, published.clone()).environment()?;
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Ok((published, ticks))
        });
        let (lines, would_lines) = (Lines::default(), Lines::default());
        Ok(Self { published: published.transpose()?, lines, would_lines, start: SystemTime::now() })
    }

    /// Waits until a reading is to be published; for ever without an endpoint.
    pub(super) async fn due(&mut self) {
        match &mut self.published {
            Some((_, ticks)) => drop(ticks.tick().await),
            None => pending().await,
        }
    }

    /// Publishes a reading of the current state. If the counters can't be read, the previous reading stays, with its time;
    /// the error is reported where the counters are printed.
    pub(super) fn publish(
        &mut self,
        service: &Service,
        watch: Option<&Watch>,
        look_ups: &LookUps,
        guarded: &Guarded,
        lives: &Lives,
        losses: Option<&Losses>,
    ) {
        let Some(published) = self.published.as_ref().map(|(published, _)| published.clone()) else { return };
        let Ok(snapshot) = service.guard.maps.counters(true) else { return };
        let tracked = watch.and_then(|watch| watch.end().ok());
        let LoadedPolicy { conf, image, .. } = &service.loaded;
        let trial = service.options().monitor;
        let lines = lines_of(&mut self.lines, service, &snapshot.done, true);
        // A filter that was never on trial needs no zeros.
        let would_lines = lines_of(&mut self.would_lines, service, &snapshot.trial, trial);
        let mut associations = BTreeMap::new();
        for association in &conf.associations {
            *associations.entry(association.keyword.clone()).or_insert(0) += 1;
        }
        published.put(MetricValues {
            interfaces: interfaces(&snapshot.done, service.rows()),
            would: interfaces(&snapshot.trial, service.rows()),
            lines,
            would_lines,
            guarded: guarded
                .each()
                .map(|(name, attached)| {
                    let life = if attached { lives.of(&name) } else { Life::NotRun };
                    (name, life)
                })
                .collect(),
            tracked: tracked.map(|limited::Tracked { sources, places, known, .. }| Tracked {
                sources,
                places,
                known,
            }),
            generation: service.generation(),
            rules: image.rules.len(),
            trial,
            reloads: service.reloads(),
            events: losses.map(|Losses { told, held, full }| Drawn {
                told: told.load(Ordering::Relaxed),
                lost_rate: held.load(Ordering::Relaxed),
                lost_ring: full.load(Ordering::Relaxed),
            }),
            names: Names { all: service.names().len(), failing: look_ups.failing() },
            associations,
            live: live(service),
            start: self.start,
            now: SystemTime::now(),
        });
    }
}

/// The daemon's live associations; `None` if no line is for them, or the table can't be read.
fn live(service: &Service) -> Option<Live> {
    let LiveAssociations { open, live, unknown, full, list } =
        LiveAssociations::read(&service.guard.maps).ok()??;
    let open = open.map_or(f64::INFINITY, |seconds| seconds as f64);
    Some(Live { associations: list.len(), packets: live, unknown, full, open })
}

/// The hits by line, with those of lines without hits if `zeros` is set.
fn lines_of(lines: &mut Lines, service: &Service, counts: &Counts, zeros: bool) -> Vec<Hit> {
    let LoadedPolicy { conf, image, .. } = &service.loaded;
    // A rate needs the zero before the first hit. If there are too many lines for a series each, only lines with hits have one.
    let all = zeros && image.rules.len() <= MOST;
    let causes = image.rules.iter().flat_map(|rule| CAUSES.map(|cause| (rule, cause)));
    let hits = causes.zip(&counts.hits).filter_map(|((rule, cause), counter)| {
        let place = rule.cause(cause).map(|line| conf.place(line.index));
        let place = place.map(|place| (place.file, place.span.line));
        (counter.packets > 0 || all && place.is_some()).then_some((place, cause, *counter))
    });
    lines.read(service.generation(), hits, |file| conf.files[file].path.display().to_string())
}
