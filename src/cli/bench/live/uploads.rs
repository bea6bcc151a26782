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
        let ((), alone) = upload_during(tokio::time::sleep(ALONE), &client, callers).await;
        Ok(Self {
            client,
            callers,
            alone,
        })
    }

    /// Uploads until `sessions` is complete.
    pub async fn measure_during<T>(&self, sessions: impl Future<Output = T>) -> (T, UploadsReport) {
        let (result, during) = upload_during(sessions, &self.client, self.callers).await;
        let report = UploadsReport {
            callers: self.callers,
            alone: self.alone.clone(),
            during,
        };
        (result, report)
    }
}

/// Uploads until `work` is complete; requests in flight are cancelled then.
async fn upload_during<T>(
    work: impl Future<Output = T>,
    client: &Arc<BenchClient>,
    callers: usize,
) -> (T, RunReport) {
    let clips = client.clips();
    let mut statistics = RunStatistics::new(clips.len());
    let start = Instant::now();
    let uploading = async {
        let pattern = LoadPattern::Closed { callers };
        let take = |result, _| statistics.add(result, clips);
        load::run(client, pattern, RunLength::Elapsed(FOREVER), take).await;
        pending::<()>().await;
    };
    let result = tokio::select! {
        result = work => result,
        () = uploading => unreachable!("it is pending"),
    };
    (result, statistics.finish(start.elapsed(), clips))
}
