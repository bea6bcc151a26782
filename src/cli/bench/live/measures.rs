//! Measures a session: how late its words came, and which are wrong.
//!
//! All times are of audio: a frame is sent when its last sample would have been spoken, so the time since the
//! audio began is a position in it. A word counts as late by the time from its end in the reference to its
//! arrival; a word that an alignment with the reference does not match counts as wrong, not as late.

use super::alignment;
use super::record::SessionRecord;
use super::reference::Reference;
use super::turns::{
    ReceivedTurn, ReceivedWord, TurnReading, completed_words, delta_words, received_turns,
};
use crate::cli::bench::clips::Clip;
use crate::cli::bench::word_errors::WordErrors;

/// The fewest words for a growth of the lag: below, a quarter of them is noise.
const MIN_GROWTH_WORDS: usize = 80;

/// The measures of one session, or of many together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionMeasures {
    /// Turns with speech.
    pub turns: u64,
    /// Of these, the turns that failed.
    pub failed_turns: u64,
    /// Of these, the turns whose joined deltas have other words than the final text.
    pub turns_that_differ: u64,
    /// From the begin of the speech of a turn to its first delta.
    pub first_delta_s: Vec<f64>,
    /// From the end of a word to its delta.
    pub word_s: Vec<f64>,
    /// From the end of the speech of a turn to its final text.
    pub final_s: Vec<f64>,
    /// For each reference word, from its end to the first text with it or a later word.
    pub lag_s: Vec<f64>,
    /// For each long session, the median lag of its last quarter less that of its first.
    pub lag_growth_s: Vec<f64>,
    /// Words in deltas.
    pub committed_words: u64,
    /// Words that a partial text showed and a later one did not.
    pub withdrawn_words: u64,
    /// How often committed text was changed.
    pub changed_commits: u64,
    /// Errors against the upload route's words.
    pub against_upload: TextErrors,
    /// Errors against the reference texts, of clips that have one.
    pub against_text: TextErrors,
}

/// The word errors of each kind of text against the same reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextErrors {
    /// Of the upload route's text.
    pub upload: WordErrors,
    /// Of the final texts.
    pub completed: WordErrors,
    /// Of the joined deltas.
    pub deltas: WordErrors,
}

/// The texts of a session.
struct Texts {
    upload: String,
    completed: String,
    deltas: String,
}

impl SessionMeasures {
    /// Measures a session of `clip`.
    pub fn of(
        record: &SessionRecord,
        clip: &Clip,
        reference: &Reference,
        reading: TurnReading<'_>,
    ) -> Self {
        let language = reading.language;
        let mut turns = received_turns(record, reading);
        // The commit after the audio ends a turn even if there was no speech.
        turns.retain(|turn| turn.has_speech || turn.is_failed || !turn.joined().is_empty());

        let deltas = delta_words(&turns, language);
        let completed = completed_words(&turns, language);
        let timeline = Timeline::new(record.lead_s, reference);
        let delta_arrivals = timeline.arrivals(&deltas);
        let completed_arrivals = timeline.arrivals(&completed);

        let mut measures = Self {
            turns: turns.len() as u64,
            failed_turns: count(&turns, |turn| turn.is_failed),
            turns_that_differ: count(&turns, |turn| turn.differs(language)),
            committed_words: deltas.len() as u64,
            withdrawn_words: turns.iter().map(|turn| turn.withdrawn_words).sum(),
            changed_commits: turns.iter().map(|turn| turn.changed_commits).sum(),
            ..Self::default()
        };
        measures.word_s = timeline.delays(&delta_arrivals);
        measures.lag_s = timeline.lags(&delta_arrivals, &completed_arrivals);
        measures.lag_growth_s = growth(&measures.lag_s).into_iter().collect();
        let known = if completed.is_empty() {
            timeline.spans(&deltas, turns.len())
        } else {
            timeline.spans(&completed, turns.len())
        };
        for (turn, span) in turns.iter().zip(known) {
            let (start_s, end_s) = span.unzip();
            let start_s = turn.speech_start_s.or(start_s);
            let end_s = turn.speech_end_s.or(end_s);
            let first = turn.deltas.first().map(|(at_s, _)| *at_s);
            let last = turn.completed.as_ref().filter(|(_, text)| !text.is_empty());
            let last = last.map(|(at_s, _)| *at_s);
            measures
                .first_delta_s
                .extend(first.zip(start_s).map(|(at_s, start_s)| at_s - start_s));
            measures
                .final_s
                .extend(last.zip(end_s).map(|(at_s, end_s)| at_s - end_s));
        }
        measures.count_errors(&turns, clip, reference, language);
        measures
    }

    /// Adds the measures of another session.
    pub fn add(&mut self, other: Self) {
        let Self {
            turns,
            failed_turns,
            turns_that_differ,
            first_delta_s,
            word_s,
            final_s,
            lag_s,
            lag_growth_s,
            committed_words,
            withdrawn_words,
            changed_commits,
            against_upload,
            against_text,
        } = other;
        self.turns += turns;
        self.failed_turns += failed_turns;
        self.turns_that_differ += turns_that_differ;
        self.first_delta_s.extend(first_delta_s);
        self.word_s.extend(word_s);
        self.final_s.extend(final_s);
        self.lag_s.extend(lag_s);
        self.lag_growth_s.extend(lag_growth_s);
        self.committed_words += committed_words;
        self.withdrawn_words += withdrawn_words;
        self.changed_commits += changed_commits;
        self.against_upload.add(against_upload);
        self.against_text.add(against_text);
    }

