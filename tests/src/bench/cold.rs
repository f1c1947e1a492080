//! A different source in each frame (BPF_PROG_TEST_RUN behind a program that rewrites the frame): the larger the table, the
//! colder the caches.

use super::{
    Plan,
    budget::Id,
    policy::{self, LIMITED_BITS, limited, request},
    report::{Cell, Section},
    sample::Rounds,
};
use crate::bpf::{Bare, Sources, Spray, Trie};
use anyhow::{Context as _, Result, ensure};
use ntpguard::bpf::{Guard, TestRun};
use ntpguard_common::{Action, Reason};

/// Numbers of rules. Frames come from the sources of all rules, so 0 isn't among them.
const RULES: [u32; 4] = [10, 1000, 100_000, 1_000_000];

/// A measurement: the spray program with the program behind it, the frame, and the expected action.
struct Variant {
    spray: Spray,
    frame: Vec<u8>,
    action: Action,
}

/// Measures ntpguard and the kernel's LPM trie on the same sources.
///
/// # Errors
/// A frame isn't treated as it should be, or there is no right to do so.
pub fn cold(plan: &Plan) -> Result<Section> {
    let floor = Bare::dropping()?;
    // Everything that the variants run has to live as long as they do.
    let (mut guards, mut tries, mut variants) = (Vec::new(), Vec::new(), Vec::new());
    let ignored = request("192.0.2.66").build();
    for rules in RULES {
        let guard = plan.guard(rules)?;
        plan.say(&format!("  {rules} rules in the kernel's trie"));
        let prefixes: Vec<_> = (0..rules).map(policy::rule).collect();
        let trie = Trie::load(&prefixes)?;
        let sources = Sources::Spread(rules);
        let sprays = [
            Spray::before(floor.id()?, sources)?,
            Spray::before(guard.borrow().id()?, sources)?,
            Spray::before(trie.id()?, sources)?,
        ];
        let mut variant = |spray| {
            variants.push(Variant { spray, frame: ignored.clone(), action: Action::Drop });
        };
        let [bare, filter, look_up] = sprays;
        all_are_ignored(&mut guard.borrow_mut(), &filter, &ignored)?;
        variant(bare);
        variant(filter);
        variant(look_up);
        guards.push(guard);
        tries.push(trie);
    }
    let guard = &guards[0];
    let limits = [
        // Few enough to be remembered, and each of them over its limit.
        ("sources over their limits, 65,536 of them", (1 << 16) - 1, Action::Drop),
        ("sources that are new, limited, served", LIMITED_BITS, Action::Pass),
    ];
    for (_, bits, action) in limits {
        let (frame, sources) = (limited().build(), Sources::Random(bits));
        variants.push(Variant {
            spray: Spray::before(floor.id()?, sources)?,
            frame: frame.clone(),
            action: Action::Drop,
        });
        variants.push(Variant { spray: Spray::before(guard.borrow().id()?, sources)?, frame, action });
        if action == Action::Drop {
            // So that each source is over its limit when measuring begins.
            variants.last().context("a variant")?.spray.test_run(&limited().build(), 1 << 22)?;
        }
    }
    let rounds = Rounds::run(variants.len(), plan.rounds, |number| {
        let Variant { spray, frame, action } = &variants[number];
        let TestRun { action: came, duration, .. } = spray.test_run(frame, plan.repeat)?;
        // A packet of a source over its limit passes now and then.
        ensure!(came == *action || limits.len() * 2 + number >= variants.len(), "variant {number}: {came:?}");
        Ok(duration.as_nanos() as f64)
    })?;

    let mut section = Section {
        name: "cold",
        title: "Another source for each frame, cold caches (BPF_PROG_TEST_RUN)",
        how: format!(
            "A program writes a random source into the frame and goes on as the one that is measured (bpf_tail_call); \
             nanoseconds over the same before a bare XDP_DROP. Sources are those of all rules, each as often: three \
             quarters /24 networks, one quarter hosts, spread over 2^22 networks in no order. Beside: the kernel's own \
             trie (BPF_MAP_TYPE_LPM_TRIE) with the same prefixes, in a program that looks up, counts and drops. {} rounds \
             of {} frames.",
            plan.rounds, plan.repeat
        ),
        head: vec!["sources", "ntpguard : trie", "ntpguard, ns", "the kernel's trie, ns"],
        ..Section::default()
    };
    for (number, rules) in RULES.iter().enumerate() {
        let [floor, filter, trie] = [0, 1, 2].map(|place| 3 * number + place);
        let ratio = rounds.ratio_over([filter, floor], [trie, floor]);
        section.rows.push(vec![
            Cell::Text(format!("ignored, {} rules", grouped(*rules))),
            Cell::ratio(ratio),
            Cell::measured(rounds.over(filter, floor)),
            Cell::measured(rounds.over(trie, floor)),
        ]);
        if *rules == 1_000_000 {
            section.found.extend(ratio.map(|ratio| (Id::ColdToTrie, ratio)));
        }
    }
    for (number, (name, ..)) in limits.iter().enumerate() {
        let floor = 3 * RULES.len() + 2 * number;
        section.rows.push(vec![
            Cell::Text((*name).into()),
            Cell::None,
            Cell::measured(rounds.over(floor + 1, floor)),
            Cell::None,
        ]);
    }
    Ok(section)
}

/// Checks that all frames meet a rule, so that the rules are what is measured.
fn all_are_ignored(guard: &mut Guard, spray: &Spray, frame: &[u8]) -> Result<()> {
    const FRAMES: u32 = 10_000;
    let before = guard.maps.counters(true)?.of(Reason::Ignore).packets;
    spray.test_run(frame, FRAMES)?;
    let ignored = guard.maps.counters(true)?.of(Reason::Ignore).packets - before;
    ensure!(ignored == u64::from(FRAMES), "{ignored} of {FRAMES} frames were ignored");
    Ok(())
}

/// The number with thousands separators: 1000000 becomes 1,000,000.
pub fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_set_apart() {
        let cases = [(0, "0"), (10, "10"), (1000, "1,000"), (100_000, "100,000"), (1_000_000, "1,000,000")];
        cases.into_iter().for_each(|(number, text)| assert_eq!(super::grouped(number), text));
    }
}
