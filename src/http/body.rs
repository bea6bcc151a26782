//! The bytes of a request body, within the limit and not too slow.

use std::error::Error;
use std::io;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::time::Instant;

use super::error::ApiError;

/// The least that must come, in bytes a second: half of what a live Opus stream of speech is.
const MIN_BYTES_PER_SECOND: u64 = 512;
/// How far a body may be behind that, so the longest pause too.
const MAX_LAG: Duration = Duration::from_secs(30);

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More came than is allowed.
    #[error("body over the limit of {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// Nothing came for too long, or too little.
    #[error("body stood still, or came at less than {MIN_BYTES_PER_SECOND} bytes a second")]
    TooSlow,
    /// The client broke HTTP's rules.
    #[error("body is malformed")]
    Malformed(#[source] axum::Error),
    /// It is not compressed as its headers say.
    #[error("body is not compressed as it says")]
    ContentEncoding(#[source] io::Error),
    /// The client left.
    #[error("body broke off")]
    BrokenOff(#[source] axum::Error),
}

/// A body on its way, and how it has come so far.
struct Arriving {
    chunks: BodyDataStream,
    limit: u64,
    patience: Duration,
    received: u64,
    lag: Lag,
}

/// How far a body is behind the least rate, as the time that it would need to catch up. Only time spent
/// waiting for the client counts.
#[derive(Debug, Default)]
struct Lag(Duration);

/// The chunks of `body`, ending with an error as soon as they are more than `limit` bytes, the next
/// does not come for the time of `patience`, or they come too slowly.
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
    let arriving = Arriving {
        chunks: body.into_data_stream(),
        limit,
        patience,
        received: 0,
        lag: Lag::default(),
    };
    let chunks = stream::unfold(Some(arriving), |arriving| async move {
        let mut arriving = arriving?;
        let chunk = arriving.next().await?;
        let more = chunk.is_ok().then_some(arriving);
        Some((chunk, more))
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

impl Arriving {
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        let started = Instant::now();
        let patience = self.patience.min(self.lag.left());
        let Ok(chunk) = tokio::time::timeout(patience, self.chunks.next()).await else {
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
    /// The longest that the next bytes may take.
    fn left(&self) -> Duration {
        MAX_LAG.saturating_sub(self.0)
    }

    /// So many bytes came after a wait. Those that come faster than they must make up for a lag and
    /// for nothing after it.
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
        // This is how hyper says that a chunk's size is none; a connection that ends has other kinds.
        let malformed = [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData];
        if kinds.any(|kind| malformed.contains(&kind)) {
            Self::Malformed(error)
        } else {
            Self::BrokenOff(error)
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::UploadTooLarge { limit },
            BodyError::TooSlow => Self::UploadTooSlow,
            BodyError::Malformed(source) => Self::MalformedBody(source),
            BodyError::Encoding(source) => Self::MalformedEncoding(source),
            BodyError::BrokenOff(source) => Self::ClientDisconnected(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a body whose chunks of so many bytes come after so many seconds each comes to its end.
    async fn arrives(chunks: Vec<(u64, usize)>) -> bool {
        let chunks = stream::iter(chunks).then(|(after_s, bytes)| async move {
            tokio::time::sleep(Duration::from_secs(after_s)).await;
            Ok::<_, io::Error>(Bytes::from(vec![0; bytes]))
        });
        let body = Body::from_stream(chunks);
        let limited = limited(body, &HeaderMap::new(), 1 << 30, Duration::from_secs(60));
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
    async fn a_body_may_be_slow_and_not_slower() {
        for (chunks, expected) in [
            // A live stream of 1 kB/s, for an hour.
            (vec![(1, 1_000); 3_600], true),
            (vec![(4, 4_096); 900], true),
            // A byte every five seconds.
            (vec![(5, 1); 10], false),
            (vec![(1, 500); 3_600], false),
            // What came before does not pay for what stands still.
            (vec![(0, 1 << 20), (29, 1), (29, 1)], false),
            (vec![(0, 1 << 20), (31, 1 << 20)], false),
            // A pause is made up for.
            (vec![(29, 1 << 20); 10], true),
        ] {
            let first = chunks[0];
            assert_eq!(arrives(chunks).await, expected, "{first:?} …");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_for_the_client_does_not_count() {
        let chunks = stream::iter(vec![Bytes::from_static(b"x"); 100]).map(Ok::<_, io::Error>);
        let body = Body::from_stream(chunks);
        let mut limited =
            limited(body, &HeaderMap::new(), 1 << 30, Duration::from_secs(60)).unwrap();

        let mut count = 0;
        while let Some(chunk) = limited.next().await {
            chunk.unwrap();
            count += 1;
            tokio::time::advance(Duration::from_secs(10)).await;
        }

        assert_eq!(count, 100);
    }

    #[test]
    fn a_broken_body_is_told_from_a_malformed_one() {
        let of = |kind: io::ErrorKind| BodyError::of(axum::Error::new(io::Error::from(kind)));
        for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset] {
            assert!(matches!(of(kind), BodyError::BrokenOff(_)), "{kind}");
        }
        for kind in [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData] {
            assert!(matches!(of(kind), BodyError::Malformed(_)), "{kind}");
        }
    }
}
