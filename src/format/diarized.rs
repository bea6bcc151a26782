//! OpenAI's `diarized_json` format.

use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use super::numbers::seconds;
use super::usage::Usage;
use crate::transcript::{self, Speaker, Transcript};

/// The text with the segments of each speaker.
#[derive(Serialize, ToSchema)]
pub struct TranscriptionDiarized<'a> {
    /// `transcribe`.
    task: &'static str,
    /// Seconds of the recording.
    duration: f64,
    /// The text.
    text: &'a str,
    /// The segments, in order.
    segments: Vec<Segment<'a>>,
    usage: Usage,
}

/// A segment of one speaker.
#[derive(Serialize, ToSchema)]
#[schema(as = TranscriptionDiarizedSegment)]
struct Segment<'a> {
    /// `transcript.text.segment`.
    r#type: &'static str,
    /// Its id, from `seg_001`.
    id: String,
    /// Where it begins, in seconds.
    start: f64,
    /// Where it ends, in seconds.
    end: f64,
    /// Its text.
    text: &'a str,
    /// `A` for the first channel, `B` for the second, and so on.
    speaker: String,
}

impl<'a> Segment<'a> {
    /// `number` counts from 1. The speaker of a recording with one channel is A.
    fn new(segment: &'a transcript::Segment, number: usize) -> Self {
        Self {
            r#type: "transcript.text.segment",
            id: format!("seg_{number:03}"),
            start: seconds(segment.start_s),
            end: seconds(segment.end_s),
            text: segment.text.trim(),
            speaker: segment.speaker.unwrap_or(Speaker(0)).label(),
        }
    }
}

/// Renders the segments of each speaker.
pub(super) fn render(transcript: &Transcript) -> String {
    let numbered = (1..).zip(&transcript.segments);
    json::write(&TranscriptionDiarized {
        task: transcript.task.name(),
        duration: seconds(transcript.duration.as_secs_f64()),
        text: &transcript.text,
        segments: numbered
            .map(|(number, segment)| Segment::new(segment, number))
            .collect(),
        usage: Usage::of(transcript.duration),
    })
}

#[cfg(test)]
mod tests {
    use crate::format::tests::{call, one_object_a_line};
    use crate::format::{OutputOptions, ResponseFormat, render};

    #[test]
    fn lists_the_segments_of_each_speaker() {
        let options = OutputOptions {
            format: ResponseFormat::DiarizedJson,
            ..OutputOptions::default()
        };
        insta::assert_snapshot!(one_object_a_line(&render(&call(), &options)));
    }
}
