//! Who speaks when, in speaches' format and as RTTM.

use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use super::numbers::seconds;
use crate::transcript::{LabelledSpan, Speaker, SpeakerTimeline};

/// Who speaks when in a recording.
#[derive(Serialize, ToSchema)]
pub struct Diarization<'a> {
    /// Seconds of the recording.
    duration: f64,
    /// By start; those of different speakers may overlap.
    segments: Vec<DiarizationSegment<'a>>,
}

/// A speaker without interruption.
#[derive(Serialize, ToSchema)]
struct DiarizationSegment<'a> {
    /// Where it begins, in seconds.
    start: f64,
    /// Where it ends, in seconds.
    end: f64,
    /// A known name, or `SPEAKER_00`, `SPEAKER_01` and so on, in the order of their first speech.
    speaker: &'a str,
}

/// Renders the JSON response.
#[must_use]
pub fn speaker_timeline(timeline: &SpeakerTimeline) -> String {
    let segments = timeline.spans.iter().map(|span| DiarizationSegment {
        start: seconds(span.start_s),
        end: seconds(span.end_s),
        speaker: span.speaker.label(),
    });
    json::write(&Diarization {
        duration: seconds(timeline.duration.as_secs_f64()),
        segments: segments.collect(),
    })
}

/// Renders lines of the Rich Transcription Time Marked format of NIST. Its fields are separated by spaces, so that
/// those in names become `_`.
#[must_use]
pub fn rttm(timeline: &SpeakerTimeline) -> String {
    let line = |span: &LabelledSpan| {
        let (start, end) = (seconds(span.start_s), seconds(span.end_s));
        let duration = end - start;
        let name = Speaker::rttm_name(span.speaker.label());
        format!("SPEAKER audio 1 {start:.3} {duration:.3} <NA> <NA> {name} <NA> <NA>\n")
    };
    timeline.spans.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn timeline() -> SpeakerTimeline {
        let span = |start_s, end_s, name: &str| LabelledSpan {
            start_s,
            end_s,
            speaker: Speaker::named(name),
        };
        SpeakerTimeline {
            duration: Duration::from_millis(9_500),
            spans: vec![
                span(0.1 + 0.2, 2.0, "SPEAKER_00"),
                span(1.5, 9.4567, "Ann \"B\" C"),
            ],
        }
    }

    #[test]
    fn renders_speaches_schema() {
        assert_eq!(
            speaker_timeline(&timeline()),
            r#"{"duration":9.5,"segments":[{"start":0.3,"end":2.0,"speaker":"SPEAKER_00"},{"start":1.5,"end":9.457,"speaker":"Ann \"B\" C"}]}"#
        );
    }

    #[test]
    fn renders_ten_fields_a_line() {
        let expected = "SPEAKER audio 1 0.300 1.700 <NA> <NA> SPEAKER_00 <NA> <NA>\n\
             SPEAKER audio 1 1.500 7.957 <NA> <NA> Ann_\"B\"_C <NA> <NA>\n";
        assert_eq!(rttm(&timeline()), expected);
        for line in expected.lines() {
            assert_eq!(line.split(' ').count(), 10);
        }
        let nobody = SpeakerTimeline {
            spans: Vec::new(),
            ..timeline()
        };
        assert_eq!(rttm(&nobody), "");
    }
}
