//! Image → maps.
//!
//! Everything goes into the slot that isn't in force, which the policy before the last has left empty, and then one write
//! of eight bytes names the new policy. Replacing a slot's map waits for a grace period
//! (kernel/bpf/map_in_map.c, maybe_wait_bpf_programs), so that nobody reads or counts in what was replaced.

use super::maps::Maps;
use crate::{
    compile::Image,
    limits::{self, Clock},
};
use anyhow::{Context as _, Result};
use aya::{
    Pod,
    maps::{
        Array, ArrayOfMaps, MapData,
        lpm_trie::{Key, LpmTrie},
    },
};
use ipnet::IpNet;
use ntpguard_common::{
    Verdict,
    abi::{Gap, Limits, Rule, Rules, Settings},
};

/// The kernel refuses tries without it (kernel/bpf/lpm_trie.c:trie_alloc).
const BPF_F_NO_PREALLOC: u32 = 1;

/// Puts an image in force; there is room for so many counters.
pub(super) fn install(maps: &mut Maps, image: &Image, settings: Settings, room: u32) -> Result<()> {
    let slot = settings.slot();
    let counters = slot * room;
    // An image has a rule's place where the maps have its counters'.
    let rule = |rule: Rule| match rule.index {
        Verdict::NO_RULE => rule,
        place if image.counters.fit(place as usize, room) => {
            Rule { index: image.counters.index(place as usize, counters), ..rule }
        }
        _ => Rule { index: Verdict::NO_RULE, ..rule },
    };
    let rules =
        |rules: &Rules| Rules { any_port: rule(rules.any_port), ntp_port: rule(rules.ntp_port) }.to_words();
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (net, of_net) in &image.prefixes {
        let length = u32::from(net.prefix_len());
        match net {
            IpNet::V4(net) => v4.push((Key::new(length, net.network().octets()), rules(of_net))),
            IpNet::V6(net) => v6.push((Key::new(length, net.network().octets()), rules(of_net))),
        }
    }
    let v4 = fill(maps, "RULES_V4", slot, &v4)?;
    fill(maps, "RULES_V6", slot, &v6)?;
    // After the tries, so that no packet still reads this slot's.
    let mut gaps: Array<_, [u32; 10]> = maps.get_mut("GAPS")?.try_into()?;
    for (is_v6, of_family) in [false, true].into_iter().zip(&image.gaps) {
        for (number, gap) in (0..).zip(of_family) {
            let words = Gap { rule: rule(gap.rule), ..*gap }.to_words();
            gaps.set(Gap::place(slot, is_v6, number), words, 0).context("GAPS can't be written")?;
        }
    }
    let limits = limits::limits(&image.limiter, &image.bounds, Clock::of_kernel()?, maps.seed());
    let mut values: Array<_, Limits> = maps.get_mut("LIMITS")?.try_into()?;
    values.set(slot, limits, 0).context("LIMITS can't be written")?;
    let mut word: Array<_, u64> = maps.get_mut("SETTINGS")?.try_into()?;
    word.set(0, settings.to_word(), 0).context("the new policy can't be put in force")?;
    // Nobody waits for those that have read the word before: a packet may still be about to look into the other slot, which
    // is emptied next. So the same trie goes into its place once more, for the grace period alone.
    place(maps, "RULES_V4", slot, &v4)
}

/// Takes the rules out of a slot that isn't in force any more.
pub(super) fn empty(maps: &mut Maps, slot: u32) -> Result<()> {
    fill::<[u8; 4]>(maps, "RULES_V4", slot, &[])?;
    fill::<[u8; 16]>(maps, "RULES_V6", slot, &[]).map(drop)
}

/// Rules by prefix.
type Trie<K> = LpmTrie<MapData, K, [u32; 4]>;

/// Makes a trie of the rules and puts it into a slot.
fn fill<K: Pod>(maps: &mut Maps, name: &str, slot: u32, rules: &[(Key<K>, [u32; 4])]) -> Result<Trie<K>> {
    let entries = u32::try_from(rules.len()).context("more rules than a map can hold")?.max(1);
    let mut trie: Trie<K> = LpmTrie::create(entries, BPF_F_NO_PREALLOC)
        .with_context(|| format!("no room for a table of {entries} rules"))?;
    for (key, rule) in rules {
        trie.insert(key, rule, 0).with_context(|| format!("{name} is full"))?;
    }
    place(maps, name, slot, &trie)?;
    Ok(trie)
}

/// Puts a trie into a slot, and waits until nobody reads what was there.
fn place<K: Pod>(maps: &mut Maps, name: &str, slot: u32, trie: &Trie<K>) -> Result<()> {
    let mut slots: ArrayOfMaps<_, Trie<K>> = maps.get_mut(name)?.try_into()?;
    slots.set(slot, trie, 0).with_context(|| format!("{name} can't be replaced"))
}
