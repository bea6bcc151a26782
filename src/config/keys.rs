//! The table of all settings: path, names, flag, allowed values.

use super::value_kind::ValueKind::{
    self, Boolean, Choice, DeviceNumbers, File, Folder, HostNames, Integer, SecretText, Text,
    TextList, TextMap, TextWithoutSpaces, Url, WebOrigins,
};

/// A setting, with its name in every source.
#[derive(Debug)]
pub(super) struct SettingKey {
    /// Its path in the tree and in a file, `whisper.batch_size`.
    pub path: &'static str,
    /// Its environment names other than `SECTION__KEY`.
    pub flat_names: &'static [&'static str],
    /// Its command-line flag, `--port`.
    pub flag: Option<&'static str>,
    /// The values it accepts.
    pub kind: ValueKind,
    /// Whether it can be set for a single model.
    pub per_model: bool,
}

/// Every setting, in the order of the settings table.
pub(super) const KEYS: &[SettingKey] = &[
    key("whisper.model", Text).flag("--model"),
    key("whisper.inference_device", Choice(&["auto", "cpu", "cuda"])).per_model(),
    key("whisper.device_index", DeviceNumbers { max: 1023 }).per_model(),
    key(
        "whisper.compute_type",
        Choice(&[
            "default",
            "auto",
            "int8",
            "int8_float16",
            "int8_bfloat16",
            "int8_float32",
            "int16",
            "float16",
            "bfloat16",
            "float32",
        ]),
    )
    .per_model(),
    key("whisper.cpu_threads", Integer(0, 1024)).per_model(),
    key("whisper.num_workers", Integer(0, 256)).per_model(),
    key("whisper.use_batched_mode", Boolean).per_model(),
    key("whisper.batch_size", Integer(1, 4096)).per_model(),
    key("whisper.batch_window_ms", Integer(0, 10_000)).per_model(),
    key("whisper.vram_limit_gb", Integer(0, 10_000)).per_model(),
    key("whisper.preload_model", Boolean),
    key("whisper.auto_download", Boolean),
    key("whisper.max_queue_size", Integer(1, 1_000_000)).per_model(),
    key("whisper.max_concurrent_requests", Integer(1, 1_000_000)),
    key("whisper.model_ttl", Integer(-1, 31_536_000))
        .names(&["STT_MODEL_TTL"])
        .per_model(),
    key("whisper.max_loaded_models", Integer(0, 1000)),
    key("whisper.max_loaded_mib", Integer(0, 10_000_000)),
    key("whisper.beam_size", Integer(1, 32)).per_model(),
    key("whisper.vad_filter", Boolean).per_model(),
    key("whisper.length_aware", Boolean).per_model(),
    key("whisper.length_margin_s", Integer(1, 30)).per_model(),
    key("whisper.length_step_s", Integer(1, 30)).per_model(),
    key("server.host", TextWithoutSpaces)
        .names(&["UVICORN_HOST"])
        .flag("--host"),
    key("server.port", Integer(0, 65_535))
        .names(&["UVICORN_PORT"])
        .flag("--port"),
    key("server.api_key", SecretText).names(&["API_KEY"]),
    key("server.api_keys_file", File).names(&["API_KEYS_FILE"]),
    key("server.secret", SecretText),
    key("server.allow_origins", WebOrigins).names(&["ALLOW_ORIGINS"]),
    key("server.allowed_hosts", HostNames).names(&["ALLOWED_HOSTS"]),
    key("server.enable_ui", Boolean).names(&["ENABLE_UI"]),
    key("server.max_upload_mib", Integer(1, 65_536)),
    key("server.upload_memory_mib", Integer(0, 65_536)),
    key("server.request_timeout_s", Integer(1, 86_400)),
    key("server.read_timeout_s", Integer(1, 3600)),
    key("server.max_connections", Integer(1, 1_000_000)),
    key("server.rate_limit_per_minute", Integer(0, 1_000_000)),
    key("server.audio_limit_per_minute_s", Integer(0, 1_000_000)),
    key("server.concurrent_limit", Integer(0, 1_000_000)),
    key("server.shutdown_timeout_s", Integer(0, 3600)),
    key("server.reject_unknown_fields", Boolean),
    key("server.require_model", Boolean),
    key("audio.ffmpeg", Choice(&["auto", "off"])),
    key("audio.ffmpeg_timeout_s", Integer(1, 3600)),
    key("audio.max_duration_s", Integer(1, 604_800)),
    key("audio.max_decoded_mib", Integer(0, 16_777_216)),
    key("audio.workers", Integer(0, 1024)),
    key("models.dir", Folder)
        .names(&["MODELS_DIR"])
        .flag("--models-dir"),
    key("models.preload", TextList).names(&["PRELOAD_MODELS"]),
    key("models.hub_cache", Folder).names(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]),
    key("models.hub_token", SecretText).names(&["HF_TOKEN"]),
    key("models.hub_endpoint", Url).names(&["HF_ENDPOINT"]),
    key("models.hub_offline", Boolean).names(&["HF_HUB_OFFLINE"]),
    key("models.hub_timeout_s", Integer(1, 3600)).names(&["HF_HUB_DOWNLOAD_TIMEOUT"]),
    key("models.aliases", TextMap).names(&["MODEL_ALIASES"]),
    key("live.max_sessions", Integer(0, 1_000_000)),
    key("wyoming.host", TextWithoutSpaces),
    key("wyoming.port", Integer(0, 65_535)),
    key("wyoming.allow_unauthenticated", Boolean),
    key(
        "log.level",
        Choice(&[
            "trace", "debug", "info", "warn", "warning", "error", "critical",
        ]),
    )
    .names(&["LOG_LEVEL"])
    .flag("--log-level"),
    key("log.format", Choice(&["text", "json"])).names(&["LOG_FORMAT"]),
    key("traces.exporter", Choice(&["none", "otlp"])).names(&["OTEL_TRACES_EXPORTER"]),
];

