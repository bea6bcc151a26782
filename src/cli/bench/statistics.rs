//! Collects the results of one run's requests.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::clips::Clip;
use super::report::{LatencySummary, RunReport};
use super::word_errors::WordErrors;

/// Latencies are recorded from a microsecond to a day, with three significant digits.
const MAX_LATENCY_US: u64 = 24 * 3600 * 1_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// The result of one request.
#[derive(Clone, Debug)]
pub struct RequestResult {
    /// Index of the clip that was sent.
    pub clip: usize,
    /// From the request's due time to the end of its response.
    pub latency: Duration,
    /// The response or the failure.
    pub outcome: RequestOutcome,
}

/// The outcome of one request.
#[derive(Clone, Debug, PartialEq)]
pub enum RequestOutcome {
    /// Status 200.
    Success(TranscriptionResponse),
    /// Another status, or no response.
    Failure(RequestFailure),
}

/// The response to a transcription request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TranscriptionResponse {
    /// The transcript, if the response is JSON with a text, or plain text.
    pub text: Option<String>,
    /// Seconds of audio that the server decoded.
    pub audio_s: Option<f64>,
    /// Windows in the batch of the request's window.
    pub batch_windows: Option<f64>,
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFailure {
    /// The status, or `timeout`, `connect` or `broken`.
    pub kind: String,
    /// The server's message, or the network error.
    pub message: String,
    /// Delay before the caller's next request.
    pub retry_delay: Duration,
}

/// The results of one run.
#[derive(Debug)]
pub struct RunStatistics {
    requests: u64,
    /// For each kind, the number of failures and the first message.
    failures: BTreeMap<String, (u64, String)>,
    latencies_us: Histogram<u64>,
    /// `None` after a response for a clip of unknown length.
    audio_s: Option<f64>,
    /// Windows in the batches of the responses that report them.
    batch_windows: Vec<f64>,
    /// For each clip, how often each text was returned.
    texts: Vec<HashMap<String, u64>>,
}

impl RunStatistics {
    /// Statistics without results for `clips` clips.
    pub fn new(clips: usize) -> Self {
        Self {
            requests: 0,
            failures: BTreeMap::new(),
            latencies_us: Histogram::new_with_bounds(1, MAX_LATENCY_US, SIGNIFICANT_DIGITS)
                .expect("the bounds are in order and the digits are at most five"),
            audio_s: Some(0.0),
            batch_windows: Vec::new(),
            texts: vec![HashMap::new(); clips],
        }
    }

