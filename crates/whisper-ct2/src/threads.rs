//! The number of threads of an engine's calls: its own, and a share of those of the model's engines that have nothing
//! to do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Maximum number of threads of a call, unless the engine itself has more. The work between two barriers of a decoder's
/// step is small: two threads were measured, more were not.
const MAX_THREADS: u32 = 8;

/// The threads of all engines that share a model's weights.
#[derive(Debug, Default)]
pub struct ModelThreads(Mutex<Counts>);

/// Numbers of engines and threads. An engine is busy while it has a slot open or a call running.
#[derive(Debug, Default)]
struct Counts {
    busy_engines: u32,
    /// Own threads of the engines that are not busy.
    idle_threads: u32,
}

/// The threads of one engine. While it is idle, the busy engines' calls share them; a call that runs when it starts to
/// work again keeps its share to its end.
#[derive(Debug)]
pub struct EngineThreads {
    model: Arc<ModelThreads>,
    own: u32,
    state: Mutex<EngineState>,
}

#[derive(Debug, Default)]
struct EngineState {
    is_busy: bool,
    has_slots: bool,
}

/// A call of an engine; it ends when this is dropped.
pub struct RunningCall {
    engine: Arc<EngineThreads>,
    threads: u32,
}

impl ModelThreads {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EngineThreads {
    /// For an engine with `own` threads.
    pub fn new(model: &Arc<ModelThreads>, own: u32) -> Arc<Self> {
        model.counts().idle_threads += own;
        Arc::new(Self {
            model: Arc::clone(model),
            own,
            state: Mutex::default(),
        })
    }

    /// Number of its own threads.
    pub fn own(&self) -> u32 {
        self.own
    }

    /// Begins a call. The engine is busy until it ends, and as long as it has slots.
    pub fn call(self: &Arc<Self>) -> RunningCall {
        let mut state = self.state();
        let mut counts = self.model.counts();
        if !state.is_busy {
            state.is_busy = true;
            counts.busy_engines += 1;
            counts.idle_threads -= self.own;
        }
        let share = counts.idle_threads / counts.busy_engines;
        RunningCall {
            engine: Arc::clone(self),
            threads: (self.own + share).min(MAX_THREADS).max(self.own),
        }
    }

    /// Whether slots are open now.
    pub fn set_slots(&self, has_slots: bool) {
        let mut state = self.state();
        state.has_slots = has_slots;
        self.release_if_idle(&mut state);
    }

    fn state(&self) -> MutexGuard<'_, EngineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release_if_idle(&self, state: &mut EngineState) {
        if state.is_busy && !state.has_slots {
            state.is_busy = false;
            let mut counts = self.model.counts();
            counts.busy_engines -= 1;
            counts.idle_threads += self.own;
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
        self.engine.release_if_idle(&mut self.engine.state());
    }
}

impl Drop for EngineThreads {
    fn drop(&mut self) {
        self.set_slots(false);
        self.model.counts().idle_threads -= self.own;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_uses_the_threads_of_idle_engines() {
        let model = Arc::default();
        let engines = [1, 1, 1, 2].map(|own| EngineThreads::new(&model, own));
        assert_eq!(engines[0].call().threads(), 5);
        engines[3].set_slots(true);
        // An engine is idle until its first call.
        assert_eq!(engines[0].call().threads(), 5);
        drop(engines[3].call());
        assert_eq!(engines[0].call().threads(), 2, "engine 3 has a slot");
        let call = engines[1].call();
        assert_eq!(engines[0].call().threads(), 1, "engine 1 is in a call");
        drop(call);
        assert_eq!(engines[0].call().threads(), 2);
        engines[3].set_slots(false);
        assert_eq!(engines[0].call().threads(), 5);
    }

    #[test]
    fn busy_engines_share_the_threads_of_idle_ones() {
        let model = Arc::default();
        let engines: [_; 6] = std::array::from_fn(|_| EngineThreads::new(&model, 1));
        for (busy, threads) in [(1, 6), (2, 3), (3, 2), (4, 1), (6, 1)] {
            for engine in &engines[..busy] {
                engine.set_slots(true);
                drop(engine.call());
            }
            let calls: Vec<_> = engines[..busy].iter().map(EngineThreads::call).collect();
            let each: Vec<_> = calls.iter().map(RunningCall::threads).collect();
            assert_eq!(each, vec![threads; busy], "{busy} busy engines");
        }
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
