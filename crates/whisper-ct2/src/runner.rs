//! The runner in C++ (`cpp/runner/runner.h`) behind the interfaces of encoders and decoders.
#![expect(unsafe_code, reason = "the functions of the runner are foreign")]

mod decoder;
mod ffi;

use std::collections::HashSet;
use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::ptr::null_mut;
use std::sync::Arc;

use halkspeech_whisper::Vocabulary;
use halkspeech_whisper::engine::decoder::{
    DecoderModel, Encoder, EncoderInput, MODEL_SUPPRESSED, SlotId,
};
#[cfg(feature = "cuda-runner")]
use halkspeech_whisper::engine::memory::DeviceMemory;
use halkspeech_whisper::engine::{ComputeType, EngineError};
use halkspeech_whisper::search::{ModelTokens, Token, TokenSet};

use crate::Placement;
use crate::errors::load_error;
use crate::threads::{EngineThreads, ModelThreads, RunningCall};

/// Number of CUDA devices; 0 without a driver.
#[cfg(feature = "cuda-runner")]
pub fn cuda_devices() -> usize {
    ffi::hs_cuda_devices() as usize
}

/// The memory of a GPU; what this process has allocated and does not use is free.
///
/// # Errors
/// CUDA's.
#[cfg(feature = "cuda-runner")]
pub fn cuda_memory(index: u32) -> Result<DeviceMemory, EngineError> {
    let mut memory = ffi::DeviceMemory::default();
    // SAFETY: the call writes `memory`, which has the layout of the foreign struct.
    check(unsafe { ffi::hs_cuda_memory(index, &raw mut memory) })?;
    Ok(DeviceMemory {
        free: memory.free,
        total: memory.total,
    })
}

/// A loaded model: its weights once, for all encoders and decoders.
pub struct RunnerModel {
    address: *mut ffi::Model,
    n_mels: usize,
    /// `<|startoftranscript|>`.
    start: Token,
    language_tokens: Vec<Token>,
    decoder_model: DecoderModel,
    threads: Arc<ModelThreads>,
}

// SAFETY: the runner's models are immutable after loading.
unsafe impl Send for RunnerModel {}
// SAFETY: as above.
unsafe impl Sync for RunnerModel {}

/// Encodes windows with one model, on one thread at a time.
pub struct RunnerEncoder {
    address: *mut ffi::Encoder,
    threads: Arc<EngineThreads>,
    n_mels: usize,
    features: Vec<f32>,
}

// SAFETY: an encoder may be used by any thread, by one at a time; `&mut` ensures it.
unsafe impl Send for RunnerEncoder {}

/// Writes tokens with one model, on one thread at a time.
pub struct RunnerDecoder {
    address: *mut ffi::Decoder,
    model: Arc<RunnerModel>,
    threads: Arc<EngineThreads>,
    open_slots: HashSet<SlotId>,
    /// The runner's number of the model's own suppressed tokens.
    suppressed: u32,
}

// SAFETY: a decoder may be used by any thread, by one at a time; `&mut` ensures it.
unsafe impl Send for RunnerDecoder {}

/// A window's encoding; it keeps its memory until it and all slots that use it are gone.
#[derive(Debug)]
pub struct RunnerEncoding {
    address: *mut ffi::Encoding,
}

// SAFETY: the runner counts references atomically, and encodings are immutable.
unsafe impl Send for RunnerEncoding {}
// SAFETY: as above.
unsafe impl Sync for RunnerEncoding {}

