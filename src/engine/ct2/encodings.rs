//! Features on their way to a card, and encoder outputs of a batch: joined from single windows, or taken out of a
//! batch by rows.
//!
//! ct2rs has no call for any of it. Its `StorageView` dereferences to the C++ object itself, whose
//! address the functions of `encodings.cc` are given.
#![expect(unsafe_code, reason = "the functions of encodings.cc are foreign")]

use std::ffi::{CStr, c_char, c_void};

use ct2rs::sys::{Device, StorageView};

use super::errors::batch_error;
use crate::engine::EngineError;

/// Room for what an exception says.
const MESSAGE_BYTES: usize = 512;

unsafe extern "C" {
    fn halkspeech_upload(
        out: *mut c_void,
        features: *const c_void,
        card: i32,
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

/// Features as they are, in the memory of a card.
///
/// # Errors
/// [`EngineError::OutOfMemory`] of the card, or [`EngineError::Batch`] when there is no such card.
pub fn upload(features: &StorageView<'_>, card: i32) -> Result<StorageView<'static>, EngineError> {
    // SAFETY: as below, for `features`.
    fill(|out, message| unsafe {
        halkspeech_upload(out, address(features), card, message, MESSAGE_BYTES)
    })
}

/// Stacks encoder outputs `[n, context, width]` along their first dimension, in order. Where the decoder is ours their
/// contexts may differ; the shorter ones are filled up with zeros, by which it knows them (`gemm/decoder.cc`,
/// `cuda/decoder.cc`).
///
/// # Errors
/// [`EngineError::Batch`] when there are none or their shapes do not fit, or [`EngineError::OutOfMemory`].
pub fn join(mut parts: Vec<StorageView<'static>>) -> Result<StorageView<'static>, EngineError> {
    if parts.len() < 2 {
        let nothing = || EngineError::Batch("nothing to join".to_owned());
        return parts.pop().ok_or_else(nothing);
    }
    let addresses: Vec<_> = parts.iter().map(address).collect();
    fill(|out, message| {
        // SAFETY: the addresses are those of C++ objects that `parts` keeps alive, `out` is one that
        // nobody else sees, and the message is `MESSAGE_BYTES` long.
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

/// The rows of a batch with these indices, in this order; of each its first positions, if so many are given.
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
    fill(|out, message| {
        // SAFETY: as above, for `batch`; the rows are `rows.len()` numbers.
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

/// The numbers of an encoding on a processor, in its order.
#[cfg(all(test, target_arch = "x86_64"))]
pub fn values<'a>(encoding: &'a StorageView<'static>) -> &'a [f32] {
    let size = usize::try_from(encoding.size()).expect("a size");
    // SAFETY: the address is that of a C++ object that `encoding` keeps alive.
    let first = unsafe { halkspeech_values(address(encoding)) };
    // SAFETY: an encoding on a processor holds so many floats, and as long as it lives.
    unsafe { std::slice::from_raw_parts(first, size) }
}

fn address(view: &StorageView<'_>) -> *const c_void {
    std::ptr::from_ref(&**view).cast()
}

/// Has a foreign function put its result in the place of an empty view.
fn fill(
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
