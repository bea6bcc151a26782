//! Any segments and words as subtitles. The strict parsers of the unit tests accept the files, with cues in
//! order and the text in them; JSON is valid.
#![no_main]

use std::num::NonZeroUsize;
use std::time::Duration;

use arbitrary::Arbitrary;
use halkspeech::format::{Granularities, OutputOptions, ResponseFormat, SubtitleShape, render};
use halkspeech_whisper::{Language, Task, Word};
use halkspeech::transcript::{DropReason, DroppedSpan, Segment, Speaker, Speakers, Timings, TokenLogprob};
use halkspeech::transcript::Transcript;
use libfuzzer_sys::fuzz_target;

#[path = "../../src/format/tests/parsers.rs"]
mod parsers;

#[derive(Arbitrary, Debug)]
struct Input {
    is_translation: bool,
    /// One of Whisper's languages; some have no spaces between words.
    language: Option<u8>,
    duration_ms: u32,
    /// Zero is none.
    max_line_width: u8,
    max_line_count: u8,
    segments: Vec<InputSegment>,
}

#[derive(Arbitrary, Debug)]
struct InputSegment {
    start_s: f64,
    end_s: f64,
    text: String,
    speaker: Option<u8>,
    words: Vec<InputWord>,
    number: f32,
}

#[derive(Arbitrary, Debug)]
struct InputWord {
    start_s: f64,
    end_s: f64,
    text: String,
    probability: f32,
}

fuzz_target!(|input: Input| {
    let shape = SubtitleShape {
        max_line_width: NonZeroUsize::new(input.max_line_width.into()),
        max_line_count: NonZeroUsize::new(input.max_line_count.into()),
    };
    let transcript = transcript(input);
    let in_format = |format| {
        let options = OutputOptions {
            format,
            granularities: Granularities {
                segments: true,
                words: true,
            },
            logprobs: true,
            dropped: true,
            subtitles: shape,
        };
        render(&transcript, &options)
    };

    let srt = parsers::srt(&in_format(ResponseFormat::Srt)).expect("valid SubRip");
    let vtt = parsers::vtt(&in_format(ResponseFormat::Vtt)).expect("valid WebVTT");
    let is_blank = |c: char| c.is_whitespace() || c.is_control();
    let has_text = |segment: &Segment| {
        let words = segment.words.iter().map(|word| word.text.as_str());
        words
            .chain([segment.text.as_str()])
            .any(|text| !text.chars().all(is_blank))
    };
    if !transcript.segments.iter().any(has_text) {
        assert!(srt.is_empty() && vtt.is_empty());
    }
    if shape.max_line_width.is_none() {
        assert_eq!(srt.len(), vtt.len());
        assert!(srt.iter().chain(&vtt).all(|cue| cue.lines.len() == 1));
    } else if let Some(max_lines) = shape.max_line_count {
        assert!(
            srt.iter()
                .chain(&vtt)
                .all(|cue| cue.lines.len() <= max_lines.get())
        );
    }

    assert!(in_format(ResponseFormat::Text).ends_with('\n'));
    let formats = ResponseFormat::ALL.into_iter();
    for format in formats.filter(|format| format.content_type() == "application/json") {
        let body = in_format(format);
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&body);
        assert!(parsed.is_ok_and(|value| value.is_object()), "{body}");
    }
});

fn transcript(input: Input) -> Transcript {
    let language = |number: u8| Language::ALL[usize::from(number) % Language::ALL.len()];
    let segments: Vec<Segment> = input.segments.into_iter().map(segment).collect();
    let text: String = segments
        .iter()
        .map(|segment| segment.text.as_str())
        .collect();
    let token = |segment: &Segment| TokenLogprob {
        token: segment.text.clone(),
        logprob: segment.avg_logprob,
        bytes: segment.text.clone().into_bytes(),
    };
    let dropped = |segment: &Segment| DroppedSpan {
        start_s: segment.start_s,
        end_s: segment.end_s,
        reason: DropReason::NoSpeech,
        text: segment.text.clone(),
    };
    Transcript {
        task: if input.is_translation {
            Task::Translate
        } else {
            Task::Transcribe
        },
        language: input.language.map(language),
        language_probability: None,
        prompt_tokens: 0,
        duration: Duration::from_millis(input.duration_ms.into()),
        text: text.trim().to_owned(),
        logprobs: segments.iter().map(token).collect(),
        speakers: Speakers::Channels,
        dropped: segments.iter().map(dropped).collect(),
        segments,
        timings: Timings::default(),
    }
}

fn segment(input: InputSegment) -> Segment {
    let word = |word: InputWord| Word {
        text: word.text,
        start_s: word.start_s,
        end_s: word.end_s,
        probability: word.probability,
    };
    Segment {
        start_s: input.start_s,
        end_s: input.end_s,
        text: input.text,
        temperature: input.number,
        avg_logprob: input.number,
        compression_ratio: input.number,
        no_speech_prob: input.number,
        words: input.words.into_iter().map(word).collect(),
        speaker: input.speaker.map(|number| Speaker::numbered(number.into())),
        ..Segment::default()
    }
}
