//! Reads a form part by part, with no more of it in memory than the part at hand needs.
//!
//! The reader of forms takes in whatever its stream has, and keeps what it cannot make out yet: a
//! boundary or the head of a part that never ends would be kept up to the limit of uploads. So its
//! stream is a [`Hatch`], through which it is given a chunk only when it cannot go on without.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::multipart::{self, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use futures_util::stream::{Stream, StreamExt};

use super::body::BodyError;
use super::error::ApiError;

/// The most that is read in search of a boundary, or of the end of a part's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A form that is being received.
pub struct Form<S> {
    parts: Multipart,
    feed: Feed<S>,
}

/// A part of a form: a field, or the file.
pub struct FormPart<'a, S> {
    field: multipart::Field<'a>,
    feed: &'a mut Feed<S>,
}

/// Gives the reader of the form what it needs.
struct Feed<S> {
    chunks: S,
    hatch: Hatch,
}

/// Holds a chunk for the reader of the form; it is empty most of the time.
#[derive(Clone, Default)]
struct Hatch(Arc<Mutex<Held>>);

#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    Chunk(Bytes),
    End,
}

impl<S: Stream<Item = Result<Bytes, BodyError>> + Unpin> Form<S> {
    /// A form with this head and this body.
    ///
    /// # Errors
    /// [`ApiError::MalformedForm`] when the head names no boundary.
    pub async fn new(head: Parts, chunks: S) -> Result<Self, ApiError> {
        let hatch = Hatch::default();
        let request = Request::from_parts(head, Body::from_stream(hatch.clone()));
        let parts = Multipart::from_request(request, &()).await;
        let parts = parts.map_err(|error| ApiError::MalformedForm(error.body_text()))?;
        let feed = Feed { chunks, hatch };
        Ok(Self { parts, feed })
    }

    /// The next part; the one before must have been read to its end.
    ///
    /// # Errors
    /// [`ApiError`] when it is malformed, or the body ends with an error.
    pub async fn next_part(&mut self) -> Result<Option<FormPart<'_, S>>, ApiError> {
        let Self { parts, feed } = self;
        let field = feed.step(parts.next_field()).await?;
        Ok(field.map(|field| FormPart { field, feed }))
    }
}

impl<S: Stream<Item = Result<Bytes, BodyError>> + Unpin> FormPart<'_, S> {
    /// The part's name; empty where it has none.
    pub fn name(&self) -> &str {
        self.field.name().unwrap_or_default()
    }

    /// Whether it is a field of text as a form writes it, with neither a file's name nor a type.
    pub fn is_text(&self) -> bool {
        self.field.file_name().is_none() && self.field.content_type().is_none()
    }

    /// The next piece of the part; none at its end.
    ///
    /// # Errors
    /// [`ApiError`] when the form is malformed, or the body ends with an error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        self.feed.step(self.field.chunk()).await
    }

    /// Reads on to the part's end.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn skip(mut self) -> Result<(), ApiError> {
        while self.chunk().await?.is_some() {}
        Ok(())
    }
}

impl<S: Stream<Item = Result<Bytes, BodyError>> + Unpin> Feed<S> {
    /// Takes a step of the form's reader to its end.
    async fn step<T>(
        &mut self,
        step: impl Future<Output = Result<T, MultipartError>>,
    ) -> Result<T, ApiError> {
        let mut step = pin!(step);
        let mut given = 0;
        poll_fn(|context| {
            loop {
                if let Poll::Ready(result) = step.as_mut().poll(context) {
                    let malformed =
                        |error: MultipartError| ApiError::MalformedForm(error.body_text());
                    return Poll::Ready(result.map_err(malformed));
                }
                if given > MAX_HEAD_BYTES || self.hatch.is_closed() {
                    let reason = "there is no boundary, or a part's head has no end";
                    return Poll::Ready(Err(ApiError::MalformedForm(reason.to_owned())));
                }
                match ready!(self.chunks.poll_next_unpin(context)).transpose()? {
                    Some(chunk) => {
                        given += chunk.len();
                        self.hatch.put(Held::Chunk(chunk));
                    }
                    None => self.hatch.put(Held::End),
                }
            }
        })
        .await
    }
}

impl Hatch {
    fn put(&self, held: Held) {
        *self.held() = held;
    }

    fn is_closed(&self) -> bool {
        matches!(*self.held(), Held::End)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // What the lock guards is replaced whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for Hatch {
    type Item = Result<Bytes, BodyError>;

    /// Wakes nobody: [`Feed::step`] looks again when it has put something in.
    fn poll_next(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut held = self.held();
        match std::mem::take(&mut *held) {
            Held::Nothing => Poll::Pending,
            Held::Chunk(chunk) => Poll::Ready(Some(Ok(chunk))),
            Held::End => {
                *held = Held::End;
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
    async fn form(
        chunks: Vec<Vec<u8>>,
    ) -> (
        Form<impl Stream<Item = Result<Bytes, BodyError>> + Unpin>,
        Arc<AtomicUsize>,
    ) {
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
        let form = Form::new(request.into_parts().0, chunks).await;
        (form.unwrap(), taken)
    }

    fn part(name: &str, value: &[u8]) -> Vec<u8> {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        [head.as_bytes(), value, b"\r\n"].concat()
    }

    #[tokio::test]
    async fn a_form_is_the_same_however_it_is_cut() {
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
    async fn what_never_ends_is_not_read_on() {
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
    async fn nothing_is_taken_before_it_is_needed() {
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
