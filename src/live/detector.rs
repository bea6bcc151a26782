//! The voice activity detector of a session.

use halkspeech_audio::{FRAME_SAMPLES, StreamDetector};

/// Finds the speech probability of each frame.
pub enum Detector {
    /// The network.
    Network(Box<StreamDetector>),
    /// For tests: samples above zero are speech.
    #[cfg(test)]
    Sign(Vec<f32>),
}

impl Detector {
    /// The probabilities of the frames that the next chunk completes, with their lengths.
    pub fn push(&mut self, pcm: &[f32]) -> Vec<(f32, usize)> {
        let probabilities = match self {
            Self::Network(network) => network.push(pcm),
            #[cfg(test)]
            Self::Sign(pending) => tests::push(pending, pcm),
        };
        let whole = |probability| (probability, FRAME_SAMPLES);
        probabilities.into_iter().map(whole).collect()
    }

    /// Ends the frame in progress: its probability and its length.
    pub fn end_frame(&mut self) -> Option<(f32, usize)> {
        match self {
            Self::Network(network) => network.end_frame(),
            #[cfg(test)]
            Self::Sign(pending) => tests::end_frame(pending),
        }
    }
}

impl Default for Detector {
    fn default() -> Self {
        Self::Network(Box::default())
    }
}

#[cfg(test)]
mod tests {
    use super::FRAME_SAMPLES;

    pub fn push(pending: &mut Vec<f32>, pcm: &[f32]) -> Vec<f32> {
        pending.extend_from_slice(pcm);
        let whole = pending.len() / FRAME_SAMPLES * FRAME_SAMPLES;
        let frames: Vec<f32> = pending.drain(..whole).collect();
        frames.chunks(FRAME_SAMPLES).map(probability).collect()
    }

    pub fn end_frame(pending: &mut Vec<f32>) -> Option<(f32, usize)> {
        let samples = std::mem::take(pending);
        (!samples.is_empty()).then(|| (probability(&samples), samples.len()))
    }

    fn probability(frame: &[f32]) -> f32 {
        let speech = frame.iter().filter(|sample| **sample > 0.0).count();
        if 2 * speech >= frame.len() { 0.9 } else { 0.1 }
    }
}
