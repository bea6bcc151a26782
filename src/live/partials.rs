//! Decides when a partial text of a turn is computed, and of which audio.

use std::ops::Range;
use std::time::Duration;

use halkspeech_whisper::Language;

use super::audio_buffer::AudioBuffer;
use super::committed::{CommittedText, DecodedAudio};
use super::position::{duration_of, samples_in};
use super::{CommitRule, Delay, PartialResult, PartialWork, WordCounts, WorkId};

/// Speech before the first partial.
const MIN_SPEECH_SAMPLES: usize = samples_in(Duration::from_millis(1_500));

/// New speech between two partials, unless speech has paused.
const MIN_NEW_SPEECH_SAMPLES: usize = samples_in(Duration::from_millis(300));

/// Speech that suffices to tell the language.
const LANGUAGE_SPEECH_SAMPLES: usize = samples_in(Duration::from_secs(3));

/// Audio of more than this is trimmed.
const TRIM_SAMPLES: usize = samples_in(Duration::from_secs(12));

/// Audio that a trim leaves at least.
const KEPT_AT_TRIM: Duration = Duration::from_secs(2);

/// Audio of more than this is dropped, wherever words are.
pub const MAX_SAMPLES: usize = samples_in(Duration::from_secs(28));

/// Audio that is kept then, at most.
const KEPT_AT_MAX_SAMPLES: usize = samples_in(Duration::from_secs(15));

/// Decodes of a pause until all of the speech before it is committed.
const MAX_DECODES_OF_PAUSE: u32 = 3;

/// The speech of a turn so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurnSpeech {
    /// The end of the audio.
    pub now: usize,
    /// How much speech there is.
    pub samples: usize,
    /// The end of the last speech.
    pub end: usize,
    /// Whether speech has paused for 200 ms or more.
    pub is_paused: bool,
}

/// How long the pauses of a turn may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pauses {
    /// A pause probably ends the turn, and then its final text follows at once.
    Short,
    /// The final text is far away, so words are committed in pauses as well.
    Long,
}

/// The partial texts of one turn.
#[derive(Debug)]
pub struct Partials {
    /// New audio between two partials; none: there are none.
    step: Option<usize>,
    rule: CommitRule,
    /// Where the audio of the next one begins.
    start: usize,
    /// The end of the audio of the newest request since the partials began anew.
    requested: Option<usize>,
    /// How much speech there was then.
    requested_speech: usize,
    in_flight: Option<Request>,
    /// The end of the audio of the newest finished request.
    finished: usize,
    /// Number of finished requests that contain all speech so far.
    decodes_of_pause: u32,
    language: Option<Language>,
    text: CommittedText,
}

/// A partial in flight.
#[derive(Clone, Copy, Debug)]
struct Request {
    id: WorkId,
    start: usize,
    speech: TurnSpeech,
}

/// What a finished partial has changed.
#[derive(Debug)]
pub struct FinishedPartial {
    /// Its audio.
    pub range: Range<usize>,
    /// Text that it has committed.
    pub delta: Option<String>,
    /// Whether its text is shown.
    pub is_shown: bool,
}

impl Partials {
    /// The partials of a turn that begins at `start`.
    pub fn new(start: usize, delay: Delay, rule: CommitRule) -> Self {
        Self {
            step: delay.step().map(samples_in),
            rule,
            start,
            requested: None,
            requested_speech: 0,
            in_flight: None,
            finished: start,
            decodes_of_pause: 0,
            language: None,
            text: CommittedText::new(rule),
        }
    }

    /// The text so far.
    pub fn text(&self) -> &CommittedText {
        &self.text
    }

    /// What became of the words since the last call.
    pub fn take_counts(&mut self) -> WordCounts {
        self.text.take_counts()
    }

    /// The first sample that a later partial may contain.
    pub fn needs(&self) -> usize {
        self.step.map_or(usize::MAX, |_| self.start)
    }

    /// The work of the next partial, if it is due; `id` numbers it.
    pub fn next(
        &mut self,
        speech: TurnSpeech,
        pauses: Pauses,
        audio: &AudioBuffer,
        id: impl FnOnce() -> WorkId,
    ) -> Option<PartialWork> {
        if !self.is_due(speech, pauses) {
            return None;
        }
        let request = Request {
            id: id(),
            start: self.start,
            speech,
        };
        self.requested = Some(speech.now);
        self.requested_speech = speech.samples;
        self.in_flight = Some(request);
        let is_long = speech.now - self.start > TRIM_SAMPLES;
        Some(PartialWork {
            id: request.id,
            pcm: audio.copy(self.start..speech.now),
            language: self.language,
            context: self.text.context().to_owned(),
            prefix: self.text.prefix_tokens(),
            wants_word_ends: is_long || self.rule != CommitRule::Agreement,
        })
    }

