//! Tables that the program and the loader share: mapped memory, which is read while the program runs; or a copy of it,
//! for users who may not map it.

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

/// Consecutive values of an array map.
pub struct Table<T> {
    values: NonNull<T>,
    count: usize,
    /// The start of the mapped pages in which the values lie.
    memory: NonNull<c_void>,
    length: usize,
}

/// A value that consists of shared words only.
///
/// # Safety
/// Any bits must be a valid value, and every access to it must be an access to a [`ntpguard_common::shared::Shared`].
pub unsafe trait Value {}

// SAFETY: it consists of shared words only.
unsafe impl Value for ntpguard_common::limit::table::Set {}
// SAFETY: as above.
unsafe impl Value for ntpguard_common::limit::top::Heavy {}
// SAFETY: as above.
unsafe impl Value for ntpguard_common::shared::Count {}

// SAFETY: it consists of shared words only.
unsafe impl Value for ntpguard_common::abi::Seen {}
// SAFETY: as above.
unsafe impl Value for ntpguard_common::abi::Learning {}
// SAFETY: as above.
unsafe impl Value for ntpguard_common::associations::Set {}

// SAFETY: it is a shared word.
unsafe impl Value for ntpguard_common::shared::Shared {}

// SAFETY: it holds words that any thread may access at any time (Value), in memory that belongs to the process.
unsafe impl<T: Value> Send for Table<T> {}

impl<T: Value> Table<T> {
    /// Maps an array map that has BPF_F_MMAPABLE, for reading.
    ///
    /// # Errors
    /// It isn't such a map, or there is no room in the address space.
    pub(super) fn of(map: &Map) -> Result<Self> {
        let Map::Array(data) = map else { return Err(anyhow!("the map is no array")) };
        Self::map(data, 0..Self::len(data)?, ProtFlags::PROT_READ)
    }

    /// Maps some values of an array map (see [`Table::len`]), for reading and writing.
    ///
    /// # Errors
    /// As [`Table::of`].
    pub(super) fn writable(data: &MapData, values: Range<usize>) -> Result<Self> {
        Self::map(data, values, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
    }

    /// Copies some values of an array map (see [`Table::len`]) as they are now.
    ///
    /// # Errors
    /// There is no room in the address space, or the kernel refuses to read them.
    pub(super) fn copy(data: &MapData, values: Range<usize>) -> Result<Self> {
        let (_, length) = Self::extent(&values)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: it is a new mapping at an address that the kernel chooses.
        let memory = unsafe { mmap_anonymous(None, length, access, MapFlags::MAP_PRIVATE) };
        let memory = memory.context("no room")?;
        let table = Self { values: memory.cast(), count: values.len(), memory, length: length.get() };
        // SAFETY: the memory is mapped as long as the table lives, has room for this many values, and any bits are a
        // valid value (Value).
        unsafe {
            readonly::copy(data, u32::try_from(values.start)?, u32::try_from(values.len())?, table.values)?
        };
        Ok(table)
    }

    fn map(data: &MapData, values: Range<usize>, access: ProtFlags) -> Result<Self> {
        let (first, length) = Self::extent(&values)?;
        // A mapping must begin at the start of a page.
        let page = sysconf(SysconfVar::PAGE_SIZE)?.context("a page has no size")?;
        let within = first % page as usize;
        let length = length.saturating_add(within);
        let (descriptor, start) = (data.fd().as_fd(), (first - within) as i64);
        // SAFETY: it is a new mapping at an address that the kernel chooses.
        let memory = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, descriptor, start) };
        let memory = memory.context("the map can't be mapped")?;
        // SAFETY: it is within the mapping, which ends with the last value.
        let first = unsafe { memory.byte_add(within) };
        Ok(Self { values: first.cast(), count: values.len(), memory, length: length.get() })
    }

    /// The number of values in an array map.
    ///
    /// # Errors
    /// The kernel doesn't report it, or the values have another size than T.
    pub(super) fn len(data: &MapData) -> Result<usize> {
        let info = data.info()?;
        ensure!(info.value_size() as usize == size_of::<T>(), "the map has other values");
        Ok(info.max_entries() as usize)
    }

    /// The offset of some values in an array map, and their length, in bytes. The kernel refuses to map anything past
    /// the end.
    fn extent(values: &Range<usize>) -> Result<(usize, NonZeroUsize)> {
        let length = values.len() * size_of::<T>();
        Ok((values.start * size_of::<T>(), NonZeroUsize::new(length).context("no value")?))
    }

    /// The values, which may change at any time.
    pub fn values(&self) -> &[T] {
        // SAFETY: the memory is mapped as long as this lives, aligned (pages contain whole words), and holds `count`
        // values; what others change meanwhile lies in cells.
        unsafe { &*slice_from_raw_parts(self.values.as_ptr(), self.count) }
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: this table mapped the memory, and nothing borrows it any more.
        let _ = unsafe { munmap(self.memory, self.length) };
    }
}
