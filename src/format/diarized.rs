//! OpenAI's `diarized_json` format.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use super::numbers::seconds;
use super::turns::{Turn, segment_id, turns};
use super::usage::Usage;
use crate::transcript::{self, Speaker, Speakers, Transcript};

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
pub(super) struct Segment<'a> {
    /// `transcript.text.segment`.
    r#type: &'static str,
    /// Its id, from `seg_001`.
    id: String,
    /// Where it begins, in seconds.
    start: f64,
    /// Where it ends, in seconds.
    end: f64,
    /// Its text.
    text: Cow<'a, str>,
    /// A known name, or `A`, `B` and so on: for the channels in their order, for voices by their first words.
    speaker: Cow<'a, str>,
}

impl<'a> Segment<'a> {
    /// A segment of a channel; `number` counts from 1. The speaker of a recording with one channel is A.
    fn of_channel(segment: &'a transcript::Segment, number: usize) -> Self {
        let label = |speaker: &'a Speaker| Cow::Borrowed(speaker.label());
        Self {
            r#type: "transcript.text.segment",
            id: segment_id(number),
            start: seconds(segment.start_s),
            end: seconds(segment.end_s),
            text: segment.text.trim().into(),
            speaker: segment.speaker.as_ref().map_or("A".into(), label),
        }
    }

    /// A segment of a voice.
    pub fn of_voice(turn: Turn) -> Self {
        Self {
            r#type: "transcript.text.segment",
            start: seconds(turn.start_s),
            end: seconds(turn.end_s),
            speaker: turn.speaker.label().to_owned().into(),
            id: turn.id,
            text: turn.text.into(),
        }
    }
}

/// Renders the segments of each speaker.
pub(super) fn render(transcript: &Transcript) -> String {
    let numbered = (1..).zip(&transcript.segments);
    let segments = match transcript.speakers {
        Speakers::Channels => numbered
            .map(|(number, segment)| Segment::of_channel(segment, number))
            .collect(),
        Speakers::Voices => turns(transcript)
            .into_iter()
            .map(Segment::of_voice)
            .collect(),
    };
    json::write(&TranscriptionDiarized {
        task: transcript.task.name(),
        duration: seconds(transcript.duration.as_secs_f64()),
        text: &transcript.text,
        segments,
        usage: Usage::of(transcript.duration),
    })
}

#[cfg(test)]
mod tests {
    use crate::format::tests::{call, one_object_a_line, two_voices};
    use crate::format::{OutputOptions, ResponseFormat, render};

    #[test]
    fn lists_the_segments_of_each_speaker() {
        let options = OutputOptions {
            format: ResponseFormat::DiarizedJson,
            ..OutputOptions::default()
        };
        insta::assert_snapshot!(one_object_a_line(&render(&call(), &options)));
        insta::assert_snapshot!(one_object_a_line(&render(&two_voices(), &options)));
    }
}