impl RunnerModel {
    /// Loads a model for a device.
    ///
    /// # Errors
    /// [`EngineError::Load`], for a lack of memory, too.
    pub fn load(
        folder: &Path,
        compute_type: ComputeType,
        placement: Placement,
    ) -> Result<Self, EngineError> {
        let (device, index) = match placement {
            Placement::Cpu { .. } => (ffi::CPU, 0),
            Placement::Cuda { index } => (ffi::CUDA, index),
        };
        let folder = CString::new(folder.as_os_str().as_encoded_bytes()).map_err(load_error)?;
        let compute_type = CString::new(compute_type.to_string()).map_err(load_error)?;
        let mut address = null_mut();
        // SAFETY: both strings end with a zero and outlive the call, which writes `address`.
        let status = unsafe {
            ffi::hs_model_load(
                folder.as_ptr(),
                compute_type.as_ptr(),
                device,
                index,
                &raw mut address,
            )
        };
        check(status).map_err(load_error)?;
        let mut model = Self {
            address,
            n_mels: 0,
            start: 0,
            language_tokens: Vec::new(),
            decoder_model: DecoderModel {
                tokens: Arc::new(ModelTokens {
                    end_of_text: 0,
                    no_timestamps: 0,
                    timestamp_begin: 0,
                    vocabulary_size: 0,
                    blank: Vec::new(),
                }),
                suppressed: Arc::default(),
                text_context: 0,
            },
            threads: Arc::default(),
        };
        model.describe()?;
        Ok(model)
    }

    fn describe(&mut self) -> Result<(), EngineError> {
        let mut info = std::mem::MaybeUninit::<ffi::ModelInfo>::zeroed();
        // SAFETY: the model is loaded, and `info` has the layout of the foreign struct.
        let status = unsafe { ffi::hs_model_describe(self.address, info.as_mut_ptr()) };
        check(status).map_err(load_error)?;
        // SAFETY: all of its fields may be zero, and the call has succeeded.
        let info = unsafe { info.assume_init() };
        let list = |tokens: *const u32, count: u32| {
            // SAFETY: the runner keeps `count` tokens there as long as the model.
            let mut tokens = unsafe { copied(tokens, count as usize) };
            tokens.sort_unstable();
            tokens
        };
        self.n_mels = info.mels as usize;
        self.start = info.start_of_transcript;
        // SAFETY: as above; their order matters.
        self.language_tokens = unsafe { copied(info.language_tokens, info.languages as usize) };
        self.decoder_model = DecoderModel {
            tokens: Arc::new(ModelTokens {
                end_of_text: info.end_of_text,
                no_timestamps: info.no_timestamps,
                timestamp_begin: info.no_timestamps + 1,
                vocabulary_size: info.vocabulary,
                blank: list(info.suppressed_at_begin_tokens, info.suppressed_at_begin),
            }),
            suppressed: Arc::new(TokenSet {
                number: MODEL_SUPPRESSED,
                tokens: list(info.suppressed_tokens, info.suppressed),
            }),
            text_context: info.max_tokens as usize,
        };
        Ok(())
    }

    /// Whether the tokens of the model's vocabulary file are those of its tokenizer.
    ///
    /// # Errors
    /// [`EngineError::Load`] if they differ.
    pub fn check_vocabulary(&self, vocabulary: &Vocabulary) -> Result<(), EngineError> {
        let tokens = &self.decoder_model.tokens;
        let of_model = (self.start, tokens.end_of_text, tokens.no_timestamps);
        let of_tokenizer = (
            vocabulary.sot(),
            vocabulary.eot(),
            vocabulary.no_timestamps(),
        );
        if of_model == of_tokenizer {
            return Ok(());
        }
        Err(load_error(
            "the tokens of the vocabulary file are not those of the tokenizer",
        ))
    }

    /// Mel bins of its features.
    #[must_use]
    pub fn n_mels(&self) -> usize {
        self.n_mels
    }

    /// The threads of an engine that has `own` of them.
    pub fn threads(&self, own: u32) -> Arc<EngineThreads> {
        EngineThreads::new(&self.threads, own)
    }

    /// The encoder of the engine that has these threads.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn encoder(&self, threads: &Arc<EngineThreads>) -> Result<RunnerEncoder, EngineError> {
        let mut address = null_mut();
        // SAFETY: the model is loaded; the call writes `address`.
        check(unsafe { ffi::hs_encoder_new(self.address, threads.own(), &raw mut address) })?;
        Ok(RunnerEncoder {
            address,
            threads: Arc::clone(threads),
            n_mels: self.n_mels,
            features: Vec::new(),
        })
    }

    /// The decoder of the engine that has these threads.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn decoder(
        self: &Arc<Self>,
        threads: &Arc<EngineThreads>,
    ) -> Result<RunnerDecoder, EngineError> {
        let mut address = null_mut();
        // SAFETY: the model is loaded; the call writes `address`.
        check(unsafe { ffi::hs_decoder_new(self.address, threads.own(), &raw mut address) })?;
        let mut decoder = RunnerDecoder {
            address,
            model: Arc::clone(self),
            threads: Arc::clone(threads),
            open_slots: HashSet::new(),
            suppressed: ffi::NO_SET,
        };
        let tokens = &self.decoder_model.suppressed.tokens;
        // SAFETY: `tokens` is a slice of this length; the call writes `suppressed`.
        let status = unsafe {
            ffi::hs_register_banned(
                address,
                tokens.as_ptr(),
                tokens.len(),
                &raw mut decoder.suppressed,
            )
        };
        check(status)?;
        Ok(decoder)
    }
}

