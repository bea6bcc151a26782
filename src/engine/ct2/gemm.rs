//! Matrix products and layers on a processor, faster and safer than CTranslate2's own: 8-bit weights that
//! are laid out once, when a model is loaded, layers that make fewer passes over memory, a decoder that
//! copies nothing and takes windows of different lengths, and products that were given up for want of
//! memory are known.
//!
//! The functions of `gemm/gemm.cc`, `gemm/layers.cc` and `gemm/decoder.cc` stand in the place of
//! CTranslate2's wherever it is linked (`build.rs`). Elsewhere than on x86-64, and on processors without AVX2, CTranslate2's own are used.
#![expect(unsafe_code, reason = "the functions of gemm/gemm.cc are foreign")]

/// Has oneDNN make its kernels, which it does once in a process and never again where that fails.
///
/// # Errors
/// When there is no memory for them.
pub fn make_kernels() -> Result<(), GemmFailed> {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it has numbers of its own, and any thread may call it.
    let made = unsafe { foreign::halkspeech_make_kernels() };
    #[cfg(not(target_arch = "x86_64"))]
    let made = true;
    made.then_some(()).ok_or(GemmFailed)
}

/// Whether the decoder is ours, to which the encodings of a batch may have different lengths.
pub fn mixes_lengths() -> bool {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it asks the processor.
    return unsafe { foreign::halkspeech_mixes_lengths() };
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Has the model that this thread loads next pack its weights for so many threads.
pub fn pack_for(threads: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        // SAFETY: it keeps a number, and has no other effect.
        unsafe { foreign::halkspeech_threads_of_next_model(threads) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = threads;
}

/// Products that are watched from a moment on.
pub struct Products {
    given_up_before: u64,
}

/// A result holds what lay in the memory by chance.
#[derive(Debug, thiserror::Error)]
#[error("oneDNN gave up a matrix product, most likely for want of memory")]
pub struct GemmFailed;

impl Products {
    /// Watches from now on.
    pub fn watch() -> Self {
        Self {
            given_up_before: given_up(),
        }
    }

    /// # Errors
    /// When a product was given up since, by this engine or by another one: nobody can tell.
    pub fn check(&self) -> Result<(), GemmFailed> {
        if given_up() == self.given_up_before {
            Ok(())
        } else {
            Err(GemmFailed)
        }
    }
}

/// How many products were given up since the process began.
fn given_up() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it reads a number.
    return unsafe { foreign::halkspeech_products_given_up() };
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// Gives `work` a function that has oneDNN give up a product. One test at a time does so, as the
/// products of all are counted together.
#[cfg(all(test, target_arch = "x86_64"))]
pub fn while_products_are_given_up<T>(work: impl FnOnce(&dyn Fn()) -> T) -> T {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock();
    // SAFETY: it has numbers of its own, and oneDNN looks at the lengths first.
    work(&|| unsafe { foreign::halkspeech_multiply_wrongly() })
}

#[cfg(target_arch = "x86_64")]
mod foreign {
    use std::ffi::c_int;
    #[cfg(test)]
    use std::ffi::c_void;

    unsafe extern "C" {
        pub fn halkspeech_make_kernels() -> bool;

        pub fn halkspeech_mixes_lengths() -> bool;

        pub fn halkspeech_products_given_up() -> u64;

        #[cfg(test)]
        pub fn halkspeech_multiply_wrongly();

        pub fn halkspeech_threads_of_next_model(threads: c_int);

        #[cfg(test)]
        pub fn halkspeech_packs_weights() -> bool;

        #[cfg(test)]
        pub fn halkspeech_pack_weights(
            kernels: c_int,
            threads: c_int,
            n: i64,
            k: i64,
            b: *const i8,
        ) -> *mut c_void;

        #[cfg(test)]
        pub fn halkspeech_drop_weights(weights: *mut c_void);

        #[cfg(test)]
        pub fn halkspeech_multiply_weights(
            weights: *const c_void,
            threads: c_int,
            m: i64,
            a: *const u8,
            compensation: *const i32,
            c: *mut i32,
        );

        #[cfg(test)]
        pub fn halkspeech_multiply_and_finish(
            weights: *const c_void,
            threads: c_int,
            m: i64,
            x: *const f32,
            b_scales: *const f32,
            bias: *const f32,
            gelu: bool,
            residual: *const f32,
            y: *mut f32,
        );

        #[cfg(test)]
        pub fn halkspeech_self_attention(
            threads: c_int,
            batch: i64,
            heads: i64,
            n: i64,
            width: i64,
            scale: f32,
            projected: *const f32,
            output: *mut f32,
        );

        #[cfg(test)]
        pub fn halkspeech_cross_attention(
            heads: i64,
            m: i64,
            n: i64,
            width: i64,
            scale: f32,
            queries: *const f32,
            projected: *const f32,
            output: *mut f32,
        );

        #[cfg(test)]
        pub fn halkspeech_top_k(k: i64, n: i64, x: *const f32, ids: *mut i32);

        #[cfg(test)]
        pub fn halkspeech_attend_to_rows(
            heads: i64,
            n: i64,
            width: i64,
            scale: f32,
            query: *const f32,
            projected: *const f32,
            output: *mut f32,
        );
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
