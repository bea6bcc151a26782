//! The final text of a turn, from its pieces.

use std::ops::Range;

use halkspeech_whisper::Language;

use super::speakers::{PieceVoice, SpokenPiece};
use super::{PieceResult, TurnError, WorkId};
use crate::transcript::TokenLogprob;

/// The pieces of a turn that were requested, with their results.
#[derive(Debug, Default)]
pub struct FinalText {
    /// Complete pieces, in order.
    pieces: Vec<Piece>,
    /// The piece that is complete unless speech goes on.
    paused: Option<Piece>,
}

/// The text of a turn.
#[derive(Debug, Default)]
pub struct JoinedText {
    /// The texts of the pieces, separated by spaces in languages that put spaces between words.
    pub text: String,
    /// The language of the first piece that has text.
    pub language: Option<Language>,
    /// The tokens of the pieces that have text, if they were requested.
    pub logprobs: Option<Vec<TokenLogprob>>,
    /// The pieces that have text, if speakers are wanted.
    pub spoken: Vec<SpokenPiece>,
}

#[derive(Debug)]
struct Piece {
    id: WorkId,
    range: Range<usize>,
    result: Option<PieceResult>,
}

impl FinalText {
    /// Adds a complete piece.
    pub fn add(&mut self, id: WorkId, range: Range<usize>) {
        self.pieces.push(Piece::new(id, range));
    }

    /// Adds a piece that is complete unless speech goes on.
    pub fn pause(&mut self, id: WorkId, range: Range<usize>) {
        self.paused = Some(Piece::new(id, range));
    }

    /// Drops the paused piece because speech goes on; returns its work if that is not finished.
    pub fn resume(&mut self) -> Option<WorkId> {
        let paused = self.paused.take()?;
        paused.result.is_none().then_some(paused.id)
    }

    /// Makes the paused piece a complete one if it is `range` and has not failed; says whether it has.
    #[must_use]
    pub fn complete_paused(&mut self, range: &Range<usize>) -> bool {
        let is_usable = |piece: &mut Piece| piece.range == *range && !piece.has_failed();
        let paused = self.paused.take_if(is_usable);
        let is_complete = paused.is_some();
        self.pieces.extend(paused);
        is_complete
    }

    /// Whether this piece is one of these.
    pub fn contains(&self, id: WorkId) -> bool {
        let mut pieces = self.pieces.iter().chain(&self.paused);
        pieces.any(|piece| piece.id == id)
    }

    /// Takes the result of a piece; returns its audio if it is one of these.
    pub fn finish_piece(&mut self, id: WorkId, result: PieceResult) -> Option<Range<usize>> {
        let mut pieces = self.pieces.iter_mut().chain(&mut self.paused);
        let piece = pieces.find(|piece| piece.id == id)?;
        piece.result = Some(result);
        Some(piece.range.clone())
    }

    /// The text of the paused piece, if it is finished.
    pub fn paused_text(&self) -> Option<&str> {
        let result = self.paused.as_ref()?.result.as_ref()?;
        result.text.as_deref().ok()
    }

    /// Work that is not finished.
    pub fn unfinished(&self) -> impl Iterator<Item = WorkId> {
        let pieces = self.pieces.iter().chain(&self.paused);
        pieces
            .filter(|piece| piece.result.is_none())
            .map(|piece| piece.id)
    }

    /// Whether all complete pieces have results.
    pub fn is_finished(&self) -> bool {
        self.pieces.iter().all(|piece| piece.result.is_some())
    }

