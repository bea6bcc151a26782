//! When each token of a text was spoken, from the model's own attention.

use std::collections::HashMap;

use super::{Ct2Engine, Encoded, Found, batch_error, encodings};
use crate::engine::EngineError;
use crate::features::encoder_positions;
use crate::tokens::{Alignment, PromptSpec, times_from_path};

/// Frames over which the attention is smoothed before words are aligned (the reference's).
const MEDIAN_FILTER_WIDTH: i64 = 7;

impl Ct2Engine {
    /// Adds the tokens' times and probabilities where they are wanted.
    pub(super) fn align(
        &self,
        batch: &Encoded<'_>,
        found: &mut [Found],
    ) -> Result<(), EngineError> {
        let mut groups: HashMap<(usize, Vec<u32>), Vec<&mut Found>> = HashMap::new();
        for found in found {
            if batch.inputs[found.row].decoding.align {
                // CTranslate2 takes one length and one start sequence a call, without previous text.
                let start = self.vocabulary.prompt(&PromptSpec {
                    previous: Vec::new(),
                    timestamps: true,
                    ..batch.prompts[found.row].clone()
                });
                let length = batch.inputs[found.row].length;
                groups.entry((length, start)).or_default().push(found);
            }
        }
        let eot = self.vocabulary.eot();
        for ((length, start), mut group) in groups {
            let rows: Vec<usize> = group.iter().map(|found| found.row).collect();
            let text = |found: &&mut Found| -> Vec<u32> {
                let tokens = found.kept.tokens.iter().copied();
                tokens.filter(|&token| token < eot).collect()
            };
            let texts: Vec<Vec<u32>> = group.iter().map(text).collect();
            let sizes = |tokens: &[u32]| tokens.iter().map(|&token| token as usize).collect();
            let texts_ct2: Vec<Vec<usize>> = texts.iter().map(|tokens| sizes(tokens)).collect();
            let frames: Vec<usize> = rows
                .iter()
                .map(|&row| batch.inputs[row].features.frames)
                .collect();
            let selected = encodings::select(&batch.encoded, &rows, Some(encoder_positions(length)))?;
            let start: Vec<usize> = sizes(&start);
            let aligned = self
                .whisper
                .align(&selected, &start, &texts_ct2, &frames, MEDIAN_FILTER_WIDTH)
                .map_err(batch_error)?;
            for ((found, tokens), result) in group.iter_mut().zip(texts).zip(aligned) {
                let path = result
                    .alignments
                    .iter()
                    .map(|step| (step.token_x, step.frame_x));
                found.alignment = Some(Alignment {
                    starts_s: times_from_path(path, tokens.len()),
                    probabilities: result.text_token_probs,
                    tokens,
                });
            }
        }
        Ok(())
    }
}
