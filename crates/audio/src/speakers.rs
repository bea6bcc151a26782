//! Speaker diarization: who speaks when.
//!
//! Windows of ten seconds are read by two networks. One says when each of up to three local speakers
//! speaks; the other turns the speech of each into a voice vector. The vectors of all windows are
//! clustered into the speakers of the recording, and overlapping windows vote for each frame.
//!
//! Voice vectors are biometric data: nothing here writes, logs or prints them.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

mod layer;
mod weights;
mod segmentation;
mod filter_bank;
mod embedding;
mod window;
mod linkage;
mod cluster;
mod timeline;
mod names;
mod tracker;
mod words;

use cluster::{Assignment, Clusters, cluster};
use embedding::{Embedding, VoiceVector, dot, normalised};
use segmentation::{FRAME_STEP, Segmentation, WINDOW_SAMPLES};
use timeline::Timeline;
use window::LocalSpeakers;

pub use names::{NAME_COSINE, assign_names};
pub use timeline::SpeakerSpan;
pub use tracker::VoiceTracker;
pub use weights::WeightsError;
pub use words::{TimedWord, word_speakers};

/// Frames from one window to the next: 5 s.
const HOP_FRAMES: usize = 296;

/// Samples from one window to the next: whole frames, so that the frames of all windows coincide.
const HOP_SAMPLES: usize = HOP_FRAMES * FRAME_STEP;

/// Vectors that are clustered at once: speech of an hour and a half has about as many, each second of it being in
/// two windows and a piece lasting up to 3 s. Their distances take 34 MB.
const MAX_VECTORS: usize = 4_096;

/// A voice that speaks for less in all is taken for the one that it resembles most, in seconds.
const MIN_VOICE_S: f64 = 1.0;

/// Memory of an analysed window, in bytes: 24 for each frame, the vectors, and as many spans as frames from one
/// window to the next; vectors that grow have up to twice the length that they need.
const WINDOW_BYTES: usize = 56 << 10;

/// Samples are clamped to this: enough for unscaled 16-bit PCM.
const MAX_SAMPLE: f32 = 32_768.0;

/// Both networks, for this processor. Shared by all recordings.
pub struct SpeakerModel {
    segmentation: Segmentation,
    embedding: Embedding,
}

/// How a voice sounds. Biometric data: [`Debug`](std::fmt::Debug) shows no value.
#[derive(Clone)]
pub struct Voice(VoiceVector);

/// Bounds of the number of speakers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpeakerCount {
    /// At least this number, if so many voices can be told apart at all.
    pub min: usize,
    /// At most this number.
    pub max: Option<NonZeroUsize>,
}

/// Who speaks when.
pub struct Diarization {
    /// By start; spans of different speakers may overlap.
    pub spans: Vec<SpeakerSpan>,
    /// The voice of each speaker, in order of their first words.
    pub voices: Vec<Voice>,
}

/// Diarizes a recording as its samples arrive.
pub struct Diarizer {
    model: Arc<SpeakerModel>,
    /// The last samples, from the start of the last complete window on.
    samples: Vec<f32>,
    /// Where `samples` starts, in frames of the recording.
    first_frame: usize,
    /// First frame and content of each window.
    windows: Vec<(usize, LocalSpeakers)>,
    /// Length of the recording so far.
    total: usize,
}

impl SpeakerModel {
    /// Loads the networks from the folder that `scripts/fetch_models.sh speaker-diarization` fills.
    ///
    /// # Errors
    /// See [`WeightsError`].
    pub fn load(folder: &Path) -> Result<Self, WeightsError> {
        Ok(Self {
            segmentation: Segmentation::load(&folder.join("segmentation.safetensors"))?,
            embedding: Embedding::load(&folder.join("embedding.safetensors"))?,
        })
    }

