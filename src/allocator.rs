//! The memory allocator, jemalloc, for Rust code and CTranslate2.
//!
//! Encoding a window allocates and frees tensors of tens of megabytes many times. The C library
//! returns each of them to the kernel, which clears the pages again for the next one; keeping
//! them made a request of 11 s a third faster (`docs/performance.md`). Memory that is unused for
//! ten seconds is returned to the kernel; the memory of an unloaded model is returned at once.
#![expect(
    unsafe_code,
    reason = "jemalloc reads its settings from an exported symbol and is controlled by a C function"
)]

use std::ffi::CStr;
use std::ptr;

use tikv_jemalloc_sys::mallctl;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Disables the separate handling of large blocks, which returns their pages at once; a background
/// thread returns unused pages.
// SAFETY: jemalloc reads the symbol as a pointer to a zero-terminated string, which a reference to
// this array is; nothing else in the program defines it.
#[unsafe(export_name = "malloc_conf")]
pub static SETTINGS: &[u8; 44] = b"oversize_threshold:0,background_thread:true\0";

/// Returns every unused page to the kernel; `false` if some are left, as happens when another
/// thread purges an arena at the same moment: the call then does nothing for that arena.
pub fn release_unused_memory() -> bool {
    // 4096 is `MALLCTL_ARENAS_ALL` of jemalloc.h.
    call(c"arena.4096.purge", &mut [], &mut []);
    let mut dirty = [0; size_of::<usize>()];
    // Writing anything to it brings the statistics up to date.
    call(c"epoch", &mut [], &mut 1_u64.to_ne_bytes());
    call(c"stats.arenas.4096.pdirty", &mut dirty, &mut []);
    usize::from_ne_bytes(dirty) <= MAX_REMAINING_PAGES
}

/// Pages that may be left without another try: running threads keep some.
const MAX_REMAINING_PAGES: usize = 1000;

/// Reads or writes one of jemalloc's controls.
fn call(name: &CStr, read: &mut [u8], write: &mut [u8]) {
    let mut length = read.len();
    let is_read = length > 0;
    // SAFETY: the name is zero-terminated; each buffer is passed with its length, and jemalloc
    // touches neither if a length is not that of the control's value.
    let status = unsafe {
        mallctl(
            name.as_ptr(),
            if is_read {
                read.as_mut_ptr().cast()
            } else {
                ptr::null_mut()
            },
            if is_read {
                &raw mut length
            } else {
                ptr::null_mut()
            },
            if write.is_empty() {
                ptr::null_mut()
            } else {
                write.as_mut_ptr().cast()
            },
            write.len(),
        )
    };
    if status != 0 {
        tracing::warn!(status, control = ?name, "the allocator does not know this control");
    }
}
