//! The decoder of these tests.

use super::*;

/// Writes the script of each slot's encoding; other tokens are improbable, but not equally.
pub struct ScriptDecoder {
    pub model: DecoderModel,
    pub slots: HashMap<SlotId, Slot>,
    /// The begin of the text of each slot that was opened.
    pub begins: Vec<Vec<u32>>,
    pub no_speech_prob: f32,
    pub next_slot: u64,
    /// Rows of each step.
    pub steps: Vec<usize>,
    /// Number of encodings in each call of `detect_languages`.
    pub detections: Vec<usize>,
    pub fails: bool,
}

pub struct Slot {
    pub script: Vec<u32>,
    /// The begin of the text, which was read with the prompt.
    pub begin: Vec<u32>,
    /// The texts of the rows of the last step.
    pub texts: Vec<Vec<u32>>,
}

impl ScriptDecoder {
    pub fn new(vocabulary: &Vocabulary) -> Self {
        Self {
            model: DecoderModel {
                tokens: Arc::new(ModelTokens {
                    end_of_text: vocabulary.eot(),
                    no_timestamps: vocabulary.no_timestamps(),
                    timestamp_begin: vocabulary.timestamp_begin(),
                    vocabulary_size: vocabulary.timestamp_begin() + 1501,
                    blank: Vec::new(),
                }),
                suppressed: Arc::default(),
                text_context: 448,
            },
            slots: HashMap::new(),
            begins: Vec::new(),
            no_speech_prob: 0.01,
            next_slot: 0,
            steps: Vec::new(),
            detections: Vec::new(),
            fails: false,
        }
    }

    fn logits(&self, script: &[u32], text: &[u32]) -> Vec<f32> {
        let scrambled = |token: u32| (token.wrapping_mul(2_654_435_761) >> 16) as f32 / 65536.0;
        let size = self.model.tokens.vocabulary_size;
        let mut logits: Vec<f32> = (0..size).map(scrambled).collect();
        let next = script.get(text.len()).copied();
        // Less probable behind any other token.
        let logit = if script.starts_with(text) { 16.0 } else { 14.0 };
        logits[next.unwrap_or(self.model.tokens.end_of_text) as usize] = logit;
        logits
    }
}

impl Decoder for ScriptDecoder {
    type Encoding = Vec<u32>;

    fn model(&self) -> &DecoderModel {
        &self.model
    }

    fn detect_languages(
        &mut self,
        encodings: &[&Vec<u32>],
    ) -> Result<Vec<Vec<(Token, f32)>>, EngineError> {
        self.detections.push(encodings.len());
        let vocabulary = load("base");
        let token = |language: Language| vocabulary.language_token(language).unwrap();
        let turkish = token(Language::parse("tr").unwrap());
        let row = vec![(turkish, 0.7), (token(Language::ENGLISH), 0.3)];
        Ok(vec![row; encodings.len()])
    }

    fn open(&mut self, encoding: &Vec<u32>, prompt: &[Token]) -> Result<OpenedSlot, EngineError> {
        let slot = SlotId(self.next_slot);
        self.next_slot += 1;
        let begin = prompt.rsplit(|&token| token == self.model.tokens.no_timestamps);
        let begin = begin.take(1).flatten().copied().collect::<Vec<_>>();
        self.begins.push(begin.clone());
        let opened = Slot {
            script: encoding.clone(),
            begin,
            texts: Vec::new(),
        };
        self.slots.insert(slot, opened);
        Ok(OpenedSlot {
            slot,
            no_speech_prob: self.no_speech_prob,
        })
    }

    fn step(&mut self, rows: &[SlotRow<'_>]) -> Result<Vec<Candidates>, EngineError> {
        if self.fails {
            return Err(EngineError::Batch("the device is gone".to_owned()));
        }
        self.steps.push(rows.len());
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
            open.texts.push(text.clone());
            let script = open.script.clone();
            candidates.push(row.rule.candidates(self.logits(&script, &text)));
        }
        Ok(candidates)
    }

    fn align(
        &mut self,
        _encoding: &Vec<u32>,
        text: &TextToAlign<'_>,
    ) -> Result<AlignedTokens, EngineError> {
        let tokens = 0..=text.tokens.len() as i64;
        Ok(AlignedTokens {
            path: tokens.map(|token| (token, 10 * token)).collect(),
            probabilities: vec![0.5; text.tokens.len()],
        })
    }

    fn close(&mut self, slot: SlotId) {
        self.slots.remove(&slot);
    }
}
