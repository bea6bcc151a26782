//! Logs, metrics and traces.

pub mod logging;
pub mod traces;
mod targets;
mod labels;
mod declare;
mod metrics;
mod process;
mod prometheus_text;

pub use labels::{
    CloseLabels, LiveLabels, PartialLabels, RefusalLabels, RefusalReason, RequestLabels,
};
pub use metrics::Metrics;
pub use prometheus_text::to_prometheus_text;

/// An error and its sources, on one line for the log.
#[must_use]
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_error_chain_contains_all_sources() {
        #[derive(Debug, thiserror::Error)]
        #[error("file cannot be written")]
        struct Outer(#[source] io::Error);

        let reason = error_chain(&Outer(io::Error::other("disk is full")));

        assert_eq!(reason, "file cannot be written: disk is full");
    }
}
