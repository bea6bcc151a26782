//! Builds the rooms behind every front door from the settings.

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use super::{AppError, memory};
use crate::audio::{DecodeLimits, MemoryBudget};
use crate::batch::Limits;
use crate::config::{Audio, DeviceChoice, ModelTtl, Models, Settings, Whisper};
use crate::engine::EngineFactory;
use crate::engine::ct2::{self, EngineSpec, Placement};
use crate::engine::memory::Dimensions;
use crate::features::Lengths;
use crate::models::{
    Aliases, Budget, Catalog, Downloads, Hub, HubSettings, LoadedModels, MakeFactory, MakePlan,
    ModelId, Plan, Setup, Store, StoredModel,
};
use crate::telemetry::Metrics;
use crate::tokens::Vocabulary;
use crate::transcribe::{FrontEnd, Transcriber};

/// A second of PCM.
const DECODED_BYTES_A_SECOND: u64 = 64_000;
/// What the windows of one recording take at most on their way to an engine: enough for 64 of 30 s.
const WINDOWS_BYTES: u64 = 256 * MIB;
const MIB: u64 = 1024 * 1024;
/// What a card's memory is sold in.
const GB: u64 = 1_000_000_000;
/// Most engines on a processor; each holds its own copy of the weights.
const MAX_CPU_ENGINES: usize = 4;

/// What the server and the command line have in common.
pub struct Rooms {
    /// Turns audio into transcripts.
    pub transcriber: Transcriber,
    /// The models in memory, with the way to those on disk and on the hub.
    pub models: Arc<LoadedModels>,
    /// Which model a name means.
    pub aliases: Aliases,
    /// The metrics of all of them.
    pub metrics: Metrics,
}

/// The settings of a model with where its engines run.
struct Placed {
    whisper: Whisper,
    placements: Vec<Placement>,
}

impl Rooms {
    /// Builds them; reads what models are on disk.
    ///
    /// # Errors
    /// [`AppError`] when the settings cannot be carried out.
    pub async fn build(settings: &Settings) -> Result<Self, AppError> {
        ct2::make_kernels().map_err(AppError::Kernels)?;
        let decoded = decoded_bytes(&settings.audio, memory::limit_bytes());
        let decoded = Arc::new(MemoryBudget::new(decoded));
        let metrics = Metrics::new();
        let aliases = aliases(settings)?;
        let catalog = open_catalog(&settings.models).await?;
        let models = Arc::new(LoadedModels::new(Setup {
            downloads: Arc::new(downloads(&settings.models, &catalog, &metrics)?),
            catalog,
            auto_download: settings.whisper.auto_download,
            plan: plans(settings)?,
            budget: Budget {
                models: NonZeroUsize::new(settings.whisper.max_loaded_models),
                memory_bytes: NonZeroU64::new(settings.whisper.max_loaded_mib * MIB),
            },
            metrics: metrics.clone(),
        }));
        Ok(Self {
            transcriber: transcriber(settings, &models, &decoded, &metrics),
            models,
            aliases,
            metrics,
        })
    }
}

/// The models on disk, read once.
///
/// # Errors
/// [`AppError::Catalog`] when reading them panicked.
pub async fn open_catalog(models: &Models) -> Result<Arc<Catalog>, AppError> {
    let store = Store::new(models.dir.clone(), models.hub_cache.clone());
    let opening = tokio::task::spawn_blocking(move || Catalog::open(store));
    Ok(Arc::new(opening.await.map_err(AppError::Catalog)?))
}

/// The way to the hub.
///
/// # Errors
/// [`AppError::Hub`] when no client can be made of the settings.
pub fn downloads(
    models: &Models,
    catalog: &Arc<Catalog>,
    metrics: &Metrics,
) -> Result<Downloads, AppError> {
    let hub = Hub::new(HubSettings {
        endpoint: models.hub_endpoint.clone(),
        token: models
            .hub_token
            .as_ref()
            .map(|token| token.expose().to_owned()),
        cache: models.hub_cache.clone(),
        offline: models.hub_offline,
        timeout: Duration::from_secs(models.hub_timeout_s),
    });
    let hub = hub.map_err(AppError::Hub)?;
    Ok(Downloads::new(hub, Arc::clone(catalog), metrics.clone()))
}

