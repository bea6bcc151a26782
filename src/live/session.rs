//! The session: the order of its turns, and its events.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use halkspeech_audio::{PieceFrame, TurnEdge, TurnTracker};

use super::audio_buffer::AudioBuffer;
use super::detector::Detector;
use super::partials::Pauses;
use super::position::{duration_of, samples_in};
use super::speakers::SessionSpeakers;
use super::turn::{EndedTurn, Turn, TurnStart};
use super::undecoded::UndecodedSpeech;
use super::work_queue::WorkQueue;
use super::{
    CommitRule, ItemId, PartialResult, PieceResult, SessionEvent, SessionOptions, TurnDetection,
    TurnError, WordCounts, Work, WorkId,
};

/// Audio is processed in parts of this length, so that what is no longer needed of a long chunk is released.
const PART_SAMPLES: usize = 16_000;

/// Silence after a sentence that ends a turn of semantic detection.
const SILENCE_AFTER_SENTENCE: Duration = Duration::from_millis(600);

/// Turns whose silence is longer than this commit words in it.
const LONG_SILENCE: Duration = Duration::from_secs(1);

/// The policy of one connection: turns, partial texts, committed words and final texts.
///
/// It has no clock: what it decides depends on the audio and on the results that it got before. Final texts depend on
/// the audio and the options alone, however the audio is divided into chunks; semantic turn detection is the exception,
/// because its turns end by what the texts say.
pub struct Session {
    options: SessionOptions,
    /// Options of the next turn.
    next_options: Option<SessionOptions>,
    rule: CommitRule,
    detector: Detector,
    tracker: TurnTracker,
    audio: AudioBuffer,
    undecoded: UndecodedSpeech,
    /// The end of the last turn, or of what was cleared.
    boundary: usize,
    turn: Option<Turn>,
    /// Turns whose texts are not known yet, in order.
    ended: VecDeque<EndedTurn>,
    work: WorkQueue,
    events: VecDeque<SessionEvent>,
    last_item: u64,
    last_committed: Option<ItemId>,
    word_counts: WordCounts,
    speakers: SessionSpeakers,
}

/// There is no audio to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no audio has come since the last turn")]
pub struct EmptyCommit;

impl Session {
    /// A session before its first sample.
    #[must_use]
    pub fn new(options: SessionOptions) -> Self {
        Self::with_detector(options, Detector::default())
    }

    pub(super) fn with_detector(options: SessionOptions, detector: Detector) -> Self {
        Self {
            options,
            next_options: None,
            rule: CommitRule::default(),
            detector,
            tracker: TurnTracker::new(&options.turn_detection.tracker_options()),
            audio: AudioBuffer::default(),
            undecoded: UndecodedSpeech::default(),
            boundary: 0,
            turn: None,
            ended: VecDeque::new(),
            work: WorkQueue::default(),
            events: VecDeque::new(),
            last_item: 0,
            last_committed: None,
            word_counts: WordCounts::default(),
            speakers: SessionSpeakers::default(),
        }
    }

    /// Changes the options from the next turn on.
    pub fn set_options(&mut self, options: SessionOptions) {
        self.next_options = Some(options);
        if self.turn.is_none() {
            self.apply_next_options();
        }
    }

    /// Changes when words are committed, from the next turn on.
    pub fn set_commit_rule(&mut self, rule: CommitRule) {
        self.rule = rule;
    }

    /// Takes the next chunk of audio, mono at 16 kHz, of any length.
    pub fn push(&mut self, pcm: &[f32]) {
        for part in pcm.chunks(PART_SAMPLES) {
            self.audio.push(part);
            for (probability, samples) in self.detector.push(part) {
                self.process_frame(probability, samples);
            }
            self.release_audio();
        }
    }

    /// Ends the turn here. Audio without speech is a turn with an empty text.
    ///
    /// # Errors
    /// [`EmptyCommit`] if no audio has come since the last turn or [`clear`](Self::clear).
    pub fn commit(&mut self) -> Result<(), EmptyCommit> {
        if self.audio.end() == self.boundary {
            return Err(EmptyCommit);
        }
        self.end_frame();
        let end = self.audio.end();
        if self.turn.is_some() {
            self.end_turn(end);
        } else if self.boundary < end {
            self.add_empty_turn(end);
        }
        Ok(())
    }

