//! Continuous proof of life, over windows that last until enough frames have been received.

use super::{
    life::{InterfaceReading, Life, Proof},
    queues::Judged,
};
use crate::host::interface::Interface;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How long a finding stays valid if too few new frames arrive to repeat it.
const HOLDS: Duration = Duration::from_secs(300);

/// Judges again and again whether the filter runs; each window lasts until enough frames have been received.
#[derive(Default)]
pub struct Pulse(BTreeMap<u32, Window>);

/// The window since the last finding about an interface, and the one since the last finding about its queues.
struct Window {
    since: Arc<InterfaceReading>,
    found: Option<Proof>,
    queues_since: Arc<InterfaceReading>,
    lost: Option<Proof>,
}

impl Pulse {
    /// The finding about an interface after another reading.
    pub fn look(&mut self, now: &Arc<InterfaceReading>, interface: &Interface, native: bool) -> Proof {
        let window = self.0.entry(interface.index).or_insert_with(|| Window::new(now));
        if !window.since.is_comparable(now) {
            *window = Window::new(now);
        }
        window.look_at_queues(now, interface, native);
        let mut proof = now.since(&window.since, interface, native);
        if proof.life == Life::Unknown {
            let is_old = now.after(&window.since) > HOLDS;
            proof = window.found.clone().filter(|_| !is_old).unwrap_or(proof);
        } else {
            window.since = Arc::clone(now);
            window.found = Some(proof.clone());
        }
        window.lost.clone().filter(|_| proof.life != Life::NotRun).unwrap_or(proof)
    }

    /// Forgets what is known about an interface, by its index, because another program is attached now.
    pub fn forget(&mut self, index: u32) {
        self.0.remove(&index);
    }
}

impl Window {
    fn new(now: &Arc<InterfaceReading>) -> Self {
        Self { since: Arc::clone(now), found: None, queues_since: Arc::clone(now), lost: None }
    }

    /// Judges the queues; the window lasts as long as it is open whether one is lost. A finding holds until one of its
    /// queues is heard.
    fn look_at_queues(&mut self, now: &Arc<InterfaceReading>, interface: &Interface, native: bool) {
        let mut is_open = false;
        for (site, Judged { lost, heard, is_open: open }) in
            now.queues_since(&self.queues_since, interface, native)
        {
            let is_heard = |known: &Proof| {
                known.interface == site.name && known.queues.iter().any(|queue| heard.contains(queue))
            };
            self.lost = self.lost.take().filter(|known| !is_heard(known));
            if let Some(lost) = lost {
                self.lost = Some(Proof::of_queues(&site.name, lost));
            } else {
                is_open |= open;
            }
        }
        let is_old = now.after(&self.queues_since) > HOLDS;
        if is_old {
            self.lost = None;
        }
        if is_old || !is_open {
            self.queues_since = Arc::clone(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bpf::Seen,
        observe::life::tests::{interface, reading, with_queues},
    };

    #[test]
    fn windows_are_as_long_as_it_takes() {
        let mut pulse = Pulse::default();
        let eth2 = interface(2, 0);
        let mut look = |received, seen| {
            let now = Arc::new(reading(vec![interface(2, received)], Seen::made_up(2, &[seen], 0)));
            pulse.look(&now, &eth2, true).life
        };
        assert_eq!(look(0, 0), Life::Unknown);
        assert_eq!(look(60, 60), Life::Unknown);
        assert_eq!(look(120, 120), Life::Runs);
        assert_eq!(look(130, 130), Life::Runs, "it holds while nothing else is known");
        assert_eq!(look(219, 130), Life::Runs);
        assert_eq!(look(231, 130), Life::Runs, "ten of them were seen before");
        assert_eq!(look(400, 130), Life::NotRun);
        assert_eq!(look(410, 140), Life::NotRun, "until enough frames say otherwise");
        assert_eq!(look(510, 240), Life::Runs);
    }

    /// The lost queues found after each of these readings: for each queue, the frames received and the frames without NTP
    /// seen.
    fn lost(readings: &[([u64; 2], [u64; 2])]) -> Vec<Vec<u32>> {
        let mut pulse = Pulse::default();
        let looks = readings.iter().map(|(received, seen)| {
            let all = vec![interface(2, received.iter().sum())];
            let now = Arc::new(with_queues(reading(all, Seen::made_up(2, seen, 0)), received));
            let proof = pulse.look(&now, &interface(2, 0), true);
            assert_eq!(proof.life == Life::NotRun, !proof.queues.is_empty(), "{proof}");
            proof.queues
        });
        looks.collect()
    }

    #[test]
    fn a_lost_queue_is_found_however_slow_it_is() {
        let steps =
            [([0; 2], [0; 2]), ([500, 40], [500, 0]), ([999, 80], [999, 0]), ([1500, 120], [1500, 0])];
        assert_eq!(lost(&steps), [vec![], vec![], vec![], vec![1]]);
    }

    #[test]
    fn it_stays_found_until_something_is_seen_there() {
        let steps = [
            ([0; 2], [0; 2]),
            ([500, 200], [500, 0]),
            ([900, 200], [900, 0]),
            ([950, 250], [950, 0]),
            ([990, 290], [990, 30]),
        ];
        assert_eq!(lost(&steps), [vec![], vec![1], vec![1], vec![1], vec![]]);
    }

    #[test]
    fn a_queue_that_counts_anew_has_lost_nothing() {
        assert_eq!(lost(&[([0, 500], [0; 2]), ([400, 20], [400, 0])]), [vec![0; 0], vec![]]);
    }

    #[test]
    fn in_the_stack_there_is_one_program_for_all_queues() {
        let mut pulse = Pulse::default();
        let mut look = |received, seen: [u64; 2]| {
            let now = with_queues(reading(vec![interface(2, 0)], Seen::made_up(2, &seen, 0)), received);
            pulse.look(&Arc::new(now), &interface(2, 0), false).life
        };
        look(&[0, 0], [0, 0]);
        assert_eq!(look(&[500, 500], [1000, 0]), Life::Runs);
    }
}