impl Drop for RunnerModel {
    fn drop(&mut self) {
        // SAFETY: nothing uses the address afterwards.
        unsafe { ffi::hs_model_free(self.address) };
    }
}

impl Encoder for RunnerEncoder {
    type Encoding = RunnerEncoding;

    fn encode(&mut self, windows: &[EncoderInput<'_>]) -> Result<Vec<RunnerEncoding>, EngineError> {
        let mut encodings = Vec::with_capacity(windows.len());
        // One after the other: on a CPU the tensors of one window stay in the cache (docs/performance.md).
        for window in windows {
            let (features, frames) = (window.features, window.padded_frames);
            if features.n_mels != self.n_mels || features.frames > frames {
                let (bins, length) = (features.n_mels, features.frames);
                let n_mels = self.n_mels;
                return Err(EngineError::Batch(format!(
                    "features of {bins} x {length} do not fit {n_mels} x {frames}"
                )));
            }
            self.features.clear();
            features.append_padded(frames, &mut self.features);
            let window = ffi::Window {
                features: self.features.as_ptr(),
                frames: u32::try_from(frames).unwrap_or(u32::MAX),
            };
            let mut address = null_mut();
            let _call = self.call();
            // SAFETY: `features` has mels times frames values; the call writes one address.
            let status =
                unsafe { ffi::hs_encode(self.address, &raw const window, 1, &raw mut address) };
            check(status)?;
            encodings.push(RunnerEncoding { address });
        }
        Ok(encodings)
    }
}

impl RunnerEncoder {
    /// Begins a call with the threads that it may use.
    fn call(&self) -> RunningCall {
        let call = EngineThreads::call(&self.threads);
        // SAFETY: the encoder lives.
        unsafe { ffi::hs_encoder_set_threads(self.address, call.threads()) };
        call
    }
}

impl Drop for RunnerEncoder {
    fn drop(&mut self) {
        // SAFETY: nothing uses the address afterwards.
        unsafe { ffi::hs_encoder_free(self.address) };
    }
}

impl Clone for RunnerEncoding {
    fn clone(&self) -> Self {
        // SAFETY: the encoding lives; its references are counted.
        unsafe { ffi::hs_encoding_retain(self.address) };
        Self {
            address: self.address,
        }
    }
}

impl Drop for RunnerEncoding {
    fn drop(&mut self) {
        // SAFETY: this reference is given back once.
        unsafe { ffi::hs_encoding_release(self.address) };
    }
}

/// The tokens at an address.
///
/// # Safety
/// There are `count` tokens; the address may be null if there are none.
unsafe fn copied(tokens: *const Token, count: usize) -> Vec<Token> {
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: by the contract of this function.
    unsafe { std::slice::from_raw_parts(tokens, count) }.to_vec()
}

/// The error of a call that failed.
fn check(status: c_int) -> Result<(), EngineError> {
    if status == ffi::OK {
        return Ok(());
    }
    // SAFETY: the runner keeps the message of this thread's last failure until its next call.
    let message: *const c_char = unsafe { ffi::hs_error() };
    let message = if message.is_null() {
        String::new()
    } else {
        // SAFETY: it ends with a zero.
        let text = unsafe { CStr::from_ptr(message) };
        text.to_string_lossy().into_owned()
    };
    Err(if status == ffi::OUT_OF_MEMORY {
        EngineError::OutOfMemory(message)
    } else {
        EngineError::Batch(message)
    })
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
