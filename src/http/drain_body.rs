//! Reads the rest of a request body before the response is sent.
//!
//! Closing a connection with unread bytes resets it, and the reset can overtake the response: the
//! client would see a broken connection instead of a 429 or a 413. nginx calls this a lingering close;
//! some HTTP/2 clients need it too. A client that sent `Expect: 100-continue` and has not received the
//! 100 sends no body, so its response is sent at once.

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

use super::{Context, admission};

/// Largest number of bytes read and discarded; a client that sends more may miss its response.
const MAX_DISCARDED_BYTES: usize = 256 * 1024 * 1024;
/// Longest wait for a client to finish sending.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the response once the request body has been read to its end, by the handler or here.
pub async fn drain_request_body(
    State(context): State<Arc<Context>>,
    request: Request,
    next: Next,
) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let expects_continue = expects_continue(request.headers());
    let unread = Arc::new(Mutex::new(None));
    let request = request.map(|body| {
        Body::from_stream(ReclaimableBody {
            body: Some(body.into_data_stream()),
            is_polled: false,
            unread: Arc::clone(&unread),
        })
    });

    let response = next.run(request).await;
    let unread = unread.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(UnreadBody { body, is_polled }) = unread
        && (is_polled || !expects_continue)
    {
        // At shutdown there is no time for it: a response that may be lost is better than none.
        tokio::select! {
            () = discard(body) => {}
            () = admission::cut_off(&context) => {}
        }
    }
    response
}

/// A request body whose unread part is stored in `unread` when the handler drops it.
struct ReclaimableBody {
    body: Option<BodyDataStream>,
    /// Whether the handler has polled the body; the first poll sends `100 Continue`.
    is_polled: bool,
    unread: Arc<Mutex<Option<UnreadBody>>>,
}

struct UnreadBody {
    body: BodyDataStream,
    is_polled: bool,
}

impl Stream for ReclaimableBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        self.is_polled = true;
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

impl Drop for ReclaimableBody {
    fn drop(&mut self) {
        let unread = self.body.take().map(|body| UnreadBody {
            body,
            is_polled: self.is_polled,
        });
        *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = unread;
    }
}

async fn discard(mut body: BodyDataStream) {
    let reading = async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = body.next().await {
            bytes += chunk.len();
            if bytes > MAX_DISCARDED_BYTES {
                return;
            }
        }
    };
    // The response is sent even if the client has not finished by then.
    let _timed_out = tokio::time::timeout(DISCARD_TIMEOUT, reading).await;
}

fn expects_continue(headers: &HeaderMap) -> bool {
    let expect = headers
        .get(header::EXPECT)
        .and_then(|value| value.to_str().ok());
    expect.is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
}
