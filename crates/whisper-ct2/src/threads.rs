//! The number of threads of an engine's calls: its own, and those of the model's engines that have nothing to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Maximum number of threads of a call, unless the engine itself has more. The work between two barriers of a decoder's
/// step is small: two threads were measured, more were not.
const MAX_THREADS: u32 = 8;

/// The threads of all engines that share a model's weights.
#[derive(Debug, Default)]
pub struct ModelThreads {
    all: AtomicU32,
    /// Of engines that have a slot open or a call running.
    busy: AtomicU32,
}

/// The threads of one engine. Another engine's calls may use them while this one is idle; a call that runs when it
/// starts to work again keeps them to its end.
#[derive(Debug)]
pub struct EngineThreads {
    model: Arc<ModelThreads>,
    own: u32,
    is_busy: AtomicBool,
    has_slots: AtomicBool,
}

/// A call of an engine; it ends when this is dropped.
pub struct RunningCall {
    engine: Arc<EngineThreads>,
    threads: u32,
}

impl EngineThreads {
    /// For an engine with `own` threads.
    pub fn new(model: &Arc<ModelThreads>, own: u32) -> Arc<Self> {
        model.all.fetch_add(own, Ordering::Relaxed);
        Arc::new(Self {
            model: Arc::clone(model),
            own,
            is_busy: AtomicBool::new(false),
            has_slots: AtomicBool::new(false),
        })
    }

    /// Number of its own threads.
    pub fn own(&self) -> u32 {
        self.own
    }

    /// Begins a call. The engine is busy until it ends, and as long as it has slots.
    pub fn call(self: &Arc<Self>) -> RunningCall {
        if !self.is_busy.swap(true, Ordering::Relaxed) {
            self.model.busy.fetch_add(self.own, Ordering::Relaxed);
        }
        let all = self.model.all.load(Ordering::Relaxed);
        let busy = self.model.busy.load(Ordering::Relaxed);
        let idle = all.saturating_sub(busy);
        RunningCall {
            engine: Arc::clone(self),
            threads: (self.own + idle).min(MAX_THREADS).max(self.own),
        }
    }

    /// Whether slots are open now.
    pub fn set_slots(&self, has_slots: bool) {
        self.has_slots.store(has_slots, Ordering::Relaxed);
        self.rest();
    }

    fn rest(&self) {
        let is_idle = !self.has_slots.load(Ordering::Relaxed);
        if is_idle && self.is_busy.swap(false, Ordering::Relaxed) {
            self.model.busy.fetch_sub(self.own, Ordering::Relaxed);
        }
    }
}

impl RunningCall {
    /// Number of threads that it may use.
    pub fn threads(&self) -> u32 {
        self.threads
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.engine.rest();
    }
}

impl Drop for EngineThreads {
    fn drop(&mut self) {
        self.set_slots(false);
        self.model.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_uses_the_threads_of_idle_engines() {
        let model = Arc::default();
        let engines = [1, 1, 2].map(|own| EngineThreads::new(&model, own));
        assert_eq!(engines[0].call().threads(), 4);
        engines[2].set_slots(true);
        // An engine is idle until its first call.
        assert_eq!(engines[0].call().threads(), 4);
        drop(engines[2].call());
        assert_eq!(engines[0].call().threads(), 2, "engine 2 has a slot");
        let call = engines[1].call();
        assert_eq!(engines[0].call().threads(), 1, "engine 1 is in a call");
        drop(call);
        assert_eq!(engines[0].call().threads(), 2);
        engines[2].set_slots(false);
        assert_eq!(engines[0].call().threads(), 4);
    }

    #[test]
    fn the_threads_of_an_engine_go_with_it() {
        let model = Arc::default();
        let (first, second) = (EngineThreads::new(&model, 1), EngineThreads::new(&model, 3));
        drop(second.call());
        second.set_slots(true);
        drop(second.call());
        drop(second);
        assert_eq!(first.call().threads(), 1);
        let third = EngineThreads::new(&model, 1);
        assert_eq!(first.call().threads(), 2);
        drop(third);
    }

    #[test]
    fn the_number_is_bounded_but_never_below_its_own() {
        let model = Arc::default();
        let (small, large) = (
            EngineThreads::new(&model, 2),
            EngineThreads::new(&model, 12),
        );
        assert_eq!(small.call().threads(), MAX_THREADS);
        assert_eq!(large.call().threads(), 12);
    }
}
