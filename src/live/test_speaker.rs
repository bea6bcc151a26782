//! A speaker with a script, and an engine that knows it, for tests of the session.
//!
//! The value of a sample is its position since the session began, plus one, and negative in silence: so the detector for
//! tests finds the speech, and the engine knows which audio it was given.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

use halkspeech_whisper::Language;

use super::detector::Detector;
use super::position::{duration_of, samples_in};
use super::{
    PartialResult, PartialWord, PartialWork, PieceResult, PieceVoice, PieceWork, Session,
    SessionEvent, SessionOptions, Work, WorkId,
};

/// Length of a word.
pub const WORD: Duration = Duration::from_millis(384);

/// What is spoken, and when.
#[derive(Clone, Debug, Default)]
pub struct Script {
    words: Vec<(String, Range<usize>)>,
    samples: usize,
}

impl Script {
    /// Words of 384 ms, twelve frames, without pauses between them, and silences in seconds: `|0.5`.
    pub fn new(text: &str) -> Self {
        let mut script = Self::default();
        for part in text.split_whitespace() {
            match part.strip_prefix('|') {
                Some(seconds) => script.pause(Duration::from_secs_f64(seconds.parse().unwrap())),
                None => script.say(part),
            }
        }
        script
    }

    pub fn say(&mut self, word: &str) {
        let start = self.samples;
        self.samples += samples_in(WORD);
        self.words.push((word.to_owned(), start..self.samples));
    }

    /// Silence in whole frames.
    pub fn pause(&mut self, duration: Duration) {
        self.samples += samples_in(duration) / 512 * 512;
    }

    pub fn samples(&self) -> usize {
        self.samples
    }

    pub fn pcm(&self) -> Vec<f32> {
        let mut pcm: Vec<f32> = (1..=self.samples).map(|sample| -(sample as f32)).collect();
        for (_, range) in &self.words {
            for sample in &mut pcm[range.clone()] {
                *sample = -*sample;
            }
        }
        pcm
    }

    /// The words in a part of the audio; the last may be incomplete.
    fn words_in(&self, range: &Range<usize>) -> Vec<(String, Range<usize>)> {
        let is_in = |word: &&(String, Range<usize>)| {
            (word.1.start + word.1.end) / 2 >= range.start && word.1.start + 1_600 <= range.end
        };
        self.words.iter().filter(is_in).cloned().collect()
    }
}

/// The part of the audio that `pcm` is.
pub fn range_of(pcm: &[f32]) -> Range<usize> {
    let start = pcm.first().unwrap().abs() as usize - 1;
    assert_eq!(pcm.last().unwrap().abs() as usize, start + pcm.len());
    start..start + pcm.len()
}

/// A session with the owner that runs its work.
pub struct Conversation {
    pub session: Session,
    pub script: Script,
    /// The partial in flight.
    pub partial: Option<PartialWork>,
    /// Pieces in flight.
    pub pieces: Vec<PieceWork>,
    /// The audio of the pieces that were taken, but for those that were cancelled.
    pub ranges: Vec<Range<usize>>,
    pub partial_ranges: Vec<Range<usize>>,
    pub cancelled: Vec<WorkId>,
    pub events: Vec<SessionEvent>,
    /// Texts of tokens.
    vocabulary: Vec<String>,
    tokens: HashMap<String, u32>,
}

impl Conversation {
    pub fn new(options: SessionOptions, script: Script) -> Self {
        Self {
            session: Session::with_detector(options, Detector::Sign(Vec::new())),
            script,
            partial: None,
            pieces: Vec::new(),
            ranges: Vec::new(),
            partial_ranges: Vec::new(),
            cancelled: Vec::new(),
            events: Vec::new(),
            vocabulary: Vec::new(),
            tokens: HashMap::new(),
        }
    }

    /// Speaks the whole script in chunks, with an engine without delay.
    pub fn speak(&mut self, chunk: usize) {
        for chunk in self.script.pcm().chunks(chunk) {
            self.session.push(chunk);
            self.settle();
        }
    }

    /// Takes and finishes all work.
    pub fn settle(&mut self) {
        self.take_work();
        while self.partial.is_some() || !self.pieces.is_empty() {
            self.finish_partial();
            self.finish_piece(0);
            self.take_work();
        }
    }

    /// Takes the work that there is.
    pub fn take_work(&mut self) {
        while let Some(work) = self.session.next_work() {
            match work {
                Work::Partial(_, work) => {
                    assert!(work.pcm.iter().any(|sample| *sample > 0.0), "no speech");
                    assert!(work.pcm.len() <= 28 * 16_000);
                    self.partial_ranges.push(range_of(&work.pcm));
                    let before = self.partial.replace(work);
                    assert_eq!(before, None, "two partials in flight");
                }
                Work::Piece(_, work) => {
                    assert!(work.pcm.iter().any(|sample| *sample > 0.0), "no speech");
                    assert!(work.pcm.len() <= 15 * 16_000);
                    self.ranges.push(range_of(&work.pcm));
                    self.pieces.push(work);
                }
                Work::Cancel(id) => self.cancel(id),
            }
        }
        self.events.extend(self.session.events());
    }

