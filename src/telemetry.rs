//! What operators see: logs and metrics.

pub mod logging;
mod metrics;

pub use metrics::{Metrics, Refusal, RefusalLabels, RequestLabels};
