//! An engine whose texts the server's own writer writes token by token; only encoder and decoder are fake.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use halkspeech_whisper::engine::decoder::{
    AlignedTokens, Decoder, DecoderModel, Encoder, EncoderInput, OpenedSlot, SlotId, SlotRow,
    TextToAlign,
};
use halkspeech_whisper::engine::{EngineError, EngineFactory, EnginePlan, WindowEngine};
use halkspeech_whisper::search::{Candidates, ModelTokens, Token};

use super::engine::{EngineGate, VOCABULARY, loudest_band, tokens};

/// The text of a window whose loudest band is this.
pub fn text_of_band(band: usize) -> String {
    format!(" Band {band} is louder, than all others")
}

/// Writes [`text_of_band`] of each window; the step of this number and all after it wait at the gate.
pub fn token_engine(gate: &Arc<EngineGate>, step: usize) -> EngineFactory {
    engine(gate, step, &Arc::default())
}

/// The same without a gate; each encoding takes one of the faults and panics, as long as there are any.
pub fn faulty_token_engine(faults: &Arc<AtomicUsize>) -> EngineFactory {
    engine(&EngineGate::new(), usize::MAX, faults)
}

fn engine(gate: &Arc<EngineGate>, step: usize, faults: &Arc<AtomicUsize>) -> EngineFactory {
    let (gate, faults) = (Arc::clone(gate), Arc::clone(faults));
    Arc::new(move || {
        let decoder = ScriptDecoder {
            model: model(),
            slots: HashMap::new(),
            next_slot: 0,
            steps: 0,
            gate: (step, Arc::clone(&gate)),
        };
        let plan = EnginePlan {
            device: "none".to_owned(),
            windows: 8,
            encoder_windows: 1,
            memory: None,
        };
        let encoder = ToneEncoder {
            faults: Arc::clone(&faults),
        };
        let parts = (encoder, decoder);
        Ok(Box::new(WindowEngine::new(
            parts,
            Arc::clone(&VOCABULARY),
            80,
            plan,
        )))
    })
}

struct ToneEncoder {
    faults: Arc<AtomicUsize>,
}

impl Encoder for ToneEncoder {
    /// The tokens of the text.
    type Encoding = Vec<Token>;

    fn encode(&mut self, windows: &[EncoderInput<'_>]) -> Result<Vec<Vec<Token>>, EngineError> {
        let take = |faults: usize| faults.checked_sub(1);
        let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
        assert!(
            self.faults.fetch_update(set, fetch, take).is_err(),
            "a fault of the engine"
        );
        let bands = windows.iter().map(|window| loudest_band(window.features));
        Ok(bands.map(|band| tokens(&text_of_band(band))).collect())
    }
}

struct ScriptDecoder {
    model: DecoderModel,
    slots: HashMap<SlotId, Slot>,
    next_slot: u64,
    steps: usize,
    gate: (usize, Arc<EngineGate>),
}

struct Slot {
    script: Vec<Token>,
    /// The begin of the text, which was read with the prompt.
    begin: Vec<Token>,
    /// The texts of the rows of the last step.
    texts: Vec<Vec<Token>>,
}

fn model() -> DecoderModel {
    DecoderModel {
        tokens: Arc::new(ModelTokens {
            end_of_text: VOCABULARY.eot(),
            no_timestamps: VOCABULARY.no_timestamps(),
            timestamp_begin: VOCABULARY.timestamp_begin(),
            vocabulary_size: VOCABULARY.timestamp_begin() + 1501,
            blank: Vec::new(),
        }),
        suppressed: Arc::default(),
        text_context: 448,
    }
}

impl Decoder for ScriptDecoder {
    type Encoding = Vec<Token>;

    fn model(&self) -> &DecoderModel {
        &self.model
    }

    fn detect_languages(
        &mut self,
        _encodings: &[&Vec<Token>],
    ) -> Result<Vec<Vec<(Token, f32)>>, EngineError> {
        Err(EngineError::Batch("an English-only model".to_owned()))
    }

    fn open(&mut self, encoding: &Vec<Token>, prompt: &[Token]) -> Result<OpenedSlot, EngineError> {
        let slot = SlotId(self.next_slot);
        self.next_slot += 1;
        let text = prompt.rsplit(|&token| token == self.model.tokens.no_timestamps);
        let opened = Slot {
            script: encoding.clone(),
            begin: text.take(1).flatten().copied().collect(),
            texts: Vec::new(),
        };
        self.slots.insert(slot, opened);
        Ok(OpenedSlot {
            slot,
            no_speech_prob: 0.0,
        })
    }

    fn step(&mut self, rows: &[SlotRow<'_>]) -> Result<Vec<Candidates>, EngineError> {
        self.steps += 1;
        let (step, gate) = &self.gate;
        if self.steps >= *step {
            gate.pass();
        }
        let size = self.model.tokens.vocabulary_size as usize;
        let mut before = HashMap::new();
        let mut candidates = Vec::new();
        for SlotRow { slot, row } in rows {
            let open = self.slots.get_mut(slot).unwrap();
            let parents = before
                .entry(*slot)
                .or_insert_with(|| std::mem::take(&mut open.texts));
            let text = match parents.get(row.parent as usize) {
                Some(parent) => [parent.as_slice(), &[row.token]].concat(),
                // The token of a first row is the last that was read.
                None => open.begin.clone(),
            };
            let mut logits = vec![0.0; size];
            let next = open.script.get(text.len()).copied();
            // Less probable behind any other token.
            let is_script = open.script.starts_with(&text);
            let logit = if is_script { 20.0 } else { 17.0 };
            logits[next.unwrap_or(self.model.tokens.end_of_text) as usize] = logit;
            open.texts.push(text);
            candidates.push(row.rule.candidates(logits));
        }
        Ok(candidates)
    }

    fn align(
        &mut self,
        _encoding: &Vec<Token>,
        text: &TextToAlign<'_>,
    ) -> Result<AlignedTokens, EngineError> {
        let tokens = 0..=text.tokens.len() as i64;
        Ok(AlignedTokens {
            path: tokens.map(|token| (token, token)).collect(),
            probabilities: vec![0.5; text.tokens.len()],
        })
    }

    fn close(&mut self, slot: SlotId) {
        self.slots.remove(&slot);
    }
}
