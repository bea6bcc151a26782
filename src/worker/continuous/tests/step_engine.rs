//! The engine of these tests: each of its calls is recorded.

use super::*;

/// What the engines of a test have done. While a test holds it, they wait.
#[derive(Default)]
pub struct Journal {
    pub engines: usize,
    pub calls: Vec<Call>,
    /// Number of tokens that each opened window begins with; none if its text is not reported.
    pub sent: Vec<Option<usize>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    Open(u64),
    Step(Vec<u64>),
    Align(u64),
    Close(u64),
}

pub struct StepEngine {
    /// Frames of each open window, and the steps that are left.
    pub open: Vec<(writer::WindowId, usize, usize)>,
    pub certain: Vec<ScoredToken>,
    pub batch_size: usize,
    /// Maximum number of windows that fit into its memory.
    pub memory: usize,
    /// Whether words are aligned.
    pub aligns: bool,
    pub journal: Arc<Mutex<Journal>>,
}

impl StepEngine {
    fn record(&self, call: Call) {
        self.journal.lock().unwrap().calls.push(call);
    }
}

impl Engine for StepEngine {
    fn n_mels(&self) -> usize {
        80
    }

    fn plan(&self) -> EnginePlan {
        EnginePlan {
            device: "none".to_owned(),
            windows: self.batch_size,
            encoder_windows: 1,
            memory: None,
        }
    }

    fn max_windows(&self, _key: &BatchKey, lengths: &[usize]) -> usize {
        lengths.len()
    }

    fn reduce_budget(&mut self, _key: &BatchKey, _lengths: &[usize]) {}

    fn device_memory(&self) -> Option<DeviceMemory> {
        None
    }

    fn continuous(&mut self) -> Option<&mut dyn ContinuousEngine> {
        Some(self)
    }

    fn generate(
        &mut self,
        _key: &BatchKey,
        _inputs: &[EngineInput<'_>],
        _answer: &mut dyn FnMut(usize, Generation),
    ) -> Result<(), EngineError> {
        Err(EngineError::Batch("not a batch engine".to_owned()))
    }
}

impl ContinuousEngine for StepEngine {
    fn open(
        &mut self,
        id: writer::WindowId,
        _options: &GenerateOptions,
        input: &EngineInput<'_>,
    ) -> Result<(), EngineError> {
        self.record(Call::Open(id.0));
        let frames = input.features.frames;
        if frames == UNREADABLE {
            self.open.iter_mut().for_each(|(_, _, left)| *left = 1);
            return Err(EngineError::Batch("no encoding".to_owned()));
        }
        self.open.push((id, frames, frames));
        let mut journal = self.journal.lock().unwrap();
        journal.sent.push(input.sent.map(<[ScoredToken]>::len));
        Ok(())
    }

    fn step(
        &mut self,
        ids: &[writer::WindowId],
    ) -> Result<Vec<(writer::WindowId, WrittenText)>, EngineError> {
        self.record(Call::Step(ids.iter().map(|id| id.0).collect()));
        let has = |wanted| self.open.iter().any(|&(_, frames, _)| frames == wanted);
        assert!(!has(PANICS), "the device is gone");
        if has(BAD) {
            self.open.clear();
            return Err(EngineError::Batch("bad window".to_owned()));
        }
        if self.open.len() > self.memory {
            self.open.clear();
            return Err(EngineError::OutOfMemory("out of memory".to_owned()));
        }
        for id in ids {
            let window = self.open.iter_mut().find(|window| window.0 == *id);
            window.expect("an open window").2 -= 1;
        }
        let ended = self
            .open
            .iter()
            .filter(|(id, _, left)| *left == 0 && ids.contains(id));
        let ended: Vec<_> = ended.map(|&(id, frames, _)| (id, frames)).collect();
        if self.aligns {
            return Ok(ended
                .into_iter()
                .map(|(id, _)| (id, WrittenText::ToAlign))
                .collect());
        }
        self.open.retain(|(_, _, left)| *left > 0);
        let text = |(id, frames)| (id, WrittenText::Final(text(frames)));
        Ok(ended.into_iter().map(text).collect())
    }

    fn align(&mut self, id: writer::WindowId) -> Result<Generation, EngineError> {
        self.record(Call::Align(id.0));
        let index = self.open.iter().position(|window| window.0 == id);
        let (_, frames, _) = self.open.remove(index.expect("an open window"));
        Ok(text(frames))
    }

    fn certain(&self, id: writer::WindowId) -> Option<&[ScoredToken]> {
        let &(_, frames, left) = self.open.iter().find(|&&(other, ..)| other == id)?;
        // Each step makes another token certain.
        self.certain.get(..(frames - left).min(self.certain.len()))
    }

    fn close(&mut self, id: writer::WindowId) {
        self.record(Call::Close(id.0));
        self.open.retain(|&(other, ..)| other != id);
    }

    fn rows(&self, ids: &[writer::WindowId]) -> usize {
        ids.len()
    }
}
