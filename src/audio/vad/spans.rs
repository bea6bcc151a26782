//! Finds the spans of speech while the probabilities are still coming.

use std::collections::VecDeque;
use std::ops::Range;

use super::{FRAME_SAMPLES, VadOptions};
use crate::audio::samples_in;

/// What is known of the next span. Later probabilities only add to it.
#[derive(Debug, PartialEq, Eq)]
pub enum Sight {
    /// All of it.
    Whole(Range<usize>),
    /// It begins here and ends no earlier than there.
    AtLeast(Range<usize>),
    /// It begins no earlier than here, should there be one.
    NotBefore(usize),
    /// There is none.
    End,
}

/// Takes the probabilities of a recording one after the other and gives its spans in order.
pub struct SpanTracker {
    options: VadOptions,
    min_speech: usize,
    min_silence: usize,
    pad: usize,
    /// The length of the recording.
    samples: usize,
    /// How much of it was heard.
    heard: usize,
    /// Where the speech that goes on began.
    open: Option<usize>,
    /// Where it fell silent, for too short a time so far to have ended.
    silent_since: Option<usize>,
    /// Spans without their padding.
    found: VecDeque<Range<usize>>,
    /// The end of the last one that was taken, without padding.
    previous_end: Option<usize>,
}

impl SpanTracker {
    /// Nothing is heard yet of a recording of `samples`.
    pub fn new(samples: usize, options: &VadOptions) -> Self {
        Self {
            options: *options,
            min_speech: samples_in(options.min_speech),
            min_silence: samples_in(options.min_silence),
            pad: samples_in(options.speech_pad),
            samples,
            heard: 0,
            open: None,
            silent_since: None,
            found: VecDeque::new(),
            previous_end: None,
        }
    }

    /// Takes the next frame's probability; what is left over at the end is ignored.
    pub fn push(&mut self, probability: f32) {
        if self.heard_all() {
            return;
        }
        let now = self.heard;
        self.heard = (now + FRAME_SAMPLES).min(self.samples);
        let is_speech = probability >= self.options.threshold;
        if is_speech {
            self.silent_since = None;
        }
        match self.open {
            None if is_speech => self.open = Some(now),
            Some(start) if probability < self.options.silence_threshold() => {
                let end = *self.silent_since.get_or_insert(now);
                if now - end >= self.min_silence {
                    self.close(start, end);
                }
            }
            _ => {}
        }
        if let Some(start) = self.open
            && self.heard_all()
        {
            self.close(start, self.samples);
        }
    }

    /// What is known of the next span.
    pub fn sight(&self) -> Sight {
        let open = self.confirmed();
        let Some(first) = self.found.front() else {
            return match open {
                Some((start, end)) => Sight::AtLeast(self.pad_before(start)..end),
                None if self.heard_all() => Sight::End,
                None => {
                    let earliest = self.open.unwrap_or(self.heard);
                    Sight::NotBefore(earliest.saturating_sub(self.pad))
                }
            };
        };
        let start = self.pad_before(first.start);
        let next = self.found.get(1).map(|next| next.start);
        match next.or(open.map(|(start, _)| start)) {
            Some(next) => {
                let silence = next - first.end;
                Sight::Whole(start..first.end + self.pad.min(silence / 2))
            }
            None => {
                let silence = self.open.unwrap_or(self.heard) - first.end;
                if self.heard_all() || silence / 2 >= self.pad {
                    let end = first.end.saturating_add(self.pad);
                    Sight::Whole(start..end.min(self.samples))
                } else {
                    Sight::AtLeast(start..first.end)
                }
            }
        }
    }

    /// Goes on from a [whole](Sight::Whole) span to the next one.
    pub fn pop(&mut self) {
        if let Some(span) = self.found.pop_front() {
            self.previous_end = Some(span.end);
        }
    }

    fn heard_all(&self) -> bool {
        self.heard == self.samples
    }

    fn close(&mut self, start: usize, end: usize) {
        if end - start > self.min_speech {
            self.found.push_back(start..end);
        }
        self.open = None;
        self.silent_since = None;
    }

    /// The speech that goes on, if it is long enough to become a span, and where it ends at the
    /// earliest.
    fn confirmed(&self) -> Option<(usize, usize)> {
        let start = self.open?;
        let end = self.silent_since.unwrap_or(self.heard);
        (end - start > self.min_speech).then_some((start, end))
    }

    /// The start of the first span that was not taken, with its padding.
    fn pad_before(&self, start: usize) -> usize {
        let silence = self.previous_end.map(|end| start - end);
        let pad = silence.map_or(self.pad, |silence| self.pad.min(silence / 2));
        start.saturating_sub(pad)
    }
}
