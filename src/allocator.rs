//! The memory allocator, for our code and for CTranslate2's.
//!
//! An encoding allocates and frees tensors of tens of megabytes many times over. The C library
//! gives each of them back to the kernel, which clears the pages again for the next one; keeping
//! them made a request of 11 s a third faster (`docs/performance.md`). What stays unused for ten
//! seconds goes back all the same, so an unloaded model's memory is free.
#![expect(
    unsafe_code,
    reason = "jemalloc finds its settings by the name of a symbol"
)]

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// No separate treatment of large blocks, whose pages it would give back at once; a thread of its
/// own gives back what is unused.
// SAFETY: jemalloc reads the symbol as a pointer to text that ends with a zero byte, which a
// reference to an array is; nothing else in the program defines it.
#[unsafe(export_name = "malloc_conf")]
pub static SETTINGS: &[u8; 44] = b"oversize_threshold:0,background_thread:true\0";
