//! The results of a benchmark, as JSON or as a table.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// Names and widths of the table's columns after the first, which names the load.
const COLUMNS: [(&str, usize); 14] = [
    ("requests", 8),
    ("failed", 6),
    ("seconds", 7),
    ("requests/s", 10),
    ("audio s/s", 9),
    ("min", 7),
    ("mean", 7),
    ("p50", 7),
    ("p90", 7),
    ("p95", 7),
    ("p99", 7),
    ("max", 7),
    ("batch", 5),
    ("wrong words", 11),
];
const LOAD_WIDTH: usize = 7;

/// The results of all runs.
#[derive(Clone, Debug, Serialize)]
pub struct BenchReport {
    /// The URL of the requests.
    pub url: String,
    /// The model of the requests.
    pub model: String,
    /// Number of different recordings sent.
    pub clips: usize,
    /// The report of each run.
    pub runs: Vec<RunReport>,
}

/// The results of one run.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// Callers of a closed loop.
    pub concurrency: Option<usize>,
    /// Requests per second of an open loop.
    pub rate: Option<f64>,
    /// Completed requests, successful or failed.
    pub requests: u64,
    /// Responses with status 200.
    pub ok: u64,
    /// The number of failures by status or kind.
    pub errors: BTreeMap<String, u64>,
    /// The message of the first failure of each kind.
    #[serde(skip)]
    pub error_messages: BTreeMap<String, String>,
    /// From the start to the last response.
    #[serde(serialize_with = "rounded")]
    pub seconds: f64,
    /// Responses with status 200 per second.
    #[serde(serialize_with = "rounded")]
    pub requests_per_s: f64,
    /// Seconds of audio transcribed per second, if the length of every clip is known.
    #[serde(serialize_with = "rounded_option")]
    pub audio_s_per_s: Option<f64>,
    /// Latencies of the responses with status 200.
    pub latency_s: Option<LatencySummary>,
    /// Word errors divided by reference words.
    #[serde(serialize_with = "rounded_option")]
    pub word_error_rate: Option<f64>,
    /// Reference words of the responses with status 200.
    pub words: u64,
    /// Word errors: substitutions, deletions and insertions.
    pub words_wrong: u64,
    /// Mean of the responses' `x-batch-size`.
    #[serde(serialize_with = "rounded_option")]
    pub mean_batch: Option<f64>,
    /// Clips that were transcribed differently by different responses.
    pub clips_with_several_texts: usize,
}

/// Seconds from a request's due time to the end of its response.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LatencySummary {
    /// The minimum.
    #[serde(serialize_with = "rounded")]
    pub min: f64,
    /// The mean.
    #[serde(serialize_with = "rounded")]
    pub mean: f64,
    /// The median.
    #[serde(serialize_with = "rounded")]
    pub p50: f64,
    /// The 90th percentile.
    #[serde(serialize_with = "rounded")]
    pub p90: f64,
    /// The 95th percentile.
    #[serde(serialize_with = "rounded")]
    pub p95: f64,
    /// The 99th percentile.
    #[serde(serialize_with = "rounded")]
    pub p99: f64,
    /// The maximum.
    #[serde(serialize_with = "rounded")]
    pub max: f64,
}

impl BenchReport {
    /// The lines before the first row; `load` is the name of the first column.
    pub fn head(&self, load: &str) -> String {
        let clips = match self.clips {
            1 => "1 clip".to_owned(),
            count => format!("{count} clips"),
        };
        let names = COLUMNS.map(|(name, _)| name.to_owned());
        format!(
            "{}, model {}, {clips}\nlatencies in seconds, from when a request was due to the end \
             of its answer\n\n{}",
            self.url,
            self.model,
            line(load, &names)
        )
    }

    /// A summary of the failed requests; `None` if there are none.
    pub fn failures(&self) -> Option<String> {
        let requests: u64 = self.runs.iter().map(|run| run.requests).sum();
        let ok: u64 = self.runs.iter().map(|run| run.ok).sum();
        let mut kinds = BTreeMap::<&str, (u64, &str)>::new();
        for run in &self.runs {
            for (kind, count) in &run.errors {
                let message = run.error_messages.get(kind).map_or("", String::as_str);
                kinds.entry(kind).or_insert((0, message)).0 += count;
            }
        }
        let lines = kinds.iter().map(|(kind, (count, message))| {
            let message = match *message {
                "" => String::new(),
                message => format!(": {message}"),
            };
            format!("\n  {count} × {kind}{message}")
        });
        let failed = requests - ok;
        (failed > 0).then(|| {
            let lines: String = lines.collect();
            format!("{failed} of {requests} requests were not answered with 200{lines}")
        })
    }
}