    fn count_errors(
        &mut self,
        turns: &[ReceivedTurn],
        clip: &Clip,
        reference: &Reference,
        language: Option<&str>,
    ) {
        let joined = |text: &dyn Fn(&ReceivedTurn) -> String| {
            let texts: Vec<String> = turns.iter().map(text).collect();
            texts.join(" ")
        };
        let texts = Texts {
            upload: reference.text.clone(),
            completed: joined(&|turn| turn.text().to_owned()),
            deltas: joined(&ReceivedTurn::joined_deltas),
        };
        self.against_upload
            .add(texts.errors(&reference.text, language));
        if let Some(text) = &clip.text {
            self.against_text.add(texts.errors(text, language));
        }
    }
}

impl TextErrors {
    fn add(&mut self, other: Self) {
        self.upload += other.upload;
        self.completed += other.completed;
        self.deltas += other.deltas;
    }
}

impl Texts {
    fn errors(&self, reference: &str, language: Option<&str>) -> TextErrors {
        let count = |text: &str| WordErrors::count(reference, text, language);
        TextErrors {
            upload: count(&self.upload),
            completed: count(&self.completed),
            deltas: count(&self.deltas),
        }
    }
}

/// The reference words at their times in a session.
struct Timeline {
    words: Vec<String>,
    spans_s: Vec<(f64, f64)>,
}

impl Timeline {
    fn new(lead_s: f64, reference: &Reference) -> Self {
        let words = reference.words.iter();
        let spans_s = words
            .clone()
            .map(|word| (word.start_s + lead_s, word.end_s + lead_s));
        Self {
            spans_s: spans_s.collect(),
            words: words.map(|word| word.word.clone()).collect(),
        }
    }

    /// Pairs of a reference word and the received word that it matches.
    fn matches(&self, received: &[ReceivedWord]) -> Vec<(usize, usize)> {
        let words: Vec<String> = received.iter().map(|word| word.word.clone()).collect();
        alignment::matches(&self.words, &words)
    }

    /// For each reference word, when it was received.
    fn arrivals(&self, received: &[ReceivedWord]) -> Vec<Option<f64>> {
        let mut arrivals = vec![None; self.words.len()];
        for (word, at) in self.matches(received) {
            arrivals[word] = Some(received[at].arrival_s);
        }
        arrivals
    }

    fn delays(&self, arrivals: &[Option<f64>]) -> Vec<f64> {
        let words = arrivals.iter().zip(&self.spans_s);
        words
            .filter_map(|(at_s, (_, end_s))| at_s.map(|at_s| at_s - end_s))
            .collect()
    }

    /// A text with a later word has been computed from the audio of the words before it.
    fn lags(&self, deltas: &[Option<f64>], completed: &[Option<f64>]) -> Vec<f64> {
        let mut covered_s = f64::INFINITY;
        let mut lags = Vec::new();
        let arrivals = deltas.iter().zip(completed);
        for ((delta, completed), (_, end_s)) in arrivals.zip(&self.spans_s).rev() {
            for at_s in delta.iter().chain(completed) {
                covered_s = covered_s.min(*at_s);
            }
            lags.extend(covered_s.is_finite().then_some(covered_s - end_s));
        }
        lags.reverse();
        lags
    }

    /// For each turn, the begin of its first matched word and the end of its last one.
    fn spans(&self, received: &[ReceivedWord], turns: usize) -> Vec<Option<(f64, f64)>> {
        let mut spans: Vec<Option<(f64, f64)>> = vec![None; turns];
        for (word, at) in self.matches(received) {
            let (start_s, end_s) = self.spans_s[word];
            let span = &mut spans[received[at].turn];
            *span = Some((span.map_or(start_s, |(start_s, _)| start_s), end_s));
        }
        spans
    }
}

impl ReceivedTurn {
    fn joined(&self) -> String {
        self.joined_deltas() + self.text()
    }

    fn differs(&self, language: Option<&str>) -> bool {
        let errors = WordErrors::count(self.text(), &self.joined_deltas(), language);
        self.completed.is_some() && errors.errors > 0
    }
}

fn count(turns: &[ReceivedTurn], is_counted: impl Fn(&ReceivedTurn) -> bool) -> u64 {
    turns.iter().filter(|turn| is_counted(turn)).count() as u64
}

/// The median of the last quarter less that of the first; `None` for few words.
fn growth(lags: &[f64]) -> Option<f64> {
    let quarter = lags.len() / 4;
    (lags.len() >= MIN_GROWTH_WORDS).then(|| {
        let median = |part: &[f64]| {
            let mut part = part.to_vec();
            part.sort_by(f64::total_cmp);
            part[part.len() / 2]
        };
        median(&lags[lags.len() - quarter..]) - median(&lags[..quarter])
    })
}

#[cfg(test)]
mod tests;
