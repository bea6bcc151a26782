//! Progress bars, shown only if standard error is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Steps of a recording, or of a benchmark run, in its bar.
pub const STEPS: u64 = 1000;

/// A bar of bytes.
pub fn bytes(total: u64) -> ProgressBar {
    let template =
        "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
    bar(total, template)
}

/// A bar of recordings, each [`STEPS`] long.
pub fn recordings(count: usize) -> ProgressBar {
    bar(count as u64 * STEPS, "{wide_bar} {percent}% {msg} {eta}")
}

/// A bar of one benchmark run, [`STEPS`] long.
pub fn bench_run() -> ProgressBar {
    bar(STEPS, "{wide_bar} {percent}% {msg} {eta}")
}

fn bar(total: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    // The templates above are valid; the library's default style is the fallback.
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
