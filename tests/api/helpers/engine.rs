//! The fake engines of these tests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex};

use halkspeech_whisper::Vocabulary;
use halkspeech_whisper::engine::fake::FakeEngine;
use halkspeech_whisper::engine::{EngineError, EngineFactory, EngineInput, Generation};
use halkspeech_whisper::features::Features;
use tokio::sync::Semaphore;

use super::{MODEL, models_dir};

/// A pitch at which [`gated_engine_with_fault`] fails or panics; any other in these tests is lower.
pub const BAD_PITCH_HZ: f64 = 7_000.0;
/// First band of a bad tone, at about 4 kHz.
const BAD_BAND: usize = 60;

pub static VOCABULARY: LazyLock<Arc<Vocabulary>> =
    LazyLock::new(|| Arc::new(Vocabulary::load(&models_dir().join(MODEL)).unwrap()));

/// Result of a batch with a bad tone.
#[derive(Clone, Copy)]
pub enum EngineFault {
    Error,
    Panic,
}

/// Blocks an engine inside a batch until a test opens the gate.
pub struct EngineGate {
    is_open: Mutex<bool>,
    opened: Condvar,
    arrivals: Semaphore,
}

impl EngineGate {
    /// A closed gate.
    pub fn new() -> Arc<Self> {
        let (is_open, opened) = (Mutex::new(false), Condvar::new());
        Arc::new(Self {
            is_open,
            opened,
            arrivals: Semaphore::new(0),
        })
    }

    /// Waits until an engine has reached the gate.
    pub async fn reached(&self) {
        self.arrivals.acquire().await.unwrap().forget();
    }

    /// Opens the gate for all engines.
    pub fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    /// Waits at the gate; called on the engine's thread.
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

/// An engine whose text is the loudest band of each window.
pub fn band_engine() -> EngineFactory {
    FakeEngine::factory(|_, inputs| Ok(loudest_bands(inputs)))
}

/// As [`band_engine`], once the gate is open.
pub fn gated_engine(gate: &Arc<EngineGate>) -> EngineFactory {
    let gate = Arc::clone(gate);
    FakeEngine::factory(move |_, inputs| {
        gate.pass();
        Ok(loudest_bands(inputs))
    })
}

/// As [`band_engine`] for the first batch; the others wait until the gate is open.
pub fn engine_gated_after_first_batch(gate: &Arc<EngineGate>) -> EngineFactory {
    let gate = Arc::clone(gate);
    let is_first = AtomicBool::new(true);
    FakeEngine::factory(move |_, inputs| {
        if !is_first.swap(false, Ordering::SeqCst) {
            gate.pass();
        }
        Ok(loudest_bands(inputs))
    })
}

/// As [`band_engine`], but the first batch waits until the gate is open.
pub fn engine_gated_in_first_batch(gate: &Arc<EngineGate>) -> EngineFactory {
    let gate = Arc::clone(gate);
    let is_first = AtomicBool::new(true);
    FakeEngine::factory(move |_, inputs| {
        if is_first.swap(false, Ordering::SeqCst) {
            gate.pass();
        }
        Ok(loudest_bands(inputs))
    })
}

/// As [`gated_engine`], but a bad tone fails its batch.
pub fn gated_engine_with_fault(gate: &Arc<EngineGate>, fault: EngineFault) -> EngineFactory {
    let gate = Arc::clone(gate);
    FakeEngine::factory(move |_, inputs| {
        gate.pass();
        if inputs
            .iter()
            .any(|input| loudest_band(input.features) >= BAD_BAND)
        {
            match fault {
                EngineFault::Error => {
                    return Err(EngineError::Batch("secret of the engine".to_owned()));
                }
                EngineFault::Panic => panic!("secret of the engine"),
            }
        }
        Ok(loudest_bands(inputs))
    })
}

pub fn loudest_bands(inputs: &[EngineInput<'_>]) -> Vec<Generation> {
    let text = |input: &EngineInput<'_>| format!(" band {}", loudest_band(input.features));
    inputs
        .iter()
        .map(|input| text_generation(&text(input)))
        .collect()
}

pub fn text_generation(text: &str) -> Generation {
    FakeEngine::generation(VOCABULARY.encode(text))
}

/// Segments with their times in seconds, as the model writes them.
pub fn timed_generation(segments: &[(f64, &str, f64)]) -> Generation {
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

/// The band with the most energy.
pub fn loudest_band(features: &Features) -> usize {
    let bands = features.values.chunks_exact(features.frames);
    let loudness = bands.map(|band| band.iter().sum::<f32>());
    let loudest = loudness.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    loudest.map_or(0, |(band, _)| band)
}