impl RunReport {
    /// The run's row in the table; a line below it counts clips with several texts, if any.
    pub fn row(&self) -> String {
        let number = |digits: usize| move |value: f64| format!("{value:.digits$}");
        let or_dash = |cell: Option<String>| cell.unwrap_or_else(|| "-".to_owned());
        let latency = |pick: fn(&LatencySummary) -> f64| {
            or_dash(self.latency_s.as_ref().map(pick).map(number(3)))
        };
        let load = match (self.concurrency, self.rate) {
            (Some(callers), _) => callers.to_string(),
            (None, rate) => or_dash(rate.map(|rate| rate.to_string())),
        };
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        let cells = [
            self.requests.to_string(),
            (self.requests - self.ok).to_string(),
            number(1)(self.seconds),
            number(2)(self.requests_per_s),
            or_dash(self.audio_s_per_s.map(number(1))),
            latency(|all| all.min),
            latency(|all| all.mean),
            latency(|all| all.p50),
            latency(|all| all.p90),
            latency(|all| all.p95),
            latency(|all| all.p99),
            latency(|all| all.max),
            or_dash(self.mean_batch.map(number(1))),
            or_dash(self.word_error_rate.map(percent)),
        ];
        let mut row = line(&load, &cells);
        if self.clips_with_several_texts > 0 {
            let count = self.clips_with_several_texts;
            row += &format!("\n{:LOAD_WIDTH$}  clips with several texts: {count}", "");
        }
        row
    }
}

fn line(load: &str, cells: &[String; COLUMNS.len()]) -> String {
    let cells = cells.iter().zip(COLUMNS);
    let cells = cells.map(|(cell, (_, width))| format!("  {cell:>width$}"));
    format!("{load:>LOAD_WIDTH$}{}", cells.collect::<String>())
}

/// Rounds to microseconds; smaller digits are noise.
fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// Serializes a rounded number.
pub fn rounded<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(round(*value))
}

/// Serializes a rounded number, if there is one.
pub fn rounded_option<S: Serializer>(
    value: &Option<f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.map(round).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> BenchReport {
        let text = str::to_owned;
        let successful = RunReport {
            concurrency: Some(16),
            rate: None,
            requests: 48,
            ok: 48,
            errors: BTreeMap::new(),
            error_messages: BTreeMap::new(),
            seconds: 8.123_456_789,
            requests_per_s: 5.908_812,
            audio_s_per_s: Some(64.997),
            latency_s: Some(LatencySummary {
                min: 0.2,
                mean: 2.412_345_6,
                p50: 2.38,
                p90: 2.9,
                p95: 2.96,
                p99: 12.5,
                max: 120.001,
            }),
            word_error_rate: Some(1.0 / 22.0),
            words: 1056,
            words_wrong: 48,
            mean_batch: Some(7.25),
            clips_with_several_texts: 2,
        };
        let failed = RunReport {
            concurrency: None,
            rate: Some(2.5),
            requests: 3,
            ok: 0,
            errors: [(text("429"), 2), (text("timeout"), 1)].into(),
            error_messages: [(text("429"), text("Too many requests."))].into(),
            seconds: 60.0,
            requests_per_s: 0.0,
            audio_s_per_s: None,
            latency_s: None,
            word_error_rate: None,
            words: 0,
            words_wrong: 0,
            mean_batch: None,
            clips_with_several_texts: 0,
        };
        BenchReport {
            url: text("http://127.0.0.1:8000/v1/audio/transcriptions"),
            model: text("whisper-1"),
            clips: 2,
            runs: vec![successful, failed],
        }
    }

    #[test]
    fn a_table_for_people() {
        let report = report();
        let rows: Vec<_> = report.runs.iter().map(RunReport::row).collect();
        let failures = report.failures().unwrap();
        let table = format!(
            "{}\n{}\n{failures}",
            report.head("callers"),
            rows.join("\n")
        );
        insta::assert_snapshot!(table);
    }

    #[test]
    fn json_for_programs() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&report()).unwrap());
    }

    #[test]
    fn there_are_no_failures_if_every_request_succeeded() {
        let mut report = report();
        report.runs.truncate(1);
        assert_eq!(report.failures(), None);
    }
}
