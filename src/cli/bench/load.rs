//! Sends the requests of one run: from a number of callers (closed loop) or at a rate (open loop).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::arrivals::Arrivals;
use super::client::BenchClient;
use super::statistics::{RequestOutcome, RequestResult};

/// Capacity of the channel of uncounted results; when it is full, callers wait.
const RESULTS_CAPACITY: usize = 1024;

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LoadPattern {
    /// Each caller sends its next request after the response to its last one.
    Closed {
        /// The number of callers.
        callers: usize,
    },
    /// Requests are sent at their due times, independent of responses.
    Open {
        /// Requests per second.
        rate: f64,
        /// Their distribution over time.
        arrivals: Arrivals,
        /// Most requests in flight; the next one waits, and its latency counts from its due time.
        in_flight: usize,
    },
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RunLength {
    /// After this number of requests.
    Requests(u64),
    /// After this time; requests in flight are completed.
    Elapsed(Duration),
}

/// The state that the callers of one run share.
struct LoadRun {
    client: Arc<BenchClient>,
    run_length: RunLength,
    start: Instant,
    sent: AtomicU64,
    results: mpsc::Sender<RequestResult>,
}

/// Sends the requests of a run and passes each result to `take` with the elapsed time; returns the time
/// of the last result.
pub async fn run(
    client: &Arc<BenchClient>,
    pattern: LoadPattern,
    run_length: RunLength,
    mut take: impl FnMut(RequestResult, Duration),
) -> Duration {
    let (results, mut received) = mpsc::channel(RESULTS_CAPACITY);
    let start = Instant::now();
    let run = Arc::new(LoadRun {
        client: Arc::clone(client),
        run_length,
        start,
        sent: AtomicU64::new(0),
        results,
    });
    let sending = async {
        match pattern {
            LoadPattern::Closed { callers } => closed(run, callers).await,
            LoadPattern::Open {
                rate,
                arrivals,
                in_flight,
            } => open(run, arrivals.offsets(rate), in_flight).await,
        }
    };
    let mut elapsed = Duration::ZERO;
    let taking = async {
        // Ends when the last sender is dropped, with the run.
        while let Some(result) = received.recv().await {
            elapsed = start.elapsed();
            take(result, elapsed);
        }
    };
    tokio::join!(sending, taking);
    elapsed
}

async fn closed(run: Arc<LoadRun>, callers: usize) {
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        tasks.spawn(run_caller(Arc::clone(&run)));
    }
    drop(run);
    while let Some(joined) = tasks.join_next().await {
        resume_panic(joined);
    }
}

/// Sends one request after another until the run is over.
async fn run_caller(run: Arc<LoadRun>) {
    while let Some(number) = run.next() {
        let result = run.client.send(number, Instant::now()).await;
        let delay = match &result.outcome {
            RequestOutcome::Success(_) => Duration::ZERO,
            RequestOutcome::Failure(failure) => failure.retry_delay,
        };
        run.report(result).await;
        // Refusals cost the server little: without a delay a run would mostly measure refusals.
        if !delay.is_zero() && !run.is_over() {
            let next = Instant::now() + delay;
            sleep_until(match run.run_length {
                RunLength::Requests(_) => next,
                RunLength::Elapsed(length) => next.min(run.start + length),
            })
            .await;
        }
    }
}

async fn open(run: Arc<LoadRun>, offsets: impl Iterator<Item = Duration>, in_flight: usize) {
    let permits = Arc::new(Semaphore::new(in_flight));
    let mut tasks = JoinSet::new();
    for (number, offset) in (0_u64..).zip(offsets) {
        let is_over = match run.run_length {
            RunLength::Requests(requests) => number >= requests,
            RunLength::Elapsed(length) => offset >= length,
        };
        if is_over {
            break;
        }
        let due = run.start + offset;
        sleep_until(due).await;
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            break;
        };
        let run = Arc::clone(&run);
        tasks.spawn(async move {
            let result = run.client.send(number, due).await;
            drop(permit);
            run.report(result).await;
        });
        while let Some(joined) = tasks.try_join_next() {
            resume_panic(joined);
        }
    }
    drop(run);
    while let Some(joined) = tasks.join_next().await {
        resume_panic(joined);
    }
}

impl LoadRun {
    /// The number of the next request of a closed loop; `None` when the run is over.
    fn next(&self) -> Option<u64> {
        match self.run_length {
            RunLength::Requests(requests) => {
                let number = self.sent.fetch_add(1, Ordering::Relaxed);
                (number < requests).then_some(number)
            }
            RunLength::Elapsed(_) => {
                (!self.is_over()).then(|| self.sent.fetch_add(1, Ordering::Relaxed))
            }
        }
    }

    fn is_over(&self) -> bool {
        match self.run_length {
            RunLength::Requests(requests) => self.sent.load(Ordering::Relaxed) >= requests,
            RunLength::Elapsed(length) => self.start.elapsed() >= length,
        }
    }

    async fn report(&self, result: RequestResult) {
        // The receiver is dropped only together with the whole run.
        let _dropped = self.results.send(result).await;
    }
}

/// Panics if the task did.
pub fn resume_panic(joined: Result<(), JoinError>) {
    if let Err(error) = joined
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests;