    /// Adds the result of a request.
    pub fn add(&mut self, result: RequestResult, clips: &[Clip]) {
        self.requests += 1;
        let response = match result.outcome {
            RequestOutcome::Success(response) => response,
            RequestOutcome::Failure(RequestFailure { kind, message, .. }) => {
                self.failures.entry(kind).or_insert((0, message)).0 += 1;
                return;
            }
        };
        let latency_us = u64::try_from(result.latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies_us.saturating_record(latency_us.max(1));
        let audio_s = clips[result.clip].duration_s.or(response.audio_s);
        self.audio_s = self.audio_s.zip(audio_s).map(|(sum, s)| sum + s);
        self.batch_windows.extend(response.batch_windows);
        if let Some(text) = response.text {
            *self.texts[result.clip].entry(text).or_default() += 1;
        }
    }

    /// The number of results.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The report of the run; `elapsed` is the time from its start to its last response.
    pub fn finish(self, elapsed: Duration, clips: &[Clip]) -> RunReport {
        let ok = self.latencies_us.len();
        let seconds = elapsed.as_secs_f64();
        let per_second = |count: f64| count / seconds.max(f64::MIN_POSITIVE);
        let word_errors = self.word_errors(clips);
        let with_several_texts = self.texts.iter().filter(|texts| texts.len() > 1);
        let batches = self.batch_windows.len() as f64;
        let batch_windows = self.batch_windows.iter().sum::<f64>();
        RunReport {
            concurrency: None,
            rate: None,
            requests: self.requests,
            ok,
            seconds,
            requests_per_s: per_second(ok as f64),
            audio_s_per_s: self.audio_s.map(per_second),
            latency_s: (ok > 0).then(|| latency(&self.latencies_us)),
            word_error_rate: word_errors.rate(),
            words: word_errors.words,
            words_wrong: word_errors.errors,
            mean_batch: (batches > 0.0).then(|| batch_windows / batches),
            clips_with_several_texts: with_several_texts.count(),
            errors: (self.failures.iter())
                .map(|(kind, (count, _))| (kind.clone(), *count))
                .collect(),
            error_messages: (self.failures.into_iter())
                .map(|(kind, (_, message))| (kind, message))
                .collect(),
        }
    }

    fn word_errors(&self, clips: &[Clip]) -> WordErrors {
        let mut sum = WordErrors::default();
        for (clip, texts) in clips.iter().zip(&self.texts) {
            let Some(reference) = &clip.text else {
                continue;
            };
            for (hypothesis, count) in texts {
                let errors = WordErrors::count(reference, hypothesis, clip.language.as_deref());
                sum += errors.times(*count);
            }
        }
        sum
    }
}

fn latency(histogram_us: &Histogram<u64>) -> LatencySummary {
    let seconds = |us: u64| us as f64 / 1e6;
    let quantile = |q: f64| seconds(histogram_us.value_at_quantile(q));
    LatencySummary {
        min: seconds(histogram_us.min()),
        mean: histogram_us.mean() / 1e6,
        p50: quantile(0.5),
        p90: quantile(0.9),
        p95: quantile(0.95),
        p99: quantile(0.99),
        max: seconds(histogram_us.max()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn success(clip: usize, ms: u64, response: TranscriptionResponse) -> RequestResult {
        RequestResult {
            clip,
            latency: Duration::from_millis(ms),
            outcome: RequestOutcome::Success(response),
        }
    }

    fn text(text: &str) -> TranscriptionResponse {
        TranscriptionResponse {
            text: Some(text.to_owned()),
            ..TranscriptionResponse::default()
        }
    }

    fn failure(kind: &str, message: &str) -> RequestResult {
        RequestResult {
            clip: 0,
            latency: Duration::from_secs(500),
            outcome: RequestOutcome::Failure(RequestFailure {
                kind: kind.to_owned(),
                message: message.to_owned(),
                retry_delay: Duration::ZERO,
            }),
        }
    }

    fn report(clips: &[Clip], results: impl IntoIterator<Item = RequestResult>) -> RunReport {
        let mut statistics = RunStatistics::new(clips.len());
        for result in results {
            statistics.add(result, clips);
        }
        statistics.finish(Duration::from_secs(10), clips)
    }

    #[test]
    fn percentiles_count_only_successful_requests() {
        let results = (1..=1000).map(|ms| success(0, ms, TranscriptionResponse::default()));
        let run = report(&[Clip::default()], results.chain([failure("500", "")]));
        assert_eq!((run.requests, run.ok), (1001, 1000));
        assert_eq!(run.requests_per_s, 100.0);
        let latency = run.latency_s.unwrap();
        for (actual, expected) in [
            (latency.min, 0.001),
            (latency.mean, 0.5005),
            (latency.p50, 0.5),
            (latency.p90, 0.9),
            (latency.p95, 0.95),
            (latency.p99, 0.99),
            (latency.max, 1.0),
        ] {
            assert!((actual - expected).abs() <= expected / 1000.0, "{actual}");
        }
    }

    #[test]
    fn failures_are_counted_by_kind() {
        let results = [
            failure("429", "full"),
            failure("timeout", "too late"),
            failure("429", "full again"),
        ];
        let run = report(&[Clip::default()], results);
        assert_eq!((run.requests, run.ok), (3, 0));
        assert_eq!(run.errors, [("429", 2), ("timeout", 1)].map(owned).into());
        assert_eq!(run.error_messages["429"], "full");
        assert!(run.latency_s.is_none());
        assert_eq!((run.word_error_rate, run.mean_batch), (None, None));
    }

    fn owned((kind, count): (&str, u64)) -> (String, u64) {
        (kind.to_owned(), count)
    }

    #[test]
    fn counts_word_errors_of_every_response_and_clips_with_several_texts() {
        let clip = |reference: Option<&str>| Clip {
            text: reference.map(str::to_owned),
            ..Clip::default()
        };
        let clips = [clip(Some("one two")), clip(Some("")), clip(None)];
        let results = [
            success(0, 1, text("One, two.")),
            success(0, 1, text("One, two.")),
            success(0, 1, text("One.")),
            success(1, 1, text("You")),
            success(2, 1, text("a")),
            success(2, 1, text("b")),
        ];
        let run = report(&clips, results);
        assert_eq!((run.words, run.words_wrong), (6, 2));
        assert_eq!(run.word_error_rate, Some(2.0 / 6.0));
        assert_eq!(run.clips_with_several_texts, 2);
    }

    #[test]
    fn the_audio_length_is_the_manifests_or_else_the_servers() {
        let known = Clip {
            duration_s: Some(2.5),
            ..Clip::default()
        };
        let clips = [known, Clip::default()];
        let response = |audio_s, batch_windows| TranscriptionResponse {
            audio_s,
            batch_windows,
            text: None,
        };
        let two = [
            success(0, 1, response(Some(3.0), Some(2.0))),
            success(1, 1, response(Some(7.5), Some(5.0))),
        ];
        let run = report(&clips, two.clone());
        assert_eq!(run.audio_s_per_s, Some(1.0));
        assert_eq!(run.mean_batch, Some(3.5));
        let unknown = success(1, 1, TranscriptionResponse::default());
        let run = report(&clips, two.into_iter().chain([unknown]));
        assert_eq!(run.audio_s_per_s, None, "a partial sum would mislead");
        assert_eq!(run.mean_batch, Some(3.5));
    }
}
