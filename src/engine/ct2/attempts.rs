//! One try of generating windows at one temperature, and which of several tries is kept.

use ct2rs::sys::{WhisperGenerationResult, WhisperOptions};

use super::{Ct2Engine, Encoded, batch_error, encodings};
use crate::batch::{BatchKey, GenerateOptions};
use crate::engine::doubt::needs_longer_encoding;
use crate::engine::{
    Attempt, EngineError, EngineInput, Fallback, MAX_TEXT_TOKENS, Quality, compression_ratio,
};

/// Whisper's text context, of which CTranslate2 generates half at most.
const MAX_LENGTH: usize = 2 * MAX_TEXT_TOKENS;

/// What the model wrote for one window at one temperature.
pub(super) struct Try {
    pub(super) tokens: Vec<u32>,
    /// What they say.
    pub(super) text: String,
    pub(super) quality: Quality,
    pub(super) temperature: f32,
}

/// A window with what was tried for it so far.
pub(super) struct Window {
    pub(super) row: usize,
    pub(super) tries: Vec<Try>,
}

impl Ct2Engine {
    /// Generates the rows of a batch at one temperature; one try a row, in the order of `rows`.
    pub(super) fn tries(
        &self,
        batch: &Encoded<'_>,
        rows: &[usize],
        options: &GenerateOptions,
    ) -> Result<Vec<Try>, EngineError> {
        let prompts: Vec<_> = rows
            .iter()
            .map(|&row| {
                self.vocabulary
                    .token_strings(&self.vocabulary.prompt(&batch.prompts[row]))
            })
            .collect();
        let whisper_options = whisper_options(options);
        let results = if rows.len() == batch.prompts.len() {
            self.whisper
                .generate(&batch.encoded, &prompts, &whisper_options)
        } else {
            let selected = encodings::select(&batch.encoded, rows, None)?;
            self.whisper.generate(&selected, &prompts, &whisper_options)
        };
        let results = results.map_err(batch_error)?;
        Ok(results
            .into_iter()
            .map(|result| self.judge(result, options))
            .collect())
    }

    fn judge(&self, result: WhisperGenerationResult, options: &GenerateOptions) -> Try {
        let WhisperGenerationResult {
            sequences_ids,
            scores,
            no_speech_prob,
            ..
        } = result;
        let ids = sequences_ids.into_iter().next().unwrap_or_default();
        let tokens: Vec<u32> = ids
            .into_iter()
            .filter_map(|id| u32::try_from(id).ok())
            .collect();
        // The score is the sum over the tokens, divided by a power of their number; the reference's
        // mean counts the end of text too.
        let score = scores.first().copied().unwrap_or(f32::NEG_INFINITY);
        let length = tokens.len() as f32;
        let sum = score * length.powf(options.length_penalty);
        let text = self.vocabulary.decode(&tokens);
        Try {
            quality: Quality {
                avg_logprob: sum / (length + 1.0),
                compression_ratio: compression_ratio(text.trim()),
                no_speech_prob,
            },
            tokens,
            text,
            temperature: options.temperature,
        }
    }
}

impl Try {
    fn attempt(&self) -> Attempt {
        Attempt::new(self.quality, self.tokens.len())
    }

    /// Whether an encoding from all of 30 s is likely to give a better text of this window.
    pub(super) fn needs_longer_encoding(&self, input: &EngineInput<'_>) -> bool {
        !input.is_nearly_full_length()
            && needs_longer_encoding(
                &self.text,
                &self.attempt(),
                &input.decoding.fallback,
                input.audio_s(),
            )
    }
}

impl Window {
    pub(super) fn untried(row: usize) -> Self {
        Self {
            row,
            tries: Vec::new(),
        }
    }

    /// The temperature of the next try; none where the last one is good, is to be encoded anew from
    /// 30 s, or there is none left.
    pub(super) fn next_temperature(&self, key: &BatchKey, inputs: &[EngineInput<'_>]) -> Option<f32> {
        let input = &inputs[self.row];
        let Some(last) = self.tries.last() else {
            return Some(key.options.temperature);
        };
        if last.needs_longer_encoding(input) {
            return None;
        }
        let attempts: Vec<Attempt> = self.tries.iter().map(Try::attempt).collect();
        let fallback = &input.decoding.fallback;
        fallback.next_temperature(input.before, &attempts)
    }
}

/// The last try where it is good, else the best one at the temperature of the last.
pub(super) fn keep(fallback: &Fallback, mut tries: Vec<Try>) -> Try {
    let qualities: Vec<Quality> = tries.iter().map(|found| found.quality).collect();
    let temperature = tries.last().map_or(0.0, |found| found.temperature);
    let index = match qualities.last() {
        Some(last) if fallback.rejects(last) => fallback.best(&qualities).unwrap_or(0),
        _ => tries.len().saturating_sub(1),
    };
    Try {
        temperature,
        ..tries.swap_remove(index)
    }
}

fn whisper_options(options: &GenerateOptions) -> WhisperOptions {
    let sampled = options.temperature > 0.0;
    WhisperOptions {
        beam_size: if sampled { 1 } else { options.beam_size.get() },
        patience: if sampled { 1.0 } else { options.patience },
        length_penalty: options.length_penalty,
        repetition_penalty: options.repetition_penalty,
        no_repeat_ngram_size: options.no_repeat_ngram_size,
        num_hypotheses: if sampled { options.best_of.get() } else { 1 },
        sampling_topk: usize::from(!sampled),
        sampling_temperature: if sampled { options.temperature } else { 1.0 },
        suppress_tokens: options.suppress_tokens.to_vec(),
        max_length: MAX_LENGTH,
        return_scores: true,
        return_no_speech_prob: true,
        ..WhisperOptions::default()
    }
}