    /// The text of all pieces.
    ///
    /// # Errors
    /// The first error of a piece.
    pub fn join(self) -> Result<JoinedText, TurnError> {
        let mut joined = JoinedText::default();
        for piece in self.pieces {
            let Some(result) = piece.result else { continue };
            let text = result.text?;
            let text = text.trim();
            if let Some(logprobs) = result.logprobs {
                let tokens = if text.is_empty() {
                    Vec::new()
                } else {
                    logprobs
                };
                joined.logprobs.get_or_insert_default().extend(tokens);
            }
            if text.is_empty() {
                continue;
            }
            let is_spaced = result
                .language
                .is_none_or(Language::puts_spaces_between_words);
            if is_spaced && !joined.text.is_empty() {
                joined.text.push(' ');
            }
            joined.text.push_str(text);
            let voice = match result.voice {
                PieceVoice::NotWanted => None,
                PieceVoice::Unknown => Some(None),
                PieceVoice::Found(voice) => Some(Some(voice)),
            };
            joined.spoken.extend(voice.map(|voice| SpokenPiece {
                range: piece.range,
                text: text.to_owned(),
                voice,
            }));
            joined.language = joined.language.or(result.language);
        }
        Ok(joined)
    }
}

impl Piece {
    fn new(id: WorkId, range: Range<usize>) -> Self {
        Self {
            id,
            range,
            result: None,
        }
    }

    fn has_failed(&self) -> bool {
        let result = self.result.as_ref();
        result.is_some_and(|result| result.text.is_err())
    }
}

/// The last delta of a turn: what `transcript` has behind the joined deltas if it begins with them, else `tail`, the
/// text of the last partial behind them.
pub fn last_delta(deltas: &str, tail: String, transcript: &str) -> Option<String> {
    let delta = match text_behind(deltas, transcript) {
        Some(rest) if deltas.is_empty() => rest.trim_start().to_owned(),
        Some(rest) => rest.to_owned(),
        None => tail,
    };
    (!delta.trim().is_empty()).then_some(delta)
}

