//! The speakers of a recording, found by their voices.

mod labels;
mod references;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::pcm_memory::PcmMemory;
use super::recordings::seconds;
use super::{Stage, TranscribeError, Transcriber, cpu_time};
use crate::caller::Caller;
use halkspeech_audio::{
    Clip, Diarization, Diarizer, NAME_COSINE, SpeakerCount, SpeakerModel, SpeakerSpan, Voice,
    assign_names,
};

pub use references::{ReferenceError, ReferenceProblem};

/// How the speakers of a recording are told apart.
#[derive(Clone, Debug, Default)]
pub struct SpeakerOptions {
    /// Bounds of their number.
    pub count: SpeakerCount,
    /// Speakers whose names are known.
    pub known: Vec<KnownSpeaker>,
}

/// A speaker whose name is known. It cannot be printed, because a voice is biometric data.
#[derive(Clone)]
pub struct KnownSpeaker {
    /// The name.
    pub name: String,
    /// A recording of the voice, of 2 to 10 s, as it was uploaded.
    pub reference: Bytes,
}

impl std::fmt::Debug for KnownSpeaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KnownSpeaker")
    }
}

/// A search for speakers that is ready to begin.
pub(super) struct SpeakerSearch {
    model: Arc<SpeakerModel>,
    count: SpeakerCount,
    known: Vec<(String, Voice)>,
}

/// The speakers of a recording.
pub struct FoundSpeakers {
    /// Who speaks when, in seconds of the recording: by start; spans of different speakers may overlap.
    pub spans: Vec<SpeakerSpan>,
    /// The known name of each speaker.
    pub names: Vec<Option<String>>,
    /// Every name that was asked for.
    known: Vec<String>,
}

impl Transcriber {
    /// Loads the networks and reads the references.
    pub(super) async fn speaker_search(
        &self,
        options: SpeakerOptions,
        caller: Caller,
    ) -> Result<SpeakerSearch, TranscribeError> {
        let model = self.models.speakers().get().await?;
        let mut known = Vec::with_capacity(options.known.len());
        for (number, KnownSpeaker { name, reference }) in (1..).zip(options.known) {
            let voice = self.voice(&model, number, reference, caller).await?;
            known.push((name, voice));
        }
        Ok(SpeakerSearch {
            model,
            count: options.count,
            known,
        })
    }

    /// Finds the speakers of a part of a recording, given its PCM and its start in samples, and the claim on
    /// their memory, which lasts until the work has ended even if the caller has left.
    pub(super) async fn find_speakers(
        &self,
        search: SpeakerSearch,
        (pcm, offset): (Arc<Vec<f32>>, usize),
        memory: &Arc<PcmMemory>,
        caller: Caller,
    ) -> Result<FoundSpeakers, TranscribeError> {
        let SpeakerSearch {
            model,
            count,
            known,
        } = search;
        let mut diarizer = Diarizer::new(model);
        let mut time = Duration::ZERO;
        for start in (0..pcm.len()).step_by(Diarizer::HOP_SAMPLES) {
            let (pcm, memory) = (Arc::clone(&pcm), Arc::clone(memory));
            let analyse = move || {
                let end = pcm.len().min(start + Diarizer::HOP_SAMPLES);
                diarizer.push(&pcm[start..end]);
                (diarizer, memory)
            };
            let ((analysed, _memory), used) =
                self.run_timed(Stage::Voices, caller, analyse).await?;
            diarizer = analysed;
            time += used;
        }
        drop(pcm);
        let memory = Arc::clone(memory);
        let finish = move || {
            let found = found(diarizer.finish(count), offset, known);
            drop(memory);
            found
        };
        let (found, used) = self.run_timed(Stage::Speakers, caller, finish).await?;
        time += used;
        self.metrics.speakers_seconds.observe(time.as_secs_f64());
        Ok(found)
    }

    /// Runs work on the front end; returns its result and its processor time.
    async fn run_timed<T: Send + 'static>(
        &self,
        stage: Stage,
        caller: Caller,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Duration), TranscribeError> {
        let timed = move || {
            let started = cpu_time::of_this_thread();
            let result = work();
            let used = cpu_time::of_this_thread().saturating_sub(started);
            (result, used)
        };
        Ok(self.front_end.run(stage, caller, timed).await?)
    }
}

/// The speakers of a part of a recording that starts at this sample, with the names of known ones.
fn found(diarization: Diarization, offset: usize, known: Vec<(String, Voice)>) -> FoundSpeakers {
    let (names, voices): (Vec<String>, Vec<Voice>) = known.into_iter().unzip();
    let assigned = assign_names(&diarization.voices, &voices, NAME_COSINE);
    let name = |index: Option<usize>| index.map(|index| names[index].clone());
    let offset_s = seconds(offset);
    let span = |span: SpeakerSpan| SpeakerSpan {
        start_s: span.start_s + offset_s,
        end_s: span.end_s + offset_s,
        speaker: span.speaker,
    };
    FoundSpeakers {
        spans: diarization.spans.into_iter().map(span).collect(),
        names: assigned.into_iter().map(name).collect(),
        known: names,
    }
}

/// Memory of the diarization of a part of decoded channels, in bytes.
pub(super) fn bytes_of(channels: &[Vec<f32>], clip: Clip) -> u64 {
    let samples = channels.iter().map(|pcm| clip.range(pcm.len()).len());
    Diarizer::bytes_of(samples.sum()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_that_of_the_part_alone() {
        let second = |seconds: usize| vec![0.0; seconds * 16_000];
        let clip = Clip {
            offset: Duration::from_secs(50),
            duration: Some(Duration::from_secs(5)),
        };
        let of_part = bytes_of(&[second(60)], clip);
        assert_eq!(of_part, bytes_of(&[second(5)], Clip::default()));
        assert!(of_part < bytes_of(&[second(60)], Clip::default()));
    }
}
