//! A word that all CPUs and the loader share.
//!
//! The BPF target can't compile Rust's atomics (LLVM has no atomic loads for it), though it has what they need: loads
//! and stores of eight aligned bytes are whole, and one instruction adds atomically.

use crate::abi::Counter;
use core::{cell::UnsafeCell, fmt};

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
