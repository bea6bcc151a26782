//! The results of live sessions as text.

use std::collections::BTreeMap;

use super::{DelaySummary, LiveReport, LiveRunReport, UploadsReport};
use crate::cli::bench::report::RunReport;

/// Names and widths of the table's columns.
const COLUMNS: [(&str, usize); 11] = [
    ("sessions", 8),
    ("played", 6),
    ("failed", 6),
    ("turns", 6),
    ("first delta", 13),
    ("word", 13),
    ("final", 13),
    ("lag p95/max", 13),
    ("completed", 9),
    ("deltas", 7),
    ("withdrawn", 9),
];

impl LiveReport {
    /// The lines before the first row.
    pub fn head(&self) -> String {
        let clips = match self.clips {
            1 => "1 clip".to_owned(),
            count => format!("{count} clips"),
        };
        format!(
            "{}, model {}, {clips}, frames of {} ms, delay {}, turn detection {}\n\
             seconds of audio as p50/p95: from the begin of speech to the first delta, from the end of a word to \
             its delta, from the end of speech to the final text\n\
             wrong words are counted against the upload route's\n\n{}",
            self.url,
            self.model,
            self.frame_ms,
            self.delay.unwrap_or("of the server"),
            self.turn_detection,
            line(&COLUMNS.map(|(name, _)| name.to_owned()))
        )
    }

    /// A summary of the failed sessions; `None` if there are none.
    pub fn failures(&self) -> Option<String> {
        let played: u64 = self.runs.iter().map(|run| run.played).sum();
        let failed: u64 = self.runs.iter().map(|run| run.failed).sum();
        let lines = self.runs.iter().flat_map(|run| {
            run.errors.iter().map(|(kind, count)| {
                let message = run.error_messages.get(kind).map_or("", String::as_str);
                format!(
                    "\n  {} sessions, {count} × {kind}: {message}",
                    run.concurrency
                )
            })
        });
        let lines: String = lines.collect();
        (failed > 0).then(|| format!("{failed} of {played} sessions failed{lines}"))
    }
}

impl LiveRunReport {
    /// The run's row in the table, and what else there is to say about it.
    pub fn row(&self) -> String {
        let seconds = |summary: &Option<DelaySummary>, pick: fn(&DelaySummary) -> (f64, f64)| {
            let picked = summary.as_ref().map(pick);
            picked.map_or("-".to_owned(), |(a, b)| format!("{a:.2} / {b:.2}"))
        };
        let usual = |summary| seconds(summary, |all: &DelaySummary| (all.p50, all.p95));
        let withdrawn = match self.committed_words {
            0 => "-".to_owned(),
            words => format!("{:.2}", self.withdrawn_words as f64 / words as f64),
        };
        let row = line(&[
            self.concurrency.to_string(),
            self.played.to_string(),
            self.failed.to_string(),
            self.turns.to_string(),
            usual(&self.first_delta_s),
            usual(&self.word_s),
            usual(&self.final_s),
            seconds(&self.lag_s, |all| (all.p95, all.max)),
            percent(self.against_upload.completed_rate),
            percent(self.against_upload.deltas_rate),
            withdrawn,
        ]);
        let mut lines = vec![row];
        lines.extend(
            self.notes()
                .into_iter()
                .map(|note| format!("{:10}{note}", "")),
        );
        lines.join("\n")
    }

    fn notes(&self) -> Vec<String> {
        let counts = |all: &BTreeMap<String, u64>| {
            let all: Vec<String> = all
                .iter()
                .map(|(name, count)| format!("{count} × {name}"))
                .collect();
            all.join(", ")
        };
        let mut notes = Vec::new();
        let text = &self.against_text;
        if text.words > 0 {
            notes.push(format!(
                "against {} words of the reference texts: upload {}, completed {}, deltas {}",
                text.words,
                percent(text.upload_rate),
                percent(text.completed_rate),
                percent(text.deltas_rate)
            ));
        }
        if let Some(growth) = &self.lag_growth_s {
            let (p50, max) = (growth.p50, growth.max);
            notes.push(format!(
                "lag of the last quarter less that of the first: p50 {p50:.2}, max {max:.2}"
            ));
        }
        notes.push(format!(
            "turns whose deltas differ from their final text: {}; committed text changed: {}",
            self.turns_that_differ, self.changed_commits
        ));
        notes.push(format!("events: {}", counts(&self.events)));
        notes.push(format!("close codes: {}", counts(&self.close_codes)));
        notes.push(format!(
            "longest delay of a frame: {:.3} s",
            self.max_send_delay_s
        ));
        notes.extend(self.uploads.as_ref().map(UploadsReport::note));
        notes
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.2} %", share * 100.0))
}

fn line(cells: &[String; COLUMNS.len()]) -> String {
    let cells = cells.iter().zip(COLUMNS);
    let cells: Vec<_> = cells
        .map(|(cell, (_, width))| format!("{cell:>width$}"))
        .collect();
    cells.join("  ")
}

impl UploadsReport {
    pub fn note(&self) -> String {
        let speed = |run: &RunReport| match run.audio_s_per_s {
            Some(audio_s) => format!("{audio_s:.2} s of audio per second"),
            None => format!("{:.3} requests per second", run.requests_per_s),
        };
        let pick = |run: &RunReport| run.audio_s_per_s.unwrap_or(run.requests_per_s);
        let share = pick(&self.during) / pick(&self.alone).max(f64::MIN_POSITIVE);
        format!(
            "uploads of {} callers: {} alone, {} during the sessions ({:.0} %); failed {} of {}",
            self.callers,
            speed(&self.alone),
            speed(&self.during),
            share * 100.0,
            self.during.requests - self.during.ok,
            self.during.requests
        )
    }
}