    /// The voice in a reference of some seconds, which is mono at 16 kHz: that of the speaker who speaks
    /// longest in its first ten seconds. None if nobody speaks alone for a quarter of a second.
    #[must_use]
    pub fn reference_voice(&self, pcm: &[f32]) -> Option<Voice> {
        let window = self.analyse(&pcm[..pcm.len().min(WINDOW_SAMPLES)]);
        let voices = window.voices.into_iter().flatten();
        let longest = voices.max_by_key(|voice| voice.frames)?;
        Some(Voice(longest.vector))
    }

    /// Applies both networks to a window. Non-finite samples count as silence and others are clamped, so
    /// that no input makes a vector useless.
    fn analyse(&self, pcm: &[f32]) -> LocalSpeakers {
        let finite = |sample: &f32| if sample.is_finite() { *sample } else { 0.0 };
        let clamped = pcm
            .iter()
            .map(|sample| finite(sample).clamp(-MAX_SAMPLE, MAX_SAMPLE));
        let samples: Vec<f32> = clamped.collect();
        window::analyse(&self.segmentation, &self.embedding, &samples)
    }
}

impl std::fmt::Debug for Voice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Voice")
    }
}

impl Voice {
    /// Numbers in a vector.
    pub const DIMENSIONS: usize = embedding::DIMENSIONS;

    /// The voice with a vector, of any length but zero, as the embedding network gives it.
    #[must_use]
    pub fn from_vector(vector: &[f32; Self::DIMENSIONS]) -> Self {
        Self(normalised(vector))
    }

    /// The cosine of two voices: 1 if they sound the same, about 0 if they are unlike.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f32 {
        dot(&self.0, &other.0)
    }
}

impl SpeakerCount {
    /// Exactly this number.
    #[must_use]
    pub const fn exactly(count: NonZeroUsize) -> Self {
        Self {
            min: count.get(),
            max: Some(count),
        }
    }
}

impl Diarizer {
    /// Samples from one window to the next, 5 s: what [`push`](Self::push) analyses at a time.
    pub const HOP_SAMPLES: usize = HOP_SAMPLES;

    /// Upper limit of the memory for a recording of this length, in bytes: its windows, and the clustering of
    /// their vectors.
    #[must_use]
    pub const fn bytes_of(samples: usize) -> usize {
        let windows = samples / HOP_SAMPLES + 2;
        windows * WINDOW_BYTES + cluster::bytes_of(windows * window::MAX_PIECES, MAX_VECTORS)
    }

    /// Starts a recording.
    #[must_use]
    pub fn new(model: Arc<SpeakerModel>) -> Self {
        Self {
            model,
            samples: Vec::new(),
            first_frame: 0,
            windows: Vec::new(),
            total: 0,
        }
    }

    /// Adds samples, which are mono at 16 kHz, and analyses the windows that they complete: one for every
    /// five seconds. The result does not depend on how the samples are divided.
    pub fn push(&mut self, pcm: &[f32]) {
        self.samples.extend_from_slice(pcm);
        self.total += pcm.len();
        loop {
            let start = if self.windows.is_empty() {
                0
            } else {
                HOP_SAMPLES
            };
            if self.samples.len() < start + WINDOW_SAMPLES {
                return;
            }
            self.samples.drain(..start);
            self.first_frame += start / FRAME_STEP;
            self.analyse(0);
        }
    }

    /// Analyses the rest and finds the speakers of the whole recording.
    #[must_use]
    pub fn finish(mut self, count: SpeakerCount) -> Diarization {
        if self.samples.len() > WINDOW_SAMPLES {
            // Ends with the recording, so that it has as little padding as possible.
            let beyond = self.samples.len() - WINDOW_SAMPLES;
            self.analyse(beyond.div_ceil(FRAME_STEP));
        } else if self.windows.is_empty() && self.total > 0 {
            self.analyse(0);
        }
        let end_s = self.total as f64 / f64::from(crate::SAMPLE_RATE_HZ);
        let (first_frames, windows): (Vec<usize>, Vec<LocalSpeakers>) =
            self.windows.into_iter().unzip();
        diarize(&first_frames, &windows, end_s, count)
    }

