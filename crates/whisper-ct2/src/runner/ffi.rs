//! The declarations of `cpp/runner/runner.h`, which documents them.
#![expect(unsafe_code, reason = "the functions of the runner are foreign")]

use std::ffi::{c_char, c_int};

/// `HS_OK`.
pub const OK: c_int = 0;
/// `HS_OUT_OF_MEMORY`.
pub const OUT_OF_MEMORY: c_int = 2;
/// `HS_CPU`.
pub const CPU: u32 = 0;
/// `HS_CUDA`.
pub const CUDA: u32 = 1;
/// `HS_NO_SET`.
pub const NO_SET: u32 = u32::MAX;
/// `HS_BEST`.
pub const BEST: u32 = 0;
/// `HS_DRAW`.
pub const DRAW: u32 = 1;

/// A foreign object that is only used by its address.
macro_rules! opaque {
    ($($name:ident)*) => {$(
        #[repr(C)]
        pub struct $name {
            _private: [u8; 0],
        }
    )*};
}
opaque!(Model Encoder Decoder Encoding);

#[repr(C)]
pub struct ModelInfo {
    pub mels: u32,
    pub max_frames: u32,
    pub max_tokens: u32,
    pub vocabulary: u32,
    pub width: u32,
    pub heads: u32,
    pub encoder_layers: u32,
    pub decoder_layers: u32,
    pub start_of_transcript: u32,
    pub end_of_text: u32,
    pub no_timestamps: u32,
    pub no_speech: u32,
    pub languages: u32,
    pub weight_bytes: u64,
    pub compute_type: *const c_char,
    pub kernels: *const c_char,
    pub language_tokens: *const u32,
    pub suppressed: u32,
    pub suppressed_at_begin: u32,
    pub suppressed_tokens: *const u32,
    pub suppressed_at_begin_tokens: *const u32,
}

#[repr(C)]
pub struct Window {
    pub features: *const f32,
    pub frames: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Range {
    pub begin: u32,
    pub end: u32,
}

#[repr(C)]
pub struct Rule {
    pub repetition_penalty: f32,
    pub previous: *const u32,
    pub previous_count: usize,
    pub banned_set: u32,
    pub banned_ranges: *const Range,
    pub banned_range_count: usize,
    pub banned_tokens: *const u32,
    pub banned_token_count: usize,
    pub timestamp_contest: u32,
    pub pick: u32,
    pub k: u32,
    pub temperature: f32,
    pub key: u64,
}

#[repr(C)]
pub struct Row {
    pub slot: u64,
    pub parent: u32,
    pub token: u32,
    pub rule: Rule,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct AlignmentStep {
    pub token: u32,
    pub position: u32,
}

#[cfg(feature = "cuda-runner")]
#[repr(C)]
#[derive(Default)]
pub struct DeviceMemory {
    pub free: u64,
    pub total: u64,
}

#[cfg(feature = "cuda-runner")]
unsafe extern "C" {
    pub safe fn hs_cuda_devices() -> u32;
    pub fn hs_cuda_memory(index: u32, memory: *mut DeviceMemory) -> c_int;
}

unsafe extern "C" {
    pub fn hs_error() -> *const c_char;
    pub fn hs_model_load(
        folder: *const c_char,
        compute_type: *const c_char,
        device: u32,
        index: u32,
        model: *mut *mut Model,
    ) -> c_int;
    pub fn hs_model_describe(model: *const Model, info: *mut ModelInfo) -> c_int;
    pub fn hs_model_free(model: *mut Model);
    pub fn hs_encoder_new(model: *const Model, threads: u32, encoder: *mut *mut Encoder) -> c_int;
    pub fn hs_encoder_set_threads(encoder: *mut Encoder, threads: u32);
    pub fn hs_encoder_free(encoder: *mut Encoder);
    pub fn hs_encode(
        encoder: *mut Encoder,
        windows: *const Window,
        count: usize,
        encodings: *mut *mut Encoding,
    ) -> c_int;
    pub fn hs_encoding_retain(encoding: *mut Encoding);
    pub fn hs_encoding_release(encoding: *mut Encoding);
    pub fn hs_decoder_new(model: *const Model, threads: u32, decoder: *mut *mut Decoder) -> c_int;
    pub fn hs_decoder_set_threads(decoder: *mut Decoder, threads: u32);
    pub fn hs_decoder_free(decoder: *mut Decoder);
    pub fn hs_register_banned(
        decoder: *mut Decoder,
        tokens: *const u32,
        count: usize,
        set: *mut u32,
    ) -> c_int;
    pub fn hs_detect_language(
        decoder: *mut Decoder,
        encodings: *const *const Encoding,
        count: usize,
        probabilities: *mut f32,
    ) -> c_int;
    pub fn hs_open(
        decoder: *mut Decoder,
        encoding: *mut Encoding,
        prompt: *const u32,
        count: usize,
        slot: *mut u64,
        no_speech_prob: *mut f32,
    ) -> c_int;
    pub fn hs_close(decoder: *mut Decoder, slot: u64);
    pub fn hs_step(
        decoder: *mut Decoder,
        rows: *const Row,
        count: usize,
        stride: usize,
        counts: *mut u32,
        tokens: *mut u32,
        log_probs: *mut f32,
    ) -> c_int;
    pub fn hs_align(
        decoder: *mut Decoder,
        encoding: *const Encoding,
        start: *const u32,
        start_count: usize,
        tokens: *const u32,
        count: usize,
        frames: u32,
        median_filter_width: u32,
        probabilities: *mut f32,
        path: *mut AlignmentStep,
        path_length: *mut usize,
    ) -> c_int;
}
