//! The memory of a card, asked of the CUDA runtime that CTranslate2 is linked with.
#![cfg_attr(
    feature = "cuda",
    expect(unsafe_code, reason = "the CUDA runtime is a C library")
)]

use crate::engine::memory::DeviceMemory;

/// A card, for the thread that asked for it.
pub struct Gpu {
    #[cfg(feature = "cuda")]
    index: std::ffi::c_int,
}

#[cfg(feature = "cuda")]
mod runtime {
    use std::ffi::{c_int, c_void};

    /// `cudaMemPoolAttrReleaseThreshold`.
    pub const RELEASE_THRESHOLD: c_int = 4;

    unsafe extern "C" {
        pub fn cudaSetDevice(index: c_int) -> c_int;
        pub fn cudaMemGetInfo(free: *mut usize, total: *mut usize) -> c_int;
        pub fn cudaDeviceGetDefaultMemPool(pool: *mut *mut c_void, index: c_int) -> c_int;
        pub fn cudaMemPoolSetAttribute(pool: *mut c_void, name: c_int, value: *mut c_void)
        -> c_int;
    }
}

#[cfg(feature = "cuda")]
impl Gpu {
    /// The card with this index; the calling thread uses it from here on.
    pub fn open(index: u32) -> Option<Self> {
        let index = std::ffi::c_int::try_from(index).ok()?;
        // SAFETY: takes a number, and answers with an error where no card has it.
        let failed = unsafe { runtime::cudaSetDevice(index) };
        (failed == 0).then_some(Self { index })
    }

    /// Its number.
    pub fn index(&self) -> i32 {
        self.index
    }

    /// What is free at this moment.
    pub fn memory(&self) -> Option<DeviceMemory> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: both addresses are those of numbers of this function.
        let failed = unsafe { runtime::cudaMemGetInfo(&raw mut free, &raw mut total) };
        (failed == 0).then_some(DeviceMemory {
            free: free as u64,
            total: total as u64,
        })
    }

    /// Keeps memory that a batch has freed for the next one, instead of giving it back each time;
    /// the whole process shares the card's pool.
    pub fn keep_freed_memory(&self) {
        let mut pool = std::ptr::null_mut();
        // SAFETY: the address is that of a pointer of this function.
        if unsafe { runtime::cudaDeviceGetDefaultMemPool(&raw mut pool, self.index) } != 0 {
            return;
        }
        let mut everything = u64::MAX;
        let value = (&raw mut everything).cast();
        // SAFETY: the pool is the card's own, and the attribute is a 64-bit number.
        let failed =
            unsafe { runtime::cudaMemPoolSetAttribute(pool, runtime::RELEASE_THRESHOLD, value) };
        if failed != 0 {
            tracing::warn!(
                cuda.error = failed,
                "card's memory is given back after each batch"
            );
        }
    }
}

#[cfg(not(feature = "cuda"))]
impl Gpu {
    /// This build knows no cards.
    pub fn open(_index: u32) -> Option<Self> {
        None
    }

    /// There is none.
    pub fn index(&self) -> i32 {
        0
    }

    /// There is none.
    pub fn memory(&self) -> Option<DeviceMemory> {
        None
    }

    /// There is none.
    pub fn keep_freed_memory(&self) {}
}