    /// Analyses the window at this frame of `samples`.
    fn analyse(&mut self, frame: usize) {
        let window = &self.samples[frame * FRAME_STEP..];
        let window = &window[..window.len().min(WINDOW_SAMPLES)];
        let speakers = self.model.analyse(window);
        self.windows.push((self.first_frame + frame, speakers));
    }
}

/// Finds the speakers of analysed windows, given the first frame of each.
fn diarize(
    first_frames: &[usize],
    windows: &[LocalSpeakers],
    end_s: f64,
    count: SpeakerCount,
) -> Diarization {
    let mut clusters = cluster(windows, MAX_VECTORS, count);
    let spans = |assignments: &[Assignment]| {
        let mut timeline = Timeline::default();
        for ((first, window), assignment) in first_frames.iter().zip(windows).zip(assignments) {
            timeline.add(*first, window, assignment);
        }
        timeline.spans(end_s)
    };
    let mut found = spans(&clusters.assignments);
    if join_short_voices(&mut clusters, &found, count) {
        drop(found);
        found = spans(&clusters.assignments);
    }
    in_order_of_speech(found, &clusters.voices)
}

/// Assigns each voice that speaks for less than [`MIN_VOICE_S`] to the one that it resembles most, as long
/// as the minimum number of speakers is left. Returns whether there were any.
fn join_short_voices(clusters: &mut Clusters, spans: &[SpeakerSpan], count: SpeakerCount) -> bool {
    let voices = &clusters.voices;
    let mut durations = vec![0.0_f64; voices.len()];
    for span in spans {
        durations[span.speaker] += span.end_s - span.start_s;
    }
    let mut by_duration: Vec<usize> = (0..voices.len()).collect();
    by_duration.sort_by(|a, b| durations[*b].total_cmp(&durations[*a]));
    let long = durations
        .iter()
        .filter(|duration| **duration >= MIN_VOICE_S)
        .count();
    let (kept, short) = by_duration.split_at(long.max(count.min).max(1).min(voices.len()));
    let nearest = |voice: usize| {
        let cosine = |other: &usize| dot(&voices[voice], &voices[*other]);
        let best = kept
            .iter()
            .copied()
            .max_by(|a, b| cosine(a).total_cmp(&cosine(b)));
        best.unwrap_or(voice)
    };
    let targets: Vec<usize> = (0..voices.len())
        .map(|voice| {
            if short.contains(&voice) {
                nearest(voice)
            } else {
                voice
            }
        })
        .collect();
    for Assignment { locals, pieces } in &mut clusters.assignments {
        for speaker in locals.iter_mut().flatten().chain(pieces) {
            *speaker = targets[*speaker];
        }
    }
    !short.is_empty()
}

/// Numbers the speakers in order of their first words; those who never speak are left out.
fn in_order_of_speech(mut spans: Vec<SpeakerSpan>, voices: &[VoiceVector]) -> Diarization {
    let mut order: Vec<usize> = Vec::new();
    let mut numbers: Vec<Option<usize>> = vec![None; voices.len()];
    for span in &mut spans {
        let speaker = span.speaker;
        span.speaker = *numbers[speaker].get_or_insert_with(|| {
            order.push(speaker);
            order.len() - 1
        });
    }
    let voices = order.into_iter().map(|speaker| Voice(voices[speaker]));
    Diarization {
        spans,
        voices: voices.collect(),
    }
}

#[cfg(test)]
impl Voice {
    /// A voice at an angle, in degrees.
    fn at_angle(degrees: f32) -> Self {
        let mut vector = [0.0; Self::DIMENSIONS];
        (vector[0], vector[1]) = (degrees.to_radians().cos(), degrees.to_radians().sin());
        Self::from_vector(&vector)
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod needs_speakers;
