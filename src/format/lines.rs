//! Breaks words into lines and cues of a given size.

use std::num::NonZeroUsize;

use super::cues::{Cue, Labels};
use super::pieces::Piece;
use crate::transcript::Speaker;

/// From one word's start to the next one's: a pause over which no subtitle stands.
const LONG_PAUSE_MS: u64 = 3_000;

/// Sets words in lines by the rules of OpenAI's `SubtitlesWriter`: with both limits, lines run on
/// over the ends of segments; with a width alone, each segment keeps to its own cues. Unlike
/// there, a long pause inside such a segment starts a new cue too, as does another speaker.
pub(super) struct Typesetter {
    width: usize,
    max_lines: usize,
    keeps_segments: bool,
    labels: Labels,
    /// The last one is being filled.
    cues: Vec<Cue>,
    /// Lines of the last cue.
    lines: usize,
    /// Characters of its last line.
    line_chars: usize,
    last_start_ms: u64,
}

impl Typesetter {
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

    /// Sets the words of a segment.
    pub(super) fn push(&mut self, pieces: &[Piece], speaker: Option<Speaker>) {
        let mut may_continue = !self.keeps_segments;
        for piece in pieces {
            self.set(piece, speaker, may_continue);
            may_continue = true;
        }
    }

    /// All that was set.
    pub(super) fn into_cues(self) -> Vec<Cue> {
        self.cues
    }

    fn set(&mut self, piece: &Piece, speaker: Option<Speaker>, may_continue: bool) {
        let since_last_ms = piece.start_ms.saturating_sub(self.last_start_ms);
        let may_continue = may_continue && since_last_ms <= LONG_PAUSE_MS;
        self.last_start_ms = piece.start_ms;
        match self.cues.last_mut() {
            Some(cue) if may_continue && cue.speaker == speaker => {
                let space = if piece.after_space { " " } else { "" };
                let chars = space.len() + piece.chars();
                if self.line_chars.saturating_add(chars) <= self.width {
                    self.line_chars += chars;
                    cue.text += space;
                } else if self.lines < self.max_lines {
                    self.lines += 1;
                    self.line_chars = piece.chars();
                    cue.text.push('\n');
                } else {
                    return self.open(piece, speaker);
                }
                cue.text += &piece.text;
                cue.end_ms = cue.end_ms.max(piece.end_ms);
            }
            _ => self.open(piece, speaker),
        }
    }

    fn open(&mut self, piece: &Piece, speaker: Option<Speaker>) {
        let text = self.labels.before(speaker) + &piece.text;
        self.lines = 1;
        self.line_chars = text.chars().count();
        self.cues.push(Cue {
            start_ms: piece.start_ms,
            end_ms: piece.end_ms,
            speaker,
            text,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::cues::check;
    use crate::format::tests::{call, segment, shape, transcript, with_words, word};

    #[test]
    fn a_width_alone_keeps_segments() {
        let expected = ["0 1400 The beach\nis long.", "1500 2500 It ends\nhere."];
        check(&with_words(), shape(10, 0), Labels::Apart, &expected);
    }

    #[test]
    fn with_both_limits_lines_run_on() {
        let expected = ["0 1800 The beach is\nlong. It", "1800 2500 ends here."];
        check(&with_words(), shape(12, 2), Labels::Apart, &expected);
        let expected = ["0 2500 The beach is long. It ends here."];
        check(
            &with_words(),
            shape(usize::MAX, 9),
            Labels::Apart,
            &expected,
        );
    }

    #[test]
    fn a_word_longer_than_a_line_stands_alone() {
        let long = transcript(vec![segment(0.0, 1.6, "a unbelievable b")]);
        let expected = ["0 100 a", "200 1400 unbelievable", "1500 1600 b"];
        check(&long, shape(3, 1), Labels::Apart, &expected);
    }

    #[test]
    fn no_cue_stands_over_a_long_pause() {
        let mut paused = segment(0.0, 9.0, " So then");
        paused.words = vec![
            word(0.0, 0.5, " So"),
            word(3.0, 3.5, " and"),
            word(6.1, 7.0, " then"),
        ];
        let expected = ["0 3500 So and", "6100 7000 then"];
        for lines in [0, 2] {
            check(
                &transcript(vec![paused.clone()]),
                shape(42, lines),
                Labels::Apart,
                &expected,
            );
        }
    }

    #[test]
    fn each_speaker_has_cues_of_their_own() {
        let expected = [
            "0 1800 A: Hello,\nwho is this?",
            "1500 2500 B: It is me.",
            "2600 3400 A: Ah, good.",
        ];
        check(&call(), shape(12, 2), Labels::Spelled, &expected);
    }
}
