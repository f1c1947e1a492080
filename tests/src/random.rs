//! A random number generator with the same sequence in every run and on every machine, and what selects the sequence.

/// The generator xorshift64*.
pub struct Random(u64);

impl Random {
    /// Starts from a seed other than 0.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }
}

/// The number in an environment variable, by which the same test can be run longer, or with other random numbers.
///
/// # Panics
/// The variable is set to something else.
pub fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |number| number.parse().unwrap_or_else(|_| panic!("{name} is no number: {number}")))
}
