//! The `[models]` settings: where models lie and where they come from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Secret;

/// Models on disk and on the hub. Environment: `MODELS__…`, and the names the
/// hub's own tools use.
///
/// A leading `~` in a path is the home folder. A table of `[models]` under any
/// other name holds the settings of the model of that name:
/// [`ModelSettings`](super::ModelSettings).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// The folder that holds the models, one folder each.
    ///
    /// Default `~/.cache/halkspeech/models` (under `$XDG_CACHE_HOME` where
    /// that is set); environment `MODELS__DIR` or `MODELS_DIR`, flag
    /// `--models-dir`. In a container, a volume.
    pub dir: PathBuf,

    /// Models loaded before the server is ready, beside the default one.
    ///
    /// Default none; environment `MODELS__PRELOAD` or `PRELOAD_MODELS`, a
    /// JSON list or ids between commas. One that is not on disk stops the
    /// start, unless `whisper.auto_download` is true.
    pub preload: Vec<String>,

    /// The cache folder of the Hugging Face tools; models found there are
    /// used as they are, and so are plain folders of models.
    ///
    /// Default `~/.cache/huggingface/hub` (under `$XDG_CACHE_HOME` where that
    /// is set); environment `MODELS__HUB_CACHE`, `HF_HUB_CACHE` or
    /// `HUGGINGFACE_HUB_CACHE`, else `$HF_HOME/hub`.
    pub hub_cache: PathBuf,

    /// The access token that downloads send to the hub.
    ///
    /// Default none; environment `MODELS__HUB_TOKEN` or `HF_TOKEN`. Private
    /// and gated models need one. Downloads are what `POST /v1/models/{id}`,
    /// `halkspeech models pull` and `whisper.auto_download` start.
    pub hub_token: Option<Secret>,

    /// The address of the hub that models are downloaded from.
    ///
    /// Default `https://huggingface.co`; environment `MODELS__HUB_ENDPOINT`
    /// or `HF_ENDPOINT`. Name a mirror where the hub cannot be reached.
    pub hub_endpoint: String,

    /// Whether the hub is never asked.
    ///
    /// Default false; environment `MODELS__HUB_OFFLINE` or `HF_HUB_OFFLINE`.
    /// True refuses every download, whoever starts it.
    pub hub_offline: bool,

    /// The longest silence of a download's connection before it is taken up
    /// anew, in seconds.
    ///
    /// Default 10, 1 to 3,600; environment `MODELS__HUB_TIMEOUT_S` or
    /// `HF_HUB_DOWNLOAD_TIMEOUT`. Raise it on a line that stalls.
    pub hub_timeout_s: u64,

    /// More names for models, alias → model, beside OpenAI's.
    ///
    /// Default none; environment `MODELS__ALIASES` or `MODEL_ALIASES`, a JSON
    /// object (`{"fast": "owner/name"}`); in a file the table
    /// `[models.aliases]`. A model on disk of exactly that name goes before its alias.
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
