//! The tables that the program and the loader share: mapped memory, read while packets come; or a copy of it, for those
//! who may not map it.

use super::readonly;
use anyhow::{Context as _, Result, anyhow, ensure};
use aya::maps::{Map, MapData};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use std::{
    ffi::c_void,
    num::NonZeroUsize,
    ops::Range,
    os::fd::AsFd as _,
    ptr::{NonNull, slice_from_raw_parts},
};

/// All values of an array map.
pub struct Table<T> {
    values: NonNull<T>,
    count: usize,
    /// The map that this is a copy of, if it is one.
    original: Option<MapData>,
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
// SAFETY: as above.
unsafe impl Value for ntpguard_common::shared::Count {}

// SAFETY: a word.
unsafe impl Value for ntpguard_common::shared::Shared {}

// SAFETY: words that any thread may access at any time (Value), in memory that belongs to the process.
unsafe impl<T: Value> Send for Table<T> {}

impl<T: Value> Table<T> {
    /// Maps an array that has BPF_F_MMAPABLE, to look at it.
    ///
    /// # Errors
    /// It isn't one, or there is no room in the address space.
    pub(super) fn of(map: &Map) -> Result<Self> {
        let Map::Array(data) = map else { return Err(anyhow!("the map is no array")) };
        Self::map(data, ProtFlags::PROT_READ)
    }

    /// Maps an array, to write into it, too.
    ///
    /// # Errors
    /// As [`Table::of`].
    pub(super) fn writable(data: &MapData) -> Result<Self> {
        Self::map(data, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
    }

    /// Makes room for a copy of an array, which is zeros until [`Table::refresh`].
    ///
    /// # Errors
    /// It has other values, or there is no room in the address space.
    pub(super) fn copy(data: MapData) -> Result<Self> {
        let (count, length) = Self::extent(&data)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a mapping of its own, anywhere.
        let memory = unsafe { mmap_anonymous(None, length, access, MapFlags::MAP_PRIVATE) };
        Ok(Self { values: memory.context("no room")?.cast(), count, original: Some(data) })
    }

    fn map(data: &MapData, access: ProtFlags) -> Result<Self> {
        let (count, length) = Self::extent(data)?;
        // SAFETY: a mapping of its own, anywhere.
        let memory = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, data.fd().as_fd(), 0) };
        Ok(Self { values: memory.context("the map can't be mapped")?.cast(), count, original: None })
    }

    /// How many values an array has, and how many bytes.
    fn extent(data: &MapData) -> Result<(usize, NonZeroUsize)> {
        let info = data.info()?;
        let count = info.max_entries() as usize;
        ensure!(info.value_size() as usize == size_of::<T>(), "the map has other values");
        Ok((count, NonZeroUsize::new(count * size_of::<T>()).context("an empty map")?))
    }

    /// Copies these values as they are now. What is mapped is always so.
    ///
    /// # Errors
    /// The kernel refuses to show them.
    pub(super) fn refresh(&self, values: Range<usize>) -> Result<()> {
        let Some(original) = &self.original else { return Ok(()) };
        ensure!(values.start <= values.end && values.end <= self.count, "the map has fewer values");
        let (first, count) = (u32::try_from(values.start)?, u32::try_from(values.len())?);
        // SAFETY: mapped as long as this lives, `count` of them from `start` on (above), and any bits are one (Value).
        unsafe { readonly::copy(original, first, count, self.values.add(values.start)) }
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
