//! The tables that the program and the loader share: mapped memory, read while packets come.

use anyhow::{Context as _, Result, anyhow};
use aya::{Ebpf, maps::Map};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::{
    ffi::c_void,
    num::NonZeroUsize,
    os::fd::AsFd as _,
    ptr::{NonNull, slice_from_raw_parts},
};

/// All values of an array map.
pub struct Table<T> {
    values: NonNull<T>,
    count: usize,
}

/// A value that is made of shared words alone.
///
/// # Safety
/// Any bits are a value, and every access of it is to a [`ntpguard_common::shared::Shared`].
pub unsafe trait Value {}

// SAFETY: words, and nothing else.
unsafe impl Value for ntpguard_common::sources::Set {}
// SAFETY: as above.
unsafe impl Value for ntpguard_common::heavy::Heavy {}

impl<T: Value> Table<T> {
    /// Maps an array of the object's that has BPF_F_MMAPABLE.
    ///
    /// # Errors
    /// There is no such array, or no room in the address space.
    pub(super) fn map(ebpf: &Ebpf, name: &str) -> Result<Self> {
        let map = ebpf.map(name).ok_or_else(|| anyhow!("the object has no map {name}"))?;
        let Map::Array(data) = map else { return Err(anyhow!("{name} is no array")) };
        let info = data.info()?;
        let count = info.max_entries() as usize;
        anyhow::ensure!(info.value_size() as usize == size_of::<T>(), "{name} has other values");
        let length = NonZeroUsize::new(count * size_of::<T>()).context("an empty map")?;
        // SAFETY: a mapping of its own, anywhere.
        let memory =
            unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, data.fd().as_fd(), 0) };
        let memory = memory.with_context(|| format!("{name} can't be mapped"))?;
        Ok(Self { values: memory.cast(), count })
    }

    /// The values, as they are at each look.
    pub fn values(&self) -> &[T] {
        // SAFETY: mapped as long as this lives, page-aligned, and `count` of them; what others change meanwhile lies
        // in cells.
        unsafe { &*slice_from_raw_parts(self.values.as_ptr(), self.count) }
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by this, and borrowed by nobody any more.
        let _ = unsafe { munmap(self.values.cast::<c_void>(), self.count * size_of::<T>()) };
    }
}
