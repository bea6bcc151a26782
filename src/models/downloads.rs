//! Running downloads: concurrent requests for a model share one.
//!
//! A [`Download`] is a handle; the work is a task that [`Downloads`] owns. It continues when every
//! caller has been cancelled, and ends with its result, or with [`Downloads::stop`].

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Catalog, DownloadProgress, DownloadSummary, Hub, HubError, ModelId};
use crate::telemetry::{Metrics, error_chain};

/// Minimum time between two log lines on a download's progress.
const LOG_INTERVAL: Duration = Duration::from_secs(5);
/// Minimum progress between them, in percent.
const LOG_STEP_PERCENT: u64 = 10;

/// Starts downloads of models and keeps track of them.
pub struct Downloads {
    shared: Arc<DownloadContext>,
    state: Mutex<State>,
}

/// What all downloads share.
struct DownloadContext {
    hub: Hub,
    /// Refreshed after each download.
    catalog: Arc<Catalog>,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    /// Finished ones are removed when the next begins.
    downloads: HashMap<ModelId, Download>,
    tasks: JoinSet<()>,
    stopped: bool,
}

/// A handle to a download: its progress and its result.
#[derive(Clone, Debug)]
pub struct Download {
    progress: watch::Receiver<DownloadProgress>,
    /// None while it runs; closed without a result when it was stopped.
    outcome: watch::Receiver<Option<Outcome>>,
}

type Outcome = Result<Arc<DownloadSummary>, Arc<HubError>>;

impl Downloads {
    /// No download is running yet; finished ones are added to `catalog`.
    #[must_use]
    pub fn new(hub: Hub, catalog: Arc<Catalog>, metrics: Metrics) -> Self {
        Self {
            shared: Arc::new(DownloadContext {
                hub,
                catalog,
                metrics,
            }),
            state: Mutex::default(),
        }
    }

    /// Joins the running download of this model, or begins one. After [`stop`](Self::stop) none begins:
    /// the handle returns [`HubError::Stopped`].
    #[must_use]
    pub fn start(&self, id: &ModelId) -> Download {
        let mut state = self.state();
        state
            .downloads
            .retain(|_, download| !download.is_finished());
        if let Some(download) = state.downloads.get(id) {
            return download.clone();
        }
        let (progress_tx, progress) = watch::channel(DownloadProgress::default());
        let (outcome_tx, outcome) = watch::channel(None);
        let download = Download { progress, outcome };
        if !state.stopped {
            while state.tasks.try_join_next().is_some() {}
            let (shared, task_id) = (Arc::clone(&self.shared), id.clone());
            state.tasks.spawn(async move {
                let outcome = run(&shared, &task_id, &progress_tx).await;
                outcome_tx.send_replace(Some(outcome));
            });
            state.downloads.insert(id.clone(), download.clone());
        }
        download
    }

    /// Whether any revision of this model is being downloaded; revisions share files.
    #[must_use]
    pub fn is_running(&self, id: &ModelId) -> bool {
        let state = self.state();
        state.downloads.iter().any(|(other, download)| {
            other.repository() == id.repository() && !download.is_finished()
        })
    }

    /// Stops every download and waits for their tasks; received data is kept for the next download. No
    /// further one begins.
    pub async fn stop(&self) {
        let mut tasks = {
            let mut state = self.state();
            state.stopped = true;
            std::mem::take(&mut state.tasks)
        };
        tasks.shutdown().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The guarded data is consistent between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Download {
    /// The progress, and its changes.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<DownloadProgress> {
        self.progress.clone()
    }

    /// Waits for the result. May be dropped and called again at any time.
    ///
    /// # Errors
    /// [`HubError`], the same for all waiting callers.
    pub async fn finished(&self) -> Result<Arc<DownloadSummary>, Arc<HubError>> {
        let mut outcome = self.outcome.clone();
        let outcome = match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_closed) => None,
        };
        outcome.unwrap_or_else(|| Err(Arc::new(HubError::Stopped)))
    }

    fn is_finished(&self) -> bool {
        self.outcome.has_changed().is_err() || self.outcome.borrow().is_some()
    }
}

/// Downloads a model; reports the progress to the handles and the log.
async fn run(
    shared: &DownloadContext,
    id: &ModelId,
    progress: &watch::Sender<DownloadProgress>,
) -> Outcome {
    let started = Instant::now();
    let log = Mutex::new(ProgressLog::new(started));
    let report = |now: DownloadProgress| {
        let due = log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_due(&now, Instant::now());
        if due {
            let (bytes, total_bytes) = (now.bytes, now.total_bytes);
            tracing::info!(model.id = %id, bytes, total_bytes, "model is being downloaded");
        }
        progress.send_replace(now);
    };
    let DownloadContext {
        hub,
        catalog,
        metrics,
    } = shared;
    let downloaded = catch_panic(hub.download(id, &report)).await;
    let duration_ms = started.elapsed().as_millis() as u64;
    match downloaded {
        Ok(downloaded) => {
            // Listed before the result is published.
            catalog.refresh().await;
            metrics.downloaded_bytes.inc_by(downloaded.bytes);
            tracing::info!(
                model.id = %id,
                model.commit = downloaded.commit,
                bytes = downloaded.bytes,
                duration_ms,
                "model downloaded"
            );
            Ok(Arc::new(downloaded))
        }
        Err(error) => {
            let reason = error_chain(&error);
            tracing::warn!(model.id = %id, duration_ms, reason, "model could not be downloaded");
            Err(Arc::new(error))
        }
    }
}

/// Turns a panic into an error, so that waiting callers receive it.
async fn catch_panic<T>(work: impl Future<Output = Result<T, HubError>>) -> Result<T, HubError> {
    let caught = AssertUnwindSafe(work).catch_unwind();
    caught.await.unwrap_or(Err(HubError::Panicked))
}

/// Decides when a download's progress is logged.
struct ProgressLog {
    last: Instant,
    /// Progress at the last log line, or at the start, in percent.
    percent: Option<u64>,
}

impl ProgressLog {
    fn new(started: Instant) -> Self {
        Self {
            last: started,
            percent: None,
        }
    }

    fn is_due(&mut self, progress: &DownloadProgress, now: Instant) -> bool {
        let percent = 100 * progress.bytes / progress.total_bytes.max(1);
        let since = *self.percent.get_or_insert(percent);
        let due = percent >= since + LOG_STEP_PERCENT
            && now.duration_since(self.last) >= LOG_INTERVAL
            && percent < 100;
        if due {
            *self = Self {
                last: now,
                percent: Some(percent),
            };
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let panics = async { panic!("in a download") };
        let error = catch_panic::<DownloadSummary>(panics).await.unwrap_err();
        assert!(matches!(error, HubError::Panicked), "{error}");
    }

    #[test]
    fn logs_every_tenth_but_not_too_often() {
        let started = Instant::now();
        let mut log = ProgressLog::new(started);
        let mut check = |seconds, bytes, expected: bool| {
            let progress = DownloadProgress {
                file: String::new(),
                bytes,
                total_bytes: 1000,
            };
            let now = started + Duration::from_secs(seconds);
            assert_eq!(log.is_due(&progress, now), expected, "{seconds} s, {bytes}");
        };
        check(0, 300, false);
        check(1, 500, false);
        check(5, 500, true);
        check(20, 590, false);
        check(21, 600, true);
        check(25, 800, false);
        check(26, 900, true);
        check(60, 1000, false);
    }
}
