//! Generates windows at one temperature.

use ct2rs::sys::{WhisperGenerationResult, WhisperOptions};

use super::{Ct2Engine, EncodedBatch, batch_error, encodings};
use halkspeech_whisper::engine::{
    AttemptedText, BatchKey, EngineError, EngineInput, GenerateOptions, MAX_TEXT_TOKENS,
    next_temperature,
};

/// Whisper's text context, of which CTranslate2 generates at most half.
const MAX_LENGTH: usize = 2 * MAX_TEXT_TOKENS;

/// A window with the texts of its attempts so far.
pub(super) struct WindowAttempts {
    pub(super) row: usize,
    pub(super) texts: Vec<AttemptedText>,
}

impl Ct2Engine {
    /// Generates rows of a batch at one temperature; one text per row, in the order of `rows`.
    pub(super) fn generate_rows(
        &self,
        batch: &EncodedBatch<'_>,
        rows: &[usize],
        options: &GenerateOptions,
    ) -> Result<Vec<AttemptedText>, EngineError> {
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
                .generate(&batch.encodings, &prompts, &whisper_options)
        } else {
            let selected = encodings::select(&batch.encodings, rows, None)?;
            self.whisper.generate(&selected, &prompts, &whisper_options)
        };
        let results = results.map_err(batch_error)?;
        Ok(results
            .into_iter()
            .map(|result| self.generated_text(result, options))
            .collect())
    }

    fn generated_text(
        &self,
        result: WhisperGenerationResult,
        options: &GenerateOptions,
    ) -> AttemptedText {
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
        // The score is the sum over the tokens, divided by a power of their number; the reference's mean
        // includes the end of text.
        let score = scores.first().copied().unwrap_or(f32::NEG_INFINITY);
        let length = tokens.len() as f32;
        let sum = score * length.powf(options.length_penalty);
        let quality = (sum / (length + 1.0), no_speech_prob);
        AttemptedText::new(&self.vocabulary, tokens, options.temperature, quality)
    }
}

impl WindowAttempts {
    pub(super) fn new(row: usize) -> Self {
        Self {
            row,
            texts: Vec::new(),
        }
    }

    /// The temperature of the next attempt; none if the last one is good or needs a longer encoding, or
    /// no temperature is left.
    pub(super) fn next_temperature(
        &self,
        key: &BatchKey,
        inputs: &[EngineInput<'_>],
    ) -> Option<f32> {
        if self.texts.is_empty() {
            return Some(key.options.temperature);
        }
        let input = &inputs[self.row];
        let shorter = input.previous_attempt;
        next_temperature(&self.texts, input.decoding, shorter, input.length())
    }
}

fn whisper_options(options: &GenerateOptions) -> WhisperOptions {
    let is_sampled = options.temperature > 0.0;
    WhisperOptions {
        beam_size: if is_sampled {
            1
        } else {
            options.beam_size.get()
        },
        patience: if is_sampled { 1.0 } else { options.patience },
        length_penalty: options.length_penalty,
        repetition_penalty: options.repetition_penalty,
        no_repeat_ngram_size: options.no_repeat_ngram_size,
        num_hypotheses: if is_sampled { options.best_of.get() } else { 1 },
        sampling_topk: usize::from(!is_sampled),
        sampling_temperature: if is_sampled { options.temperature } else { 1.0 },
        suppress_tokens: options.suppress_tokens.to_vec(),
        max_length: MAX_LENGTH,
        return_scores: true,
        return_no_speech_prob: true,
        ..WhisperOptions::default()
    }
}
