//! OpenAI's `srt` and `vtt` formats, valid for any segments.

use std::fmt::Write;

use super::SubtitleShape;
use super::cues::cues;
use super::lines::Labels;
use crate::transcript::{Speakers, Transcript};

/// `SubRip`: numbered cues, with the speaker's name in the text.
pub(super) fn srt(transcript: &Transcript, shape: SubtitleShape) -> String {
    let mut file = String::new();
    let labels = match transcript.speakers {
        Speakers::Channels => Labels::InText,
        Speakers::Voices => Labels::Bracketed,
    };
    let cues = cues(transcript, shape, labels);
    for (number, cue) in (1..).zip(cues) {
        let start = stamp(cue.start_ms, ',');
        let end = stamp(cue.end_ms, ',');
        let text = without_arrows(&cue.text);
        append(
            &mut file,
            format_args!("{number}\n{start} --> {end}\n{text}\n\n"),
        );
    }
    file
}

/// `WebVTT`: the speaker is a voice span, <https://www.w3.org/TR/webvtt1/>.
pub(super) fn vtt(transcript: &Transcript, shape: SubtitleShape) -> String {
    let mut file = "WEBVTT\n\n".to_owned();
    for cue in cues(transcript, shape, Labels::Separate) {
        let start = stamp(cue.start_ms, '.');
        let end = stamp(cue.end_ms, '.');
        let text = escape(&cue.text);
        append(&mut file, format_args!("{start} --> {end}\n"));
        if let Some(speaker) = cue.speaker {
            append(&mut file, format_args!("<v {}>", escape(speaker.label())));
        }
        append(&mut file, format_args!("{text}\n\n"));
    }
    file
}

fn append(file: &mut String, text: std::fmt::Arguments<'_>) {
    file.write_fmt(text).expect("a string takes any text");
}

/// `00:00:00.000`; hours have more digits if necessary.
fn stamp(ms: u64, decimal_mark: char) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{decimal_mark}{ms:03}")
}

/// `SubRip` has no escapes, so an arrow, which marks a line of times, loses a dash, as in OpenAI's
/// writer. Dashes are removed until there is no arrow, because `--->` must not become one.
fn without_arrows(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        while c == '>' && safe.ends_with("--") {
            safe.pop();
        }
        safe.push(c);
    }
    safe
}

/// `>` must be escaped only in an arrow; escaping it everywhere is simpler.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use crate::format::tests::{
        call, segment, shape, transcript, two_sentences, two_voices, with_words,
    };
    use crate::format::{OutputOptions, ResponseFormat, SubtitleShape, render};
    use crate::transcript::Transcript;

    fn both(transcript: &Transcript, subtitles: SubtitleShape) -> String {
        let in_format = |format| {
            let options = OutputOptions {
                format,
                subtitles,
                ..OutputOptions::default()
            };
            render(transcript, &options)
        };
        let srt = in_format(ResponseFormat::Srt);
        let vtt = in_format(ResponseFormat::Vtt);
        format!("{srt}=====\n{vtt}=====")
    }

    #[test]
    fn a_segment_is_a_cue() {
        insta::assert_snapshot!(both(&two_sentences(), shape(0, 0)));
    }

    #[test]
    fn lines_keep_to_their_width() {
        insta::assert_snapshot!(both(&with_words(), shape(12, 2)));
    }

    #[test]
    fn speakers_are_named() {
        insta::assert_snapshot!(both(&call(), shape(0, 0)));
    }

    #[test]
    fn voices_have_cues_of_their_own() {
        insta::assert_snapshot!(both(&two_voices(), shape(0, 0)));
    }

    #[test]
    fn text_cannot_break_the_file() {
        let nasty = transcript(vec![
            segment(
                0.0,
                1.0,
                " one\r\n\r\n2\n00:00:01,000 --> 00:00:02,000\ntwo",
            ),
            segment(1.0, 1.0, "a ----> b <-- c -> d"),
            segment(
                359_999.999_6,
                360_001.5,
                "Q&A <v Bob>&lt;\u{2029}WEBVTT\0 NOTE",
            ),
            segment(0.5, 2.0, "\n\t "),
        ]);
        insta::assert_snapshot!(both(&nasty, shape(0, 0)));
    }

    #[test]
    fn nothing_said_is_a_file_without_cues() {
        assert_eq!(
            both(&transcript(vec![]), shape(0, 0)),
            "=====\nWEBVTT\n\n====="
        );
    }
}
