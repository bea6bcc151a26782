//! The `halkspeech` program.

use std::process::ExitCode;

use anyhow::{Context, bail};
use halkspeech::app::App;
use halkspeech::cli::{self, Command, ServeFlags};
use halkspeech::telemetry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

#[expect(clippy::print_stderr, reason = "the log may not be set up yet")]
fn main() -> ExitCode {
    let result = match cli::parse().command {
        Command::Serve(flags) => serve(flags),
        Command::Health(flags) => cli::health::check(flags),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("halkspeech: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(flags: ServeFlags) -> anyhow::Result<()> {
    let loaded = flags.load()?;
    telemetry::logging::init(&loaded.settings.log)?;
    tracing::info!("settings\n{}", loaded.table()?);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (stop_tx, stop) = oneshot::channel();
        let signals = async {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            let _still_running = stop_tx.send(());
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        let app = App::bind(loaded.settings).await?;
        tokio::select! {
            result = app.run(async { drop(stop.await) }) => Ok(result?),
            () = signals => bail!("second signal: ended at once"),
        }
    });
    // Whatever still runs was given its time; waiting for it here would undo the second signal.
    runtime.shutdown_background();
    result
}
