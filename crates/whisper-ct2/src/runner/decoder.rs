//! The runner's decoder: rules and rows in its form.
#![expect(unsafe_code, reason = "the functions of the runner are foreign")]

use std::ptr::null;

use halkspeech_whisper::engine::EngineError;
use halkspeech_whisper::engine::decoder::{
    AlignedTokens, Decoder, DecoderModel, MODEL_SUPPRESSED, OpenedSlot, SlotId, SlotRow,
    TextToAlign,
};
use halkspeech_whisper::search::{Candidates, Pick, ScoredToken, Token};

use super::{RunnerDecoder, RunnerEncoding, check, ffi};
use crate::threads::{EngineThreads, RunningCall};

/// Width in positions of the median filter on the attention weights (the reference's).
const MEDIAN_FILTER_WIDTH: u32 = 7;

/// Frames of features in a position of the encoding.
const FRAMES_PER_POSITION: usize = 2;

impl Decoder for RunnerDecoder {
    type Encoding = RunnerEncoding;

    fn model(&self) -> &DecoderModel {
        &self.model.decoder_model
    }

    fn detect_languages(
        &mut self,
        encodings: &[&RunnerEncoding],
    ) -> Result<Vec<Vec<(Token, f32)>>, EngineError> {
        let languages = &self.model.language_tokens;
        let addresses: Vec<*const ffi::Encoding> = encodings
            .iter()
            .map(|encoding| encoding.address.cast_const())
            .collect();
        let mut probabilities = vec![0.0; addresses.len() * languages.len()];
        let _call = self.call();
        // SAFETY: the encodings live, and there is a place for each encoding and language.
        let status = unsafe {
            ffi::hs_detect_language(
                self.address,
                addresses.as_ptr(),
                addresses.len(),
                probabilities.as_mut_ptr(),
            )
        };
        check(status)?;
        let with_tokens = |row: &[f32]| {
            let pairs = languages.iter().copied().zip(row.iter().copied());
            pairs.collect()
        };
        Ok(probabilities
            .chunks(languages.len().max(1))
            .map(with_tokens)
            .collect())
    }

    fn open(
        &mut self,
        encoding: &RunnerEncoding,
        prompt: &[Token],
    ) -> Result<OpenedSlot, EngineError> {
        let (mut slot, mut no_speech_prob) = (0, 0.0);
        let _call = self.call();
        // SAFETY: the encoding lives, `prompt` is a slice of this length, and the call writes both results.
        let status = unsafe {
            ffi::hs_open(
                self.address,
                encoding.address,
                prompt.as_ptr(),
                prompt.len(),
                &raw mut slot,
                &raw mut no_speech_prob,
            )
        };
        check(status)?;
        let slot = SlotId(slot);
        self.open_slots.insert(slot);
        self.threads.set_slots(true);
        Ok(OpenedSlot {
            slot,
            no_speech_prob,
        })
    }