/// The rest of `transcript` if it begins with `start`. White space and the punctuation at the end of `start` are not
/// compared.
fn text_behind<'a>(start: &str, transcript: &'a str) -> Option<&'a str> {
    let is_mark = |c: char| !c.is_alphanumeric() && !c.is_whitespace();
    let kept = start.trim_end_matches(|c: char| !c.is_alphanumeric());
    let mut rest = transcript.chars();
    for expected in kept.chars().filter(|c| !c.is_whitespace()) {
        let found = rest.find(|c| !c.is_whitespace())?;
        if found != expected {
            return None;
        }
    }
    let rest = rest.as_str();
    let has_mark = start[kept.len()..].contains(is_mark);
    Some(if has_mark {
        rest.trim_start_matches(is_mark)
    } else {
        rest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(text: &str) -> PieceResult {
        PieceResult {
            voice: PieceVoice::NotWanted,
            text: Ok(text.to_owned()),
            language: Language::parse("tr"),
            logprobs: None,
        }
    }

    #[test]
    fn joins_pieces_by_the_language() {
        for (code, expected) in [("tr", "Bir iki. Üç"), ("ja", "Bir iki.Üç")] {
            let mut text = FinalText::default();
            for (id, piece) in [" Bir iki. ", "  ", "Üç"].into_iter().enumerate() {
                let id = WorkId(id as u64);
                text.add(id, 0..9);
                assert!(!text.is_finished());
                let result = PieceResult {
                    language: Language::parse(code),
                    ..result(piece)
                };
                assert_eq!(text.finish_piece(id, result), Some(0..9));
            }
            assert!(text.is_finished());
            let joined = text.join().unwrap();
            assert_eq!(joined.text, expected);
            assert_eq!(joined.language, Language::parse(code));
            assert_eq!(joined.logprobs, None);
            assert!(joined.spoken.is_empty());
        }
    }

    #[test]
    fn the_pieces_with_text_are_listed_if_speakers_are_wanted() {
        let mut text = FinalText::default();
        for (id, piece) in [" Bir. ", " ", "iki"].into_iter().enumerate() {
            let range = 10 * id..10 * id + 9;
            text.add(WorkId(id as u64), range);
            let result = PieceResult {
                voice: PieceVoice::Unknown,
                ..result(piece)
            };
            text.finish_piece(WorkId(id as u64), result);
        }
        let spoken = text.join().unwrap().spoken;
        let listed: Vec<_> = spoken
            .iter()
            .map(|piece| (&*piece.text, piece.range.clone()))
            .collect();
        assert_eq!(listed, [("Bir.", 0..9), ("iki", 20..29)]);
    }

    #[test]
    fn joins_the_tokens_of_pieces_with_text() {
        let token = |token: &str| TokenLogprob {
            token: token.to_owned(),
            logprob: -0.5,
            bytes: token.as_bytes().to_vec(),
        };
        let mut text = FinalText::default();
        for (id, piece) in ["Bir", " ", "iki"].into_iter().enumerate() {
            let id = WorkId(id as u64);
            text.add(id, 0..9);
            let result = PieceResult {
                logprobs: Some(vec![token(piece)]),
                ..result(piece)
            };
            text.finish_piece(id, result);
        }
        let logprobs = text.join().unwrap().logprobs;
        assert_eq!(logprobs, Some(vec![token("Bir"), token("iki")]));

        let mut silence = FinalText::default();
        silence.add(WorkId(1), 0..9);
        let result = PieceResult {
            logprobs: Some(Vec::new()),
            ..result("")
        };
        silence.finish_piece(WorkId(1), result);
        assert_eq!(silence.join().unwrap().logprobs, Some(Vec::new()));
    }

    #[test]
    fn an_error_of_a_piece_is_the_error_of_the_text() {
        let mut text = FinalText::default();
        for id in [WorkId(1), WorkId(2)] {
            text.add(id, 0..9);
        }
        text.finish_piece(WorkId(1), result("Bir"));
        let failed = PieceResult {
            text: Err(TurnError::Overloaded),
            voice: PieceVoice::NotWanted,
            language: None,
            logprobs: None,
        };
        text.finish_piece(WorkId(2), failed);
        assert_eq!(text.join().unwrap_err(), TurnError::Overloaded);
    }

    #[test]
    fn a_paused_piece_counts_once_it_is_complete() {
        let mut text = FinalText::default();
        text.pause(WorkId(1), 0..9);
        assert!(text.is_finished());
        assert_eq!(text.paused_text(), None);
        text.finish_piece(WorkId(1), result("Bir."));
        assert_eq!(text.paused_text(), Some("Bir."));
        assert_eq!(text.resume(), None);

        text.pause(WorkId(2), 0..20);
        assert_eq!(text.unfinished().collect::<Vec<_>>(), [WorkId(2)]);
        assert!(text.complete_paused(&(0..20)));
        assert!(!text.is_finished());
        text.finish_piece(WorkId(2), result("Bir iki."));
        assert_eq!(text.join().unwrap().text, "Bir iki.");
    }

    #[test]
    fn a_paused_piece_that_has_failed_is_tried_again() {
        let mut text = FinalText::default();
        text.pause(WorkId(1), 0..9);
        let failed = PieceResult {
            text: Err(TurnError::Overloaded),
            voice: PieceVoice::NotWanted,
            language: None,
            logprobs: None,
        };
        text.finish_piece(WorkId(1), failed);
        assert!(!text.complete_paused(&(0..9)));
    }

    #[track_caller]
    fn check(deltas: &str, transcript: &str, expected: Option<&str>) {
        let found = last_delta(deltas, " kuyruk".to_owned(), transcript);
        assert_eq!(found.as_deref(), expected, "{deltas:?} {transcript:?}");
    }

    #[test]
    fn the_last_delta_continues_the_others() {
        check("", "Merhaba dünya.", Some("Merhaba dünya."));
        check("Merhaba", "Merhaba dünya.", Some(" dünya."));
        check("Merhaba dünya", "Merhaba  dünya.", Some("."));
        check("Merhaba dünya.", "Merhaba dünya.", None);
        check("Merhaba.", "Merhaba, dünya.", Some(" dünya."));
        check("ev", "evde", Some("de"));
        check("Merhaba", "Merhaba ", None);
        check("東京", "東京 です。", Some(" です。"));
    }

    #[test]
    fn a_text_that_differs_ends_with_the_tail() {
        check("Merhaba dünya", "Merhaba, dünya", Some(" kuyruk"));
        check("Merhaba", "merhaba dünya", Some(" kuyruk"));
        check("Merhaba dünya", "Merhaba", Some(" kuyruk"));
        assert_eq!(last_delta("Evet", String::new(), "Hayır"), None);
    }
}