    fn cancel(&mut self, id: WorkId) {
        self.cancelled.push(id);
        if let Some(partial) = self.partial.take_if(|partial| partial.id == id) {
            drop(partial);
            return;
        }
        if let Some(index) = self.pieces.iter().position(|piece| piece.id == id) {
            let piece = self.pieces.remove(index);
            let range = range_of(&piece.pcm);
            let taken = self.ranges.iter().rposition(|taken| *taken == range);
            self.ranges.remove(taken.unwrap());
        }
    }

    pub fn finish_partial(&mut self) {
        if let Some(work) = self.partial.take() {
            let result = self.decode(&work);
            self.session.partial_done(work.id, Ok(result));
            self.events.extend(self.session.events());
        }
    }

    pub fn finish_piece(&mut self, index: usize) {
        if index >= self.pieces.len() {
            return;
        }
        let work = self.pieces.remove(index);
        let words = self.script.words_in(&range_of(&work.pcm));
        let words: Vec<String> = words.into_iter().map(|(word, _)| word).collect();
        let result = PieceResult {
            text: Ok(words.join(" ")),
            language: Language::parse("tr"),
            logprobs: None,
            voice: PieceVoice::Unknown,
        };
        self.session.piece_done(work.id, result);
        self.events.extend(self.session.events());
    }

    /// The text of a partial: the prefix, then the words of the script behind as many as it has. A word that is not
    /// complete is half of itself.
    pub fn decode(&mut self, work: &PartialWork) -> PartialResult {
        let range = range_of(&work.pcm);
        let spoken = self.script.words_in(&range);
        let mut words = self.prefix_words(&work.prefix);
        if let Some(last) = words.len().checked_sub(1)
            && let Some((text, _)) = spoken.get(last)
        {
            // Its punctuation is not in the prefix.
            let text = words[last].text.clone() + divide(text).1;
            let (word, punctuation) = divide(&text);
            words[last] = self.word(word, punctuation);
        }
        for (text, time) in spoken.iter().skip(words.len()) {
            let is_complete = time.end <= range.end;
            let length = text.chars().count();
            let kept = if is_complete {
                length
            } else {
                length.div_ceil(2)
            };
            let text: String = text.chars().take(kept).collect();
            let (word, punctuation) = divide(&text);
            let word = [&format!(" {word}"), punctuation];
            words.push(self.word(word[0], word[1]));
        }
        if work.wants_word_ends {
            for (word, (_, time)) in words.iter_mut().zip(&spoken) {
                word.end = Some(duration_of(time.end.min(range.end) - range.start));
            }
        }
        PartialResult {
            words,
            language: Language::parse("tr"),
            is_rejected: false,
        }
    }

    fn prefix_words(&mut self, tokens: &[u32]) -> Vec<PartialWord> {
        let mut texts: Vec<(String, String)> = Vec::new();
        for token in tokens {
            let text = self.vocabulary[*token as usize].clone();
            match texts.last_mut() {
                Some((_, punctuation)) if !text.starts_with(' ') => punctuation.push_str(&text),
                _ => texts.push((text, String::new())),
            }
        }
        texts
            .into_iter()
            .map(|(word, punctuation)| self.word(&word, &punctuation))
            .collect()
    }

    fn word(&mut self, word: &str, punctuation: &str) -> PartialWord {
        let mut tokens = vec![self.token(word)];
        if !punctuation.is_empty() {
            tokens.push(self.token(punctuation));
        }
        PartialWord {
            text: word.to_owned(),
            punctuation: punctuation.to_owned(),
            punctuation_tokens: tokens.len() - 1,
            tokens,
            end: None,
        }
    }

    fn token(&mut self, text: &str) -> u32 {
        let next = self.vocabulary.len() as u32;
        let token = *self.tokens.entry(text.to_owned()).or_insert(next);
        if token == next {
            self.vocabulary.push(text.to_owned());
        }
        token
    }

    /// The joined deltas of each turn and its transcript.
    pub fn texts(&self) -> Vec<(String, String)> {
        let mut deltas: HashMap<_, String> = HashMap::new();
        let mut texts = Vec::new();
        for event in &self.events {
            match event {
                SessionEvent::Delta { item, text } => {
                    deltas.entry(*item).or_default().push_str(text);
                }
                SessionEvent::Completed {
                    item, transcript, ..
                } => texts.push((deltas.remove(item).unwrap_or_default(), transcript.clone())),
                _ => {}
            }
        }
        texts
    }

    /// The audio of the complete pieces, in order: of those that begin at the same sample, the last.
    pub fn complete_ranges(&self) -> Vec<Range<usize>> {
        let by_start: BTreeMap<usize, usize> = self
            .ranges
            .iter()
            .map(|range| (range.start, range.end))
            .collect();
        by_start
            .into_iter()
            .map(|(start, end)| start..end)
            .collect()
    }

    /// The deltas so far.
    pub fn deltas(&self) -> String {
        let texts = self.events.iter().filter_map(|event| match event {
            SessionEvent::Delta { text, .. } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }
}

/// A word and the punctuation behind it.
fn divide(text: &str) -> (&str, &str) {
    let word = text.trim_end_matches(['.', ',', '?', '!']);
    text.split_at(word.len())
}
