//! Uploads features to a GPU, joins the encoder outputs of single windows, and selects rows of a batch.
//!
//! ct2rs has no functions for this. Its `StorageView` dereferences to the C++ object itself, whose
//! address is passed to the functions of `encodings.cc`.
#![expect(unsafe_code, reason = "the functions of encodings.cc are foreign")]

use std::ffi::{CStr, c_char, c_void};

use ct2rs::sys::{Device, StorageView};

use super::errors::batch_error;
use halkspeech_whisper::engine::EngineError;

/// Size of the buffer for an exception's message, in bytes.
const MESSAGE_BYTES: usize = 512;

unsafe extern "C" {
    fn halkspeech_upload(
        out: *mut c_void,
        features: *const c_void,
        gpu: i32,
        message: *mut c_char,
        size: usize,
    ) -> bool;

    fn halkspeech_join(
        out: *mut c_void,
        parts: *const *const c_void,
        count: usize,
        message: *mut c_char,
        size: usize,
    ) -> bool;

    fn halkspeech_select(
        out: *mut c_void,
        batch: *const c_void,
        rows: *const i32,
        count: usize,
        positions: usize,
        message: *mut c_char,
        size: usize,
    ) -> bool;

    #[cfg(all(test, target_arch = "x86_64"))]
    fn halkspeech_values(encoding: *const c_void) -> *const f32;
}

/// Copies features to the memory of a GPU, unchanged.
///
/// # Errors
/// [`EngineError::OutOfMemory`] of the GPU, or [`EngineError::Batch`] when there is no such GPU.
pub fn upload(features: &StorageView<'_>, gpu: i32) -> Result<StorageView<'static>, EngineError> {
    // SAFETY: `features` is a live C++ object, `out` is not aliased, and `message` has `MESSAGE_BYTES` bytes.
    create_view(|out, message| unsafe {
        halkspeech_upload(out, address(features), gpu, message, MESSAGE_BYTES)
    })
}

/// Concatenates encoder outputs `[n, context, width]` along their first dimension, in order. With the project's own
/// decoder their contexts may differ; the shorter ones are padded with zeros, from which it derives their lengths
/// (`gemm/decoder.cc`, `cuda/decoder.cc`).
///
/// # Errors
/// [`EngineError::Batch`] when there are none or their shapes do not match, or [`EngineError::OutOfMemory`].
pub fn join(mut parts: Vec<StorageView<'static>>) -> Result<StorageView<'static>, EngineError> {
    if parts.len() < 2 {
        let no_parts = || EngineError::Batch("no encodings to join".to_owned());
        return parts.pop().ok_or_else(no_parts);
    }
    let addresses: Vec<_> = parts.iter().map(address).collect();
    create_view(|out, message| {
        // SAFETY: `addresses` points to `addresses.len()` C++ objects that `parts` keeps alive, `out` is
        // not aliased, and `message` has `MESSAGE_BYTES` bytes.
        unsafe {
            halkspeech_join(
                out,
                addresses.as_ptr(),
                addresses.len(),
                message,
                MESSAGE_BYTES,
            )
        }
    })
}

/// The rows of a batch with these indices, in this order; of each only the first `positions`, if given.
///
/// # Errors
/// [`EngineError::Batch`] when an index is outside the batch, or [`EngineError::OutOfMemory`].
pub fn select(
    batch: &StorageView<'static>,
    rows: &[usize],
    positions: Option<usize>,
) -> Result<StorageView<'static>, EngineError> {
    let size = usize::try_from(batch.size()).unwrap_or(0);
    let outside = || EngineError::Batch("row outside the batch".to_owned());
    if size == 0 || rows.is_empty() {
        return Err(outside());
    }
    let rows: Result<Vec<i32>, _> = rows.iter().map(|&row| i32::try_from(row)).collect();
    let rows = rows.map_err(|_| outside())?;
    create_view(|out, message| {
        // SAFETY: `batch` is a live C++ object, `rows` points to `rows.len()` indices, `out` is not aliased,
        // and `message` has `MESSAGE_BYTES` bytes.
        unsafe {
            halkspeech_select(
                out,
                address(batch),
                rows.as_ptr(),
                rows.len(),
                positions.unwrap_or(usize::MAX),
                message,
                MESSAGE_BYTES,
            )
        }
    })
}

/// The values of an encoding in CPU memory, row-major.
#[cfg(all(test, target_arch = "x86_64"))]
pub fn values<'a>(encoding: &'a StorageView<'static>) -> &'a [f32] {
    let size = usize::try_from(encoding.size()).expect("a size");
    // SAFETY: `encoding` is a live C++ object.
    let first = unsafe { halkspeech_values(address(encoding)) };
    // SAFETY: an encoding in CPU memory contains `size` floats, which live as long as it does.
    unsafe { std::slice::from_raw_parts(first, size) }
}

fn address(view: &StorageView<'_>) -> *const c_void {
    std::ptr::from_ref(&**view).cast()
}

/// Creates an empty view that a foreign function replaces with its result.
fn create_view(
    foreign: impl FnOnce(*mut c_void, *mut c_char) -> bool,
) -> Result<StorageView<'static>, EngineError> {
    let out = StorageView::new(&[0], &mut [], Device::CPU).map_err(batch_error)?;
    let mut message: [c_char; MESSAGE_BYTES] = [0; MESSAGE_BYTES];
    if foreign(address(&out).cast_mut(), message.as_mut_ptr()) {
        return Ok(out);
    }
    let bytes = message.map(c_char::cast_unsigned);
    let text = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
    Err(batch_error(text.to_string_lossy()))
}
