//! Lays out a transcript as subtitles: cues with times and lines.

use super::SubtitleShape;
use super::lines::{Cue, CueBuilder, Labels};
use super::numbers::milliseconds;
use super::text_units::{Spacing, collapse, units};
use super::turns::by_speaker;
use crate::transcript::{Segment, Transcript};
use halkspeech_whisper::Task;

/// The subtitles, in order of their starts. They overlap only where words do.
pub(super) fn cues(transcript: &Transcript, shape: SubtitleShape, labels: Labels) -> Vec<Cue> {
    let segments = transcript.segments.iter().flat_map(by_speaker);
    let mut cues = match shape.max_line_width {
        None => segments
            .filter_map(|segment| whole(&segment, labels))
            .collect(),
        Some(width) => {
            let spacing = spacing(transcript);
            let mut builder = CueBuilder::new(width, shape.max_line_count, labels);
            for segment in segments {
                builder.push(&units(&segment, spacing), segment.speaker.as_ref());
            }
            builder.into_cues()
        }
    };
    for cue in &mut cues {
        cue.end_ms = cue.end_ms.max(cue.start_ms + 1);
    }
    cues.sort_by_key(|cue| cue.start_ms);
    cues
}

/// The segment as one cue of one line.
fn whole(segment: &Segment, labels: Labels) -> Option<Cue> {
    let text = collapse(&segment.text);
    (!text.is_empty()).then(|| Cue {
        start_ms: milliseconds(segment.start_s),
        end_ms: milliseconds(segment.end_s),
        speaker: segment.speaker.clone(),
        text: labels.before(segment.speaker.as_ref()) + &text,
    })
}

/// Whether the text of a transcript has spaces between its words.
pub(super) fn spacing(transcript: &Transcript) -> Spacing {
    match (transcript.task, transcript.language) {
        (Task::Transcribe, Some(language)) if !language.puts_spaces_between_words() => {
            Spacing::Unspaced
        }
        (Task::Transcribe | Task::Translate, _) => Spacing::Spaced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::{check_cues, segment, shape, transcript};
    use halkspeech_whisper::Language;

    #[test]
    fn a_translation_has_spaces_whatever_the_language_spoken() {
        let japanese = Transcript {
            language: Language::parse("ja"),
            ..transcript(vec![segment(0.0, 1.0, "東京です。")])
        };
        let expected = ["0 600 東京で", "600 1000 す。"];
        check_cues(&japanese, shape(3, 1), Labels::Separate, &expected);
        let translated = Transcript {
            task: Task::Translate,
            ..japanese
        };
        check_cues(
            &translated,
            shape(3, 1),
            Labels::Separate,
            &["0 1000 東京です。"],
        );
    }

    #[test]
    fn cues_are_in_order_and_last_at_least_a_millisecond() {
        let mut segments = vec![
            segment(5.0, 4.0, "late"),
            segment(f64::NAN, f64::NEG_INFINITY, "never"),
            segment(1.0, f64::INFINITY, "forever"),
            segment(0.0, 1.0, " \r\n"),
        ];
        let expected = ["0 1 never", "1000 3600000000000 forever", "5000 5001 late"];
        check_cues(
            &transcript(segments.clone()),
            shape(0, 0),
            Labels::Separate,
            &expected,
        );
        segments.truncate(1);
        check_cues(
            &transcript(segments),
            shape(9, 1),
            Labels::Separate,
            &["5000 5001 late"],
        );
    }
}