    /// Drops the audio that is not committed and the turn in progress.
    pub fn clear(&mut self) {
        if let Some((_, samples)) = self.detector.end_frame() {
            // What the frame contains is dropped, but not its time.
            self.tracker.push(0.0, samples);
        }
        if let Some(turn) = self.turn.take() {
            self.undecoded.remove(&(turn.start()..self.audio.end()));
            turn.cancel(&mut self.work);
        }
        self.begin_after(self.audio.end());
        self.events.push_back(SessionEvent::Cleared);
    }

    /// Ends the audio: the turn in progress ends, and without turn detection all audio that is not committed is a turn.
    pub fn finish(&mut self) {
        self.end_frame();
        let end = self.audio.end();
        if self.turn.is_some() {
            self.end_turn(end);
        } else if self.options.turn_detection == TurnDetection::Off && self.boundary < end {
            self.add_empty_turn(end);
        }
    }

    /// Takes the result of a [partial](Work::Partial). One that was cancelled is ignored. A partial that failed is
    /// not repeated, because the next one contains its audio.
    pub fn partial_done(&mut self, id: WorkId, result: Result<PartialResult, TurnError>) {
        let Some(turn) = &mut self.turn else { return };
        let (item, speech) = (turn.item(), turn.speech());
        let (partials, _) = turn.partials();
        let Some(finished) = partials.finish(id, result.ok(), speech) else {
            return;
        };
        self.word_counts.add(partials.take_counts());
        self.undecoded.remove(&finished.range);
        if let Some(text) = finished.delta {
            self.events.push_back(SessionEvent::Delta { item, text });
        }
        if finished.is_shown {
            self.events.push_back(SessionEvent::Partial {
                item,
                committed: partials.text().text().to_owned(),
                tail: partials.text().tail(),
            });
        }
    }

    /// Takes the result of a [piece](Work::Piece). One that was cancelled is ignored.
    pub fn piece_done(&mut self, id: WorkId, result: PieceResult) {
        let ended = self.ended.iter_mut().map(EndedTurn::final_text);
        let mut texts = ended.chain(self.turn.as_mut().map(Turn::final_text));
        let text = texts.find(|text| text.contains(id));
        if let Some(range) = text.and_then(|text| text.finish_piece(id, result)) {
            self.undecoded.remove(&range);
        }
        self.complete_turns();
    }

    /// What the owner has to do next; to be called after each change until there is nothing.
    pub fn next_work(&mut self) -> Option<Work> {
        self.work
            .next_cancelled()
            .or_else(|| self.next_partial())
            .or_else(|| self.work.next_piece())
    }

    /// The events since the last call.
    pub fn events(&mut self) -> impl Iterator<Item = SessionEvent> {
        self.events.drain(..)
    }

    /// The age of the oldest speech that no finished decode contains, in audio.
    #[must_use]
    pub fn lag(&self) -> Duration {
        let oldest = self.undecoded.oldest();
        oldest.map_or(Duration::ZERO, |oldest| {
            duration_of(self.audio.end() - oldest)
        })
    }

    /// What became of the words of partial texts since the last call.
    pub fn take_word_counts(&mut self) -> WordCounts {
        mem::take(&mut self.word_counts)
    }

