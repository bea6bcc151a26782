//! Sorts what a session received by turn.

use super::alignment;
use super::protocol::PREFIX_PADDING_MS;
use super::record::{LiveEvent, SessionRecord};
use crate::cli::bench::word_errors::normalized_words;
use crate::cli::web_socket::Route;

/// A turn as its client saw it. Times are in seconds since the audio began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReceivedTurn {
    item: String,
    /// When its speech begins, padding not counted, if the server says so.
    pub speech_start_s: Option<f64>,
    /// When its speech ends, silence not counted, if the server says so.
    pub speech_end_s: Option<f64>,
    /// The texts that were committed, with the time each was received.
    pub deltas: Vec<(f64, String)>,
    /// The text, with the time it was received.
    pub completed: Option<(f64, String)>,
    /// Whether the server has said that it has no text.
    pub is_failed: bool,
    /// Whether the server has said that speech began.
    pub has_speech: bool,
    /// Words of partial texts that later ones, or the final text, did not contain.
    pub withdrawn_words: u64,
    /// How often committed text was changed, which must not happen.
    pub changed_commits: u64,
    committed: String,
    shown: Vec<String>,
}

/// A word of a turn, with the time its last letter was received.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedWord {
    /// The word, normalized.
    pub word: String,
    /// When it was complete.
    pub arrival_s: f64,
    /// Index of its turn.
    pub turn: usize,
}

/// How the events of a session are understood.
#[derive(Clone, Copy, Debug)]
pub struct TurnReading<'a> {
    /// The socket.
    pub route: Route,
    /// The silence that ends a turn, where it is constant.
    pub silence_s: Option<f64>,
    /// The language, for which words are normalized.
    pub language: Option<&'a str>,
}

/// The turns of a session, in the order of their first events.
pub fn received_turns(record: &SessionRecord, reading: TurnReading<'_>) -> Vec<ReceivedTurn> {
    let mut turns: Vec<ReceivedTurn> = Vec::new();
    for (at_s, event) in &record.events {
        let Some(item) = item_of(event) else {
            continue;
        };
        let index = match turns.iter().rposition(|turn| turn.item == item) {
            Some(index) => index,
            None => {
                turns.push(ReceivedTurn {
                    item: item.to_owned(),
                    ..ReceivedTurn::default()
                });
                turns.len() - 1
            }
        };
        turns[index].take(*at_s, event, reading);
    }
    turns
}

/// The words of all deltas.
pub fn delta_words(turns: &[ReceivedTurn], language: Option<&str>) -> Vec<ReceivedWord> {
    let words = turns.iter().enumerate();
    words
        .flat_map(|(turn, received)| received.words(turn, language))
        .collect()
}

/// The words of all final texts.
pub fn completed_words(turns: &[ReceivedTurn], language: Option<&str>) -> Vec<ReceivedWord> {
    let mut all = Vec::new();
    for (turn, received) in turns.iter().enumerate() {
        if let Some((arrival_s, text)) = &received.completed {
            let words = normalized_words(text, language).into_iter();
            all.extend(words.map(|word| ReceivedWord {
                word,
                arrival_s: *arrival_s,
                turn,
            }));
        }
    }
    all
}

fn item_of(event: &LiveEvent) -> Option<&str> {
    match event {
        LiveEvent::SpeechStarted { item, .. }
        | LiveEvent::SpeechStopped { item, .. }
        | LiveEvent::Committed { item }
        | LiveEvent::Delta { item, .. }
        | LiveEvent::Partial { item, .. }
        | LiveEvent::Completed { item, .. }
        | LiveEvent::Failed { item, .. } => Some(item),
        LiveEvent::Ready | LiveEvent::Cleared | LiveEvent::Error { .. } => None,
    }
}

