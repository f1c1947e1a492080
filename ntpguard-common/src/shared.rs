//! A word of memory that all CPUs and the loader share.
//!
//! Rust's atomics don't compile for the BPF target, since LLVM has no atomic loads for it. The target has what is
//! needed, though: loads and stores of eight aligned bytes are indivisible, and there is an instruction for atomic
//! addition.

use core::{cell::UnsafeCell, fmt, iter::Sum};

/// A shared word. In memory it is a `u64`.
#[derive(Default)]
#[repr(transparent)]
pub struct Shared(UnsafeCell<u64>);

// SAFETY: every access is one indivisible load, store or addition of an aligned word; none leaves a reference behind.
unsafe impl Sync for Shared {}

impl Shared {
    /// The word's value.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        // SAFETY: the word is aligned, and lives as long as this borrow.
        unsafe { self.0.get().read_volatile() }
    }

    /// Overwrites the value.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        // SAFETY: as above.
        unsafe { self.0.get().write_volatile(value) }
    }

    /// Adds to the value atomically.
    #[inline(always)]
    pub fn add(&self, count: u64) {
        let word = self.0.get();
        #[cfg(target_arch = "bpf")]
        // SAFETY: as above; the instruction accesses nothing but the word.
        unsafe {
            core::arch::asm!("lock *(u64 *)({} + 0) += {}", in(reg) word, in(reg) count, options(nostack));
        }
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: as above.
        unsafe {
            core::sync::atomic::AtomicU64::from_ptr(word)
                .fetch_add(count, core::sync::atomic::Ordering::Relaxed);
        }
    }
}

/// A number of packets and of bytes: whole frames, from the Ethernet header on. If a frame lies in several buffers and
/// its IP packet ends in the first one, the bytes in later buffers aren't counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// Frames.
    pub packets: u64,
    /// Bytes of these frames.
    pub bytes: u64,
}

impl Sum for Counter {
    fn sum<I: Iterator<Item = Self>>(counters: I) -> Self {
        counters.fold(Self::default(), |sum, Self { packets, bytes }| Self {
            packets: sum.packets + packets,
            bytes: sum.bytes + bytes,
        })
    }
}

const _: () = assert!(size_of::<Counter>() == 16 && align_of::<Counter>() == 8);

// SAFETY: `#[repr(C)]`, integers only, no padding.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Counter {}

/// A [`Counter`] in memory that the program and the loader share.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Count {
    /// Frames.
    pub packets: Shared,
    /// Bytes of these frames.
    pub bytes: Shared,
}

impl Count {
    /// The current values; the two may differ by a frame that is just being counted.
    pub fn get(&self) -> Counter {
        Counter { packets: self.packets.get(), bytes: self.bytes.get() }
    }

    /// Adds to both values; each addition is atomic.
    #[inline(always)]
    pub fn add(&self, counter: Counter) {
        self.packets.add(counter.packets);
        self.bytes.add(counter.bytes);
    }

    /// Overwrites both values.
    pub fn set(&self, counter: Counter) {
        self.packets.set(counter.packets);
        self.bytes.set(counter.bytes);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}
