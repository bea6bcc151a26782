//! OpenAI's `diarized_json` format.

use serde::Serialize;

use super::json;
use super::numbers::seconds;
use super::usage::Usage;
use crate::transcript::{self, Speaker, Transcript};

#[derive(Serialize)]
struct Body<'a> {
    task: &'static str,
    duration: f64,
    text: &'a str,
    segments: Vec<Segment<'a>>,
    usage: Usage,
}

/// What one speaker said.
#[derive(Serialize)]
struct Segment<'a> {
    r#type: &'static str,
    id: String,
    start: f64,
    end: f64,
    text: &'a str,
    speaker: String,
}

impl<'a> Segment<'a> {
    /// `number` counts from 1. Who speaks on a recording of one channel is speaker A.
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

/// Who said what.
pub(super) fn render(transcript: &Transcript) -> String {
    let numbered = (1..).zip(&transcript.segments);
    json::write(&Body {
        task: transcript.task.as_str(),
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
    use crate::format::{ResponseFormat, Wish, render};

    #[test]
    fn says_who_said_what() {
        let wish = Wish {
            format: ResponseFormat::DiarizedJson,
            ..Wish::default()
        };
        insta::assert_snapshot!(one_object_a_line(&render(&call(), &wish)));
    }
}
