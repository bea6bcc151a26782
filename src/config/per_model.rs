//! Settings of single models.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::entry::SettingEntry;
use super::keys::{KEYS, SettingKey};
use super::whisper::{DeviceChoice, ModelTtl, Whisper};
use halkspeech_whisper::engine::ComputeType;

/// The section of a file that contains their tables.
pub(super) const SECTION: &str = "models";

/// The settings of one model; where a field is `None`, the setting for all
/// models applies.
///
/// In a file only, as the table `[models."owner/name"]` or, for one revision,
/// `[models."owner/name@revision"]`. It overrides `[whisper]`, the environment
/// and the flags, which apply to all models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// As [`Whisper::inference_device`].
    pub inference_device: Option<DeviceChoice>,
    /// As [`Whisper::device_index`]. It can place each model on its own GPU.
    pub device_index: Option<Vec<u32>>,
    /// As [`Whisper::compute_type`].
    pub compute_type: Option<ComputeType>,
    /// As [`Whisper::cpu_threads`].
    pub cpu_threads: Option<usize>,
    /// As [`Whisper::num_workers`].
    pub num_workers: Option<usize>,
    /// As [`Whisper::use_batched_mode`].
    pub use_batched_mode: Option<bool>,
    /// As [`Whisper::batch_size`].
    pub batch_size: Option<NonZeroUsize>,
    /// As [`Whisper::batch_window_ms`].
    pub batch_window_ms: Option<u64>,
    /// As [`Whisper::vram_limit_gb`].
    pub vram_limit_gb: Option<u64>,
    /// As [`Whisper::max_queue_size`].
    pub max_queue_size: Option<NonZeroUsize>,
    /// As [`Whisper::model_ttl`].
    pub model_ttl: Option<ModelTtl>,
    /// As [`Whisper::beam_size`].
    pub beam_size: Option<NonZeroUsize>,
    /// As [`Whisper::vad_filter`].
    pub vad_filter: Option<bool>,
    /// As [`Whisper::length_aware`].
    pub length_aware: Option<bool>,
    /// As [`Whisper::length_margin_s`].
    pub length_margin_s: Option<usize>,
    /// As [`Whisper::length_step_s`].
    pub length_step_s: Option<usize>,
}

impl Whisper {
    /// These settings with those of `own` replaced.
    #[must_use]
    pub fn with(&self, own: &ModelSettings) -> Self {
        // Destructured completely, so that no field can be forgotten.
        let ModelSettings {
            inference_device,
            device_index,
            compute_type,
            cpu_threads,
            num_workers,
            use_batched_mode,
            batch_size,
            batch_window_ms,
            vram_limit_gb,
            max_queue_size,
            model_ttl,
            beam_size,
            vad_filter,
            length_aware,
            length_margin_s,
            length_step_s,
        } = own.clone();
        Self {
            inference_device: inference_device.unwrap_or(self.inference_device),
            device_index: device_index.unwrap_or_else(|| self.device_index.clone()),
            compute_type: compute_type.unwrap_or(self.compute_type),
            cpu_threads: cpu_threads.unwrap_or(self.cpu_threads),
            num_workers: num_workers.unwrap_or(self.num_workers),
            use_batched_mode: use_batched_mode.unwrap_or(self.use_batched_mode),
            batch_size: batch_size.unwrap_or(self.batch_size),
            batch_window_ms: batch_window_ms.unwrap_or(self.batch_window_ms),
            vram_limit_gb: vram_limit_gb.unwrap_or(self.vram_limit_gb),
            max_queue_size: max_queue_size.unwrap_or(self.max_queue_size),
            model_ttl: model_ttl.unwrap_or(self.model_ttl),
            beam_size: beam_size.unwrap_or(self.beam_size),
            vad_filter: vad_filter.unwrap_or(self.vad_filter),
            length_aware: length_aware.unwrap_or(self.length_aware),
            length_margin_s: length_margin_s.unwrap_or(self.length_margin_s),
            length_step_s: length_step_s.unwrap_or(self.length_step_s),
            ..self.clone()
        }
    }
}

/// A value for a single model.
#[derive(Debug)]
pub(super) struct ModelEntry {
    /// The name of the model, as written in the file.
    pub model: String,
    /// The value, under the key that sets it for all models.
    pub entry: SettingEntry,
}

/// The setting with this name in the table of a model, if there is one.
pub(super) fn key(name: &str) -> Option<&'static SettingKey> {
    KEYS.iter().find(|key| key.per_model && key.name() == name)
}

/// The place of a model's setting, as a file names it.
pub(super) fn path(model: &str, name: &str) -> String {
    format!("{}.{name}", table(model))
}

/// The table of a model, as a file names it.
pub(super) fn table(model: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !model.is_empty() && model.bytes().all(is_bare) {
        format!("{SECTION}.{model}")
    } else {
        format!("{SECTION}.{model:?}")
    }
}
