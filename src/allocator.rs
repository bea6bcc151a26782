//! The memory allocator, for our code and for CTranslate2's.
//!
//! An encoding allocates and frees tensors of tens of megabytes many times over. The C library
//! gives each of them back to the kernel, which clears the pages again for the next one; keeping
//! them made a request of 11 s a third faster (`docs/performance.md`). What stays unused for ten
//! seconds goes back all the same; what an unloaded model held goes back at once.
#![expect(
    unsafe_code,
    reason = "jemalloc finds its settings by the name of a symbol, and is steered by a C function"
)]

use std::ffi::CStr;
use std::ptr;

use tikv_jemalloc_sys::mallctl;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// No separate treatment of large blocks, whose pages it would give back at once; a thread of its
/// own gives back what is unused.
// SAFETY: jemalloc reads the symbol as a pointer to text that ends with a zero byte, which a
// reference to an array is; nothing else in the program defines it.
#[unsafe(export_name = "malloc_conf")]
pub static SETTINGS: &[u8; 44] = b"oversize_threshold:0,background_thread:true\0";

/// Gives every unused page back to the kernel; `false` where some are left, as happens when
/// another thread is giving back at the same moment: the call then does nothing for that arena.
pub fn give_back() -> bool {
    // 4096 is `MALLCTL_ARENAS_ALL` of jemalloc.h.
    call(c"arena.4096.purge", &mut [], &mut []);
    let mut dirty = [0; size_of::<usize>()];
    // Writing anything to it brings the statistics up to date.
    call(c"epoch", &mut [], &mut 1_u64.to_ne_bytes());
    call(c"stats.arenas.4096.pdirty", &mut dirty, &mut []);
    usize::from_ne_bytes(dirty) <= FEW_PAGES
}

/// Pages that are not worth another try: those of the threads that run meanwhile.
const FEW_PAGES: usize = 1000;

/// Reads or writes one of jemalloc's controls.
fn call(name: &CStr, read: &mut [u8], write: &mut [u8]) {
    let mut length = read.len();
    let is_read = length > 0;
    // SAFETY: the name ends with a zero byte; each buffer is as long as is said beside it, and
    // jemalloc touches neither when its length is not that of the control's value.
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
