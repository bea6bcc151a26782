//! Speech probabilities of audio that arrives in chunks of any length.

use super::silero::{FRAME_SAMPLES, Silero};

/// Frames computed at once, one tile of the network. Live audio seldom has more, and the buffers are a session's:
/// 25 kB.
const BLOCK_FRAMES: usize = 6;

/// The detector of one stream. Its results do not depend on how the stream is divided into chunks.
pub struct StreamDetector {
    network: Silero,
    /// The beginning of a frame.
    pending: Vec<f32>,
}

impl StreamDetector {
    /// The state before the first sample.
    #[must_use]
    pub fn new() -> Self {
        Self {
            network: Silero::with_block_frames(BLOCK_FRAMES),
            pending: Vec::with_capacity(FRAME_SAMPLES),
        }
    }

    /// The probabilities of the frames that the next chunk completes.
    pub fn push(&mut self, pcm: &[f32]) -> Vec<f32> {
        self.pending.extend_from_slice(pcm);
        let whole = self.pending.len() / FRAME_SAMPLES * FRAME_SAMPLES;
        let probabilities = self.network.probabilities(&self.pending[..whole]);
        self.pending.drain(..whole);
        probabilities
    }

    /// Ends the frame in progress early: its probability, with silence in the place of what is missing, and the
    /// number of its samples. The next sample begins a frame.
    pub fn end_frame(&mut self) -> Option<(f32, usize)> {
        let probabilities = self.network.probabilities(&self.pending);
        let samples = self.pending.len();
        self.pending.clear();
        probabilities
            .first()
            .map(|probability| (*probability, samples))
    }
}

impl Default for StreamDetector {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::silero::test_signals::{sample_pcm, synthetic};
    use super::*;

    #[test]
    fn equals_the_detector_of_recordings_on_any_chunks() {
        for pcm in [sample_pcm(), synthetic(70_001)] {
            let whole = pcm.len() / FRAME_SAMPLES * FRAME_SAMPLES;
            let expected = Silero::new().probabilities(&pcm[..whole]);
            for chunk in [1, 320, 1_600, 80_000] {
                let mut detector = StreamDetector::new();
                let found: Vec<f32> = pcm
                    .chunks(chunk)
                    .flat_map(|chunk| detector.push(chunk))
                    .collect();
                assert!(found == expected, "chunks of {chunk}");
            }
        }
    }

    #[test]
    fn ends_a_frame_early() {
        let pcm = synthetic(70_001);
        let mut detector = StreamDetector::new();
        let mut found = detector.push(&pcm);
        let (probability, samples) = detector.end_frame().unwrap();
        found.push(probability);
        assert_eq!(samples, 70_001 % FRAME_SAMPLES);
        assert_eq!(found, Silero::new().probabilities(&pcm));
        assert_eq!(detector.end_frame(), None);
    }
}
