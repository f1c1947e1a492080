//! Image → maps.
//!
//! The rules go into fresh tries, the tries into the slot that isn't in force, and then one write of eight bytes
//! names that slot. Replacing a slot's trie waits for a grace period (kernel/bpf/map_in_map.c,
//! maybe_wait_bpf_programs), so no packet still reads what is replaced.

use crate::{
    compile::Image,
    limits::{self, Clock},
};
use anyhow::{Context as _, Result, anyhow};
use aya::{
    Ebpf, Pod,
    maps::{
        Array, ArrayOfMaps, MapData,
        lpm_trie::{Key, LpmTrie},
    },
};
use ipnet::IpNet;
use ntpguard_common::{
    abi::{Gap, Limits, SLOTS, Settings},
    hash::Seed,
};

/// The kernel refuses tries without it (kernel/bpf/lpm_trie.c:trie_alloc).
const BPF_F_NO_PREALLOC: u32 = 1;

pub(super) fn install(ebpf: &mut Ebpf, image: &Image, seed: Seed) -> Result<()> {
    let settings: Array<_, u64> = map(ebpf, "SETTINGS")?.try_into()?;
    let slot = (Settings::from_word(settings.get(&0, 0)?).slot + 1) % SLOTS;
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (net, rules) in &image.prefixes {
        let length = u32::from(net.prefix_len());
        match net {
            IpNet::V4(net) => v4.push((Key::new(length, net.network().octets()), rules.to_words())),
            IpNet::V6(net) => v6.push((Key::new(length, net.network().octets()), rules.to_words())),
        }
    }
    fill(ebpf, "RULES_V4", slot, &v4)?;
    fill(ebpf, "RULES_V6", slot, &v6)?;
    // After the tries, so that no packet still reads this slot's.
    let mut gaps: Array<_, [u32; 10]> = map(ebpf, "GAPS")?.try_into()?;
    for (is_v6, of_family) in [false, true].into_iter().zip(&image.gaps) {
        for (number, gap) in (0..).zip(of_family) {
            gaps.set(Gap::place(slot, is_v6, number), gap.to_words(), 0).context("GAPS can't be written")?;
        }
    }
    let clock = Clock::of_kernel()?;
    let mut limits: Array<_, Limits> = map(ebpf, "LIMITS")?.try_into()?;
    limits
        .set(slot, limits::limits(&image.limiter, &image.bounds, clock, seed), 0)
        .context("LIMITS can't be written")?;
    let mut settings: Array<_, u64> = map(ebpf, "SETTINGS")?.try_into()?;
    let word = Settings { flags: image.flags, slot }.to_word();
    settings.set(0, word, 0).context("the new policy can't be put in force")
}

/// Makes a trie of the rules and puts it into a slot.
fn fill<K: Pod>(ebpf: &mut Ebpf, name: &str, slot: u32, rules: &[(Key<K>, [u32; 4])]) -> Result<()> {
    let entries = u32::try_from(rules.len()).context("more rules than a map can hold")?.max(1);
    let mut trie: LpmTrie<MapData, K, [u32; 4]> = LpmTrie::create(entries, BPF_F_NO_PREALLOC)
        .with_context(|| format!("no room for a table of {entries} rules"))?;
    for (key, rule) in rules {
        trie.insert(key, rule, 0).with_context(|| format!("{name} is full"))?;
    }
    let mut slots: ArrayOfMaps<_, LpmTrie<MapData, K, [u32; 4]>> = map(ebpf, name)?.try_into()?;
    slots.set(slot, &trie, 0).with_context(|| format!("{name} can't be replaced"))
}

fn map<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::maps::Map> {
    ebpf.map_mut(name).ok_or_else(|| anyhow!("the object has no map {name}"))
}
