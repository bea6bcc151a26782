//! Load on a running server, as its callers see it: how to size a machine.

mod flags;
mod target;
mod clips;
mod arrivals;
mod load;
mod caller;
mod answer;
mod tally;
mod words;
mod report;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpStream;
use tokio::time;

use self::caller::{Caller, Wish};
pub use self::flags::BenchFlags;
use self::load::{Pace, Until};
use self::report::{Report, Run};
use self::tally::Tally;
use super::{escape, progress_bar};
use crate::config::{Flags, Secret, Settings};

/// The longest wait for the first connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Measures a server under load.
///
/// # Errors
///
/// There is nothing to send or nobody to send it to, or a request was not answered with 200.
pub fn run(flags: BenchFlags) -> anyhow::Result<()> {
    flags.check().unwrap_or_else(|error| error.exit());
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let report = runtime.block_on(bench(flags))?;
    match report.failures() {
        Some(failures) => bail!(failures),
        None => Ok(()),
    }
}

async fn bench(flags: BenchFlags) -> anyhow::Result<Report> {
    let clips = match &flags.manifest {
        Some(manifest) => clips::of_manifest(manifest, &flags.selection)?,
        None => clips::of_paths(&flags.paths)?,
    };
    let wish = wish(&flags)?;
    knock(&wish.url).await?;
    let mut report = Report {
        url: wish.url.to_string(),
        model: flags.model.clone(),
        clips: clips.len(),
        runs: Vec::new(),
    };
    let caller = Arc::new(Caller::new(wish, clips)?);

    let mut out = io::stdout();
    let table = flags.json.as_deref() != Some(Path::new("-"));
    // Before the first run, so that none is lost to a folder that is not there.
    let file = flags.json.as_deref().filter(|_| table).map(create);
    let file = file.transpose()?;
    for pace in flags.paces() {
        if table && report.runs.is_empty() {
            writeln!(out, "{}", escape::lines(&report.head(load_name(pace))))?;
        }
        let run = measure(&caller, &flags, pace).await;
        if table {
            writeln!(out, "{}", escape::lines(&run.row()))?;
        }
        report.runs.push(run);
    }
    let json = serde_json::to_string_pretty(&report)?;
    if let Some(mut file) = file {
        writeln!(file, "{json}")?;
    } else if !table {
        writeln!(out, "{json}")?;
    }
    Ok(report)
}

/// One run, after those that are not counted.
async fn measure(caller: &Arc<Caller>, flags: &BenchFlags, pace: Pace) -> Run {
    let (warming, requests) = flags.warmup(pace);
    load::run(caller, warming, Until::Requests(requests), |_, _| {}).await;

    let until = flags.until(pace);
    let clips = caller.clips();
    let mut tally = Tally::new(clips.len());
    let bar = progress_bar::bench_run();
    let (concurrency, rate) = match pace {
        Pace::Closed { callers } => (Some(callers), None),
        Pace::Open { rate, .. } => (None, Some(rate)),
    };
    let load = concurrency.map_or_else(|| rate.unwrap_or_default().to_string(), |n| n.to_string());
    let elapsed = load::run(caller, pace, until, |done, elapsed| {
        tally.add(done, clips);
        let share = match until {
            Until::Requests(requests) => tally.requests() as f64 / requests as f64,
            Until::Elapsed(length) => elapsed.as_secs_f64() / length.as_secs_f64(),
        };
        bar.set_position((share.min(1.0) * progress_bar::STEPS as f64) as u64);
        let answers = tally.requests();
        bar.set_message(format!("{load} {}, {answers} requests", load_name(pace)));
    })
    .await;
    bar.finish_and_clear();
    Run {
        concurrency,
        rate,
        ..tally.finish(elapsed, clips)
    }
}

/// What a row of the table has in its first column.
fn load_name(pace: Pace) -> &'static str {
    match pace {
        Pace::Closed { .. } => "callers",
        Pace::Open { .. } => "sent/s",
    }
}

fn wish(flags: &BenchFlags) -> anyhow::Result<Wish> {
    let key = match &flags.api_key_file {
        Some(file) => {
            let shown = escape::path(file);
            let key = fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
            if key.trim().is_empty() {
                bail!("{shown} holds no key");
            }
            Some(Secret::new(key.trim()))
        }
        // This machine's own key is nothing to another one.
        None if target::is_loopback(&flags.url) => {
            let loaded = Settings::from_process(flags.config.clone(), Flags::default())?;
            loaded.settings.server.api_keys()?.into_iter().next()
        }
        None => None,
    };
    let model = ("model".to_owned(), flags.model.clone());
    Ok(Wish {
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

/// Whether anybody is there, so that a run is not one long list of errors.
async fn knock(url: &reqwest::Url) -> anyhow::Result<()> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or_default();
    let connecting = time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port)));
    let connected = match connecting.await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => anyhow::Error::from(error),
        Err(_) => anyhow::anyhow!("no answer in {} s", CONNECT_TIMEOUT.as_secs()),
    };
    Err(connected.context(format!("nobody serves {url}")))
}
