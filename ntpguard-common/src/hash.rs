//! A keyed hash of source addresses: without the key nobody can choose addresses that share a place in a table.
//!
//! It is a universal hash at a third of SipHash's cost: multiply-shift (M. Dietzfelbinger et al., 1997) for IPv4; for
//! IPv6, NH as in UMAC (J. Black et al., 1999), then the same. It protects against attackers who can't observe the
//! table, and nobody outside this host can. Two IPv4 addresses never have the same 64-bit hash; of all keys, one in
//! 2^32 gives the same hash to two other addresses chosen in advance. Only the high bits are well distributed: derive
//! places from those.

use crate::Source;

/// A random secret key.
pub type Seed = [u64; 3];

/// Hashes an address.
#[inline(always)]
pub fn hash(seed: Seed, source: &Source) -> u64 {
    let [multiplier, k, l] = seed;
    let word = match *source {
        Source::V4(address) => u64::from(address),
        Source::V6([high, low]) => nh(high, k).wrapping_add(nh(low, l)),
    };
    word.wrapping_mul(multiplier | 1)
}

/// Mixes further words into the hash of an address.
#[inline(always)]
pub fn mix(seed: Seed, hash: u64, [first, second, third]: [u64; 3]) -> u64 {
    let [multiplier, k, l] = seed;
    let sum = nh(first, k).wrapping_add(nh(second, l)).wrapping_add(nh(third, k ^ l));
    hash.wrapping_add(sum).wrapping_mul(multiplier | 1)
}

/// One step of NH: a 64-bit word of the address with a 64-bit word of the key.
#[inline(always)]
const fn nh(words: u64, keys: u64) -> u64 {
    let high = ((words >> 32) as u32).wrapping_add((keys >> 32) as u32);
    let low = (words as u32).wrapping_add(keys as u32);
    (high as u64).wrapping_mul(low as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

    /// Neighbouring addresses, as in a scan or within a network, and addresses far apart: each of 256 places gets its
    /// share.
    #[test]
    fn addresses_are_spread() {
        let places = |sources: &dyn Fn(u32) -> Source| {
            let mut counts = [0; 256];
            (0..1 << 16).for_each(|number| counts[(hash(SEED, &sources(number)) >> 56) as usize] += 1);
            counts
        };
        let v6 = |high: u32, low: u32| Source::V6([0x2001_0db8 << 32 | u64::from(high), u64::from(low)]);
        let kinds: [&dyn Fn(u32) -> Source; 4] = [
            &|number| Source::V4(0x0a00_0000 + number),
            &|number| Source::V4(number << 16 | 7),
            &|number| v6(0, number),
            &|number| v6(number << 8, 1),
        ];
        for (kind, sources) in kinds.iter().enumerate() {
            let counts = places(sources);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!((128..512).contains(least) && (128..512).contains(most), "{kind}: {least} to {most}");
        }
    }

    #[test]
    fn another_seed_is_another_order() {
        let sources = [Source::of_v4([192, 0, 2, 1]), Source::of_v6([0x20; 16])];
        for (word, source) in [(0, 0), (1, 1), (2, 1)] {
            let mut other = SEED;
            other[word] ^= 0x10;
            assert_ne!(hash(SEED, &sources[source]), hash(other, &sources[source]));
        }
    }
}
