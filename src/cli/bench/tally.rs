//! Counts the answers of one run.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::clips::Clip;
use super::report::{Latency, Run};
use super::words::Score;

/// Latencies are kept from a microsecond to a day, to three digits.
const LONGEST_US: u64 = 24 * 3600 * 1_000_000;
const DIGITS: u8 = 3;

/// What became of one request.
#[derive(Clone, Debug)]
pub struct Done {
    /// Which clip was sent.
    pub clip: usize,
    /// From when it was due to the end of its answer.
    pub latency: Duration,
    /// What came back.
    pub outcome: Outcome,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Status 200.
    Answered(Answer),
    /// Anything else.
    Failed(Failure),
}

/// What a transcription's answer tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// What was said, where the answer is JSON with a text, or plain text.
    pub text: Option<String>,
    /// How much audio the server heard.
    pub audio_s: Option<f64>,
    /// How many windows shared its batch.
    pub batch: Option<f64>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status, or `timeout`, `connect` or `broken`.
    pub kind: String,
    /// What the server or the network said.
    pub said: String,
    /// How long its caller leaves the server alone.
    pub pause: Duration,
}

/// The answers of one run.
#[derive(Debug)]
pub struct Tally {
    requests: u64,
    failures: BTreeMap<String, (u64, String)>,
    latencies_us: Histogram<u64>,
    /// None once an answer came for a clip of unknown length.
    audio_s: Option<f64>,
    /// Windows in the batches of the answers that name them.
    batches: Vec<f64>,
    /// How often each text came back, for each clip.
    texts: Vec<HashMap<String, u64>>,
}

impl Tally {
    /// No answers to requests with so many clips.
    pub fn new(clips: usize) -> Self {
        Self {
            requests: 0,
            failures: BTreeMap::new(),
            latencies_us: Histogram::new_with_bounds(1, LONGEST_US, DIGITS)
                .expect("the bounds are in order and the digits are at most five"),
            audio_s: Some(0.0),
            batches: Vec::new(),
            texts: vec![HashMap::new(); clips],
        }
    }

