//! Computes the texts of live sessions: partial ones of a turn's latest audio, and final ones of its pieces.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::generating::PaddedWindow;
use super::progress::ProgressReport;
use super::prompting::keep_last;
use super::recordings::Recordings;
use super::{
    Origin, Plan, ReportUnit, Stage, TranscribeError, Transcriber, TranscriptionOptions, Urgency,
    until,
};
use crate::caller::Caller;
use crate::clock::now;
use crate::job::CertainText;
use crate::live::{PartialResult, PartialWord, PartialWork, PieceVoice};
use crate::models::LoadedModel;
use crate::schedule::Lane;
use crate::telemetry;
use crate::transcript::Transcript;
use halkspeech_audio::{DecodedAudio, RecordingSpan, Window, WindowClock};
use halkspeech_whisper::engine::{DecodingOptions, Fallback, GenerateOptions};
use halkspeech_whisper::features::{WINDOW_FRAMES, audio_frames};
use halkspeech_whisper::search::ScoredToken;
use halkspeech_whisper::{PromptSpec, Task, WrittenWord, written_words};

/// The text of a partial is no longer of use after this time.
const PARTIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest time that the text of a piece waits for its voice.
const VOICE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the texts of a session share.
#[derive(Clone, Copy)]
pub struct LiveContext<'a> {
    /// The model, which the session leases.
    pub model: &'a LoadedModel,
    /// Language, prompt and options of the final texts.
    pub options: &'a TranscriptionOptions,
    /// The owner of the session.
    pub caller: Caller,
}

impl Transcriber {
    /// Writes the text of a turn's latest audio: greedy, without time stamps and further attempts.
    ///
    /// # Errors
    /// [`TranscribeError`].
    pub async fn write_partial(
        &self,
        context: LiveContext<'_>,
        work: PartialWork,
    ) -> Result<PartialResult, TranscribeError> {
        let LiveContext { model, options, .. } = context;
        let judge = &options.fallback;
        let options = partial_options(options);
        let origin = self.live_origin(&context, now() + PARTIAL_TIMEOUT);
        let mut plan = Plan::new(model, &options, Task::Transcribe, origin);
        plan.decoding = Arc::new(DecodingOptions {
            align: work.wants_word_ends,
            ..options.decoding()
        });
        let mut previous = plan.prompt.previous.clone();
        previous.extend(model.vocabulary.encode(&work.context));
        keep_last(&mut previous);
        let prompt = PromptSpec {
            language: plan.prompt.language.or(work.language),
            previous,
            ..plan.prompt.clone()
        };
        let reached = audio_frames(work.pcm.len()).min(WINDOW_FRAMES);
        let padded = PaddedWindow {
            window: Arc::new(window(&work.pcm)),
            length: model.lengths.padded(reached),
            lane: Lane::Live,
            is_first: true,
            certain: begin_with(&work.prefix),
            previous_attempt: None,
        };
        let output = self.generate_padded(&plan, prompt, padded, None).await?;
        let generation = output.generation;
        let language = generation.language.map(|detected| detected.language);
        let words = if judge.drops(&generation.quality) {
            Vec::new()
        } else {
            written_words(&model.vocabulary, language, &generation.tokens)
        };
        let ends = generation
            .alignment
            .as_ref()
            .map(|alignment| &alignment.starts_s);
        Ok(PartialResult {
            words: partial_words(words, ends.map(Vec::as_slice)),
            language,
            is_rejected: judge.rejects(&generation.quality),
        })
    }

    /// Transcribes a piece of a turn as an upload of this audio, but writes a rejected text again once only.
    ///
    /// # Errors
    /// [`TranscribeError`]; past the deadline [`TranscribeError::DeadlinePassed`].
    pub async fn write_piece(
        &self,
        context: LiveContext<'_>,
        pcm: Vec<f32>,
        deadline: Instant,
    ) -> Result<Transcript, TranscribeError> {
        let LiveContext { model, options, .. } = context;
        let options = &piece_options(options);
        let origin = self.live_origin(&context, deadline);
        let report = ProgressReport::new(None, ReportUnit::Windows);
        let writing = async {
            let decoded = DecodedAudio {
                streams: vec![pcm],
                lost_ranges: Vec::new(),
            };
            let recordings = Recordings::new(decoded, options.clip, options.vad);
            let first = model.queue.place(origin.window(0)).await?;
            let mut plan = Plan::new(model, options, Task::Transcribe, origin);
            plan.end_s = recordings.duration.as_secs_f64();
            self.transcribe_recordings(plan, recordings, first, (Duration::ZERO, &report))
                .await
        };
        until(deadline, writing).await
    }

