//! Properties of all formats for any transcript.

use proptest::collection::vec;
use proptest::num::{f32, f64};
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};
use serde_json::Value;

use super::parsers::{self, ParsedCue};
use super::{segment, shape, transcript, word};
use crate::format::{Granularities, OutputOptions, ResponseFormat, SubtitleShape, render, sse};
use crate::transcript::{Segment, Speaker, TokenLogprob, Transcript};
use halkspeech_whisper::Language;

/// Text that has broken subtitle files before.
const NASTY: [&str; 24] = [
    "\n",
    "\r\n\r\n",
    "\r",
    "\u{2028}",
    "\u{85}",
    "\0",
    "\u{1C}",
    "\t",
    " ",
    "-",
    "--",
    ">",
    "-->",
    "--->",
    "&",
    "<",
    "<v B>",
    "&lt;",
    "7",
    "00:00:01,000 --> 00:00:02,000",
    "WEBVTT",
    "東京です。",
    "ที่",
    "👩‍🚀",
];

fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        select(&NASTY[..]).prop_map(str::to_owned),
        "[ a-z]{1,9}",
        any::<String>(),
    ];
    vec(part, 0..6).prop_map(|parts| parts.concat())
}

fn time() -> impl Strategy<Value = f64> {
    prop_oneof![3 => 0.0..40.0, 1 => f64::ANY]
}

/// Its words, if it has any, are those of its text.
fn any_segment() -> impl Strategy<Value = Segment> {
    let speaker = option::of((0..3_usize).prop_map(Speaker::numbered));
    let timed_words = vec((time(), time()), 0..40);
    let parts = (text(), time(), time(), timed_words, speaker, any::<bool>());
    parts.prop_map(|(text, start_s, end_s, times, speaker, has_words)| {
        let mut segment = segment(start_s, end_s, &text);
        let texts: Vec<_> = text.split_inclusive(is_blank).collect();
        if has_words && times.len() >= texts.len() {
            let words = texts.iter().zip(times);
            segment.words = words
                .map(|(text, (start, end))| word(start, end, text))
                .collect();
        }
        segment.speaker = speaker;
        segment
    })
}

fn any_transcript() -> impl Strategy<Value = Transcript> {
    let language = prop_oneof![
        Just(None),
        select(vec!["en", "ja", "th"]).prop_map(Language::parse)
    ];
    (vec(any_segment(), 0..6), language).prop_map(|(segments, language)| Transcript {
        language,
        ..transcript(segments)
    })
}

fn any_shape() -> impl Strategy<Value = SubtitleShape> {
    (0..30_usize, 0..4_usize).prop_map(|(width, lines)| shape(width, lines))
}

fn subtitles(transcript: &Transcript, format: ResponseFormat, subtitles: SubtitleShape) -> String {
    let options = OutputOptions {
        format,
        subtitles,
        ..OutputOptions::default()
    };
    render(transcript, &options)
}

fn read_vtt(
    transcript: &Transcript,
    shape: SubtitleShape,
) -> Result<Vec<ParsedCue>, TestCaseError> {
    let file = subtitles(transcript, ResponseFormat::Vtt, shape);
    parsers::vtt(&file).map_err(|why| TestCaseError::fail(format!("{why} in {file:?}")))
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// The visible characters of texts, sorted.
fn visible_chars<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<char> {
    let visible_chars = texts.flat_map(str::chars).filter(|&c| !is_blank(c));
    let mut visible_chars: Vec<_> = visible_chars.collect();
    visible_chars.sort_unstable();
    visible_chars
}

proptest! {
    #[test]
    fn srt_is_valid(transcript in any_transcript(), shape in any_shape()) {
        let file = subtitles(&transcript, ResponseFormat::Srt, shape);
        let read = parsers::srt(&file);
        prop_assert!(read.is_ok(), "{:?} in {:?}", read, file);
        prop_assert_eq!(read.unwrap().is_empty(), visible_chars(texts(&transcript)).is_empty());
    }

    #[test]
    fn vtt_is_valid_and_shows_every_character_once(
        transcript in any_transcript(),
        shape in any_shape(),
    ) {
        let cues = read_vtt(&transcript, shape)?;
        let shown = cues.iter().flat_map(|cue| &cue.lines).map(String::as_str);
        prop_assert_eq!(visible_chars(shown), visible_chars(texts(&transcript)));
    }

    #[test]
    fn lines_keep_to_their_width_and_number(
        transcript in any_transcript(),
        width in 1..30_usize,
        count in 1..4_usize,
    ) {
        let is_joined = transcript
            .language
            .is_some_and(|language| !language.puts_spaces_between_words());
        for cue in read_vtt(&transcript, shape(width, count))? {
            prop_assert!(cue.lines.len() <= count);
            for line in cue.lines {
                let is_one_word = is_joined || !line.contains(' ');
                prop_assert!(line.chars().count() <= width || is_one_word, "{line:?}");
            }
        }
    }

    #[test]
    fn without_a_width_a_segment_is_a_cue(
        transcript in any_transcript(),
        count in 0..4_usize,
    ) {
        let cues = read_vtt(&transcript, shape(0, count))?;
        let mut shown: Vec<_> = cues.iter().map(|cue| cue.lines.join("\n")).collect();
        let lines = texts(&transcript).map(|text| {
            let words = text.split(is_blank).filter(|word| !word.is_empty());
            words.collect::<Vec<_>>().join(" ")
        });
        let mut expected: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
        shown.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(shown, expected);
    }

    #[test]
    fn json_parses_whatever_the_numbers(
        mut transcript in any_transcript(),
        floats in [f32::ANY, f32::ANY, f32::ANY, f32::ANY],
    ) {
        for segment in &mut transcript.segments {
            segment.temperature = floats[0];
            segment.avg_logprob = floats[1];
            segment.compression_ratio = floats[2];
            segment.no_speech_prob = floats[3];
        }
        let text = &transcript.text;
        let token = |logprob| TokenLogprob {
            token: text.clone(),
            logprob,
            bytes: text.clone().into_bytes(),
        };
        transcript.logprobs = floats.map(token).to_vec();

        let formats = ResponseFormat::ALL.into_iter();
        for format in formats.filter(|format| format.content_type() == "application/json") {
            let options = OutputOptions {
                format,
                granularities: Granularities { segments: true, words: true },
                logprobs: true,
                dropped: true,
                subtitles: SubtitleShape::default(),
            };
            check_json(&render(&transcript, &options))?;
        }
        let events = [
            sse::delta(&transcript.text, Some(&transcript.logprobs)),
            sse::done(&transcript, &OutputOptions { logprobs: true, ..OutputOptions::default() }),
        ];
        for data in events {
            prop_assert!(!data.contains(['\n', '\r']));
            check_json(&data)?;
        }
    }
}

fn texts(transcript: &Transcript) -> impl Iterator<Item = &str> {
    transcript
        .segments
        .iter()
        .map(|segment| segment.text.as_str())
}

/// A number that JSON cannot represent would be null; no response has a null.
fn check_json(json: &str) -> Result<(), TestCaseError> {
    fn has_null(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(values) => values.iter().any(has_null),
            Value::Object(values) => values.values().any(has_null),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    let value: Value =
        serde_json::from_str(json).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert!(!has_null(&value), "{}", json);
    Ok(())
}
