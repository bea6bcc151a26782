//! The data of the server-sent events of a streamed response: JSON on one line.

use serde::Serialize;
use utoipa::ToSchema;

use super::json::{self, Logprob};
use super::languages::SpokenLanguage;
use super::numbers::seconds;
use super::turns::{segment_id, turns};
use super::usage::TokenUsage;
use super::verbose::{self, DroppedSpan, Word};
use super::{OutputOptions, ResponseFormat, diarized};
use crate::transcript::{DropReason, Segment, Speaker, TokenLogprob, Transcript};

/// More text.
#[derive(Serialize, ToSchema)]
pub struct TranscriptionTextDelta<'a> {
    /// `transcript.text.delta`.
    r#type: &'static str,
    /// The text to append; the deltas of a stream, joined, are the text.
    delta: &'a str,
    /// The id of a segment that follows at the end and begins with this text or continues it; only in a
    /// stream of `diarized_json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_id: Option<String>,
    /// Its tokens; only with `include[]=logprobs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<Logprob<'a>>>,
}

/// The whole text, as the last event.
#[derive(Serialize, ToSchema)]
pub struct TranscriptionTextDone<'a> {
    /// `transcript.text.done`.
    r#type: &'static str,
    /// The text.
    text: &'a str,
    /// Its tokens; only with `include[]=logprobs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<Logprob<'a>>>,
    /// The parts whose text repeated itself up to the maximum length and was removed after its begin had
    /// been sent; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<DroppedSpan<'a>>,
    /// The language spoken; empty if there was no speech.
    languages: Vec<SpokenLanguage>,
    usage: TokenUsage,
}

/// A segment of the text, in a stream of `verbose_json` or `diarized_json`.
#[derive(Serialize, ToSchema)]
pub struct TranscriptionTextSegment<'a> {
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
    /// The speaker, if there are speakers.
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<&'a str>,
    /// Its words; only with `timestamp_granularities[]=word`.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<Word<'a>>>,
}

/// More text. The deltas of a stream, joined, must be the text of its [`done`] event, including the
/// spaces between them.
#[must_use]
pub fn delta(text: &str, logprobs: Option<&[TokenLogprob]>) -> String {
    json::write(&TranscriptionTextDelta {
        r#type: "transcript.text.delta",
        delta: text,
        segment_id: None,
        logprobs: logprobs.map(Logprob::list),
    })
}

/// More text of a passage, in a stream of `diarized_json`.
#[must_use]
pub fn passage_delta(text: &str, passage: usize) -> String {
    json::write(&TranscriptionTextDelta {
        r#type: "transcript.text.delta",
        delta: text,
        segment_id: Some(segment_id(passage)),
        logprobs: None,
    })
}

/// The segments of a stream of `diarized_json`, whose speakers are known at its end.
#[must_use]
pub fn speaker_segments(transcript: &Transcript) -> Vec<String> {
    let turns = turns(transcript).into_iter();
    let segments = turns.map(diarized::Segment::of_voice);
    segments.map(|segment| json::write(&segment)).collect()
}

/// A segment of `verbose_json`; `number` counts those of a stream from 1.
#[must_use]
pub fn segment(segment: &Segment, number: usize, words: bool) -> String {
    json::write(&TranscriptionTextSegment {
        r#type: "transcript.text.segment",
        id: segment_id(number),
        start: seconds(segment.start_s),
        end: seconds(segment.end_s),
        text: &segment.text,
        speaker: segment.speaker.as_ref().map(Speaker::label),
        words: words.then(|| verbose::words(std::slice::from_ref(segment))),
    })
}

/// The whole text: the last event of a successful stream. In a stream of `verbose_json` it is the
/// whole response of that format.
#[must_use]
pub fn done(transcript: &Transcript, options: &OutputOptions) -> String {
    const TYPE: &str = "transcript.text.done";
    if options.format == ResponseFormat::VerboseJson {
        return json::write(&verbose::whole(transcript, options, Some(TYPE)));
    }
    json::write(&TranscriptionTextDone {
        r#type: TYPE,
        text: &transcript.text,
        logprobs: options
            .logprobs
            .then(|| Logprob::list(&transcript.logprobs)),
        dropped: verbose::dropped(transcript, |reason| reason == DropReason::Repetition),
        languages: SpokenLanguage::list(transcript.language),
        usage: TokenUsage::of(transcript),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Granularities;
    use crate::format::tests::{call, one_object_a_line, two_voices, with_logprobs, with_words};

    #[test]
    fn a_stream_of_text() {
        let transcript = with_logprobs();
        let stream = [
            delta("Imagine\r\n", None),
            delta(" \"this\".", None),
            done(&transcript, &OutputOptions::default()),
        ];
        insta::assert_snapshot!(stream.join("\n"));
    }

    #[test]
    fn a_stream_of_segments() {
        let options = OutputOptions {
            format: ResponseFormat::VerboseJson,
            granularities: Granularities {
                segments: true,
                words: true,
            },
            ..OutputOptions::default()
        };
        let (spoken, transcript) = (call(), with_words());
        let stream = [
            segment(&transcript.segments[0], 1, true),
            segment(&transcript.segments[1], 2, false),
            segment(&spoken.segments[1], 3, false),
            done(&transcript, &options),
        ];
        insta::assert_snapshot!(one_object_a_line(&stream.join("\n")));
    }

    #[test]
    fn a_stream_of_speakers() {
        let transcript = two_voices();
        let mut stream = vec![passage_delta("The beach is long. It ends here.", 1)];
        stream.extend(speaker_segments(&transcript));
        let options = OutputOptions {
            format: ResponseFormat::DiarizedJson,
            ..OutputOptions::default()
        };
        stream.push(done(&transcript, &options));
        insta::assert_snapshot!(stream.join("\n"));
    }

    #[test]
    fn a_stream_of_text_with_probabilities() {
        let transcript = with_logprobs();
        let options = OutputOptions {
            logprobs: true,
            ..OutputOptions::default()
        };
        let stream = [
            delta("Imagine", Some(&transcript.logprobs)),
            delta("", Some(&[])),
            done(&transcript, &options),
        ];
        insta::assert_snapshot!(stream.join("\n"));
    }
}
