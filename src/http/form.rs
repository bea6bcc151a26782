//! Reads a form part by part, with only the current part in memory.
//!
//! The multipart parser buffers whatever its stream has until it can parse it: a boundary or the head of
//! a part that never ends would be buffered up to the limit of uploads. So its stream is a
//! [`ChunkCell`], which gets a chunk only when the parser cannot continue without one.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::multipart::{self, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use futures_util::stream::{Stream, StreamExt};

use super::body::{BodyChunks, BodyError};
use super::error::ApiError;

/// Maximum number of bytes read in search of a boundary, or of the end of a part's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A form that is being received.
pub struct Form {
    parts: Multipart,
    feed: ChunkFeed,
}

/// A part of a form: a field, or the file.
pub struct FormPart<'a> {
    field: multipart::Field<'a>,
    feed: &'a mut ChunkFeed,
}

/// Feeds the parser of the form.
struct ChunkFeed {
    chunks: BodyChunks,
    cell: ChunkCell,
}

/// Holds at most one chunk for the parser of the form; it is empty most of the time.
#[derive(Clone, Default)]
struct ChunkCell(Arc<Mutex<CellState>>);

#[derive(Default)]
enum CellState {
    #[default]
    Empty,
    Chunk(Bytes),
    End,
}

impl Form {
    /// A form with this head and this body.
    ///
    /// # Errors
    /// [`ApiError::MalformedForm`] when the head names no boundary.
    pub async fn new(head: Parts, chunks: BodyChunks) -> Result<Self, ApiError> {
        let cell = ChunkCell::default();
        let request = Request::from_parts(head, Body::from_stream(cell.clone()));
        let parts = Multipart::from_request(request, &()).await;
        let parts = parts.map_err(|error| ApiError::MalformedForm(error.body_text()))?;
        let feed = ChunkFeed { chunks, cell };
        Ok(Self { parts, feed })
    }

    /// The next part; the one before must have been read to its end.
    ///
    /// # Errors
    /// [`ApiError`] when it is malformed, or the body ends with an error.
    pub async fn next_part(&mut self) -> Result<Option<FormPart<'_>>, ApiError> {
        let Self { parts, feed } = self;
        let field = feed.step(parts.next_field()).await?;
        Ok(field.map(|field| FormPart { field, feed }))
    }
}

impl FormPart<'_> {
    /// The part's name; empty where it has none.
    pub fn name(&self) -> &str {
        self.field.name().unwrap_or_default()
    }

    /// Whether it is a text field: a part with neither a file name nor a content type.
    pub fn is_text(&self) -> bool {
        self.field.file_name().is_none() && self.field.content_type().is_none()
    }

    /// The next chunk of the part; none at its end.
    ///
    /// # Errors
    /// [`ApiError`] when the form is malformed, or the body ends with an error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        self.feed.step(self.field.chunk()).await
    }

    /// Skips the remaining chunks of the part.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn skip(mut self) -> Result<(), ApiError> {
        while self.chunk().await?.is_some() {}
        Ok(())
    }
}

impl ChunkFeed {
    /// Completes a step of the form's parser.
    async fn step<T>(
        &mut self,
        step: impl Future<Output = Result<T, MultipartError>>,
    ) -> Result<T, ApiError> {
        let mut step = pin!(step);
        let mut fed_bytes = 0;
        poll_fn(|context| {
            loop {
                if let Poll::Ready(result) = step.as_mut().poll(context) {
                    let malformed =
                        |error: MultipartError| ApiError::MalformedForm(error.body_text());
                    return Poll::Ready(result.map_err(malformed));
                }
                if fed_bytes > MAX_HEAD_BYTES || self.cell.is_closed() {
                    let reason = "there is no boundary, or a part's head has no end";
                    return Poll::Ready(Err(ApiError::MalformedForm(reason.to_owned())));
                }
                match ready!(self.chunks.poll_next_unpin(context)).transpose()? {
                    Some(chunk) => {
                        fed_bytes += chunk.len();
                        self.cell.set(CellState::Chunk(chunk));
                    }
                    None => self.cell.set(CellState::End),
                }
            }
        })
        .await
    }
}

impl ChunkCell {
    fn set(&self, state: CellState) {
        *self.lock() = state;
    }

