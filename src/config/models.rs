//! The `[models]` settings: models on disk and on the hub.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Secret;

/// Models on disk and on the hub. Environment: `MODELS__…`, and the names of
/// the hub's own tools.
///
/// A leading `~` in a path is the home folder. Any other table in `[models]`
/// contains the settings of the model of that name:
/// [`ModelSettings`](super::ModelSettings).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// The folder of models, one subfolder per model.
    ///
    /// Default `~/.cache/halkspeech/models` (under `$XDG_CACHE_HOME` if that
    /// is set); environment `MODELS__DIR` or `MODELS_DIR`, flag
    /// `--models-dir`. In a container, a volume.
    pub dir: PathBuf,

    /// Models loaded before the server is ready, in addition to the default
    /// one.
    ///
    /// Default none; environment `MODELS__PRELOAD` or `PRELOAD_MODELS`, a
    /// JSON list or comma-separated ids. The start fails if one is not on
    /// disk, unless `whisper.auto_download` is true.
    pub preload: Vec<String>,

    /// The cache folder of the Hugging Face tools; models in it are used in
    /// place, and so are plain model folders.
    ///
    /// Default `~/.cache/huggingface/hub` (under `$XDG_CACHE_HOME` if that is
    /// set); environment `MODELS__HUB_CACHE`, `HF_HUB_CACHE` or
    /// `HUGGINGFACE_HUB_CACHE`, else `$HF_HOME/hub`.
    pub hub_cache: PathBuf,

    /// The access token that downloads send to the hub.
    ///
    /// Default none; environment `MODELS__HUB_TOKEN` or `HF_TOKEN`. Private
    /// and gated models need one. Downloads are started by
    /// `POST /v1/models/{id}`, `halkspeech models pull` and
    /// `whisper.auto_download`.
    pub hub_token: Option<Secret>,

    /// The address of the hub that models are downloaded from.
    ///
    /// Default `https://huggingface.co`; environment `MODELS__HUB_ENDPOINT`
    /// or `HF_ENDPOINT`. Set a mirror if the hub cannot be reached.
    pub hub_endpoint: String,

    /// Whether no request is sent to the hub.
    ///
    /// Default false; environment `MODELS__HUB_OFFLINE` or `HF_HUB_OFFLINE`.
    /// True refuses every download.
    pub hub_offline: bool,

    /// The time without data after which a download reconnects, in seconds.
    ///
    /// Default 10, 1 to 3,600; environment `MODELS__HUB_TIMEOUT_S` or
    /// `HF_HUB_DOWNLOAD_TIMEOUT`. Raise it on a connection that stalls.
    pub hub_timeout_s: u64,

    /// Additional names for models, alias → model.
    ///
    /// Default none; environment `MODELS__ALIASES` or `MODEL_ALIASES`, a JSON
    /// object (`{"fast": "owner/name"}`); in a file the table
    /// `[models.aliases]`. A model on disk of exactly that name takes
    /// precedence over the alias.
    pub aliases: BTreeMap<String, String>,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("~/.cache/halkspeech/models"),
            preload: Vec::new(),
            hub_cache: PathBuf::from("~/.cache/huggingface/hub"),
            hub_token: None,
            hub_endpoint: "https://huggingface.co".to_owned(),
            hub_offline: false,
            hub_timeout_s: 10,
            aliases: BTreeMap::new(),
        }
    }
}
