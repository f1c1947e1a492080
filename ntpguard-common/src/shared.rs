//! A word that all CPUs and the loader share.
//!
//! The BPF target can't compile Rust's atomics (LLVM has no atomic loads for it), though it has what they need: loads
//! and stores of eight aligned bytes are whole, and one instruction adds atomically.

use core::{cell::UnsafeCell, fmt, iter::Sum};

/// The word. In memory it is a `u64`.
#[derive(Default)]
#[repr(transparent)]
pub struct Shared(UnsafeCell<u64>);

// SAFETY: every access is one whole load, store or addition of an aligned word; none leaves a reference behind.
unsafe impl Sync for Shared {}

impl Shared {
    /// What it holds.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        // SAFETY: aligned, and alive as long as this is borrowed.
        unsafe { self.0.get().read_volatile() }
    }

    /// Overwrites it.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        // SAFETY: as above.
        unsafe { self.0.get().write_volatile(value) }
    }

    /// Adds to it, whoever else does at once.
    #[inline(always)]
    pub fn add(&self, count: u64) {
        let word = self.0.get();
        #[cfg(target_arch = "bpf")]
        // SAFETY: as above; the instruction touches nothing else.
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

/// Packets and bytes: whole frames, from the Ethernet header on. Of a frame in several buffers whose IP packet ends in
/// the first, the bytes after that buffer are not counted.
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
    /// What it shows; the two words may be a frame apart.
    pub fn get(&self) -> Counter {
        Counter { packets: self.packets.get(), bytes: self.bytes.get() }
    }

    /// Adds to it, whoever else does at once.
    #[inline(always)]
    pub fn add(&self, counter: Counter) {
        self.packets.add(counter.packets);
        self.bytes.add(counter.bytes);
    }

    /// Overwrites it.
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
