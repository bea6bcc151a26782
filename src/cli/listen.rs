//! `halkspeech listen`: writes what a microphone records, while it records.
//!
//! `microphone` is the audio, `display` the terminal; between them is a live session, of this program (`local`) or
//! of a server (`remote`).

mod flags;
mod microphone;
mod display;
mod remote;
#[cfg(feature = "ct2")]
mod local;

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

use self::display::{Display, TextUpdate};
pub use self::flags::ListenFlags;
use self::microphone::Microphone;

/// The output of a session: standard output.
struct Screen {
    display: Display,
}

/// Writes what a microphone records.
///
/// # Errors
///
/// There is nothing to record with, the model cannot be loaded, or the server cannot be reached.
pub fn run(flags: &ListenFlags) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let result = runtime.block_on(listen(flags));
    // A thread may still wait for standard input.
    runtime.shutdown_background();
    result
}

async fn listen(flags: &ListenFlags) -> anyhow::Result<()> {
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot receive signals")?;
    let listening = async {
        let screen = Screen::new();
        match &flags.url {
            Some(url) => remote::listen(flags, url, screen).await,
            #[cfg(feature = "ct2")]
            None => local::listen(flags, screen).await,
            #[cfg(not(feature = "ct2"))]
            None => bail!("this build has no engine: name a server with --url"),
        }
    };
    let second_interrupt = async {
        for _ in 0..2 {
            interrupts.recv().await;
        }
    };
    // The first one ends the audio, the second one does not wait for the last text.
    tokio::select! {
        result = listening => result,
        () = second_interrupt => bail!("interrupted before the last text"),
    }
}

/// Opens the microphone that the flags name.
fn microphone(flags: &ListenFlags) -> anyhow::Result<Microphone> {
    let microphone = Microphone::open(flags.recorder, flags.device.as_deref(), flags.rate_hz)?;
    if io::stderr().is_terminal() {
        writeln!(io::stderr(), "{}; Ctrl-C ends it", microphone.description())?;
    }
    Ok(microphone)
}

impl Screen {
    fn new() -> Self {
        let width = io::stdout().is_terminal().then(terminal_width);
        Self {
            display: Display::new(width),
        }
    }

    /// Shows a change of the text.
    fn show(&mut self, update: &TextUpdate) -> io::Result<()> {
        let text = self.display.show(update);
        let mut out = io::stdout();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

/// The columns of the terminal, 80 if it does not say.
fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { 80 } else { columns }
}
