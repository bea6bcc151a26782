//! Enforces the size limit and the minimum rate of a request body.

use std::error::Error;
use std::io;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::Instant;

use super::error::ApiError;

/// Minimum rate: half of that of a live Opus stream of speech.
const MIN_BYTES_PER_SECOND: u64 = 512;
/// Largest lag behind that rate, and so the longest pause.
const MAX_LAG: Duration = Duration::from_secs(30);

/// Reasons why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The body is larger than the limit.
    #[error("body over the limit of {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The body stalled or was below the minimum rate.
    #[error("body stalled, or was slower than {MIN_BYTES_PER_SECOND} bytes per second")]
    TooSlow,
    /// The body violates the HTTP protocol.
    #[error("body is malformed")]
    Malformed(#[source] axum::Error),
    /// The body is not compressed as its `Content-Encoding` says.
    #[error("body does not match its content encoding")]
    ContentEncoding(#[source] io::Error),
    /// The client disconnected.
    #[error("connection closed before the end of the body")]
    Incomplete(#[source] axum::Error),
}

/// The content of a body, in order.
pub type BodyChunks = BoxStream<'static, Result<Bytes, BodyError>>;

/// A body that is being received.
struct IncomingBody {
    chunks: BodyDataStream,
    limit: u64,
    idle_timeout: Duration,
    received: u64,
    lag: Lag,
}

/// Lag of a body behind the minimum rate, as the time it needs to catch up. Only the time spent waiting for
/// the client counts.
#[derive(Debug, Default)]
struct Lag(Duration);

/// The chunks of `body`. The stream ends with an error if they exceed `limit` bytes, if no chunk arrives
/// for `idle_timeout`, or if they arrive too slowly.
///
/// # Errors
/// [`ApiError::UploadTooLarge`] at once if the `Content-Length` is above the limit.
pub fn limited_chunks(
    body: Body,
    headers: &HeaderMap,
    limit: u64,
    idle_timeout: Duration,
) -> Result<BodyChunks, ApiError> {
    if content_length(headers).is_some_and(|bytes| bytes > limit) {
        return Err(ApiError::UploadTooLarge { limit });
    }
    let incoming = IncomingBody {
        chunks: body.into_data_stream(),
        limit,
        idle_timeout,
        received: 0,
        lag: Lag::default(),
    };
    let chunks = stream::unfold(Some(incoming), |incoming| async move {
        let mut incoming = incoming?;
        let chunk = incoming.next().await?;
        let incoming = chunk.is_ok().then_some(incoming);
        Some((chunk, incoming))
    });
    Ok(chunks.boxed())
}

/// The `Content-Length`, in bytes.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

impl IncomingBody {
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        let started = Instant::now();
        let timeout = self.idle_timeout.min(self.lag.remaining());
        let Ok(chunk) = tokio::time::timeout(timeout, self.chunks.next()).await else {
            return Some(Err(BodyError::TooSlow));
        };
        let chunk = match chunk? {
            Ok(chunk) => chunk,
            Err(error) => return Some(Err(BodyError::of(error))),
        };
        let bytes = chunk.len() as u64;
        self.lag.add(started.elapsed(), bytes);
        self.received += bytes;
        if self.received > self.limit {
            return Some(Err(BodyError::TooLarge { limit: self.limit }));
        }
        Some(Ok(chunk))
    }
}

impl Lag {
    /// Longest time until the next bytes must arrive.
    fn remaining(&self) -> Duration {
        MAX_LAG.saturating_sub(self.0)
    }

    /// Counts bytes that arrived after a wait. Bytes above the minimum rate reduce the lag to 0, but give no
    /// credit for later.
    fn add(&mut self, waited: Duration, bytes: u64) {
        let due = Duration::from_millis(bytes * 1000 / MIN_BYTES_PER_SECOND);
        self.0 = (self.0 + waited).saturating_sub(due);
    }
}

impl BodyError {
    fn of(error: axum::Error) -> Self {
        let chain = std::iter::successors(Some(&error as &(dyn Error + 'static)), |&error| {
            error.source()
        });
        let mut kinds = chain.filter_map(|error| Some(error.downcast_ref::<io::Error>()?.kind()));
        // hyper reports an invalid chunk size with these kinds; a closed connection has others.
        let malformed = [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData];
        if kinds.any(|kind| malformed.contains(&kind)) {
            Self::Malformed(error)
        } else {
            Self::Incomplete(error)
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::UploadTooLarge { limit },
            BodyError::TooSlow => Self::UploadTooSlow,
            BodyError::Malformed(source) => Self::MalformedBody(source),
            BodyError::ContentEncoding(source) => Self::MalformedEncoding(source),
            BodyError::Incomplete(source) => Self::ClientDisconnected(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a body is read to its end if each chunk of `bytes` arrives after `after_s` seconds.
    async fn is_read_to_its_end(chunks: Vec<(u64, usize)>) -> bool {
        let chunks = stream::iter(chunks).then(|(after_s, bytes)| async move {
            tokio::time::sleep(Duration::from_secs(after_s)).await;
            Ok::<_, io::Error>(Bytes::from(vec![0; bytes]))
        });
        let body = Body::from_stream(chunks);
        let limited = limited_chunks(body, &HeaderMap::new(), 1 << 30, Duration::from_secs(60));
        let chunks: Vec<_> = limited.unwrap().collect().await;
        match chunks.last() {
            Some(Err(BodyError::TooSlow)) => false,
            last => {
                assert!(matches!(last, Some(Ok(_))), "{last:?}");
                true
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn accepts_the_minimum_rate_and_refuses_less() {
        for (chunks, expected) in [
            // A live stream of 1 kB/s, for an hour.
            (vec![(1, 1_000); 3_600], true),
            (vec![(4, 4_096); 900], true),
            // A byte every five seconds.
            (vec![(5, 1); 10], false),
            (vec![(1, 500); 3_600], false),
            // Fast bytes give no credit for a later stall.
            (vec![(0, 1 << 20), (29, 1), (29, 1)], false),
            (vec![(0, 1 << 20), (31, 1 << 20)], false),
            // Fast bytes make up for an earlier pause.
            (vec![(29, 1 << 20); 10], true),
        ] {
            let first = chunks[0];
            assert_eq!(is_read_to_its_end(chunks).await, expected, "{first:?} …");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_time_spent_waiting_for_the_client_counts() {
        let chunks = stream::iter(vec![Bytes::from_static(b"x"); 100]).map(Ok::<_, io::Error>);
        let body = Body::from_stream(chunks);
        let mut limited =
            limited_chunks(body, &HeaderMap::new(), 1 << 30, Duration::from_secs(60)).unwrap();

        let mut count = 0;
        while let Some(chunk) = limited.next().await {
            chunk.unwrap();
            count += 1;
            tokio::time::advance(Duration::from_secs(10)).await;
        }

        assert_eq!(count, 100);
    }

    #[test]
    fn distinguishes_incomplete_and_malformed_bodies() {
        let of = |kind: io::ErrorKind| BodyError::of(axum::Error::new(io::Error::from(kind)));
        for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset] {
            assert!(matches!(of(kind), BodyError::Incomplete(_)), "{kind}");
        }
        for kind in [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData] {
            assert!(matches!(of(kind), BodyError::Malformed(_)), "{kind}");
        }
    }
}
