//! Sends the requests of one run, as many callers in a closed loop or at a rate in an open one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::arrivals::Arrivals;
use super::caller::Caller;
use super::tally::{Done, Outcome};

/// Results that may wait to be counted; with so many, callers wait until one is.
const RESULTS_WAITING: usize = 1024;

/// When the next request is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each of so many callers sends it when its last one is answered.
    Closed {
        /// How many.
        callers: usize,
    },
    /// When it is due, whatever became of those before it.
    Open {
        /// Requests a second.
        rate: f64,
        /// How they are spread.
        arrivals: Arrivals,
        /// With so many on their way the next one waits; its latency counts from when it was due.
        in_flight: usize,
    },
}

/// How long is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// So many requests.
    Requests(u64),
    /// For so long; what is on its way then is waited for.
    Elapsed(Duration),
}

/// One run.
struct Run {
    caller: Arc<Caller>,
    until: Until,
    start: Instant,
    sent: AtomicU64,
    results: mpsc::Sender<Done>,
}

/// Sends until it is time to stop, and hands over what became of each request with the time that
/// has passed; the time at the last one.
pub async fn run(
    caller: &Arc<Caller>,
    pace: Pace,
    until: Until,
    mut take: impl FnMut(Done, Duration),
) -> Duration {
    let (results, mut waiting) = mpsc::channel(RESULTS_WAITING);
    let start = Instant::now();
    let run = Arc::new(Run {
        caller: Arc::clone(caller),
        until,
        start,
        sent: AtomicU64::new(0),
        results,
    });
    let sending = async {
        match pace {
            Pace::Closed { callers } => closed(run, callers).await,
            Pace::Open {
                rate,
                arrivals,
                in_flight,
            } => open(run, arrivals.offsets(rate), in_flight).await,
        }
    };
    let mut elapsed = Duration::ZERO;
    let taking = async {
        // It ends when the last sender is gone, which is that of the run itself.
        while let Some(done) = waiting.recv().await {
            elapsed = start.elapsed();
            take(done, elapsed);
        }
    };
    tokio::join!(sending, taking);
    elapsed
}

async fn closed(run: Arc<Run>, callers: usize) {
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        tasks.spawn(call_again_and_again(Arc::clone(&run)));
    }
    drop(run);
    while let Some(ended) = tasks.join_next().await {
        pass_on_panic(ended);
    }
}

async fn call_again_and_again(run: Arc<Run>) {
    while let Some(number) = run.next() {
        let done = run.caller.send(number, Instant::now()).await;
        let pause = match &done.outcome {
            Outcome::Answered(_) => Duration::ZERO,
            Outcome::Failed(failure) => failure.pause,
        };
        run.report(done).await;
        // Refusals cost the server little: who asks again at once would measure nothing else.
        if !pause.is_zero() && !run.is_over() {
            let again = Instant::now() + pause;
            sleep_until(match run.until {
                Until::Requests(_) => again,
                Until::Elapsed(length) => again.min(run.start + length),
            })
            .await;
        }
    }
}

async fn open(run: Arc<Run>, offsets: impl Iterator<Item = Duration>, in_flight: usize) {
    let places = Arc::new(Semaphore::new(in_flight));
    let mut tasks = JoinSet::new();
    for (number, offset) in (0_u64..).zip(offsets) {
        let is_over = match run.until {
            Until::Requests(requests) => number >= requests,
            Until::Elapsed(length) => offset >= length,
        };
        if is_over {
            break;
        }
        let due = run.start + offset;
        sleep_until(due).await;
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            break;
        };
        let run = Arc::clone(&run);
        tasks.spawn(async move {
            let done = run.caller.send(number, due).await;
            drop(place);
            run.report(done).await;
        });
        while let Some(ended) = tasks.try_join_next() {
            pass_on_panic(ended);
        }
    }
    drop(run);
    while let Some(ended) = tasks.join_next().await {
        pass_on_panic(ended);
    }
}

impl Run {
    /// The number of the next request of a closed loop, while it is not over.
    fn next(&self) -> Option<u64> {
        match self.until {
            Until::Requests(requests) => {
                let number = self.sent.fetch_add(1, Ordering::Relaxed);
                (number < requests).then_some(number)
            }
            Until::Elapsed(_) => {
                (!self.is_over()).then(|| self.sent.fetch_add(1, Ordering::Relaxed))
            }
        }
    }

    fn is_over(&self) -> bool {
        match self.until {
            Until::Requests(requests) => self.sent.load(Ordering::Relaxed) >= requests,
            Until::Elapsed(length) => self.start.elapsed() >= length,
        }
    }

    async fn report(&self, done: Done) {
        // Nobody takes results only where the whole run was dropped.
        let _dropped = self.results.send(done).await;
    }
}

fn pass_on_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests;
