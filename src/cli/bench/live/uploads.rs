//! Callers that upload recordings while live sessions run.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::report::UploadsReport;
use crate::cli::bench::client::{BenchClient, RequestTemplate};
use crate::cli::bench::clips::Clip;
use crate::cli::bench::load::{self, LoadPattern, RunLength};
use crate::cli::bench::report::RunReport;
use crate::cli::bench::statistics::RunStatistics;

/// How long the callers upload before the sessions start, for comparison.
const ALONE: Duration = Duration::from_secs(30);
/// Longer than any run.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);

/// Callers that upload one recording after the other.
pub struct Uploads {
    client: Arc<BenchClient>,
    callers: usize,
    alone: RunReport,
}

impl Uploads {
    /// Uploads `clips` with this number of callers for a while, which measures their speed without live sessions.
    pub async fn measure_alone(
        template: RequestTemplate,
        clips: Vec<Clip>,
        callers: usize,
    ) -> anyhow::Result<Self> {
        let client = Arc::new(BenchClient::new(template, clips)?);
        let mut statistics = RunStatistics::new(client.clips().len());
        let pattern = LoadPattern::Closed { callers };
        let elapsed = load::run(&client, pattern, RunLength::Elapsed(ALONE), |result, _| {
            statistics.add(result, client.clips());
        });
        let elapsed = elapsed.await;
        let alone = statistics.finish(elapsed, client.clips());
        Ok(Self {
            client,
            callers,
            alone,
        })
    }

    /// Uploads until `sessions` is complete; requests in flight are cancelled then.
    pub async fn beside<T>(&self, sessions: impl Future<Output = T>) -> (T, UploadsReport) {
        let clips = self.client.clips();
        let mut statistics = RunStatistics::new(clips.len());
        let pattern = LoadPattern::Closed {
            callers: self.callers,
        };
        let start = Instant::now();
        let uploading = async {
            let take = |result, _| statistics.add(result, clips);
            load::run(&self.client, pattern, RunLength::Elapsed(FOREVER), take).await;
            pending::<()>().await;
        };
        let result = tokio::select! {
            result = sessions => result,
            () = uploading => unreachable!("it is pending"),
        };
        let beside = statistics.finish(start.elapsed(), clips);
        let report = UploadsReport {
            callers: self.callers,
            alone: self.alone.clone(),
            beside,
        };
        (result, report)
    }
}
