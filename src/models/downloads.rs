//! Downloads under way: whoever wants the same model shares one.
//!
//! A [`Download`] is a handle; the work is a task that [`Downloads`] owns. It goes on when every
//! caller has left, and ends with its result, or with [`Downloads::stop`].

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Catalog, DownloadSummary, Hub, HubError, ModelId, DownloadProgress};
use crate::telemetry::{Metrics, reasons};

/// The log tells of a download's progress no more often than this.
const LOG_EVERY: Duration = Duration::from_secs(5);
/// And not before it has come so much further, in percent.
const LOG_STEP: u64 = 10;

/// The way to models that are not on disk.
pub struct Downloads {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

/// What every download needs.
struct Shared {
    hub: Hub,
    /// Hears of what has come.
    catalog: Arc<Catalog>,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    /// Those that are over are removed when the next begins.
    downloads: HashMap<ModelId, Download>,
    tasks: JoinSet<()>,
    stopped: bool,
}

/// A download, to be watched and waited for.
#[derive(Clone, Debug)]
pub struct Download {
    progress: watch::Receiver<DownloadProgress>,
    /// Empty while it goes on; closed without a result when it was stopped.
    outcome: watch::Receiver<Option<Outcome>>,
}

type Outcome = Result<Arc<DownloadSummary>, Arc<HubError>>;

impl Downloads {
    /// Nothing is under way yet; what comes is put into the list of `catalog`.
    #[must_use]
    pub fn new(hub: Hub, catalog: Arc<Catalog>, metrics: Metrics) -> Self {
        Self {
            shared: Arc::new(Shared {
                hub,
                catalog,
                metrics,
            }),
            state: Mutex::default(),
        }
    }

    /// Joins the download of this model that is under way, or begins one. After
    /// [`stop`](Self::stop) none begins: the handle says [`HubError::Stopped`].
    #[must_use]
    pub fn start(&self, id: &ModelId) -> Download {
        let mut state = self.state();
        state.downloads.retain(|_, download| !download.is_over());
        if let Some(download) = state.downloads.get(id) {
            return download.clone();
        }
        let (progress_tx, progress) = watch::channel(DownloadProgress::default());
        let (outcome_tx, outcome) = watch::channel(None);
        let download = Download { progress, outcome };
        if !state.stopped {
            while state.tasks.try_join_next().is_some() {}
            let (shared, of) = (Arc::clone(&self.shared), id.clone());
            state.tasks.spawn(async move {
                let outcome = run(&shared, &of, &progress_tx).await;
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
        state
            .downloads
            .iter()
            .any(|(other, download)| other.repository() == id.repository() && !download.is_over())
    }

    /// Ends every download and waits for that; what has come stays for the next time. No further
    /// one begins.
    pub async fn stop(&self) {
        let mut tasks = {
            let mut state = self.state();
            state.stopped = true;
            std::mem::take(&mut state.tasks)
        };
        tasks.shutdown().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What the lock guards is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Download {
    /// How far it is, and every change of that.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<DownloadProgress> {
        self.progress.clone()
    }

    /// Waits for its end. May be dropped and called again at any time.
    ///
    /// # Errors
    /// [`HubError`], the same for all who wait.
    pub async fn finished(&self) -> Result<Arc<DownloadSummary>, Arc<HubError>> {
        let mut outcome = self.outcome.clone();
        let outcome = match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_closed) => None,
        };
        outcome.unwrap_or_else(|| Err(Arc::new(HubError::Stopped)))
    }

    fn is_over(&self) -> bool {
        self.outcome.has_changed().is_err() || self.outcome.borrow().is_some()
    }
}

/// Downloads, and tells those who watch and the log.
async fn run(shared: &Shared, id: &ModelId, progress: &watch::Sender<DownloadProgress>) -> Outcome {
    let begun = Instant::now();
    let log = Mutex::new(Log::new(begun));
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
    let Shared {
        hub,
        catalog,
        metrics,
    } = shared;
    let downloaded = caught(hub.download(id, &report)).await;
    let duration_ms = begun.elapsed().as_millis() as u64;
    match downloaded {
        Ok(downloaded) => {
            // In the list before anybody hears that it is here.
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
            let reason = reasons(&error);
            tracing::warn!(model.id = %id, duration_ms, reason, "model could not be downloaded");
            Err(Arc::new(error))
        }
    }
}

/// Makes an error of a panic, so that whoever waits hears of it.
async fn caught<T>(work: impl Future<Output = Result<T, HubError>>) -> Result<T, HubError> {
    let caught = AssertUnwindSafe(work).catch_unwind();
    caught.await.unwrap_or(Err(HubError::Panicked))
}

/// Decides when the log is told how far a download is.
struct Log {
    last: Instant,
    /// Of the last time, in percent; where the download began at first.
    percent: Option<u64>,
}

impl Log {
    fn new(begun: Instant) -> Self {
        Self {
            last: begun,
            percent: None,
        }
    }

    fn is_due(&mut self, progress: &DownloadProgress, now: Instant) -> bool {
        let percent = 100 * progress.bytes / progress.total_bytes.max(1);
        let since = *self.percent.get_or_insert(percent);
        let due = percent >= since + LOG_STEP
            && now.duration_since(self.last) >= LOG_EVERY
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
        let panics = async { panic!("on the way") };
        let error = caught::<DownloadSummary>(panics).await.unwrap_err();
        assert!(matches!(error, HubError::Panicked), "{error}");
    }

    #[test]
    fn the_log_is_told_of_every_tenth_but_not_too_often() {
        let begun = Instant::now();
        let mut log = Log::new(begun);
        let mut check = |seconds, bytes, expected: bool| {
            let progress = DownloadProgress {
                file: String::new(),
                bytes,
                total_bytes: 1000,
            };
            let now = begun + Duration::from_secs(seconds);
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