    /// Counts one more.
    pub fn add(&mut self, done: Done, clips: &[Clip]) {
        self.requests += 1;
        let answer = match done.outcome {
            Outcome::Answered(answer) => answer,
            Outcome::Failed(Failure { kind, said, .. }) => {
                self.failures.entry(kind).or_insert((0, said)).0 += 1;
                return;
            }
        };
        let latency_us = u64::try_from(done.latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies_us.saturating_record(latency_us.max(1));
        let audio_s = clips[done.clip].duration_s.or(answer.audio_s);
        self.audio_s = self.audio_s.zip(audio_s).map(|(all, one)| all + one);
        self.batches.extend(answer.batch);
        if let Some(text) = answer.text {
            *self.texts[done.clip].entry(text).or_default() += 1;
        }
    }

    /// How many were counted.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// What the run came to, in the time from its start to its last answer.
    pub fn finish(self, elapsed: Duration, clips: &[Clip]) -> Run {
        let ok = self.latencies_us.len();
        let seconds = elapsed.as_secs_f64();
        let each_second = |count: f64| count / seconds.max(f64::MIN_POSITIVE);
        let score = self.score(clips);
        let several = self.texts.iter().filter(|texts| texts.len() > 1);
        let batches = self.batches.len() as f64;
        Run {
            concurrency: None,
            rate: None,
            requests: self.requests,
            ok,
            seconds,
            requests_per_s: each_second(ok as f64),
            audio_s_per_s: self.audio_s.map(each_second),
            latency_s: (ok > 0).then(|| latency(&self.latencies_us)),
            word_error_rate: (score.words > 0).then(|| score.wrong as f64 / score.words as f64),
            words: score.words,
            words_wrong: score.wrong,
            mean_batch: (batches > 0.0).then(|| self.batches.iter().sum::<f64>() / batches),
            clips_with_several_texts: several.count(),
            errors: (self.failures.iter())
                .map(|(kind, (count, _))| (kind.clone(), *count))
                .collect(),
            said: (self.failures.into_iter())
                .map(|(kind, (_, said))| (kind, said))
                .collect(),
        }
    }

    fn score(&self, clips: &[Clip]) -> Score {
        let mut all = Score::default();
        for (clip, texts) in clips.iter().zip(&self.texts) {
            let Some(said) = &clip.text else { continue };
            for (heard, count) in texts {
                all += Score::of(said, heard, clip.language.as_deref()).times(*count);
            }
        }
        all
    }
}

fn latency(histogram_us: &Histogram<u64>) -> Latency {
    let seconds = |us: u64| us as f64 / 1e6;
    let quantile = |q: f64| seconds(histogram_us.value_at_quantile(q));
    Latency {
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

    fn answered(clip: usize, ms: u64, answer: Answer) -> Done {
        Done {
            clip,
            latency: Duration::from_millis(ms),
            outcome: Outcome::Answered(answer),
        }
    }

    fn text(text: &str) -> Answer {
        Answer {
            text: Some(text.to_owned()),
            ..Answer::default()
        }
    }

    fn failed(kind: &str, said: &str) -> Done {
        Done {
            clip: 0,
            latency: Duration::from_secs(500),
            outcome: Outcome::Failed(Failure {
                kind: kind.to_owned(),
                said: said.to_owned(),
                pause: Duration::ZERO,
            }),
        }
    }

    fn run_of(clips: &[Clip], all: impl IntoIterator<Item = Done>) -> Run {
        let mut tally = Tally::new(clips.len());
        for done in all {
            tally.add(done, clips);
        }
        tally.finish(Duration::from_secs(10), clips)
    }

    #[test]
    fn percentiles_are_those_of_the_answers_alone() {
        let answers = (1..=1000).map(|ms| answered(0, ms, Answer::default()));
        let run = run_of(&[Clip::default()], answers.chain([failed("500", "")]));
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
        let all = [
            failed("429", "full"),
            failed("timeout", "too late"),
            failed("429", "full again"),
        ];
        let run = run_of(&[Clip::default()], all);
        assert_eq!((run.requests, run.ok), (3, 0));
        assert_eq!(run.errors, [("429", 2), ("timeout", 1)].map(owned).into());
        assert_eq!(run.said["429"], "full");
        assert!(run.latency_s.is_none());
        assert_eq!((run.word_error_rate, run.mean_batch), (None, None));
    }

    fn owned((kind, count): (&str, u64)) -> (String, u64) {
        (kind.to_owned(), count)
    }

    #[test]
    fn every_answer_counts_for_the_word_error_rate_and_each_clip_for_its_texts() {
        let clip = |said: Option<&str>| Clip {
            text: said.map(str::to_owned),
            ..Clip::default()
        };
        let clips = [clip(Some("one two")), clip(Some("")), clip(None)];
        let all = [
            answered(0, 1, text("One, two.")),
            answered(0, 1, text("One, two.")),
            answered(0, 1, text("One.")),
            answered(1, 1, text("You")),
            answered(2, 1, text("a")),
            answered(2, 1, text("b")),
        ];
        let run = run_of(&clips, all);
        assert_eq!((run.words, run.words_wrong), (6, 2));
        assert_eq!(run.word_error_rate, Some(2.0 / 6.0));
        assert_eq!(run.clips_with_several_texts, 2);
    }

    #[test]
    fn audio_is_as_long_as_the_manifest_says_or_else_the_server() {
        let known = Clip {
            duration_s: Some(2.5),
            ..Clip::default()
        };
        let clips = [known, Clip::default()];
        let heard = |audio_s, batch| Answer {
            audio_s,
            batch,
            text: None,
        };
        let two = [
            answered(0, 1, heard(Some(3.0), Some(2.0))),
            answered(1, 1, heard(Some(7.5), Some(5.0))),
        ];
        let run = run_of(&clips, two.clone());
        assert_eq!(run.audio_s_per_s, Some(1.0));
        assert_eq!(run.mean_batch, Some(3.5));
        let unknown = answered(1, 1, Answer::default());
        let run = run_of(&clips, two.into_iter().chain([unknown]));
        assert_eq!(run.audio_s_per_s, None, "half a sum would mislead");
        assert_eq!(run.mean_batch, Some(3.5));
    }
}