    fn is_closed(&self) -> bool {
        matches!(*self.lock(), CellState::End)
    }

    fn lock(&self) -> MutexGuard<'_, CellState> {
        // The guarded value is only ever replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for ChunkCell {
    type Item = Result<Bytes, BodyError>;

    /// Registers no waker: [`ChunkFeed::step`] polls again after setting a chunk.
    fn poll_next(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.lock();
        match std::mem::take(&mut *state) {
            CellState::Empty => Poll::Pending,
            CellState::Chunk(chunk) => Poll::Ready(Some(Ok(chunk))),
            CellState::End => {
                *state = CellState::End;
                Poll::Ready(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::header;
    use futures_util::stream;

    use super::*;

    /// The chunks as a form's body, and how many of them have been taken.
    async fn form(chunks: Vec<Vec<u8>>) -> (Form, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        let chunks = stream::iter(chunks).map(move |chunk| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(Bytes::from(chunk))
        });
        let request = Request::builder()
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=b")
            .body(())
            .unwrap();
        let form = Form::new(request.into_parts().0, chunks.boxed()).await;
        (form.unwrap(), taken)
    }

    fn part(name: &str, value: &[u8]) -> Vec<u8> {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        [head.as_bytes(), value, b"\r\n"].concat()
    }

    #[tokio::test]
    async fn a_form_does_not_depend_on_its_chunks() {
        let file: Vec<u8> = (0..200_000_u32).map(|index| (index % 251) as u8).collect();
        let bytes = [
            b"before\r\n".to_vec(),
            part("model", b"base"),
            part("file", &file),
            part("empty", b""),
            b"--b--\r\nafter".to_vec(),
        ]
        .concat();
        for size in [1, 7, 4_096, bytes.len()] {
            let chunks = bytes.chunks(size).map(<[u8]>::to_vec).collect();
            let (mut form, _taken) = form(chunks).await;
            let mut parts = Vec::new();
            while let Some(mut part) = form.next_part().await.unwrap() {
                let name = part.name().to_owned();
                let mut value = Vec::new();
                while let Some(chunk) = part.chunk().await.unwrap() {
                    value.extend_from_slice(&chunk);
                }
                parts.push((name, value));
            }
            let expected = [
                ("model", b"base".as_slice()),
                ("file", &file),
                ("empty", b""),
            ];
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_vec()));
            assert_eq!(parts, expected, "in chunks of {size} bytes");
        }
    }

    #[tokio::test]
    async fn stops_reading_a_boundary_or_head_without_end() {
        let head = b"--b\r\nContent-Disposition: form-data; name=\"";
        for start in [b"x".as_slice(), head] {
            let mut chunks = vec![start.to_vec()];
            chunks.extend(vec![vec![b'x'; 4_096]; 1_000]);
            let (mut form, taken) = form(chunks).await;

            let error = form.next_part().await.err().unwrap();

            assert!(matches!(error, ApiError::MalformedForm(_)), "{error}");
            let taken = taken.load(Ordering::SeqCst);
            assert!(taken * 4_096 <= MAX_HEAD_BYTES + 2 * 4_096, "{taken}");
        }
    }

    #[tokio::test]
    async fn takes_no_chunk_before_it_is_needed() {
        let fields: Vec<u8> = (0..100).flat_map(|_| part("some", b"value")).collect();
        let mut chunks = vec![fields];
        chunks.extend(vec![vec![b'x'; 4_096]; 1_000]);
        let (mut form, taken) = form(chunks).await;

        for _ in 0..99 {
            form.next_part()
                .await
                .unwrap()
                .unwrap()
                .skip()
                .await
                .unwrap();
        }

        assert_eq!(taken.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_form_that_ends_too_soon_is_malformed() {
        let whole = [part("model", b"base"), b"--b--".to_vec()].concat();
        for end in 0..whole.len() {
            let (mut form, _taken) = form(vec![whole[..end].to_vec()]).await;
            let outcome = async {
                while let Some(part) = form.next_part().await? {
                    part.skip().await?;
                }
                Ok::<_, ApiError>(())
            };
            let error = outcome.await.unwrap_err();
            assert!(
                matches!(error, ApiError::MalformedForm(_)),
                "{end}: {error}"
            );
        }
    }
}
