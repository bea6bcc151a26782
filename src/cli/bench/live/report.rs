//! The results of live sessions, as JSON or as a table (`table.rs`).

mod table;

use std::collections::BTreeMap;

use serde::Serialize;

use super::measures::{SessionMeasures, TextErrors};
use super::record::SessionRecord;
use crate::cli::bench::report::{RunReport, rounded, rounded_option};
use crate::cli::bench::word_errors::WordErrors;

/// The results of all runs.
#[derive(Clone, Debug, Serialize)]
pub struct LiveReport {
    /// The URL of the socket.
    pub url: String,
    /// The model.
    pub model: String,
    /// `delay` of the sessions; the server's default without one.
    pub delay: Option<&'static str>,
    /// How turns end.
    pub turn_detection: &'static str,
    /// Length of a frame.
    pub frame_ms: u64,
    /// Number of different recordings played.
    pub clips: usize,
    /// The report of each run.
    pub runs: Vec<LiveRunReport>,
}

/// The results of one run.
#[derive(Clone, Debug, Serialize)]
pub struct LiveRunReport {
    /// Sessions at one time.
    pub concurrency: usize,
    /// Sessions that were played.
    pub played: u64,
    /// Of these, sessions that failed.
    pub failed: u64,
    /// From the start to the end of the last session.
    #[serde(serialize_with = "rounded")]
    pub seconds: f64,
    /// Turns with speech.
    pub turns: u64,
    /// Of these, the turns that failed.
    pub failed_turns: u64,
    /// Of these, the turns whose joined deltas have other words than the final text.
    pub turns_that_differ: u64,
    /// From the begin of speech to the first delta of the turn.
    pub first_delta_s: Option<DelaySummary>,
    /// From the end of a word to its delta.
    pub word_s: Option<DelaySummary>,
    /// From the end of speech to the final text.
    pub final_s: Option<DelaySummary>,
    /// For each word, from its end to the first text with it or a later word.
    pub lag_s: Option<DelaySummary>,
    /// For each long session, the median lag of its last quarter less that of its first.
    pub lag_growth_s: Option<DelaySummary>,
    /// Words in deltas.
    pub committed_words: u64,
    /// Words that a partial text showed and a later one did not.
    pub withdrawn_words: u64,
    /// How often committed text was changed.
    pub changed_commits: u64,
    /// Word errors against the upload route.
    pub against_upload: ErrorReport,
    /// Word errors against the reference texts.
    pub against_text: ErrorReport,
    /// The number of events of each type.
    pub events: BTreeMap<String, u64>,
    /// The number of sessions by the code of the server's close frame, or `none`.
    pub close_codes: BTreeMap<String, u64>,
    /// The number of failures by code or kind.
    pub errors: BTreeMap<String, u64>,
    /// The message of the first failure of each kind.
    #[serde(skip)]
    pub error_messages: BTreeMap<String, String>,
    /// The longest time that a frame was sent after it was due: with more than a fraction of a second the figures
    /// are those of this program's machine.
    #[serde(serialize_with = "rounded")]
    pub max_send_delay_s: f64,
    /// The uploads during the sessions, if there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploads: Option<UploadsReport>,
}

/// Uploads before live sessions and during them.
#[derive(Clone, Debug, Serialize)]
pub struct UploadsReport {
    /// Callers that upload one recording after the other.
    pub callers: usize,
    /// Before the sessions.
    pub alone: RunReport,
    /// During the sessions.
    pub during: RunReport,
}

/// Seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DelaySummary {
    /// How many were measured.
    pub count: usize,
    /// The median.
    #[serde(serialize_with = "rounded")]
    pub p50: f64,
    /// The 95th percentile.
    #[serde(serialize_with = "rounded")]
    pub p95: f64,
    /// The maximum.
    #[serde(serialize_with = "rounded")]
    pub max: f64,
}