impl ReceivedTurn {
    /// All deltas.
    pub fn joined_deltas(&self) -> String {
        self.deltas.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// The final text; empty without one.
    pub fn text(&self) -> &str {
        self.completed.as_ref().map_or("", |(_, text)| text)
    }

    fn take(&mut self, at_s: f64, event: &LiveEvent, reading: TurnReading<'_>) {
        match event {
            LiveEvent::SpeechStarted { audio_start_s, .. } => {
                self.has_speech = true;
                // At the very beginning the padding is cut short, by how much is not known.
                let start_s = audio_start_s + PREFIX_PADDING_MS as f64 / 1e3;
                self.speech_start_s = (*audio_start_s > 0.0).then_some(start_s);
            }
            LiveEvent::SpeechStopped { audio_end_s, .. } => {
                let silence_s = reading.silence_s;
                self.speech_end_s = silence_s.map(|silence_s| audio_end_s - silence_s);
            }
            LiveEvent::Delta { text, .. } => self.deltas.push((at_s, text.clone())),
            LiveEvent::Partial {
                text, committed, ..
            } => {
                let committed: String = text.chars().take(*committed).collect();
                self.commit(at_s, committed);
                self.show(text, reading.language);
            }
            LiveEvent::Completed { text, .. } => {
                if reading.route == Route::Stream {
                    // All of it is certain now.
                    if text.starts_with(&self.committed) {
                        self.commit(at_s, text.clone());
                    }
                    self.show(text, reading.language);
                }
                self.completed = Some((at_s, text.clone()));
            }
            LiveEvent::Failed { .. } => self.is_failed = true,
            LiveEvent::Ready
            | LiveEvent::Committed { .. }
            | LiveEvent::Cleared
            | LiveEvent::Error { .. } => {}
        }
    }

    /// Takes the committed part of a partial text: what is new in it is a delta.
    fn commit(&mut self, at_s: f64, committed: String) {
        match committed.strip_prefix(&self.committed) {
            Some("") => {}
            Some(new) => self.deltas.push((at_s, new.to_owned())),
            None => self.changed_commits += 1,
        }
        self.committed = committed;
    }

    /// Counts the words that `text` no longer contains.
    fn show(&mut self, text: &str, language: Option<&str>) {
        let words = normalized_words(text, language);
        let kept = alignment::matches(&self.shown, &words).len();
        self.withdrawn_words += (self.shown.len() - kept) as u64;
        self.shown = words;
    }

    fn words(&self, turn: usize, language: Option<&str>) -> Vec<ReceivedWord> {
        let mut text = String::new();
        let mut words: Vec<ReceivedWord> = Vec::new();
        for (arrival_s, delta) in &self.deltas {
            text += delta;
            for (index, word) in normalized_words(&text, language).into_iter().enumerate() {
                let known = words.get(index).is_some_and(|known| known.word == word);
                if !known {
                    // A delta may continue the last word of the one before.
                    words.truncate(index);
                    words.push(ReceivedWord {
                        word,
                        arrival_s: *arrival_s,
                        turn,
                    });
                }
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(route: Route, events: &[(f64, LiveEvent)]) -> Vec<ReceivedTurn> {
        let record = SessionRecord {
            events: events.to_vec(),
            ..SessionRecord::default()
        };
        let reading = TurnReading {
            route,
            silence_s: Some(0.5),
            language: Some("tr"),
        };
        received_turns(&record, reading)
    }

    fn delta(item: &str, text: &str) -> LiveEvent {
        LiveEvent::Delta {
            item: item.to_owned(),
            text: text.to_owned(),
        }
    }

    fn partial(text: &str, committed: usize) -> LiveEvent {
        LiveEvent::Partial {
            item: "0".to_owned(),
            text: text.to_owned(),
            committed,
        }
    }

    fn completed(item: &str, text: &str) -> LiveEvent {
        LiveEvent::Completed {
            item: item.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_word_arrives_with_its_last_letter() {
        let turns = turns(
            Route::Realtime,
            &[
                (1.0, delta("a", "Bu ev")),
                (2.0, delta("a", "deki")),
                (2.5, delta("b", "İyi")),
                (3.0, delta("a", " masa.")),
            ],
        );
        let words = delta_words(&turns, Some("tr"));
        let words: Vec<_> = words
            .iter()
            .map(|word| (word.word.as_str(), word.arrival_s, word.turn))
            .collect();
        let expected = [
            ("bu", 1.0, 0),
            ("evdeki", 2.0, 0),
            ("masa", 3.0, 0),
            ("iyi", 2.5, 1),
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn speech_is_without_padding_and_silence() {
        let started = |audio_start_s| LiveEvent::SpeechStarted {
            item: "a".to_owned(),
            audio_start_s,
        };
        let stopped = LiveEvent::SpeechStopped {
            item: "a".to_owned(),
            audio_end_s: 5.0,
        };
        let received = turns(Route::Realtime, &[(2.0, started(1.0)), (5.1, stopped)]);
        assert_eq!(received[0].speech_start_s, Some(1.3));
        assert_eq!(received[0].speech_end_s, Some(4.5));
        assert_eq!(
            turns(Route::Realtime, &[(2.0, started(0.0))])[0].speech_start_s,
            None
        );
    }

    #[test]
    fn the_committed_part_of_partials_makes_the_deltas() {
        let turns = turns(
            Route::Stream,
            &[
                (1.0, partial("bir", 0)),
                (2.0, partial("Bir iki", 3)),
                (3.0, partial("Bir on üç", 3)),
                (4.0, completed("0", "Bir on üç dört.")),
            ],
        );
        let [turn] = &turns[..] else {
            panic!("{turns:?}");
        };
        let expected = [(2.0, "Bir".to_owned()), (4.0, " on üç dört.".to_owned())];
        assert_eq!(turn.deltas, expected);
        assert_eq!((turn.withdrawn_words, turn.changed_commits), (1, 0));
        assert_eq!(turn.text(), "Bir on üç dört.");
    }

    #[test]
    fn a_changed_commit_is_counted() {
        let turns = turns(
            Route::Stream,
            &[(1.0, partial("bir iki", 7)), (2.0, partial("bir üç", 6))],
        );
        assert_eq!(turns[0].changed_commits, 1);
    }

    #[test]
    fn a_final_text_that_differs_leaves_the_deltas_of_the_realtime_socket() {
        let turns = turns(
            Route::Realtime,
            &[
                (1.0, delta("a", "bir iki")),
                (2.0, completed("a", "Bir üç.")),
            ],
        );
        assert_eq!(turns[0].joined_deltas(), "bir iki");
        assert_eq!((turns[0].withdrawn_words, turns[0].changed_commits), (0, 0));
    }
}
