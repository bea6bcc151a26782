//! Matrix products and layers on a CPU that replace CTranslate2's: 8-bit weights are packed once when a model
//! is loaded, layers make fewer passes over memory, the decoder copies no keys and values and accepts windows
//! of different lengths, and products that failed for lack of memory are detected.
//!
//! The linker replaces CTranslate2's functions by those of `gemm/gemm.cc`, `gemm/layers.cc` and
//! `gemm/decoder.cc` (`build.rs`). CTranslate2's own are used on other architectures than x86-64, and on CPUs
//! without AVX2.
#![expect(unsafe_code, reason = "the functions of gemm/gemm.cc are foreign")]

/// Makes oneDNN create its kernels; it does so once per process and never retries after a failure.
///
/// # Errors
/// When there is too little memory for them.
pub fn create_kernels() -> Result<(), GemmFailed> {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: takes no pointers, touches only its own buffers and static atomics, thread-safe.
    let created = unsafe { foreign::halkspeech_create_kernels() };
    #[cfg(not(target_arch = "x86_64"))]
    let created = true;
    created.then_some(()).ok_or(GemmFailed)
}

/// Whether the project's own decoder is used, which accepts encodings of different lengths in a batch.
pub fn supports_mixed_lengths() -> bool {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: takes no pointers, reads only the CPU's features, thread-safe.
    return unsafe { foreign::halkspeech_supports_mixed_lengths() };
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Sets the number of threads that the next model loaded on this thread packs its weights for.
pub fn set_packing_threads(threads: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        // SAFETY: takes no pointers, sets only a thread-local integer.
        unsafe { foreign::halkspeech_set_packing_threads(threads) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = threads;
}

/// Detects matrix products that fail from a moment on.
pub struct GemmMonitor {
    failures_at_start: u64,
}

/// oneDNN reported an error; the output of a matrix product is uninitialised.
#[derive(Debug, thiserror::Error)]
#[error("oneDNN failed to compute a matrix product, probably for lack of memory")]
pub struct GemmFailed;

impl GemmMonitor {
    /// Detects failures from now on.
    pub fn start() -> Self {
        Self {
            failures_at_start: failures(),
        }
    }

    /// # Errors
    /// When a product has failed since then, in any engine: the failures of all engines are counted together.
    pub fn check(&self) -> Result<(), GemmFailed> {
        if failures() == self.failures_at_start {
            Ok(())
        } else {
            Err(GemmFailed)
        }
    }
}

/// Number of failed matrix products since the process began.
fn failures() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: takes no pointers, reads only a static atomic, thread-safe.
    return unsafe { foreign::halkspeech_gemm_failures() };
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// Excludes other tests that compute or fail matrix products, since failures are counted together.
#[cfg(test)]
pub fn lock_failures() -> std::sync::MutexGuard<'static, ()> {
    static SERIAL: std::sync::Mutex<()> = std::sync::Mutex::new(());
    SERIAL
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Calls `work` with a function that makes a matrix product fail, under [`lock_failures`].
#[cfg(all(test, target_arch = "x86_64"))]
pub fn with_failing_gemm<T>(work: impl FnOnce(&dyn Fn()) -> T) -> T {
    let _serial = lock_failures();
    // SAFETY: takes no pointers, uses only its own buffers; oneDNN checks the sizes before it reads them.
    work(&|| unsafe { foreign::halkspeech_fail_gemm() })
}

#[cfg(target_arch = "x86_64")]
mod foreign {
    use std::ffi::c_int;
    #[cfg(test)]
    use std::ffi::c_void;

    unsafe extern "C" {
        pub fn halkspeech_create_kernels() -> bool;

        pub fn halkspeech_supports_mixed_lengths() -> bool;

        pub fn halkspeech_gemm_failures() -> u64;

        #[cfg(test)]
        pub fn halkspeech_fail_gemm();

        pub fn halkspeech_set_packing_threads(threads: c_int);

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
        pub fn halkspeech_multiply_with_epilogue(
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
