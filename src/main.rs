//! The `halkspeech` program.

use anyhow::Context;
use halkspeech::app::{App, signals};
use halkspeech::cli::{self, Command, ServeFlags, printed};
use halkspeech::telemetry::{self, traces::Tracing};
use signal_hook::low_level;

#[expect(clippy::print_stderr, reason = "the log may not be set up yet")]
fn main() {
    // Read here and not in the library: another commit compiles this file again and nothing else.
    let commit = option_env!("HALKSPEECH_COMMIT");
    let result = match cli::parse(commit).command {
        Command::Serve(flags) => serve(flags),
        Command::Transcribe(flags) => cli::transcribe::run(flags),
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
        eprintln!("halkspeech: {}", printed::lines(&format!("{error:#}")));
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
    signals::second_ends_at_once()?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let result = runtime.block_on(async {
        let stop = signals::first()?;
        Ok(App::bind(&loaded).await?.run(stop).await?)
    });
    // A decoding whose time was up is not waited for.
    runtime.shutdown_background();
    tracing.end();
    result
}
