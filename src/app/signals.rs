//! The signals that stop the server.
//!
//! SIGTERM, SIGINT and SIGHUP let running requests finish; a second SIGTERM or SIGINT ends the process
//! at once. A closing terminal may send SIGHUP twice, so a second SIGHUP has no effect.

use std::fs;
use std::future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use tokio::signal::unix::{SignalKind, signal};

/// Ends the process with exit code 1 at the second SIGTERM or SIGINT.
///
/// # Errors
/// The operating system's error.
pub fn exit_on_second_signal() -> io::Result<()> {
    let stopping = Arc::new(AtomicBool::new(false));
    // The first signal only sets the flag, because the shutdown handler runs before the one that sets it.
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&stopping))?;
        flag::register(signal, Arc::clone(&stopping))?;
    }
    if !is_hang_up_ignored() {
        flag::register(SIGHUP, stopping)?;
    }
    Ok(())
}

/// Completes at the first signal that stops the server.
///
/// # Errors
/// The operating system's error.
pub fn first_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = if is_hang_up_ignored() {
        None
    } else {
        Some(signal(SignalKind::hangup())?)
    };
    Ok(async move {
        let hang_up = async {
            match &mut hang_up {
                Some(hang_up) => {
                    let _received = hang_up.recv().await;
                }
                None => future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = hang_up => {}
        }
    })
}

/// Whether SIGHUP is ignored, as `nohup` sets it before the program starts; a handler would undo that.
fn is_hang_up_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, SIGHUP)
}

/// Whether a process with this `/proc/<pid>/status` ignores the signal; see `man 5 proc`.
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    (mask.unwrap_or(0) >> (signal - 1)) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_which_signals_are_ignored() {
        let status = "Name:\thalkspeech\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, SIGHUP));
        assert!(!ignores(status, SIGINT));
        assert!(!ignores(status, SIGTERM));
        assert!(!ignores("", SIGHUP));
    }
}
