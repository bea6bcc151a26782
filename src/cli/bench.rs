//! `halkspeech bench`: measures a running server under load, as its callers see it.
//!
//! Requests are in `load`, live sessions in `live`.

mod flags;
pub mod target;
mod clips;
mod arrivals;
mod load;
mod client;
mod response;
mod statistics;
mod word_errors;
mod report;
mod live;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpStream;
use tokio::time;

use self::client::{BenchClient, RequestTemplate};
use self::clips::Clip;
pub use self::flags::BenchFlags;
use self::load::{LoadPattern, RunLength};
use self::report::{BenchReport, RunReport};
use self::statistics::RunStatistics;
use super::{escape, progress_bar, server_key};

/// Timeout of the first connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Measures a server under load.
///
/// # Errors
///
/// There is nothing to send, the server cannot be reached, or a request failed.
pub fn run(flags: BenchFlags) -> anyhow::Result<()> {
    flags.check().unwrap_or_else(|error| error.exit());
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let failures = if flags.live.live {
        runtime.block_on(async { live::bench(&flags, clips(&flags)?).await })?
    } else {
        runtime.block_on(bench(flags))?.failures()
    };
    match failures {
        Some(failures) => bail!(failures),
        None => Ok(()),
    }
}

async fn bench(flags: BenchFlags) -> anyhow::Result<BenchReport> {
    let clips = clips(&flags)?;
    let template = request_template(&flags)?;
    check_reachable(&template.url).await?;
    let mut report = BenchReport {
        url: template.url.to_string(),
        model: flags.model.clone(),
        clips: clips.len(),
        runs: Vec::new(),
    };
    let client = Arc::new(BenchClient::new(template, clips)?);

    let mut out = io::stdout();
    let prints_table = flags.json.as_deref() != Some(Path::new("-"));
    // Created before the first run, so that no result is lost if the folder does not exist.
    let file = flags.json.as_deref().filter(|_| prints_table).map(create);
    let file = file.transpose()?;
    for pattern in flags.load_patterns() {
        if prints_table && report.runs.is_empty() {
            writeln!(out, "{}", escape::lines(&report.head(load_name(pattern))))?;
        }
        let run = measure(&client, &flags, pattern).await;
        if prints_table {
            writeln!(out, "{}", escape::lines(&run.row()))?;
        }
        report.runs.push(run);
    }
    let json = serde_json::to_string_pretty(&report)?;
    if let Some(mut file) = file {
        writeln!(file, "{json}")?;
    } else if !prints_table {
        writeln!(out, "{json}")?;
    }
    Ok(report)
}

fn clips(flags: &BenchFlags) -> anyhow::Result<Vec<Clip>> {
    match &flags.manifest {
        Some(manifest) => clips::from_manifest(manifest, &flags.selection),
        None => clips::from_paths(&flags.paths),
    }
}

/// Measures one run, after warm-up requests that are not counted.
async fn measure(client: &Arc<BenchClient>, flags: &BenchFlags, pattern: LoadPattern) -> RunReport {
    let (warmup, requests) = flags.warmup(pattern);
    load::run(client, warmup, RunLength::Requests(requests), |_, _| {}).await;

    let run_length = flags.run_length(pattern);
    let clips = client.clips();
    let mut statistics = RunStatistics::new(clips.len());
    let bar = progress_bar::bench_run();
    let (concurrency, rate) = match pattern {
        LoadPattern::Closed { callers } => (Some(callers), None),
        LoadPattern::Open { rate, .. } => (None, Some(rate)),
    };
    let load = concurrency.map_or_else(|| rate.unwrap_or_default().to_string(), |n| n.to_string());
    let elapsed = load::run(client, pattern, run_length, |result, elapsed| {
        statistics.add(result, clips);
        let share = match run_length {
            RunLength::Requests(requests) => statistics.requests() as f64 / requests as f64,
            RunLength::Elapsed(length) => elapsed.as_secs_f64() / length.as_secs_f64(),
        };
        bar.set_position((share.min(1.0) * progress_bar::STEPS as f64) as u64);
        let requests = statistics.requests();
        bar.set_message(format!(
            "{load} {}, {requests} requests",
            load_name(pattern)
        ));
    })
    .await;
    bar.finish_and_clear();
    RunReport {
        concurrency,
        rate,
        ..statistics.finish(elapsed, clips)
    }
}

/// The name of the table's first column.
fn load_name(pattern: LoadPattern) -> &'static str {
    match pattern {
        LoadPattern::Closed { .. } => "callers",
        LoadPattern::Open { .. } => "sent/s",
    }
}

fn request_template(flags: &BenchFlags) -> anyhow::Result<RequestTemplate> {
    let key = server_key::find(
        &flags.url,
        flags.api_key_file.as_deref(),
        flags.config.as_deref(),
    )?;
    let model = ("model".to_owned(), flags.model.clone());
    Ok(RequestTemplate {
        url: target::endpoint(&flags.url),
        key,
        fields: std::iter::once(model).chain(flags.form.clone()).collect(),
        sends_language: flags.send_language,
        timeout: flags.timeout_s,
    })
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", escape::path(path)))
}

/// Fails early if the server cannot be reached, instead of failing every request of a run.
async fn check_reachable(url: &reqwest::Url) -> anyhow::Result<()> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or_default();
    let connecting = time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port)));
    let error = match connecting.await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => anyhow::Error::from(error),
        Err(_) => anyhow::anyhow!("no connection within {} s", CONNECT_TIMEOUT.as_secs()),
    };
    Err(error.context(format!("no server at {url}")))
}
