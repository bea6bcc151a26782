//! The bounded pool for decoding, speech detection and features.

mod scheduler;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::caller::Caller;
use crate::clock::now;
use crate::telemetry::traces;
use scheduler::{Scheduler, WorkItem};

/// Runs CPU work outside the async workers, a bounded number of items at a time. Callers take turns.
#[derive(Clone, Debug)]
pub struct FrontEnd(Arc<Mutex<FrontEndState>>);

/// A kind of CPU work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A whole upload to PCM, which may take seconds.
    Decode,
    /// A bounded part of the speech detection.
    Vad,
    /// The features of one window.
    Features,
    /// The voices in ten seconds of a recording.
    Voices,
    /// The speakers of a recording from all its voices, which may take seconds.
    Speakers,
}

/// The work panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audio front end panicked")]
pub struct FrontEndPanicked;

/// The scheduler, and the channels that start waiting items, by their number.
#[derive(Debug)]
struct FrontEndState {
    scheduler: Scheduler,
    starts: HashMap<u64, oneshot::Sender<()>>,
}

/// Holds an item's place in the scheduler; dropping it lets the next item start.
struct WorkGuard {
    state: Arc<Mutex<FrontEndState>>,
    item: WorkItem,
}

impl Stage {
    /// Whether an item may take seconds.
    fn is_long(self) -> bool {
        matches!(self, Self::Decode | Self::Speakers)
    }

    /// The name of its trace span.
    fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Vad => "vad",
            Self::Features => "features",
            Self::Voices => "voices",
            Self::Speakers => "speakers",
        }
    }
}

impl FrontEnd {
    /// At most `workers` items run at once.
    #[must_use]
    pub fn new(workers: NonZeroUsize) -> Self {
        Self(Arc::new(Mutex::new(FrontEndState {
            scheduler: Scheduler::new(workers),
            starts: HashMap::new(),
        })))
    }

    /// Runs `work` when it is the caller's turn; dropping the future before that cancels it.
    ///
    /// # Errors
    /// [`FrontEndPanicked`] when the work panicked; other work is not affected.
    pub async fn run<T: Send + 'static>(
        &self,
        stage: Stage,
        caller: Caller,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, FrontEndPanicked> {
        let (guard, started) = self.submit(stage, caller);
        // A separate task: work that the scheduler has given a worker must run even if this future is not polled;
        // otherwise the worker stays occupied.
        let mut task = JoinSet::new();
        let start = async move {
            started.await.map_err(|_| FrontEndPanicked)?;
            let span = traces::stage(stage.name());
            let running = tokio::task::spawn_blocking(move || {
                let result = span.in_scope(work);
                drop(guard);
                result
            });
            running.await.map_err(|_| FrontEndPanicked)
        };
        task.spawn(start.in_current_span());
        let ended = task.join_next().await;
        ended.and_then(Result::ok).unwrap_or(Err(FrontEndPanicked))
    }

    fn submit(&self, stage: Stage, caller: Caller) -> (WorkGuard, oneshot::Receiver<()>) {
        let (start, started) = oneshot::channel();
        let mut state = lock(&self.0);
        let item = state.scheduler.submit(caller, stage.is_long(), now());
        state.starts.insert(item.number, start);
        state.start_waiting();
        drop(state);
        let guard = WorkGuard {
            state: Arc::clone(&self.0),
            item,
        };
        (guard, started)
    }
}

impl FrontEndState {
    fn start_waiting(&mut self) {
        while let Some(item) = self.scheduler.start_next(now()) {
            if let Some(start) = self.starts.remove(&item.number) {
                // A closed receiver belongs to an item that is being dropped.
                let _ = start.send(());
            }
        }
    }
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.starts.remove(&self.item.number);
        state.scheduler.remove(self.item);
        state.start_waiting();
    }
}

fn lock(state: &Mutex<FrontEndState>) -> MutexGuard<'_, FrontEndState> {
    // No statement under the lock leaves the state inconsistent.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const ALICE: Caller = Caller::Key(0);
    const BOB: Caller = Caller::Key(1);

    fn front_end(workers: usize) -> FrontEnd {
        FrontEnd::new(NonZeroUsize::new(workers).unwrap())
    }

    /// Polls a run until its work waits or runs.
    async fn begin(run: &mut (impl Future<Output = Result<(), FrontEndPanicked>> + Unpin)) {
        tokio::select! {
            biased;
            _ = run => panic!("it has ended already"),
            () = std::future::ready(()) => {}
        }
    }

    #[tokio::test]
    async fn waiting_work_that_is_dropped_does_not_block_the_next() {
        let front_end = front_end(1);
        let (end, ended) = mpsc::sync_channel::<()>(1);
        let mut running = Box::pin(front_end.run(Stage::Decode, ALICE, move || {
            let _ = ended.recv();
        }));
        begin(&mut running).await;
        let mut dropped = Box::pin(front_end.run(Stage::Decode, BOB, || ()));
        begin(&mut dropped).await;
        drop(dropped);
        let last = front_end.run(Stage::Features, BOB, || 7);

        drop(end);
        running.await.unwrap();

        assert_eq!(last.await, Ok(7));
        assert!(lock(&front_end.0).starts.is_empty());
    }

    #[tokio::test]
    async fn work_of_a_future_that_is_not_polled_occupies_no_worker() {
        let front_end = front_end(1);
        let (end, ended) = mpsc::sync_channel::<()>(1);
        let mut running = Box::pin(front_end.run(Stage::Decode, ALICE, move || {
            let _ = ended.recv();
        }));
        begin(&mut running).await;
        let mut not_polled = Box::pin(front_end.run(Stage::Features, ALICE, || ()));
        begin(&mut not_polled).await;

        drop(end);
        let next = front_end.run(Stage::Vad, ALICE, || 7);
        let next = tokio::time::timeout(Duration::from_secs(60), next);

        assert_eq!(next.await, Ok(Ok(7)));
        assert_eq!(not_polled.await, Ok(()));
    }

    #[tokio::test]
    async fn work_that_panics_frees_its_worker() {
        let front_end = front_end(1);
        let panics = front_end.run(Stage::Vad, ALICE, || -> u8 {
            std::panic::resume_unwind(Box::new(()))
        });
        assert_eq!(panics.await, Err(FrontEndPanicked));
        assert_eq!(front_end.run(Stage::Vad, ALICE, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn another_caller_is_served_before_all_work_of_the_first() {
        let front_end = front_end(1);
        let (end, ended) = mpsc::sync_channel::<()>(1);
        let order = Arc::new(Mutex::new(Vec::new()));
        let work = |caller, name: &'static str| {
            let order = Arc::clone(&order);
            Box::pin(front_end.run(Stage::Decode, caller, move || {
                order.lock().unwrap().push(name);
            }))
        };
        let mut running = Box::pin(front_end.run(Stage::Decode, ALICE, move || {
            let _ = ended.recv();
        }));
        begin(&mut running).await;
        let (mut second, mut third) = (work(ALICE, "second"), work(ALICE, "third"));
        begin(&mut second).await;
        begin(&mut third).await;
        let mut other = work(BOB, "other");
        begin(&mut other).await;

        drop(end);
        let all = futures_util::future::join4(running, second, third, other);
        assert_eq!(all.await, (Ok(()), Ok(()), Ok(()), Ok(())));

        let order = order.lock().unwrap();
        // The second item of the first caller waited longer when the worker became free; then it is
        // the other caller's turn.
        assert_eq!(*order, ["second", "other", "third"]);
    }
}
