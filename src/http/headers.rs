//! The names of this server's response headers.

use axum::http::HeaderName;

/// Identifies a request in the response and in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Milliseconds from the request's arrival to its response.
pub const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
/// Longest time a window waited for its batch, in milliseconds.
pub const QUEUE_MS: HeaderName = HeaderName::from_static("x-queue-ms");
/// Longest time of a batch with one of the windows, in milliseconds.
pub const INFERENCE_MS: HeaderName = HeaderName::from_static("x-inference-ms");
/// Size of the largest batch with one of the windows.
pub const BATCH_SIZE: HeaderName = HeaderName::from_static("x-batch-size");
/// Limit on concurrent transcription requests.
pub const LIMIT_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
/// Further requests of the caller that would be admitted now.
pub const REMAINING_REQUESTS: HeaderName =
    HeaderName::from_static("x-ratelimit-remaining-requests");
/// Milliseconds to wait before a retry; OpenAI's SDK prefers it to `retry-after`.
pub const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
