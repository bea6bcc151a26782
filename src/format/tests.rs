//! Transcripts for the tests of this module.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::cues::cues;
use super::lines::Labels;
use super::{Granularities, OutputOptions, ResponseFormat, SubtitleShape};
use crate::transcript::{Segment, Speaker, Speakers, Timings, TokenLogprob, Transcript};
use halkspeech_whisper::{Language, Task, Word};

mod parsers;
mod properties;
mod shared_cases;

/// A transcript of 8.47 s of English; its text is that of its segments.
pub(super) fn transcript(segments: Vec<Segment>) -> Transcript {
    let text: String = segments
        .iter()
        .map(|segment| segment.text.as_str())
        .collect();
    Transcript {
        task: Task::Transcribe,
        language: Some(Language::ENGLISH),
        language_probability: None,
        prompt_tokens: 0,
        duration: Duration::from_millis(8_470),
        text: text.trim().to_owned(),
        segments,
        logprobs: Vec::new(),
        speakers: Speakers::Channels,
        dropped: Vec::new(),
        timings: Timings::default(),
    }
}

pub(super) fn segment(start_s: f64, end_s: f64, text: &str) -> Segment {
    Segment {
        start_s,
        end_s,
        text: text.to_owned(),
        avg_logprob: -0.3,
        compression_ratio: 1.25,
        no_speech_prob: 0.01,
        ..Segment::default()
    }
}

pub(super) fn word(start_s: f64, end_s: f64, text: &str) -> Word {
    Word {
        text: text.to_owned(),
        start_s,
        end_s,
        probability: 0.9,
    }
}

/// 0 stands for no limit.
pub(super) fn shape(max_line_width: usize, max_line_count: usize) -> SubtitleShape {
    SubtitleShape {
        max_line_width: NonZeroUsize::new(max_line_width),
        max_line_count: NonZeroUsize::new(max_line_count),
    }
}

pub(super) fn two_sentences() -> Transcript {
    let mut first = segment(0.0, 1.4, " The beach is long.");
    first.tokens = vec![50364, 440, 7534, 307, 938, 13, 50434];
    let mut second = segment(1.4999, 2.5, " It ends here.");
    second.seek = 140;
    second.temperature = 0.2;
    transcript(vec![first, second])
}

pub(super) fn with_words() -> Transcript {
    let mut transcript = two_sentences();
    transcript.segments[0].words = vec![
        word(0.0, 0.1 + 0.2, " The"),
        word(0.3, 0.8, " beach"),
        word(0.8, 1.0, " is"),
        word(1.0, 1.4, " long."),
    ];
    transcript.segments[1].words = vec![
        word(1.4999, 1.8, " It"),
        word(1.8, 2.1, " ends"),
        word(2.1, 2.5, " here."),
    ];
    transcript
}

pub(super) fn with_logprobs() -> Transcript {
    let token = |token: &str, logprob, bytes: &[u8]| TokenLogprob {
        token: token.to_owned(),
        logprob,
        bytes: bytes.to_vec(),
    };
    Transcript {
        text: "Imagine\r\n \"this\".".to_owned(),
        logprobs: vec![
            token("Imag", -0.12, b"Imag"),
            token("\u{FFFD}", f32::NEG_INFINITY, &[0xE6]),
        ],
        ..transcript(vec![])
    }
}

/// A call whose channels were kept apart.
pub(super) fn call() -> Transcript {
    let spoken = |channel, start_s, end_s, text| Segment {
        speaker: Some(Speaker::numbered(channel)),
        ..segment(start_s, end_s, text)
    };
    transcript(vec![
        spoken(0, 0.0, 1.8, " Hello, who is this?"),
        spoken(1, 1.5, 2.5, " It is\nme."),
        spoken(0, 2.6, 3.4, " Ah, good."),
    ])
}

/// A recording of two voices, one of which has a name. The second speaks the end of the first segment.
pub(super) fn two_voices() -> Transcript {
    let mut transcript = with_words();
    let [ann, other] = [Speaker::named("Ann <1>"), Speaker::numbered(1)];
    let of = |speakers: &[&Speaker]| speakers.iter().map(|&speaker| speaker.clone()).collect();
    transcript.segments[0].speaker = Some(ann.clone());
    transcript.segments[0].word_speakers = of(&[&ann, &ann, &ann, &other]);
    transcript.segments[1].speaker = Some(other.clone());
    transcript.segments[1].word_speakers = of(&[&other; 3]);
    transcript.speakers = Speakers::Voices;
    transcript
}

/// Compares the cues, each written as `start end text`.
#[track_caller]
pub(super) fn check_cues(
    transcript: &Transcript,
    shape: SubtitleShape,
    labels: Labels,
    expected: &[&str],
) {
    let cues = cues(transcript, shape, labels);
    let cues = cues
        .iter()
        .map(|cue| format!("{} {} {}", cue.start_ms, cue.end_ms, cue.text));
    assert_eq!(cues.collect::<Vec<_>>(), expected);
}

/// Breaks JSON into lines, so that a snapshot can be read.
pub(super) fn one_object_a_line(json: &str) -> String {
    json.replace("\":[{", "\":[\n{").replace("},{", "},\n{")
}

#[test]
fn formats_are_found_by_their_names() {
    let formats = ResponseFormat::ALL.map(|format| {
        let parsed = ResponseFormat::parse(format.name()).unwrap();
        (format.name(), parsed, format.content_type())
    });
    let (json, text) = ("application/json", "text/plain; charset=utf-8");
    let expected = [
        ("json", ResponseFormat::Json, json),
        ("text", ResponseFormat::Text, text),
        ("srt", ResponseFormat::Srt, text),
        ("verbose_json", ResponseFormat::VerboseJson, json),
        ("vtt", ResponseFormat::Vtt, "text/vtt; charset=utf-8"),
        ("diarized_json", ResponseFormat::DiarizedJson, json),
    ];
    assert_eq!(formats, expected);
    assert_eq!(ResponseFormat::parse("JSON"), None);
}

#[test]
fn words_are_needed_to_list_them_or_to_break_lines() {
    let words = Granularities {
        segments: false,
        words: true,
    };
    let needs = |format, granularities, subtitles| {
        let options = OutputOptions {
            format,
            granularities,
            subtitles,
            ..OutputOptions::default()
        };
        options.needs_words()
    };
    let needed = ResponseFormat::ALL.map(|format| needs(format, words, shape(42, 2)));
    assert_eq!(needed, [false, false, true, true, true, false]);
    assert!(!needs(
        ResponseFormat::VerboseJson,
        Granularities::default(),
        shape(42, 2)
    ));
    assert!(!needs(ResponseFormat::Srt, words, shape(0, 2)));
}
