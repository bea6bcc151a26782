//! Reads what a client is still sending before a refusal goes out.
//!
//! Closing a connection with unread bytes resets it, and the reset overtakes the answer: the
//! client would see a broken connection instead of a 429 or a 413. nginx calls the cure a
//! lingering close, and some clients of HTTP/2 need it as much. A client that sent
//! `Expect: 100-continue` and was not told to go on sends nothing, so its answer goes out at once.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::stream::{Stream, StreamExt};

use super::{Context, door};

/// Most bytes read only to be thrown away; a client that sends more may miss its answer.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// Longest wait for a client to finish sending.
const MAX_TIME: Duration = Duration::from_secs(10);

/// Answers the request once its body has been read to its end, by the handler or here.
pub async fn read_to_the_end(
    State(context): State<Arc<Context>>,
    request: Request,
    next: Next,
) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let waits_to_send = expects_continue(request.headers());
    let left_over = Arc::new(Mutex::new(None));
    let request = request.map(|body| {
        Body::from_stream(Lent {
            body: Some(body.into_data_stream()),
            begun: false,
            owner: Arc::clone(&left_over),
        })
    });

    let response = next.run(request).await;
    let left_over = left_over
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(LeftOver { body, begun }) = left_over
        && (begun || !waits_to_send)
    {
        // A server that stops has no time for it: an answer that may be lost is better than none.
        tokio::select! {
            () = discard(body) => {}
            () = door::cut_off(&context) => {}
        }
    }
    response
}

/// A request body that goes back to its owner when its reader has enough of it.
struct Lent {
    body: Option<BodyDataStream>,
    /// Whether anything was asked for, which is when a waiting client is told to send.
    begun: bool,
    owner: Arc<Mutex<Option<LeftOver>>>,
}

struct LeftOver {
    body: BodyDataStream,
    begun: bool,
}

impl Stream for Lent {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        self.begun = true;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let item = ready!(body.poll_next_unpin(context));
        if !matches!(item, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(item)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let left_over = self.body.take().map(|body| LeftOver {
            body,
            begun: self.begun,
        });
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = left_over;
    }
}

async fn discard(mut body: BodyDataStream) {
    let reading = async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = body.next().await {
            bytes += chunk.len();
            if bytes > MAX_BYTES {
                return;
            }
        }
    };
    // Too slow a client has had its chance.
    let _over = tokio::time::timeout(MAX_TIME, reading).await;
}

fn expects_continue(headers: &HeaderMap) -> bool {
    let expect = headers
        .get(header::EXPECT)
        .and_then(|value| value.to_str().ok());
    expect.is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
}
