//! The audio of a session that may still be needed.

use std::ops::Range;
use std::sync::Arc;

/// Audio that was released is moved out of the way once there is this much of it, 4 s.
const MAX_RELEASED_SAMPLES: usize = 4 * 16_000;

/// Consecutive samples of a session, by their position since it began.
#[derive(Debug, Default)]
pub struct AudioBuffer {
    pcm: Vec<f32>,
    /// The position of the first sample of `pcm`.
    start: usize,
    /// The first position that is needed.
    needed: usize,
}

impl AudioBuffer {
    /// Appends samples.
    pub fn push(&mut self, pcm: &[f32]) {
        self.pcm.extend_from_slice(pcm);
    }

    /// The position behind the last sample.
    pub fn end(&self) -> usize {
        self.start + self.pcm.len()
    }

    /// The number of samples in memory.
    pub fn len(&self) -> usize {
        self.pcm.len()
    }

    /// The audio of `range`, as far as it is in memory.
    pub fn slice(&self, range: Range<usize>) -> &[f32] {
        let offset = |position: usize| position.clamp(self.start, self.end()) - self.start;
        &self.pcm[offset(range.start)..offset(range.end)]
    }

    /// A copy of the audio of `range`.
    pub fn copy(&self, range: Range<usize>) -> Arc<[f32]> {
        self.slice(range).into()
    }

    /// Releases the audio before `position`.
    pub fn release_before(&mut self, position: usize) {
        self.needed = self.needed.max(position.min(self.end()));
        let released = self.needed - self.start;
        if released >= MAX_RELEASED_SAMPLES || self.needed == self.end() {
            self.pcm.drain(..released);
            self.start = self.needed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_positions() {
        let mut buffer = AudioBuffer::default();
        buffer.push(&[1.0, 2.0, 3.0]);
        buffer.push(&[4.0]);
        buffer.release_before(1);
        assert_eq!(buffer.slice(1..3), [2.0, 3.0]);
        assert_eq!(&*buffer.copy(2..9), [3.0, 4.0]);

        buffer.release_before(4);
        assert_eq!((buffer.len(), buffer.end()), (0, 4));
        buffer.push(&[5.0, 6.0]);
        assert_eq!(buffer.slice(0..6), [5.0, 6.0]);
    }

    #[test]
    fn does_not_grow_with_released_audio() {
        let mut buffer = AudioBuffer::default();
        for second in 0..100 {
            buffer.push(&[0.0; 16_000]);
            buffer.release_before(second * 16_000 + 1);
            assert!(buffer.len() <= MAX_RELEASED_SAMPLES + 2 * 16_000);
        }
    }
}
