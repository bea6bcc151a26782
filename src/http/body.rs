//! The bytes of a request body, within the limit.

use std::error::Error;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::stream::{self, Stream, StreamExt};

use super::error::ApiError;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More came than is allowed.
    #[error("body over the limit of {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// Nothing came for this long.
    #[error("no byte of the body came for {0:?}")]
    Stalled(Duration),
    /// The client left, or broke HTTP's rules.
    #[error("body broke off")]
    Broken(#[source] axum::Error),
}

/// The chunks of `body`, ending with an error as soon as they are more than `limit` bytes, or the next
/// does not come for the time of `patience`.
///
/// # Errors
/// [`ApiError::UploadTooLarge`] at once, when the headers say that the body is too large.
pub fn limited(
    body: Body,
    headers: &HeaderMap,
    limit: u64,
    patience: Duration,
) -> Result<impl Stream<Item = Result<Bytes, BodyError>> + Send + Unpin + use<>, ApiError> {
    if content_length(headers).is_some_and(|bytes| bytes > limit) {
        return Err(ApiError::UploadTooLarge { limit });
    }
    let mut received = 0;
    let chunks = stream::unfold(body.into_data_stream(), move |mut chunks| async move {
        let chunk = match tokio::time::timeout(patience, chunks.next()).await {
            Ok(chunk) => chunk?.map_err(BodyError::Broken),
            Err(_) => Err(BodyError::Stalled(patience)),
        };
        Some((chunk, chunks))
    });
    let chunks = chunks.map(move |chunk| {
        let chunk = chunk?;
        received += chunk.len() as u64;
        if received > limit {
            Err(BodyError::TooLarge { limit })
        } else {
            Ok(chunk)
        }
    });
    Ok(Box::pin(chunks))
}

/// The length the headers announce, in bytes.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

impl BodyError {
    /// What it means for the caller, in an error that a reader of [`limited`] wrapped; none: something
    /// else.
    pub fn answer_in(error: &(dyn Error + 'static)) -> Option<ApiError> {
        let chain = std::iter::successors(Some(error), |&error| error.source());
        chain
            .filter_map(|error| error.downcast_ref())
            .find_map(|error| match error {
                Self::TooLarge { limit } => Some(ApiError::UploadTooLarge { limit: *limit }),
                Self::Stalled(_) => Some(ApiError::UploadTooSlow),
                Self::Broken(_) => None,
            })
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::UploadTooLarge { limit },
            BodyError::Stalled(_) => Self::UploadTooSlow,
            BodyError::Broken(source) => Self::BrokenBody(source),
        }
    }
}
