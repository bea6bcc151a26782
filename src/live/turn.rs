//! A turn that is being spoken, and one that is complete but for its text.

use std::ops::Range;
use std::time::Duration;

use halkspeech_audio::{PieceCutter, PieceEdge, PieceFrame, TurnOptions};

use super::audio_buffer::AudioBuffer;
use super::committed::ends_sentence;
use super::final_text::{FinalText, last_delta};
use super::partials::{Partials, Pauses, TurnSpeech};
use super::position::samples_in;
use super::speakers::SessionSpeakers;
use super::work_queue::WorkQueue;
use super::{CommitRule, Delay, ItemId, SessionEvent};

/// Silence after which speech counts as paused.
const PAUSE_SAMPLES: usize = samples_in(Duration::from_millis(200));

/// Silence behind which partials begin anew.
const LONG_PAUSE_SAMPLES: usize = samples_in(Duration::from_secs(2));

/// A turn in progress.
pub struct Turn {
    item: ItemId,
    start: usize,
    pauses: Pauses,
    prefix_padding: usize,
    speech: TurnSpeech,
    cutter: PieceCutter,
    /// The end of the last complete piece.
    cut: usize,
    final_text: FinalText,
    partials: Partials,
}

/// What determines a turn.
#[derive(Clone, Copy)]
pub struct TurnStart {
    /// Its number.
    pub item: ItemId,
    /// Where it begins, padding included.
    pub start: usize,
    /// Where its first frame begins.
    pub first_frame: usize,
    /// How its speech is detected.
    pub detection: TurnOptions,
    /// When partials are computed.
    pub delay: Delay,
    /// When words are committed.
    pub rule: CommitRule,
    /// Whether it may have long pauses.
    pub pauses: Pauses,
}

/// A turn whose audio is complete.
pub struct EndedTurn {
    item: ItemId,
    range: Range<usize>,
    /// The turn's audio in the client's eyes.
    audio: Duration,
    final_text: FinalText,
    deltas: String,
    tail: String,
}

impl Turn {
    /// A turn before its first frame.
    pub fn new(start: &TurnStart) -> Self {
        let speech = TurnSpeech {
            now: start.first_frame,
            ..TurnSpeech::default()
        };
        Self {
            item: start.item,
            start: start.start,
            pauses: start.pauses,
            prefix_padding: samples_in(start.detection.prefix_padding),
            speech,
            cutter: PieceCutter::new(start.start, start.first_frame, &start.detection),
            cut: start.start,
            final_text: FinalText::default(),
            partials: Partials::new(start.start, start.delay, start.rule),
        }
    }

    /// Its number.
    pub fn item(&self) -> ItemId {
        self.item
    }

    /// Where it begins, padding included.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The speech so far.
    pub fn speech(&self) -> TurnSpeech {
        self.speech
    }

    /// The partial texts.
    pub fn partials(&mut self) -> (&mut Partials, Pauses) {
        (&mut self.partials, self.pauses)
    }

    /// The first sample that is still needed.
    pub fn needs(&self) -> usize {
        self.cutter.needs().min(self.partials.needs())
    }

    /// Whether the text so far ends a sentence: the text of the last pause if it is known, else what is committed, if
    /// that is everything.
    pub fn ends_sentence(&self) -> bool {
        match self.final_text.paused_text() {
            Some(text) => ends_sentence(text),
            None => self.partials.ends_sentence(self.speech),
        }
    }

    /// Processes the next frame; returns text that is committed by it.
    pub fn push(
        &mut self,
        frame: PieceFrame,
        audio: &AudioBuffer,
        work: &mut WorkQueue,
    ) -> Option<String> {
        let now = self.speech.now + frame.samples;
        let silence = frame.silent_since.map_or(0, |since| now - since);
        self.speech.now = now;
        self.speech.is_paused = silence >= PAUSE_SAMPLES;
        if frame.silent_since.is_none() {
            self.speech.samples += frame.samples;
            self.speech.end = now;
        }
        let mut delta = None;
        if silence >= LONG_PAUSE_SAMPLES {
            let start = now.saturating_sub(self.prefix_padding);
            delta = self.partials.skip_silence(start, self.speech);
        }
        let edge = self
            .cutter
            .push(frame, audio.slice(self.cutter.needs()..now));
        match edge {
            Some(PieceEdge::Closed(range)) => self.close_piece(range, audio, work),
            Some(PieceEdge::Paused(range)) => {
                let id = work.add_piece(self.item, audio.copy(range.clone()));
                self.final_text.pause(id, range);
            }
            Some(PieceEdge::Resumed) => {
                if let Some(id) = self.final_text.resume() {
                    work.cancel(id);
                }
            }
            None => {}
        }
        if let Some(id) = self.partials.limit_audio(now, self.cut) {
            work.cancel(id);
        }
        delta
    }

    /// The final text.
    pub fn final_text(&mut self) -> &mut FinalText {
        &mut self.final_text
    }

    /// Ends the turn at `end`.
    pub fn end(
        mut self,
        end: usize,
        audio: Duration,
        buffer: &AudioBuffer,
        work: &mut WorkQueue,
    ) -> EndedTurn {
        if let Some(rest) = self.cutter.finish(end) {
            self.close_piece(rest, buffer, work);
        }
        if let Some(id) = self.partials.cancel() {
            work.cancel(id);
        }
        let text = self.partials.text();
        EndedTurn {
            item: self.item,
            range: self.start..end,
            audio,
            deltas: text.text().to_owned(),
            tail: text.tail(),
            final_text: self.final_text,
        }
    }

    /// Drops the turn and its work.
    pub fn cancel(mut self, work: &mut WorkQueue) {
        if let Some(id) = self.partials.cancel() {
            work.cancel(id);
        }
        for id in self.final_text.unfinished() {
            work.cancel(id);
        }
    }

    fn close_piece(&mut self, range: Range<usize>, audio: &AudioBuffer, work: &mut WorkQueue) {
        self.cut = range.end;
        if !self.final_text.complete_paused(&range) {
            let id = work.add_piece(self.item, audio.copy(range.clone()));
            self.final_text.add(id, range);
        }
    }
}

impl EndedTurn {
    /// A turn without speech.
    pub fn without_speech(item: ItemId, range: Range<usize>, audio: Duration) -> Self {
        Self {
            item,
            range,
            audio,
            final_text: FinalText::default(),
            deltas: String::new(),
            tail: String::new(),
        }
    }

    /// Its audio.
    pub fn range(&self) -> &Range<usize> {
        &self.range
    }

    /// The final text.
    pub fn final_text(&mut self) -> &mut FinalText {
        &mut self.final_text
    }

    /// Whether its text is known.
    pub fn is_finished(&self) -> bool {
        self.final_text.is_finished()
    }

    /// The last events of the turn.
    pub fn into_events(self, speakers: &mut SessionSpeakers) -> Vec<SessionEvent> {
        let item = self.item;
        let joined = match self.final_text.join() {
            Ok(joined) => joined,
            Err(error) => return vec![SessionEvent::Failed { item, error }],
        };
        let delta = last_delta(&self.deltas, self.tail, &joined.text);
        let delta = delta.map(|text| SessionEvent::Delta { item, text });
        let completed = SessionEvent::Completed {
            item,
            transcript: joined.text,
            audio: self.audio,
            language: joined.language,
            logprobs: joined.logprobs,
        };
        let segments = speakers.segments(item, joined.spoken);
        delta
            .into_iter()
            .chain(segments)
            .chain([completed])
            .collect()
    }
}
