//! The `[traces]` settings: whether spans are sent to a collector.

use serde::{Deserialize, Serialize};

/// Traces. What else there is to say about them, the exporter reads from the
/// standard `OTEL_…` variables itself: where the collector is, how much is
/// sampled, what the service is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// Where spans go.
    ///
    /// Default `otlp` where `OTEL_EXPORTER_OTLP_ENDPOINT` or
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` names a collector, else `none`;
    /// environment `TRACES__EXPORTER` or `OTEL_TRACES_EXPORTER`. With
    /// `OTEL_SDK_DISABLED=true` it is `none` whatever they say.
    pub exporter: Exporter,
}

/// Where spans go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exporter {
    /// Nowhere.
    None,
    /// To a collector, by OTLP over HTTP.
    Otlp,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            exporter: Exporter::None,
        }
    }
}