    /// Takes the result of the partial in flight, none if it failed. `speech` is the speech so far.
    pub fn finish(
        &mut self,
        id: WorkId,
        result: Option<PartialResult>,
        speech: TurnSpeech,
    ) -> Option<FinishedPartial> {
        let request = self.in_flight.take_if(|request| request.id == id)?;
        let mut finished = FinishedPartial {
            range: request.start..request.speech.now,
            delta: None,
            is_shown: false,
        };
        let Some(result) = result else {
            // Its audio is in no decode.
            finished.range.end = request.start;
            return Some(finished);
        };
        self.finished = request.speech.now;
        let contains_all_speech = request.speech.now >= speech.end;
        let goes_on = !(request.speech.is_paused && contains_all_speech);
        self.decodes_of_pause = if goes_on {
            0
        } else {
            self.decodes_of_pause + 1
        };
        if result.is_rejected || result.words.is_empty() {
            return Some(finished);
        }
        if request.speech.samples >= LANGUAGE_SPEECH_SAMPLES {
            self.language = self.language.or(result.language);
        }
        let length = duration_of(finished.range.len());
        let audio = DecodedAudio {
            end: request.speech.now,
            length,
            speech: duration_of(request.speech.end.saturating_sub(request.start)),
            goes_on,
            language: result.language,
        };
        finished.delta = self.text.accept(result.words, &audio);
        finished.is_shown = true;
        if finished.range.len() > TRIM_SAMPLES {
            let cut = self.text.trim(length.saturating_sub(KEPT_AT_TRIM));
            self.start += cut.map_or(0, samples_in);
        }
        Some(finished)
    }

    /// Whether all of the speech is committed and ends a sentence.
    pub fn ends_sentence(&self, speech: TurnSpeech) -> bool {
        self.finished >= speech.end && self.text.ends_sentence()
    }

    /// Drops the partial in flight; returns its work.
    pub fn cancel(&mut self) -> Option<WorkId> {
        self.in_flight.take().map(|request| request.id)
    }

    /// Drops audio if there is too much of it, and the partial in flight, which has not come back for long. `cut` is
    /// the end of the last complete piece of the turn.
    pub fn limit_audio(&mut self, now: usize, cut: usize) -> Option<WorkId> {
        if self.step.is_none() || now <= self.start + MAX_SAMPLES {
            return None;
        }
        self.start = cut.max(now - KEPT_AT_MAX_SAMPLES).min(now);
        self.text.begin_anew();
        self.cancel()
    }

    /// In a long silence: drops the audio before `start` if all words of the speech are known. Returns the text that
    /// is committed by this.
    pub fn skip_silence(&mut self, start: usize, speech: TurnSpeech) -> Option<String> {
        if self.in_flight.is_some() || self.finished < speech.end || self.has_open_words() {
            return None;
        }
        let delta = self.text.commit_tail();
        self.text.begin_anew();
        self.start = start.max(speech.end).max(self.start);
        self.requested = None;
        self.requested_speech = speech.samples;
        delta
    }

    fn is_due(&self, speech: TurnSpeech, pauses: Pauses) -> bool {
        let Some(step) = self.step else { return false };
        if self.in_flight.is_some() || speech.end <= self.start {
            return false;
        }
        if speech.is_paused && pauses == Pauses::Short {
            return false;
        }
        let new_speech = speech.samples - self.requested_speech;
        let Some(requested) = self.requested else {
            // In a pause, there may be no more of it for long.
            return new_speech >= MIN_SPEECH_SAMPLES || (speech.is_paused && new_speech > 0);
        };
        let is_worthwhile = if speech.is_paused {
            new_speech > 0 || self.has_open_words()
        } else {
            new_speech >= step.min(MIN_NEW_SPEECH_SAMPLES)
        };
        is_worthwhile && speech.now >= requested + step
    }

    /// Whether another decode of a pause may commit words.
    fn has_open_words(&self) -> bool {
        self.text.has_tail() && self.decodes_of_pause < MAX_DECODES_OF_PAUSE
    }
}
