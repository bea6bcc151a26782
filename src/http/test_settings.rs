//! Settings for the unit tests of this module.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::{HttpSettings, ParameterDefaults};

pub fn settings() -> HttpSettings {
    HttpSettings {
        api_keys: Vec::new(),
        max_connections: 1000,
        read_timeout: Duration::from_secs(1),
        allow_origins: Vec::new(),
        allowed_hosts: Vec::new(),
        enable_ui: false,
        max_upload_bytes: 1,
        upload_memory_bytes: 1,
        request_timeout: Duration::from_secs(1),
        reject_unknown_fields: true,
        require_model: false,
        defaults: defaults(),
        model_defaults: BTreeMap::new(),
        keep_alive: Duration::from_secs(1),
    }
}

pub fn defaults() -> ParameterDefaults {
    ParameterDefaults {
        beam_size: NonZeroUsize::new(3).unwrap(),
        vad_filter: true,
    }
}