/// Which model a name means.
///
/// # Errors
/// [`AppError::ModelName`] when a name in the settings is none.
pub fn aliases(settings: &Settings) -> Result<Aliases, AppError> {
    let more = settings.models.aliases.iter();
    let more = more.map(|(alias, name)| Ok((alias.clone(), model_id(name)?)));
    Ok(Aliases::new(
        model_id(&settings.whisper.model)?,
        more.collect::<Result<Vec<_>, AppError>>()?,
    ))
}

/// The model of this name in the settings.
///
/// # Errors
/// [`AppError::ModelName`] when it is none.
pub fn model_id(name: &str) -> Result<ModelId, AppError> {
    let error = |source| AppError::ModelName {
        name: name.to_owned(),
        source,
    };
    ModelId::parse(name).map_err(error)
}

/// Processors this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// How each model is to be run; what cannot be is found out here, before a request asks for it.
fn plans(settings: &Settings) -> Result<Box<MakePlan>, AppError> {
    let of_all = placed(settings.whisper.clone())?;
    let mut of_one = BTreeMap::new();
    for name in settings.per_model.keys() {
        let whisper = settings.whisper_of(name).into_owned();
        of_one.insert(model_id(name)?, placed(whisper)?);
    }
    Ok(Box::new(move |stored| {
        of_one.get(&stored.id).unwrap_or(&of_all).plan(stored)
    }))
}

fn placed(whisper: Whisper) -> Result<Placed, AppError> {
    let placements = placements(&whisper)?;
    Ok(Placed {
        whisper,
        placements,
    })
}

impl Placed {
    fn plan(&self, stored: &StoredModel) -> Plan {
        let whisper = &self.whisper;
        let engine = |&placement: &Placement| -> Box<MakeFactory> {
            let spec = self.spec(stored, placement);
            Box::new(move |vocabulary: &Arc<Vocabulary>| -> EngineFactory {
                ct2::factory(spec, Arc::clone(vocabulary))
            })
        };
        let weights = |&placement: &Placement| self.weights_bytes(stored, placement);
        let queue_capacity = whisper.max_queue_size.get();
        Plan {
            engines: self.placements.iter().map(engine).collect(),
            limits: limits(whisper),
            queue_capacity,
            // Enough of one request's windows to fill a batch while the next is being prepared,
            // and never more than half of the queue.
            windows_in_flight: (2 * whisper.batch_size.get()).min((queue_capacity / 2).max(1)),
            lengths: self.lengths(stored),
            idle_time: match whisper.model_ttl {
                ModelTtl::Never => None,
                ModelTtl::After(idle_time) => Some(idle_time),
            },
            memory_bytes: self.placements.iter().map(weights).sum(),
        }
    }

    fn lengths(&self, stored: &StoredModel) -> Lengths {
        let (whisper, shape) = (&self.whisper, &stored.shape);
        if !whisper.length_aware {
            return Lengths::WHOLE;
        }
        let lengths = Lengths::new(whisper.length_margin_s, whisper.length_step_s);
        let head_width = shape.width / shape.heads.max(1);
        let mixes =
            |placement: &Placement| placement.mixes_lengths(whisper.compute_type, head_width);
        if !self.placements.iter().all(mixes) {
            return lengths;
        }
        let is_cpu = |placement: &Placement| matches!(placement, Placement::Cpu { .. });
        if self.placements.iter().all(is_cpu) {
            // Where windows are encoded one by one, no two need one length.
            return lengths.mixed().fine();
        }
        lengths.mixed()
    }

    fn spec(&self, stored: &StoredModel, placement: Placement) -> EngineSpec {
        let (whisper, shape) = (&self.whisper, &stored.shape);
        let bytes = placement.bytes_per_value(whisper.compute_type);
        EngineSpec {
            dir: stored.dir.clone(),
            placement,
            compute_type: whisper.compute_type,
            dimensions: Dimensions {
                width: shape.width as u64,
                heads: shape.heads as u64,
                decoder_layers: shape.decoder_layers as u64,
                vocabulary_size: shape.vocabulary_size,
                // A model that keeps its own types may be one of 32 bits.
                value_bytes: bytes.map_or(4, |(_, value)| value),
            },
            weights_bytes: self.weights_bytes(stored, placement),
            batch_size: limits(whisper).batch_size,
            beam_size: whisper.beam_size,
            memory_limit: (whisper.vram_limit_gb > 0).then(|| whisper.vram_limit_gb * GB),
            engines_on_card: self.engines_on(placement),
        }
    }