    fn step(&mut self, rows: &[SlotRow<'_>]) -> Result<Vec<Candidates>, EngineError> {
        let ranges: Vec<Vec<ffi::Range>> = rows.iter().map(ranges).collect();
        let banned: Vec<Vec<Token>> = rows.iter().map(banned_tokens).collect();
        let foreign = rows.iter().zip(&ranges).zip(&banned);
        let foreign = foreign.map(|((row, ranges), banned)| self.foreign_row(row, ranges, banned));
        let foreign: Vec<ffi::Row> = foreign.collect();
        let stride = rows.iter().map(candidates).max().unwrap_or(0);
        let mut counts = vec![0; rows.len()];
        let mut tokens = vec![0; stride * rows.len()];
        let mut log_probs = vec![f32::NEG_INFINITY; stride * rows.len()];
        let _call = self.call();
        // SAFETY: the rows refer to slices that outlive the call, which writes `stride` candidates a row.
        let status = unsafe {
            ffi::hs_step(
                self.address,
                foreign.as_ptr(),
                foreign.len(),
                stride,
                counts.as_mut_ptr(),
                tokens.as_mut_ptr(),
                log_probs.as_mut_ptr(),
            )
        };
        check(status)?;
        let scored = |(&token, &log_prob): (&Token, &f32)| ScoredToken { token, log_prob };
        let row = |(index, &count): (usize, &u32)| {
            let places = index * stride..index * stride + (count as usize).min(stride);
            let pairs = tokens[places.clone()].iter().zip(&log_probs[places]);
            pairs.map(scored).collect()
        };
        Ok(counts.iter().enumerate().map(row).collect())
    }

    fn align(
        &mut self,
        encoding: &RunnerEncoding,
        text: &TextToAlign<'_>,
    ) -> Result<AlignedTokens, EngineError> {
        let TextToAlign {
            start,
            tokens,
            frames,
        } = *text;
        let mut probabilities = vec![0.0; tokens.len()];
        let capacity = tokens.len() + 1 + frames / FRAMES_PER_POSITION + 1;
        let mut path = vec![ffi::AlignmentStep::default(); capacity];
        let mut length = 0;
        let _call = self.call();
        // SAFETY: the encoding lives, the slices have these lengths, and the results have the documented places.
        let status = unsafe {
            ffi::hs_align(
                self.address,
                encoding.address,
                start.as_ptr(),
                start.len(),
                tokens.as_ptr(),
                tokens.len(),
                u32::try_from(frames).unwrap_or(u32::MAX),
                MEDIAN_FILTER_WIDTH,
                probabilities.as_mut_ptr(),
                path.as_mut_ptr(),
                &raw mut length,
            )
        };
        check(status)?;
        let steps = path.iter().take(length);
        Ok(AlignedTokens {
            path: steps
                .map(|step| (i64::from(step.token), i64::from(step.position)))
                .collect(),
            probabilities,
        })
    }

    fn close(&mut self, slot: SlotId) {
        // SAFETY: the decoder lives; the number of a slot that is not open is ignored.
        unsafe { ffi::hs_close(self.address, slot.0) };
        self.open_slots.remove(&slot);
        self.threads.set_slots(!self.open_slots.is_empty());
    }
}

impl RunnerDecoder {
    /// Begins a call with the threads that it may use.
    fn call(&self) -> RunningCall {
        let call = EngineThreads::call(&self.threads);
        // SAFETY: the decoder lives.
        unsafe { ffi::hs_decoder_set_threads(self.address, call.threads()) };
        call
    }

    fn foreign_row(
        &self,
        &SlotRow { slot, row }: &SlotRow<'_>,
        ranges: &[ffi::Range],
        banned: &[Token],
    ) -> ffi::Row {
        let rule = &row.rule;
        let is_known = rule.suppressed.number == MODEL_SUPPRESSED;
        let (pick, k, temperature, key) = match rule.pick {
            Pick::Best { k } => (ffi::BEST, u32::try_from(k).unwrap_or(u32::MAX), 1.0, 0),
            Pick::Draw { temperature, key } => (ffi::DRAW, 1, temperature, key),
        };
        ffi::Row {
            slot: slot.0,
            parent: row.parent,
            token: row.token,
            rule: ffi::Rule {
                repetition_penalty: rule.repetition_penalty,
                previous: address(&rule.previous),
                previous_count: rule.previous.len(),
                banned_set: if is_known {
                    self.suppressed
                } else {
                    ffi::NO_SET
                },
                banned_ranges: address(ranges),
                banned_range_count: ranges.len(),
                banned_tokens: address(banned),
                banned_token_count: banned.len(),
                timestamp_contest: rule.timestamp_contest.unwrap_or(0),
                pick,
                k,
                temperature,
                key,
            },
        }
    }
}

impl Drop for RunnerDecoder {
    fn drop(&mut self) {
        // SAFETY: nothing uses the address afterwards.
        unsafe { ffi::hs_decoder_free(self.address) };
    }
}

/// The number of candidates of a row.
fn candidates(row: &SlotRow<'_>) -> usize {
    match row.row.rule.pick {
        Pick::Best { k } => k,
        Pick::Draw { .. } => 1,
    }
}

fn ranges(row: &SlotRow<'_>) -> Vec<ffi::Range> {
    let range = |range: &std::ops::Range<Token>| ffi::Range {
        begin: range.start,
        end: range.end,
    };
    row.row.rule.banned_ranges.iter().map(range).collect()
}

/// The tokens that a row bans, those of a set that the decoder does not know among them.
fn banned_tokens(row: &SlotRow<'_>) -> Vec<Token> {
    let rule = &row.row.rule;
    let mut tokens = rule.banned_tokens.clone();
    if rule.suppressed.number != MODEL_SUPPRESSED {
        tokens.extend_from_slice(&rule.suppressed.tokens);
    }
    tokens
}

/// The address of a slice; null if it is empty.
fn address<T>(values: &[T]) -> *const T {
    if values.is_empty() {
        null()
    } else {
        values.as_ptr()
    }
}
