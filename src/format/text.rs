//! OpenAI's `text` format.

use std::borrow::Cow;

use super::text_units::collapse;
use super::turns::by_speaker;
use crate::transcript::{Speaker, Transcript};

/// The text and a newline; with speakers, one line per segment and speaker: `A: …`.
pub(super) fn render(transcript: &Transcript) -> String {
    let segments = &transcript.segments;
    if segments.iter().all(|segment| segment.speaker.is_none()) {
        return format!("{}\n", transcript.text);
    }
    let pieces = segments.iter().flat_map(by_speaker);
    let lines = pieces.filter_map(|segment| {
        let text = collapse(&segment.text);
        let label = label(segment.speaker.as_ref());
        (!text.is_empty()).then(|| format!("{label}{text}\n"))
    });
    let lines: String = lines.collect();
    // Even an empty text is a line.
    if lines.is_empty() {
        "\n".to_owned()
    } else {
        lines
    }
}

/// The prefix of a speaker's text.
pub(super) fn label(speaker: Option<&Speaker>) -> Cow<'static, str> {
    match speaker {
        Some(speaker) => format!("{}: ", speaker.label()).into(),
        None => "".into(),
    }
}

#[cfg(test)]
mod tests {
    use crate::format::tests::{call, segment, transcript, two_sentences, two_voices};
    use crate::format::{OutputOptions, ResponseFormat, render};
    use crate::transcript::{Speaker, Transcript};

    #[track_caller]
    fn check(transcript: &Transcript, expected: &str) {
        let options = OutputOptions {
            format: ResponseFormat::Text,
            ..OutputOptions::default()
        };
        assert_eq!(render(transcript, &options), expected);
    }

    #[test]
    fn ends_with_one_newline() {
        check(&two_sentences(), "The beach is long. It ends here.\n");
        check(&transcript(vec![]), "\n");
    }

    #[test]
    fn names_the_speakers() {
        check(
            &call(),
            "A: Hello, who is this?\nB: It is me.\nA: Ah, good.\n",
        );
        check(
            &two_voices(),
            "Ann <1>: The beach is\nB: long.\nB: It ends here.\n",
        );
        let mut blank = segment(0.0, 1.0, " \n");
        blank.speaker = Some(Speaker::numbered(0));
        check(&transcript(vec![blank]), "\n");
    }
}
