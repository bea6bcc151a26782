//! Finds spans of speech incrementally, frame by frame.

use std::collections::VecDeque;
use std::ops::Range;

use super::{FRAME_SAMPLES, VadOptions};
use crate::samples_in;

/// The state of the next span. Later probabilities never contradict it.
#[derive(Debug, PartialEq, Eq)]
pub enum NextSpan {
    /// Its start and end are final.
    Complete(Range<usize>),
    /// Its start is final; the end is a lower bound.
    Partial(Range<usize>),
    /// If there is a next span, it starts at this sample or later.
    NotBefore(usize),
    /// There are no more spans.
    End,
}

/// Builds spans from the speech probabilities of consecutive frames.
pub struct SpanTracker {
    options: VadOptions,
    min_speech: usize,
    min_silence: usize,
    pad: usize,
    /// The length of the recording.
    samples: usize,
    /// Samples processed so far.
    processed: usize,
    /// Start of the speech in progress.
    speech_start: Option<usize>,
    /// Start of the current silence, which is still too short to end the span.
    silent_since: Option<usize>,
    /// Finished spans, without padding.
    closed_spans: VecDeque<Range<usize>>,
    /// End of the last span that was popped, without padding.
    previous_end: Option<usize>,
}

impl SpanTracker {
    /// A tracker for a recording of `samples` samples.
    pub fn new(samples: usize, options: &VadOptions) -> Self {
        Self {
            options: *options,
            min_speech: samples_in(options.min_speech),
            min_silence: samples_in(options.min_silence),
            pad: samples_in(options.speech_pad),
            samples,
            processed: 0,
            speech_start: None,
            silent_since: None,
            closed_spans: VecDeque::new(),
            previous_end: None,
        }
    }

    /// Processes the next frame's probability; frames past the end are ignored.
    pub fn push(&mut self, probability: f32) {
        if self.is_complete() {
            return;
        }
        let now = self.processed;
        self.processed = (now + FRAME_SAMPLES).min(self.samples);
        let is_speech = probability >= self.options.threshold;
        if is_speech {
            self.silent_since = None;
        }
        match self.speech_start {
            None if is_speech => self.speech_start = Some(now),
            Some(start) if probability < self.options.silence_threshold() => {
                let end = *self.silent_since.get_or_insert(now);
                if now - end >= self.min_silence {
                    self.close(start, end);
                }
            }
            _ => {}
        }
        if let Some(start) = self.speech_start
            && self.is_complete()
        {
            self.close(start, self.samples);
        }
    }

    /// The state of the next span.
    pub fn next_span(&self) -> NextSpan {
        let open_span = self.open_span();
        let Some(first) = self.closed_spans.front() else {
            return match open_span {
                Some((start, end)) => NextSpan::Partial(self.pad_before(start)..end),
                None if self.is_complete() => NextSpan::End,
                None => {
                    let earliest = self.speech_start.unwrap_or(self.processed);
                    NextSpan::NotBefore(earliest.saturating_sub(self.pad))
                }
            };
        };
        let start = self.pad_before(first.start);
        let next = self.closed_spans.get(1).map(|next| next.start);
        match next.or(open_span.map(|(start, _)| start)) {
            Some(next) => {
                let silence = next - first.end;
                NextSpan::Complete(start..first.end + self.pad.min(silence / 2))
            }
            None => {
                let silence = self.speech_start.unwrap_or(self.processed) - first.end;
                if self.is_complete() || silence / 2 >= self.pad {
                    let end = first.end.saturating_add(self.pad);
                    NextSpan::Complete(start..end.min(self.samples))
                } else {
                    NextSpan::Partial(start..first.end)
                }
            }
        }
    }

    /// Removes the next span, which must be [complete](NextSpan::Complete).
    pub fn pop(&mut self) {
        if let Some(span) = self.closed_spans.pop_front() {
            self.previous_end = Some(span.end);
        }
    }

    fn is_complete(&self) -> bool {
        self.processed == self.samples
    }

    fn close(&mut self, start: usize, end: usize) {
        if end - start > self.min_speech {
            self.closed_spans.push_back(start..end);
        }
        self.speech_start = None;
        self.silent_since = None;
    }

    /// Start and earliest end of the speech in progress, if it is already long enough to be a span.
    fn open_span(&self) -> Option<(usize, usize)> {
        let start = self.speech_start?;
        let end = self.silent_since.unwrap_or(self.processed);
        (end - start > self.min_speech).then_some((start, end))
    }

    /// The padded start of the first span that was not popped.
    fn pad_before(&self, start: usize) -> usize {
        let silence = self.previous_end.map(|end| start - end);
        let pad = silence.map_or(self.pad, |silence| self.pad.min(silence / 2));
        start.saturating_sub(pad)
    }
}
