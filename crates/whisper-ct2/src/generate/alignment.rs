//! Aligns tokens with the audio by the model's cross-attention.

use std::collections::HashMap;

use super::{Ct2Engine, EncodedBatch, WindowResult, batch_error, encodings};
use halkspeech_whisper::engine::EngineError;
use halkspeech_whisper::features::encoder_positions;
use halkspeech_whisper::{Alignment, PromptSpec, times_from_path};

/// Width in frames of the median filter on the attention weights (the reference's).
const MEDIAN_FILTER_WIDTH: i64 = 7;

impl Ct2Engine {
    /// Adds the tokens' times and probabilities if requested.
    pub(super) fn align(
        &self,
        batch: &EncodedBatch<'_>,
        results: &mut [WindowResult],
    ) -> Result<(), EngineError> {
        let mut groups: HashMap<(usize, Vec<u32>), Vec<&mut WindowResult>> = HashMap::new();
        for result in results {
            if batch.inputs[result.row].decoding.align {
                // CTranslate2 accepts one length and one start sequence per call, without previous text.
                let start = self.vocabulary.prompt(&PromptSpec {
                    previous: Vec::new(),
                    timestamps: true,
                    ..batch.prompts[result.row].clone()
                });
                let frames = batch.inputs[result.row].padded_frames;
                groups.entry((frames, start)).or_default().push(result);
            }
        }
        let eot = self.vocabulary.eot();
        for ((padded_frames, start), mut group) in groups {
            let rows: Vec<usize> = group.iter().map(|result| result.row).collect();
            let text = |result: &&mut WindowResult| -> Vec<u32> {
                let tokens = result.text.tokens.iter().copied();
                tokens.filter(|&token| token < eot).collect()
            };
            let texts: Vec<Vec<u32>> = group.iter().map(text).collect();
            let to_usize = |tokens: &[u32]| tokens.iter().map(|&token| token as usize).collect();
            let ct2_texts: Vec<Vec<usize>> = texts.iter().map(|tokens| to_usize(tokens)).collect();
            let frames: Vec<usize> = rows
                .iter()
                .map(|&row| batch.inputs[row].features.frames)
                .collect();
            let selected = encodings::select(
                &batch.encodings,
                &rows,
                Some(encoder_positions(padded_frames)),
            )?;
            let start: Vec<usize> = to_usize(&start);
            let aligned = self
                .whisper
                .align(&selected, &start, &ct2_texts, &frames, MEDIAN_FILTER_WIDTH)
                .map_err(batch_error)?;
            for ((result, tokens), alignment) in group.iter_mut().zip(texts).zip(aligned) {
                let path = alignment
                    .alignments
                    .iter()
                    .map(|step| (step.token_x, step.frame_x));
                result.alignment = Some(Alignment {
                    starts_s: times_from_path(path, tokens.len()),
                    probabilities: alignment.text_token_probs,
                    tokens,
                });
            }
        }
        Ok(())
    }
}
