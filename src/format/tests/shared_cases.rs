//! The cases of `tests/fixtures/subtitles.json`, which hold this module and the page's modules equal.

use serde::Deserialize;

use super::{segment, shape, transcript, word};
use crate::format::{AsrOutput, OutputOptions, ResponseFormat, asr, render};
use crate::transcript::{Segment, Speaker, Transcript};
use halkspeech_whisper::{Language, Task};

#[derive(Deserialize)]
struct Case {
    name: String,
    task: String,
    language: String,
    segments: Vec<CaseSegment>,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct CaseSegment {
    start: f64,
    end: f64,
    text: String,
    speaker: Option<usize>,
    /// Start, end and text with the space before it.
    words: Vec<(f64, f64, String)>,
}

#[derive(Deserialize)]
struct Output {
    format: String,
    width: usize,
    lines: usize,
    file: String,
}

fn transcript_of(case: &Case) -> Transcript {
    let segments = case.segments.iter().map(|given| Segment {
        words: given
            .words
            .iter()
            .map(|(start, end, text)| word(*start, *end, text))
            .collect(),
        speaker: given.speaker.map(Speaker::numbered),
        ..segment(given.start, given.end, &given.text)
    });
    Transcript {
        task: if case.task == "translate" {
            Task::Translate
        } else {
            Task::Transcribe
        },
        language: Language::parse(&case.language),
        ..transcript(segments.collect())
    }
}

#[test]
fn every_file_is_the_one_that_the_page_writes() {
    let cases = include_str!("../../../tests/fixtures/subtitles.json");
    let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
    assert!(cases.len() >= 10);
    for case in &cases {
        let transcript = transcript_of(case);
        for output in &case.outputs {
            let format = match output.format.as_str() {
                "txt" => Some(ResponseFormat::Text),
                name => ResponseFormat::parse(name),
            };
            let options = OutputOptions {
                format: format.unwrap_or_default(),
                subtitles: shape(output.width, output.lines),
                ..OutputOptions::default()
            };
            let file = match format {
                Some(_) => render(&transcript, &options),
                None => asr(&transcript, AsrOutput::Tsv, &options),
            };
            let (name, format) = (&case.name, &output.format);
            let (width, lines) = (output.width, output.lines);
            assert_eq!(file, output.file, "{name} as {format}, {width} by {lines}");
        }
    }
}
