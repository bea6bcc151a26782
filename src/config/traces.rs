//! The `[traces]` settings: export of spans to a collector.

use serde::{Deserialize, Serialize};

/// The export of traces. The exporter reads everything else from the standard
/// `OTEL_…` variables: the collector's address, the sampling, the service
/// name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// Where spans are sent.
    ///
    /// Default `otlp` if `OTEL_EXPORTER_OTLP_ENDPOINT` or
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set, else `none`; environment
    /// `TRACES__EXPORTER` or `OTEL_TRACES_EXPORTER`. With
    /// `OTEL_SDK_DISABLED=true` it is always `none`.
    pub exporter: Exporter,
}

/// The destination of spans.
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