impl SettingKey {
    /// The setting at `path`, if it exists.
    pub fn at(path: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.path == path)
    }

    /// Its name inside its section, `batch_size`.
    pub fn name(&self) -> &'static str {
        self.path
            .split_once('.')
            .map_or(self.path, |(_, name)| name)
    }

    /// Its environment names, the one that wins first.
    pub fn environment_names(&self) -> impl Iterator<Item = String> {
        let section_name = self.path.replace('.', "__").to_uppercase();
        let flat_names = self.flat_names.iter().map(|&name| name.to_owned());
        std::iter::once(section_name).chain(flat_names)
    }

    /// The environment name that the documentation uses.
    pub fn usual_name(&self) -> Option<String> {
        let flat_name = self.flat_names.first().map(|&name| name.to_owned());
        flat_name.or_else(|| self.environment_names().next())
    }

    const fn names(mut self, names: &'static [&'static str]) -> Self {
        self.flat_names = names;
        self
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    const fn per_model(mut self) -> Self {
        self.per_model = true;
        self
    }
}

const fn key(path: &'static str, kind: ValueKind) -> SettingKey {
    SettingKey {
        path,
        flat_names: &[],
        flag: None,
        kind,
        per_model: false,
    }
}

/// The sections of the tree, as a file names them.
pub(super) fn sections() -> impl Iterator<Item = &'static str> {
    [
        "whisper", "server", "audio", "models", "live", "wyoming", "log", "traces",
    ]
    .into_iter()
}

/// The most similar of the `known` names, if one is similar enough. Only the
/// parts after the section are compared, since a common section would make
/// all names similar.
pub(super) fn nearest(unknown: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let leaf = |name: &str| {
        let start = name.rfind("__").map_or(0, |at| at + 2);
        let start = name.rfind('.').map_or(start, |at| at + 1);
        name[start..].to_lowercase()
    };
    let unknown = leaf(unknown);
    known
        .map(|name| (similarity(&unknown, &leaf(&name)), name))
        .filter(|(similarity, _)| *similarity > 0.55)
        // Of equally similar names the first, which is that of the more common section.
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, name)| name)
}

/// The similarity of two names, from 0 to 1 for equal names. A name that
/// contains the other has at least 0.6, whatever their lengths.
fn similarity(one: &str, other: &str) -> f64 {
    let similarity = strsim::normalized_damerau_levenshtein(one, other);
    let shorter = one.len().min(other.len());
    if shorter >= 3 && (one.contains(other) || other.contains(one)) {
        similarity.mul_add(0.4, 0.6)
    } else {
        similarity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<String> = KEYS
            .iter()
            .flat_map(SettingKey::environment_names)
            .collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_key_has_a_known_section() {
        for key in KEYS {
            let section = key.path.split('.').next();
            assert!(
                sections().any(|known| Some(known) == section),
                "{}",
                key.path
            );
        }
    }

    #[test]
    fn suggests_the_nearest_name() {
        for (unknown, expected) in [
            ("whisper.batchsize", Some("whisper.batch_size")),
            ("whisper.batch_sise", Some("whisper.batch_size")),
            ("whisper.queue_size", Some("whisper.max_queue_size")),
            ("whisper.ttl", Some("whisper.model_ttl")),
            ("whisper.port", Some("server.port")),
            ("whisper.xyzzy", None),
        ] {
            let known = KEYS.iter().map(|key| key.path.to_owned());
            assert_eq!(nearest(unknown, known).as_deref(), expected, "{unknown}");
        }
    }
}