    /// The voice that speaks longest in the first ten seconds of a piece; unknown if it takes too long or cannot be
    /// analysed, because the text waits for it but does not depend on it.
    pub async fn piece_voice(&self, pcm: Arc<[f32]>, caller: Caller) -> PieceVoice {
        let found = async {
            let model = self.models.speakers().get().await?;
            let find = move || model.reference_voice(&pcm);
            Ok::<_, TranscribeError>(self.front_end.run(Stage::Voices, caller, find).await?)
        };
        match until(now() + VOICE_TIMEOUT, found).await {
            Ok(Some(voice)) => PieceVoice::Found(Box::new(voice)),
            Ok(None) => PieceVoice::Unknown,
            Err(error) => {
                let cause = telemetry::error_chain(&error);
                tracing::warn!(cause, "the voice of a live piece could not be analysed");
                PieceVoice::Unknown
            }
        }
    }

    fn live_origin(&self, context: &LiveContext<'_>, deadline: Instant) -> Origin {
        Origin {
            request: self.next_request(),
            caller: context.caller,
            urgency: Urgency::Live,
            deadline,
        }
    }
}

/// The options of a final text: those of an upload, but a rejected text is written again only once, because its client
/// waits.
fn piece_options(options: &TranscriptionOptions) -> TranscriptionOptions {
    let mut options = options.clone();
    options.fallback.temperatures.truncate(1);
    options
}

/// The options of a partial text: the language, prompt and suppressed tokens of a session.
fn partial_options(options: &TranscriptionOptions) -> TranscriptionOptions {
    let search = GenerateOptions {
        beam_size: NonZeroUsize::MIN,
        best_of: NonZeroUsize::MIN,
        temperature: 0.0,
        timestamps: false,
        ..options.search.clone()
    };
    let fallback = Fallback {
        temperatures: Vec::new(),
        ..options.fallback.clone()
    };
    TranscriptionOptions {
        search,
        fallback,
        words: false,
        logprobs: false,
        vad: None,
        hallucination_silence_threshold_s: None,
        ..options.clone()
    }
}

/// The text of a window that begins with these tokens; none if it is free.
fn begin_with(prefix: &[u32]) -> Option<CertainText> {
    if prefix.is_empty() {
        return None;
    }
    let certain = |&token| ScoredToken {
        token,
        log_prob: 0.0,
    };
    let tokens: Vec<ScoredToken> = prefix.iter().map(certain).collect();
    let text = CertainText::new(Arc::default());
    text.publish(&tokens);
    Some(text)
}

fn window(pcm: &[f32]) -> Window {
    let span = RecordingSpan {
        start: 0,
        samples: pcm.len(),
    };
    Window {
        pcm: pcm.to_vec(),
        clock: WindowClock::new(vec![span]),
    }
}

/// `starts_s` are the times at which the tokens begin, and the end of the last.
fn partial_words(words: Vec<WrittenWord>, starts_s: Option<&[f32]>) -> Vec<PartialWord> {
    let mut tokens = 0;
    let word = |word: WrittenWord| {
        let spoken = tokens + word.tokens.len() - word.punctuation_tokens;
        tokens += word.tokens.len();
        let end_s = starts_s.and_then(|starts_s| starts_s.get(spoken));
        PartialWord {
            text: word.text,
            punctuation: word.punctuation,
            tokens: word.tokens,
            punctuation_tokens: word.punctuation_tokens,
            end: end_s.map(|&end_s| Duration::from_secs_f32(end_s.max(0.0))),
        }
    };
    words.into_iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_final_text_is_written_again_once() {
        let options = TranscriptionOptions::default();
        assert!(options.fallback.temperatures.len() > 1);
        let temperatures = piece_options(&options).fallback.temperatures;
        assert_eq!(temperatures, options.fallback.temperatures[..1]);
    }
}
