//! Snapshots of the table and of the JSON.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::cli::bench::clips::Clip;
use crate::cli::bench::statistics::{
    RequestFailure, RequestOutcome, RequestResult, RunStatistics, TranscriptionResponse,
};

fn report() -> LiveReport {
    let errors = |words, errors| WordErrors { words, errors };
    let text_errors = |words| TextErrors {
        upload: errors(words, 0),
        completed: errors(words, 2),
        deltas: errors(words, 5),
    };
    let delays = |n: u32| (1..=n).map(|at| f64::from(at) / 100.0).collect();
    let measures = SessionMeasures {
        turns: 3,
        failed_turns: 0,
        turns_that_differ: 1,
        first_delta_s: vec![2.0, 2.5, 3.0],
        word_s: delays(200),
        final_s: vec![1.0, 1.2, 0.9],
        lag_s: delays(300),
        lag_growth_s: vec![0.01],
        committed_words: 200,
        withdrawn_words: 50,
        changed_commits: 0,
        against_upload: text_errors(200),
        against_text: text_errors(190),
    };
    let record = SessionRecord {
        event_counts: [("ready".to_owned(), 1), ("transcript.final".to_owned(), 3)].into(),
        close_code: Some(1000),
        max_delay_s: 0.004,
        ..SessionRecord::default()
    };
    let refused = SessionRecord {
        failure: Some(("429".to_owned(), "Too many sessions.".to_owned())),
        ..SessionRecord::default()
    };
    let mut run = RunCollector::default();
    run.add(record, measures, Vec::new());
    run.add(refused, SessionMeasures::default(), Vec::new());
    assert_eq!(run.played(), 2);
    LiveReport {
        url: "ws://127.0.0.1:8000/v1/audio/transcriptions/stream".to_owned(),
        model: "whisper-1".to_owned(),
        delay: Some("low"),
        turn_detection: "silence",
        frame_ms: 100,
        clips: 1,
        runs: vec![run.finish(4, 61.5)],
    }
}

#[test]
fn a_table_for_people() {
    let report = report();
    let rows: Vec<_> = report.runs.iter().map(LiveRunReport::row).collect();
    let failures = report.failures().unwrap();
    insta::assert_snapshot!(format!(
        "{}\n{}\n{failures}",
        report.head(),
        rows.join("\n")
    ));
}

#[test]
fn json_for_programs() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&report()).unwrap());
}

#[test]
fn uploads_are_compared_with_uploads_alone() {
    let run = |audio_s: f64| {
        let mut statistics = RunStatistics::new(1);
        let clip = Clip {
            name: "a.wav".to_owned(),
            audio: Bytes::new(),
            language: None,
            text: None,
            duration_s: Some(audio_s),
        };
        for outcome in [
            RequestOutcome::Success(TranscriptionResponse::default()),
            RequestOutcome::Failure(RequestFailure {
                kind: "429".to_owned(),
                message: String::new(),
                retry_delay: Duration::ZERO,
            }),
        ] {
            let result = RequestResult {
                clip: 0,
                latency: Duration::from_secs(1),
                outcome,
            };
            statistics.add(result, std::slice::from_ref(&clip));
        }
        statistics.finish(Duration::from_secs(10), &[clip])
    };
    let uploads = UploadsReport {
        callers: 8,
        alone: run(100.0),
        during: run(60.0),
    };
    assert_eq!(
        uploads.note(),
        "uploads of 8 callers: 10.00 s of audio per second alone, 6.00 s of audio per second during the sessions \
         (60 %); failed 1 of 2"
    );
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let summary = DelaySummary::of((1..=20).rev().map(f64::from).collect()).unwrap();
    assert_eq!(
        (summary.count, summary.p50, summary.p95, summary.max),
        (20, 10.0, 19.0, 20.0)
    );
    let summary = DelaySummary::of(vec![-0.5]).unwrap();
    assert_eq!((summary.p50, summary.p95), (-0.5, -0.5));
    assert_eq!(DelaySummary::of(Vec::new()), None);
}