    /// Whether every turn that has ended has its text, so that no work is to be done for one.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.ended.is_empty()
    }

    /// The number of the next turn.
    #[must_use]
    pub fn upcoming_item(&self) -> ItemId {
        ItemId(self.last_item + 1)
    }

    /// Samples in memory, but for work that the owner has taken.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.audio.len() + self.work.samples()
    }

    /// Audio since the session began.
    #[must_use]
    pub fn audio(&self) -> Duration {
        duration_of(self.audio.end())
    }

    fn next_partial(&mut self) -> Option<Work> {
        let turn = self.turn.as_mut()?;
        let (item, speech) = (turn.item(), turn.speech());
        let (partials, pauses) = turn.partials();
        let work = &mut self.work;
        let partial = partials.next(speech, pauses, &self.audio, || work.next_id());
        partial.map(|partial| Work::Partial(item, partial))
    }

    fn process_frame(&mut self, probability: f32, samples: usize) {
        self.tracker.set_silence(self.silence());
        let frame_start = self.tracker.position();
        match self.tracker.push(probability, samples) {
            Some(TurnEdge::End(end)) => return self.end_turn(end),
            Some(TurnEdge::Begin(start)) => self.begin_turn(start, frame_start),
            None => {}
        }
        if self.tracker.is_speech() {
            self.undecoded.add(frame_start..frame_start + samples);
        }
        let Some(turn) = &mut self.turn else { return };
        let frame = PieceFrame {
            probability,
            samples,
            silent_since: self.tracker.silent_since(),
        };
        if let Some(text) = turn.push(frame, &self.audio, &mut self.work) {
            let item = turn.item();
            self.word_counts.add(turn.partials().0.take_counts());
            self.events.push_back(SessionEvent::Delta { item, text });
        }
    }

    /// Processes the samples that are not a whole frame, so that everything is processed.
    fn end_frame(&mut self) {
        if let Some((probability, samples)) = self.detector.end_frame() {
            self.process_frame(probability, samples);
        }
    }

    /// The silence that ends the turn in progress.
    fn silence(&self) -> Duration {
        match self.options.turn_detection {
            TurnDetection::Semantic(_) if self.turn.as_ref().is_some_and(Turn::ends_sentence) => {
                SILENCE_AFTER_SENTENCE
            }
            detection => detection.tracker_options().silence,
        }
    }

    fn begin_turn(&mut self, start: usize, first_frame: usize) {
        let item = self.next_item();
        let detection = self.options.turn_detection.tracker_options();
        let pauses = if detection.silence > LONG_SILENCE {
            Pauses::Long
        } else {
            Pauses::Short
        };
        self.turn = Some(Turn::new(&TurnStart {
            item,
            start,
            first_frame,
            detection,
            delay: self.options.delay,
            rule: self.rule,
            pauses,
        }));
        if self.options.turn_detection != TurnDetection::Off {
            let audio_start = duration_of(start);
            self.events
                .push_back(SessionEvent::SpeechStarted { item, audio_start });
        }
    }

    fn end_turn(&mut self, end: usize) {
        let Some(turn) = self.turn.take() else { return };
        let item = turn.item();
        let start = if self.options.turn_detection == TurnDetection::Off {
            self.boundary
        } else {
            let audio_end = duration_of(end);
            self.events
                .push_back(SessionEvent::SpeechStopped { item, audio_end });
            turn.start()
        };
        let audio = duration_of(end - start);
        let ended = turn.end(end, audio, &self.audio, &mut self.work);
        self.add_ended(item, ended);
        self.begin_after(end);
    }

    fn add_empty_turn(&mut self, end: usize) {
        let item = self.next_item();
        let range = self.boundary..end;
        let audio = duration_of(range.len());
        self.add_ended(item, EndedTurn::without_speech(item, range, audio));
        self.begin_after(end);
    }

    fn add_ended(&mut self, item: ItemId, ended: EndedTurn) {
        let previous = self.last_committed.replace(item);
        self.events
            .push_back(SessionEvent::Committed { item, previous });
        self.ended.push_back(ended);
        self.complete_turns();
    }

    /// The next turn begins at `boundary` or later.
    fn begin_after(&mut self, boundary: usize) {
        self.tracker.end_turn();
        self.undecoded.divide();
        self.boundary = boundary;
        self.apply_next_options();
        self.release_audio();
    }

    fn complete_turns(&mut self) {
        while self.ended.front().is_some_and(EndedTurn::is_finished) {
            let Some(turn) = self.ended.pop_front() else {
                return;
            };
            self.undecoded.remove(turn.range());
            self.events.extend(turn.into_events(&mut self.speakers));
        }
    }

    fn apply_next_options(&mut self) {
        if let Some(options) = self.next_options.take() {
            self.options = options;
            self.tracker
                .set_options(&options.turn_detection.tracker_options());
        }
    }

    fn release_audio(&mut self) {
        let detection = self.options.turn_detection.tracker_options();
        let needed = self.turn.as_ref().map_or_else(
            || {
                let padding = samples_in(detection.prefix_padding);
                let padded = self.tracker.position().saturating_sub(padding);
                padded.max(self.boundary)
            },
            Turn::needs,
        );
        self.audio.release_before(needed);
    }

    fn next_item(&mut self) -> ItemId {
        self.last_item += 1;
        ItemId(self.last_item)
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;
