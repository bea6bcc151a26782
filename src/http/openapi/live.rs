//! The parameters of the simple stream.

use utoipa::IntoParams;

/// The parameters of the simple stream, in the query string.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; http::live reads it")]
pub struct SimpleStreamParameters {
    /// A model's id, or an alias; the default model if it is left out.
    model: Option<String>,
    /// The language spoken; detected if it is left out.
    language: Option<String>,
    /// Text that the audio continues, or names to expect.
    prompt: Option<String>,
    /// Samples per second.
    #[param(minimum = 4000, maximum = 384000, default = 16000)]
    sample_rate: Option<u32>,
    /// Accepted for older clients; the first partial text needs 1.5 s of speech.
    #[param(minimum = 0, maximum = 60000, default = 200)]
    min_chunk_ms: Option<u32>,
    /// Shortest time between two partial texts, in milliseconds.
    #[param(minimum = 0, maximum = 60000, default = 300)]
    chunk_ms: Option<u32>,
    /// Whether silence ends a turn, with a final text for each; otherwise one final text follows the end.
    #[param(default = false)]
    enable_vad: Option<bool>,
}
