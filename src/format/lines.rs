//! Breaks words into lines and cues of a given size.

use std::num::NonZeroUsize;

use super::text;
use super::text_units::TextUnit;
use crate::transcript::Speaker;

/// Time from one word's start to the next one's from which on a new cue starts.
const LONG_PAUSE_MS: u64 = 3_000;

/// One subtitle.
pub(super) struct Cue {
    pub start_ms: u64,
    /// Later than the start.
    pub end_ms: u64,
    pub speaker: Option<Speaker>,
    /// Nonblank lines, separated by line feeds.
    pub text: String,
}

/// Where a speaker's name is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Labels {
    /// In the text as `A: `, where it counts as part of the line.
    InText,
    /// The same as `[A] `.
    Bracketed,
    /// Outside the text.
    Separate,
}

/// Breaks words into lines by the rules of OpenAI's `SubtitlesWriter`: with both limits, lines
/// continue over the ends of segments; with a width alone, each segment has its own cues. Unlike in
/// `SubtitlesWriter`, a long pause within a segment and another speaker start a new cue.
pub(super) struct CueBuilder {
    width: usize,
    max_lines: usize,
    keeps_segments: bool,
    labels: Labels,
    /// The last cue is being filled.
    cues: Vec<Cue>,
    /// Lines of the last cue.
    lines: usize,
    /// Characters of its last line.
    line_chars: usize,
    last_start_ms: u64,
}

impl Labels {
    pub(super) fn before(self, speaker: Option<&Speaker>) -> String {
        match self {
            Self::InText => text::label(speaker).into_owned(),
            Self::Bracketed => {
                speaker.map_or_else(String::new, |speaker| format!("[{}] ", speaker.label()))
            }
            Self::Separate => String::new(),
        }
    }
}

impl CueBuilder {
    pub(super) fn new(
        width: NonZeroUsize,
        max_lines: Option<NonZeroUsize>,
        labels: Labels,
    ) -> Self {
        Self {
            width: width.get(),
            max_lines: max_lines.map_or(usize::MAX, usize::from),
            keeps_segments: max_lines.is_none(),
            labels,
            cues: Vec::new(),
            lines: 0,
            line_chars: 0,
            last_start_ms: 0,
        }
    }

    /// Adds the words of a segment.
    pub(super) fn push(&mut self, units: &[TextUnit], speaker: Option<&Speaker>) {
        let mut may_continue = !self.keeps_segments;
        for unit in units {
            self.push_unit(unit, speaker, may_continue);
            may_continue = true;
        }
    }

    /// All cues.
    pub(super) fn into_cues(self) -> Vec<Cue> {
        self.cues
    }

    fn push_unit(&mut self, unit: &TextUnit, speaker: Option<&Speaker>, may_continue: bool) {
        let since_last_ms = unit.start_ms.saturating_sub(self.last_start_ms);
        let may_continue = may_continue && since_last_ms <= LONG_PAUSE_MS;
        self.last_start_ms = unit.start_ms;
        match self.cues.last_mut() {
            Some(cue) if may_continue && cue.speaker.as_ref() == speaker => {
                let space = if unit.after_space { " " } else { "" };
                let chars = space.len() + unit.chars();
                if self.line_chars.saturating_add(chars) <= self.width {
                    self.line_chars += chars;
                    cue.text += space;
                } else if self.lines < self.max_lines {
                    self.lines += 1;
                    self.line_chars = unit.chars();
                    cue.text.push('\n');
                } else {
                    return self.start_cue(unit, speaker);
                }
                cue.text += &unit.text;
                cue.end_ms = cue.end_ms.max(unit.end_ms);
            }
            _ => self.start_cue(unit, speaker),
        }
    }

    fn start_cue(&mut self, unit: &TextUnit, speaker: Option<&Speaker>) {
        let text = self.labels.before(speaker) + &unit.text;
        self.lines = 1;
        self.line_chars = text.chars().count();
        self.cues.push(Cue {
            start_ms: unit.start_ms,
            end_ms: unit.end_ms,
            speaker: speaker.cloned(),
            text,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::{call, check_cues, segment, shape, transcript, with_words, word};

    #[test]
    fn a_width_alone_keeps_segments() {
        let expected = ["0 1400 The beach\nis long.", "1500 2500 It ends\nhere."];
        check_cues(&with_words(), shape(10, 0), Labels::Separate, &expected);
    }

    #[test]
    fn with_both_limits_lines_continue_over_segments() {
        let expected = ["0 1800 The beach is\nlong. It", "1800 2500 ends here."];
        check_cues(&with_words(), shape(12, 2), Labels::Separate, &expected);
        let expected = ["0 2500 The beach is long. It ends here."];
        check_cues(
            &with_words(),
            shape(usize::MAX, 9),
            Labels::Separate,
            &expected,
        );
    }

    #[test]
    fn a_word_longer_than_a_line_has_its_own_line() {
        let long = transcript(vec![segment(0.0, 1.6, "a unbelievable b")]);
        let expected = ["0 100 a", "200 1400 unbelievable", "1500 1600 b"];
        check_cues(&long, shape(3, 1), Labels::Separate, &expected);
    }

    #[test]
    fn no_cue_spans_a_long_pause() {
        let mut paused = segment(0.0, 9.0, " So then");
        paused.words = vec![
            word(0.0, 0.5, " So"),
            word(3.0, 3.5, " and"),
            word(6.1, 7.0, " then"),
        ];
        let expected = ["0 3500 So and", "6100 7000 then"];
        for lines in [0, 2] {
            check_cues(
                &transcript(vec![paused.clone()]),
                shape(42, lines),
                Labels::Separate,
                &expected,
            );
        }
    }

    #[test]
    fn each_speaker_has_separate_cues() {
        let expected = [
            "0 1800 A: Hello,\nwho is this?",
            "1500 2500 B: It is me.",
            "2600 3400 A: Ah, good.",
        ];
        check_cues(&call(), shape(12, 2), Labels::InText, &expected);
    }
}
