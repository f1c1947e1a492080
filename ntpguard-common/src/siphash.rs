//! SipHash-1-3 of a source address: a keyed hash, so that nobody can choose addresses that meet in one place.
//!
//! J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", 2012; one round a block and three at the end,
//! as in Rust's and Linux's hash tables. Two sources with the same 64 bits would share an account: of 2^18, once in
//! 2^29 tables.

use crate::Source;

/// Hashes an address; `seed` is random and secret.
#[inline(always)]
pub fn siphash(seed: [u64; 2], source: &Source) -> u64 {
    let [k0, k1] = seed;
    let mut state = State([
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ]);
    // The last block ends with the message's length.
    let last = match *source {
        Source::V4(address) => 4 << 56 | u64::from(u32::from_le_bytes(address)),
        Source::V6([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]) => {
            state.absorb(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
            state.absorb(u64::from_le_bytes([i, j, k, l, m, n, o, p]));
            16 << 56
        }
    };
    state.absorb(last);
    state.0[2] ^= 0xff;
    state.round();
    state.round();
    state.round();
    let [a, b, c, d] = state.0;
    a ^ b ^ c ^ d
}

struct State([u64; 4]);

impl State {
    #[inline(always)]
    fn absorb(&mut self, block: u64) {
        self.0[3] ^= block;
        self.round();
        self.0[0] ^= block;
    }

    #[inline(always)]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32).wrapping_add(d);
        c = c.wrapping_add(b);
        d = d.rotate_left(21) ^ a;
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{DefaultHasher, Hasher as _};

    /// The standard library's hasher is SipHash-1-3 with a key of zeros.
    #[test]
    fn it_is_the_standard_librarys() {
        let (mut v4, mut v6) = ([192, 0, 2, 1], [0x20; 16]);
        for number in 0..1000_u32 {
            v4[3] = number as u8;
            v6[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
            for (source, bytes) in [(Source::V4(v4), &v4[..]), (Source::V6(v6), &v6[..])] {
                let mut hasher = DefaultHasher::new();
                hasher.write(bytes);
                assert_eq!(siphash([0, 0], &source), hasher.finish());
                assert_ne!(siphash([0, 1], &source), hasher.finish());
            }
        }
    }
}
