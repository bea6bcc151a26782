//! Progress bars: on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Steps of a bar whose parts are not whole things: recordings, and the share of a run.
pub const STEPS: u64 = 1000;

/// A bar of bytes; nothing is drawn where standard error is no terminal.
pub fn of_bytes(total: u64) -> ProgressBar {
    let template =
        "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
    bar(total, template)
}

/// A bar of recordings, each [`STEPS`] long; nothing is drawn where standard error is no terminal.
pub fn of_recordings(count: usize) -> ProgressBar {
    bar(count as u64 * STEPS, "{wide_bar} {percent}% {msg} {eta}")
}

/// A bar of one run of requests, [`STEPS`] long; nothing is drawn where standard error is no
/// terminal.
pub fn of_run() -> ProgressBar {
    bar(STEPS, "{wide_bar} {percent}% {msg} {eta}")
}

fn bar(total: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    // The templates above are fixed; a bar in the library's own style is better than none.
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
