//! The `halkspeech` program.

use anyhow::Context;
use halkspeech::app::{App, signals};
use halkspeech::cli::{self, Command, ServeFlags, escape};
use halkspeech::telemetry::{self, traces::Tracing};
use signal_hook::low_level;

#[expect(clippy::print_stderr, reason = "the log may not be set up yet")]
fn main() {
    // Read here and not in the library: another commit compiles this file again and nothing else.
    let commit = option_env!("HALKSPEECH_COMMIT");
    let result = match cli::parse(commit).command {
        Command::Serve(flags) => serve(flags),
        Command::Transcribe(flags) => cli::transcribe::run(flags),
        Command::Listen(flags) => cli::listen::run(&flags),
        Command::Models(flags) => cli::models::run(flags),
        Command::Bench(flags) => cli::bench::run(*flags),
        Command::Health(flags) => cli::health::check(flags),
        Command::Config(flags) => cli::settings::print(flags),
        Command::Doctor(flags) => cli::doctor::run(flags),
        Command::Completions { shell } => {
            cli::print_completions(shell);
            Ok(())
        }
    };
    if let Err(error) = &result {
        eprintln!("halkspeech: {}", escape::lines(&format!("{error:#}")));
    }
    // After a shutdown timeout an engine may still run a batch: exit without running the C++
    // library's destructors.
    low_level::exit(i32::from(result.is_err()));
}

fn serve(flags: ServeFlags) -> anyhow::Result<()> {
    let commit_rule = flags.live_commit_rule();
    let loaded = flags.load()?;
    let tracing = Tracing::new(&loaded.settings.traces)?;
    telemetry::logging::init(&loaded.settings.log, &tracing)?;
    tracing::info!("settings\n{}", loaded.table()?);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    signals::exit_on_second_signal()?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let result = runtime.block_on(async {
        let stop = signals::first_signal()?;
        Ok(App::bind(&loaded, commit_rule).await?.run(stop).await?)
    });
    // Decoding that is still running is not waited for.
    runtime.shutdown_background();
    tracing.shutdown();
    result
}
