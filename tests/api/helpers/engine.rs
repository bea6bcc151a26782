//! What the fake engines of these tests do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex};

use halkspeech::engine::fake::FakeEngine;
use halkspeech::engine::{EngineError, EngineFactory, EngineInput, Generation};
use halkspeech::tokens::Vocabulary;
use tokio::sync::Semaphore;

use super::{MODEL, models_dir};

/// A pitch at which [`listening_with_faults`] fails or panics; any other in these tests is lower.
pub const BAD_PITCH_HZ: f64 = 7_000.0;
/// The band from which on a tone is a bad one; it is that of about 4 kHz.
const BAD_BAND: usize = 60;

static VOCABULARY: LazyLock<Vocabulary> =
    LazyLock::new(|| Vocabulary::load(&models_dir().join(MODEL)).unwrap());

/// What happens to a batch that has the bad tone in it.
#[derive(Clone, Copy)]
pub enum Fault {
    Error,
    Panic,
}

/// Holds an engine inside a batch until a test lets it go on.
pub struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    arrivals: Semaphore,
}

impl Gate {
    /// A gate that is shut.
    pub fn new() -> Arc<Self> {
        let (is_open, opened) = (Mutex::new(false), Condvar::new());
        Arc::new(Self {
            is_open,
            opened,
            arrivals: Semaphore::new(0),
        })
    }

    /// Waits until an engine stands before the gate, or has come through it.
    pub async fn reached(&self) {
        self.arrivals.acquire().await.unwrap().forget();
    }

    /// Lets every engine through from now on.
    pub fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    /// Stands before the gate; on the engine's own thread.
    pub fn pass(&self) {
        self.arrivals.add_permits(1);
        let is_open = self.is_open.lock().unwrap();
        drop(
            self.opened
                .wait_while(is_open, |is_open| !*is_open)
                .unwrap(),
        );
    }
}

/// Tells the loudest band of every window.
pub fn listening() -> EngineFactory {
    FakeEngine::factory(|_, inputs| Ok(listen(inputs)))
}

/// As [`listening`], once the gate is open.
pub fn gated(gate: &Arc<Gate>) -> EngineFactory {
    let gate = Arc::clone(gate);
    FakeEngine::factory(move |_, inputs| {
        gate.pass();
        Ok(listen(inputs))
    })
}

/// As [`listening`] for the first batch; the others wait until the gate is open.
pub fn gated_after_the_first(gate: &Arc<Gate>) -> EngineFactory {
    let gate = Arc::clone(gate);
    let is_first = AtomicBool::new(true);
    FakeEngine::factory(move |_, inputs| {
        if !is_first.swap(false, Ordering::SeqCst) {
            gate.pass();
        }
        Ok(listen(inputs))
    })
}

/// As [`listening`], but the first batch waits until the gate is open.
pub fn gated_at_first(gate: &Arc<Gate>) -> EngineFactory {
    let gate = Arc::clone(gate);
    let is_first = AtomicBool::new(true);
    FakeEngine::factory(move |_, inputs| {
        if is_first.swap(false, Ordering::SeqCst) {
            gate.pass();
        }
        Ok(listen(inputs))
    })
}

/// As [`gated`], but a bad tone spoils its batch.
pub fn gated_with_fault(gate: &Arc<Gate>, fault: Fault) -> EngineFactory {
    let gate = Arc::clone(gate);
    FakeEngine::factory(move |_, inputs| {
        gate.pass();
        if inputs.iter().any(|input| loudest_band(input) >= BAD_BAND) {
            match fault {
                Fault::Error => return Err(EngineError::Batch("secret of the engine".to_owned())),
                Fault::Panic => panic!("secret of the engine"),
            }
        }
        Ok(listen(inputs))
    })
}

pub fn listen(inputs: &[EngineInput<'_>]) -> Vec<Generation> {
    let text = |input| format!(" band {}", loudest_band(input));
    inputs.iter().map(|input| say(&text(input))).collect()
}

pub fn say(text: &str) -> Generation {
    FakeEngine::generation(VOCABULARY.encode(text))
}

/// Segments with their times in seconds, as the model writes them.
pub fn say_at(segments: &[(f64, &str, f64)]) -> Generation {
    let stamp = |time_s: f64| VOCABULARY.timestamp_begin() + (time_s * 50.0).round() as u32;
    let mut tokens = Vec::new();
    for (start_s, text, end_s) in segments {
        tokens.push(stamp(*start_s));
        tokens.extend(VOCABULARY.encode(text));
        tokens.push(stamp(*end_s));
    }
    FakeEngine::generation(tokens)
}

/// The tokens of a text in the vocabulary of [`MODEL`].
pub fn tokens(text: &str) -> Vec<u32> {
    VOCABULARY.encode(text)
}

fn loudest_band(input: &EngineInput<'_>) -> usize {
    let bands = input.features.values.chunks_exact(input.features.frames);
    let loudness = bands.map(|band| band.iter().sum::<f32>());
    let loudest = loudness.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    loudest.map_or(0, |(band, _)| band)
}
