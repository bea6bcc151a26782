//! The `halkspeech` program.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use halkspeech::app::App;
use halkspeech::cli::{self, Command, ServeFlags};
use halkspeech::telemetry::{self, traces::Tracing};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use tokio::signal::unix::{SignalKind, signal};

#[expect(clippy::print_stderr, reason = "the log may not be set up yet")]
fn main() {
    let result = match cli::parse().command {
        Command::Serve(flags) => serve(flags),
        Command::Transcribe(flags) => cli::transcribe::run(flags),
        Command::Models(flags) => cli::models::run(flags),
        Command::Bench(flags) => cli::bench::run(*flags),
        Command::Health(flags) => cli::health::check(flags),
        Command::Completions { shell } => {
            cli::print_completions(shell);
            Ok(())
        }
    };
    if let Err(error) = &result {
        eprintln!("halkspeech: {error:#}");
    }
    // An engine may still be in a batch, if its time was up: leave without running the C++
    // library's destructors under it.
    low_level::exit(i32::from(result.is_err()));
}

fn serve(flags: ServeFlags) -> anyhow::Result<()> {
    let loaded = flags.load()?;
    let tracing = Tracing::new(&loaded.settings.traces)?;
    telemetry::logging::init(&loaded.settings.log, &tracing)?;
    tracing::info!("settings\n{}", loaded.table()?);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    second_signal_ends_at_once()?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        Ok(App::bind(loaded.settings).await?.run(stop).await?)
    });
    // A decoding whose time was up is not waited for.
    runtime.shutdown_background();
    tracing.end();
    result
}

/// The first signal only raises the flag, for each handler looks at it before the next raises it.
fn second_signal_ends_at_once() -> anyhow::Result<()> {
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&stopping))?;
        flag::register(signal, Arc::clone(&stopping))?;
    }
    Ok(())
}
