//! Builds the services that the server and the commands share from the settings.

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use super::engine_layout::{cores, engine_layout};
use super::{AppError, memory};
use crate::config::{Audio, LoadedSettings, Models, Settings};
use crate::models::{
    Aliases, Catalog, DefaultModel, Downloads, Hub, HubSettings, LoadedModels, LoadedModelsConfig,
    ModelBudget, ModelId, ModelPlanner, Store,
};
use crate::telemetry::Metrics;
use crate::transcribe::{FrontEnd, Transcriber};
use halkspeech_audio::{DecodeLimits, PcmBudget};

/// Bytes of decoded audio per second.
const DECODED_BYTES_PER_SECOND: u64 = 64_000;
/// Most memory of one recording's windows before they reach an engine: enough for 64 of 30 s.
const WINDOWS_BYTES: u64 = 256 * MIB;
const MIB: u64 = 1024 * 1024;

/// The services that the server and the command line share.
pub struct Services {
    /// Turns audio into transcripts.
    pub transcriber: Transcriber,
    /// The loaded models, with access to those on disk and on the hub.
    pub models: Arc<LoadedModels>,
    /// Resolves names to models.
    pub aliases: Aliases,
    /// The metrics, shared by all services.
    pub metrics: Metrics,
}

impl Services {
    /// Builds the services; reads the models on disk.
    ///
    /// # Errors
    /// [`AppError`] if the settings cannot be applied.
    pub async fn build(loaded: &LoadedSettings) -> Result<Self, AppError> {
        let settings = &loaded.settings;
        #[cfg(feature = "generate")]
        halkspeech_whisper_ct2::create_kernels().map_err(AppError::Kernels)?;
        let decoded = decoded_bytes(&settings.audio, memory::limit_bytes());
        let decoded = Arc::new(PcmBudget::new(decoded));
        let metrics = Metrics::new();
        let aliases = aliases(loaded)?;
        let catalog = open_catalog(&settings.models).await?;
        let models = Arc::new(LoadedModels::new(LoadedModelsConfig {
            downloads: Arc::new(downloads(&settings.models, &catalog, &metrics)?),
            catalog,
            auto_download: settings.whisper.auto_download,
            plan: plans(loaded)?,
            budget: ModelBudget {
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
/// [`AppError::Catalog`] if reading them panicked.
pub async fn open_catalog(models: &Models) -> Result<Arc<Catalog>, AppError> {
    let store = Store::new(models.dir.clone(), models.hub_cache.clone());
    let opening = tokio::task::spawn_blocking(move || Catalog::open(store));
    Ok(Arc::new(opening.await.map_err(AppError::Catalog)?))
}

/// The downloads from the hub.
///
/// # Errors
/// [`AppError::Hub`] if no client can be created from the settings.
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

/// The names of models, from the settings.
///
/// # Errors
/// [`AppError::ModelName`] if a name in the settings is invalid.
pub fn aliases(loaded: &LoadedSettings) -> Result<Aliases, AppError> {
    let settings = &loaded.settings;
    let aliases = settings.models.aliases.iter();
    let aliases = aliases.map(|(alias, name)| Ok((alias.clone(), model_id(name)?)));
    let default = model_id(&settings.whisper.model)?;
    let default = if loaded.is_set("whisper.model") {
        DefaultModel::Configured(default)
    } else {
        DefaultModel::BuiltIn(default)
    };
    Ok(Aliases::new(
        default,
        aliases.collect::<Result<Vec<_>, AppError>>()?,
    ))
}

/// Parses a model name of the settings.
///
/// # Errors
/// [`AppError::ModelName`] if it is invalid.
pub fn model_id(name: &str) -> Result<ModelId, AppError> {
    let error = |source| AppError::ModelName {
        name: name.to_owned(),
        source,
    };
    ModelId::parse(name).map_err(error)
}

/// Plans how each model runs; fails here, before the first request, if a model cannot run.
///
/// # Errors
/// [`AppError`] if this build or this machine cannot run models with these settings.
pub fn plans(loaded: &LoadedSettings) -> Result<Box<ModelPlanner>, AppError> {
    let settings = &loaded.settings;
    let default_layout = engine_layout(settings.whisper.clone(), |path| loaded.setting_name(path))?;
    let mut model_layouts = BTreeMap::new();
    for model in settings.per_model.keys() {
        let whisper = settings.whisper_for(model).into_owned();
        let layout = engine_layout(whisper, |path| loaded.model_setting_name(model, path))?;
        model_layouts.insert(model_id(model)?, layout);
    }
    Ok(Box::new(move |stored| {
        let layout = model_layouts.get(&stored.id).unwrap_or(&default_layout);
        layout.plan(stored)
    }))
}

fn transcriber(
    settings: &Settings,
    models: &Arc<LoadedModels>,
    decoded: &Arc<PcmBudget>,
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

/// The memory limit for decoded audio: the setting, else a quarter of the memory and at least one
/// recording of the longest duration.
pub fn decoded_bytes(audio: &Audio, memory_bytes: Option<u64>) -> u64 {
    let longest = audio
        .max_duration_s
        .saturating_mul(DECODED_BYTES_PER_SECOND)
        + WINDOWS_BYTES;
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

    /// The same check is in `crates/whisper-ct2`, whose tests are linked with other arguments.
    #[cfg(feature = "generate")]
    #[test]
    fn the_linker_has_replaced_functions_of_ctranslate2() {
        assert_eq!(halkspeech_whisper_ct2::unreplaced_functions(), [""; 0]);
    }
}
