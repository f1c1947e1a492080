//! The tables that the program and the loader share: mapped memory, read while packets come; or a copy of it, for those
//! who may not map it.

use super::readonly;
use anyhow::{Context as _, Result, anyhow, ensure};
use aya::maps::{Map, MapData};
use nix::{
    sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap},
    unistd::{SysconfVar, sysconf},
};
use std::{
    ffi::c_void,
    num::NonZeroUsize,
    ops::Range,
    os::fd::AsFd as _,
    ptr::{NonNull, slice_from_raw_parts},
};

/// Values of an array map that lie side by side.
pub struct Table<T> {
    values: NonNull<T>,
    count: usize,
    /// Where the pages begin that they lie in, and how many bytes these are.
    memory: NonNull<c_void>,
    length: usize,
}

/// A value that is made of shared words alone.
///
/// # Safety
/// Any bits are a value, and every access of it is to a [`ntpguard_common::shared::Shared`].
pub unsafe trait Value {}

// SAFETY: words, and nothing else.
unsafe impl Value for ntpguard_common::limit::table::Set {}
// SAFETY: as above.
unsafe impl Value for ntpguard_common::limit::top::Heavy {}
// SAFETY: as above.
unsafe impl Value for ntpguard_common::shared::Count {}

// SAFETY: words.
unsafe impl Value for ntpguard_common::abi::Seen {}

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
        Self::map(data, 0..Self::len(data)?, ProtFlags::PROT_READ)
    }

    /// Maps some values of an array ([`Table::len`]), to write into them, too.
    ///
    /// # Errors
    /// As [`Table::of`].
    pub(super) fn writable(data: &MapData, values: Range<usize>) -> Result<Self> {
        Self::map(data, values, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
    }

    /// Copies some values of an array ([`Table::len`]) as they are now.
    ///
    /// # Errors
    /// There is no room in the address space, or the kernel refuses to show them.
    pub(super) fn copy(data: &MapData, values: Range<usize>) -> Result<Self> {
        let (_, length) = Self::extent(&values)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a mapping of its own, anywhere.
        let memory = unsafe { mmap_anonymous(None, length, access, MapFlags::MAP_PRIVATE) };
        let memory = memory.context("no room")?;
        let table = Self { values: memory.cast(), count: values.len(), memory, length: length.get() };
        // SAFETY: mapped as long as the table lives, as many of them, and any bits are one (Value).
        unsafe {
            readonly::copy(data, u32::try_from(values.start)?, u32::try_from(values.len())?, table.values)?
        };
        Ok(table)
    }

    fn map(data: &MapData, values: Range<usize>, access: ProtFlags) -> Result<Self> {
        let (first, length) = Self::extent(&values)?;
        // A mapping begins with a page.
        let page = sysconf(SysconfVar::PAGE_SIZE)?.context("a page has no size")?;
        let within = first % page as usize;
        let length = length.saturating_add(within);
        let (descriptor, start) = (data.fd().as_fd(), (first - within) as i64);
        // SAFETY: a mapping of its own, anywhere.
        let memory = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, descriptor, start) };
        let memory = memory.context("the map can't be mapped")?;
        // SAFETY: within the mapping, which ends with the last value.
        let first = unsafe { memory.byte_add(within) };
        Ok(Self { values: first.cast(), count: values.len(), memory, length: length.get() })
    }

    /// How many values an array has.
    ///
    /// # Errors
    /// The kernel doesn't tell, or they are others.
    pub(super) fn len(data: &MapData) -> Result<usize> {
        let info = data.info()?;
        ensure!(info.value_size() as usize == size_of::<T>(), "the map has other values");
        Ok(info.max_entries() as usize)
    }

    /// The first byte of some values of an array, and how many bytes these are. Past its end the kernel refuses.
    fn extent(values: &Range<usize>) -> Result<(usize, NonZeroUsize)> {
        let length = values.len() * size_of::<T>();
        Ok((values.start * size_of::<T>(), NonZeroUsize::new(length).context("no value")?))
    }

    /// The values, as they are at each look.
    pub fn values(&self) -> &[T] {
        // SAFETY: mapped as long as this lives, aligned (a page has whole words), and `count` of them; what others change
        // meanwhile lies in cells.
        unsafe { &*slice_from_raw_parts(self.values.as_ptr(), self.count) }
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by this, and borrowed by nobody any more.
        let _ = unsafe { munmap(self.memory, self.length) };
    }
}
