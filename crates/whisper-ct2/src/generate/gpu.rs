//! Queries a GPU's memory through the CUDA runtime that CTranslate2 is linked with.
#![cfg_attr(
    feature = "cuda",
    expect(unsafe_code, reason = "the CUDA runtime is a C library")
)]

use halkspeech_whisper::engine::memory::DeviceMemory;

/// A GPU, as the current device of the thread that opened it.
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
    /// Selects the GPU with this index as the calling thread's current device.
    pub fn open(index: u32) -> Option<Self> {
        let index = std::ffi::c_int::try_from(index).ok()?;
        // SAFETY: takes no pointers; returns an error code if there is no such device.
        let failed = unsafe { runtime::cudaSetDevice(index) };
        (failed == 0).then_some(Self { index })
    }

    /// Its CUDA device index.
    pub fn index(&self) -> i32 {
        self.index
    }

    /// Its current memory.
    pub fn memory(&self) -> Option<DeviceMemory> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: both pointers are to local integers of the expected type.
        let failed = unsafe { runtime::cudaMemGetInfo(&raw mut free, &raw mut total) };
        (failed == 0).then_some(DeviceMemory {
            free: free as u64,
            total: total as u64,
        })
    }

    /// Makes the GPU's memory pool, which the whole process shares, keep memory that a batch has freed
    /// for the next one instead of returning it each time.
    pub fn keep_freed_memory(&self) {
        let mut pool = std::ptr::null_mut();
        // SAFETY: the pointer is to a local pointer variable.
        if unsafe { runtime::cudaDeviceGetDefaultMemPool(&raw mut pool, self.index) } != 0 {
            return;
        }
        let mut threshold_bytes = u64::MAX;
        let value = (&raw mut threshold_bytes).cast();
        // SAFETY: the pool is the GPU's default pool, and the attribute is a 64-bit integer.
        let failed =
            unsafe { runtime::cudaMemPoolSetAttribute(pool, runtime::RELEASE_THRESHOLD, value) };
        if failed != 0 {
            tracing::warn!(
                cuda.error = failed,
                "the GPU's memory is returned after each batch"
            );
        }
    }
}

#[cfg(not(feature = "cuda"))]
impl Gpu {
    /// None: this build does not support GPUs.
    pub fn open(_index: u32) -> Option<Self> {
        None
    }

    /// Not called: there is no GPU.
    pub fn index(&self) -> i32 {
        0
    }

    /// Not called: there is no GPU.
    pub fn memory(&self) -> Option<DeviceMemory> {
        None
    }

    /// Not called: there is no GPU.
    pub fn keep_freed_memory(&self) {}
}