/// Word errors of three texts against the same reference.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ErrorReport {
    /// Words of the reference.
    pub words: u64,
    /// Errors of the upload route.
    pub upload: u64,
    /// Errors of the final texts.
    pub completed: u64,
    /// Errors of the joined deltas.
    pub deltas: u64,
    /// Share of the words.
    #[serde(serialize_with = "rounded_option")]
    pub upload_rate: Option<f64>,
    /// Share of the words.
    #[serde(serialize_with = "rounded_option")]
    pub completed_rate: Option<f64>,
    /// Share of the words.
    #[serde(serialize_with = "rounded_option")]
    pub deltas_rate: Option<f64>,
}

/// Collects the sessions of one run.
#[derive(Debug, Default)]
pub struct RunCollector {
    measures: SessionMeasures,
    played: u64,
    failed: u64,
    events: BTreeMap<String, u64>,
    close_codes: BTreeMap<String, u64>,
    failures: BTreeMap<String, (u64, String)>,
    max_send_delay_s: f64,
}

impl RunCollector {
    /// Adds a session; one that failed has no measures. `errors` are the codes and messages of its error events
    /// and failed turns.
    pub fn add(
        &mut self,
        record: SessionRecord,
        measures: SessionMeasures,
        errors: Vec<(String, String)>,
    ) {
        self.played += 1;
        let is_failed = record.failure.is_some() || !errors.is_empty();
        self.failed += u64::from(is_failed);
        for (kind, message) in errors.into_iter().chain(record.failure) {
            self.failures.entry(kind).or_insert((0, message)).0 += 1;
        }
        for (kind, count) in record.event_counts {
            *self.events.entry(kind).or_default() += count;
        }
        let code = record
            .close_code
            .map_or("none".to_owned(), |code| code.to_string());
        *self.close_codes.entry(code).or_default() += 1;
        self.max_send_delay_s = self.max_send_delay_s.max(record.max_delay_s);
        self.measures.add(measures);
    }

    /// Sessions that were added.
    pub fn played(&self) -> u64 {
        self.played
    }

    /// The report of the run.
    pub fn finish(self, concurrency: usize, seconds: f64) -> LiveRunReport {
        let measures = self.measures;
        LiveRunReport {
            concurrency,
            played: self.played,
            failed: self.failed,
            seconds,
            turns: measures.turns,
            failed_turns: measures.failed_turns,
            turns_that_differ: measures.turns_that_differ,
            first_delta_s: DelaySummary::of(measures.first_delta_s),
            word_s: DelaySummary::of(measures.word_s),
            final_s: DelaySummary::of(measures.final_s),
            lag_s: DelaySummary::of(measures.lag_s),
            lag_growth_s: DelaySummary::of(measures.lag_growth_s),
            committed_words: measures.committed_words,
            withdrawn_words: measures.withdrawn_words,
            changed_commits: measures.changed_commits,
            against_upload: measures.against_upload.into(),
            against_text: measures.against_text.into(),
            events: self.events,
            close_codes: self.close_codes,
            errors: (self.failures.iter())
                .map(|(kind, (count, _))| (kind.clone(), *count))
                .collect(),
            error_messages: (self.failures.into_iter())
                .map(|(kind, (_, message))| (kind, message))
                .collect(),
            max_send_delay_s: self.max_send_delay_s,
            uploads: None,
        }
    }
}

impl DelaySummary {
    /// The nearest-rank percentiles; `None` without values.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100).max(1);
            values.get(rank - 1).copied()
        };
        Some(Self {
            count: values.len(),
            p50: at(50)?,
            p95: at(95)?,
            max: at(100)?,
        })
    }
}

impl From<TextErrors> for ErrorReport {
    fn from(errors: TextErrors) -> Self {
        let TextErrors {
            upload,
            completed,
            deltas,
        } = errors;
        Self {
            words: completed.words,
            upload: upload.errors,
            completed: completed.errors,
            deltas: deltas.errors,
            upload_rate: upload.rate(),
            completed_rate: completed.rate(),
            deltas_rate: WordErrors::rate(deltas),
        }
    }
}

#[cfg(test)]
mod tests;