    /// How many engines a model has there.
    fn engines_on(&self, placement: Placement) -> NonZeroUsize {
        let same = self.placements.iter().filter(|&&other| other == placement);
        NonZeroUsize::new(same.count()).unwrap_or(NonZeroUsize::MIN)
    }

    /// What one engine's weights will take, in bytes.
    fn weights_bytes(&self, stored: &StoredModel, placement: Placement) -> u64 {
        match placement.bytes_per_value(self.whisper.compute_type) {
            Some((in_matrix, elsewhere)) => stored.shape.memory_bytes(in_matrix, elsewhere),
            None => stored.size_bytes,
        }
    }
}

/// Without batched mode every batch holds one window.
fn limits(whisper: &Whisper) -> Limits {
    let batch_size = if whisper.use_batched_mode {
        whisper.batch_size
    } else {
        NonZeroUsize::MIN
    };
    Limits {
        batch_size,
        window: Duration::from_millis(whisper.batch_window_ms),
    }
}

/// Why there is no card to run on.
fn no_cuda() -> &'static str {
    if cfg!(feature = "cuda") {
        "no CUDA device or driver was found"
    } else {
        "this build has no CUDA in it"
    }
}

/// One placement an engine.
fn placements(whisper: &Whisper) -> Result<Vec<Placement>, AppError> {
    let cards = ct2::cuda_devices();
    let wants_cuda = match whisper.inference_device {
        DeviceChoice::Cpu => false,
        DeviceChoice::Auto => cards > 0,
        DeviceChoice::Cuda if cards == 0 => return Err(AppError::NoCuda(no_cuda())),
        DeviceChoice::Cuda => true,
    };
    if wants_cuda {
        return Ok(whisper
            .device_index
            .iter()
            .map(|&index| Placement::Cuda { index })
            .collect());
    }
    if whisper.inference_device == DeviceChoice::Auto {
        tracing::info!("models run on the processor: {}", no_cuda());
    }
    let cores = cores();
    let workers = match whisper.num_workers {
        0 => cores.min(MAX_CPU_ENGINES),
        workers => workers,
    };
    let threads = match whisper.cpu_threads {
        0 => (cores / workers).max(1),
        threads => threads,
    };
    Ok(vec![Placement::Cpu { threads }; workers])
}

fn transcriber(
    settings: &Settings,
    models: &Arc<LoadedModels>,
    decoded: &Arc<MemoryBudget>,
    metrics: &Metrics,
) -> Transcriber {
    let audio = &settings.audio;
    let workers = NonZeroUsize::new(audio.workers).or(NonZeroUsize::new(cores()));
    let limits = DecodeLimits {
        max_duration: Duration::from_secs(audio.max_duration_s),
        ffmpeg: audio.ffmpeg,
        ffmpeg_timeout: Duration::from_secs(audio.ffmpeg_timeout_s),
    };
    let front_end = FrontEnd::new(workers.unwrap_or(NonZeroUsize::MIN));
    Transcriber::new(
        Arc::clone(models),
        front_end,
        limits,
        Arc::clone(decoded),
        metrics.clone(),
    )
}

/// What decoded audio may take: as set, else a quarter of the memory, and no less than one recording
/// of the longest duration.
fn decoded_bytes(audio: &Audio, memory_bytes: Option<u64>) -> u64 {
    let longest = audio.max_duration_s.saturating_mul(DECODED_BYTES_A_SECOND) + WINDOWS_BYTES;
    match (audio.max_decoded_mib, memory_bytes) {
        (0, None) => u64::MAX,
        (0, Some(bytes)) => longest.max(bytes / 4),
        (mib, _) => mib * MIB,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_audio_gets_a_quarter_of_the_memory_and_one_long_recording_at_least() {
        let audio = |max_duration_s, max_decoded_mib| Audio {
            max_duration_s,
            max_decoded_mib,
            ..Audio::default()
        };
        let gib = 1024 * MIB;
        assert_eq!(decoded_bytes(&audio(3_600, 0), Some(16 * gib)), 4 * gib);
        let longest = 3_600 * 64_000 + WINDOWS_BYTES;
        assert_eq!(decoded_bytes(&audio(3_600, 0), Some(gib)), longest);
        assert_eq!(decoded_bytes(&audio(3_600, 100), Some(gib)), 100 * MIB);
        assert_eq!(decoded_bytes(&audio(3_600, 0), None), u64::MAX);
    }
}
