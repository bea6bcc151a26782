//! What a connection waits for.

use axum::extract::ws::Message;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::super::close::CloseReason;
use crate::live::SessionEvent;
use crate::session::{CommandPlace, SessionEnded, SessionHandle, SessionSender};
use crate::transcribe::TranscribeError;

/// What happened.
pub(super) enum Step {
    CutOff,
    Unread,
    Drain,
    Limit,
    Idle,
    Ping,
    Relieved,
    Event(Option<SessionEvent>),
    Opened(Result<SessionHandle, TranscribeError>),
    Place(Result<CommandPlace, SessionEnded>),
    Message(Option<Result<Message, axum::Error>>),
}

/// The session that is being opened.
pub(super) type Opening<'a> = Option<BoxFuture<'a, Result<SessionHandle, TranscribeError>>>;

/// The next event; never without a session, or while its events are not taken.
pub(super) async fn receive(
    events: Option<&mut mpsc::Receiver<SessionEvent>>,
) -> Option<SessionEvent> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

/// The session, once it is open.
pub(super) async fn open(opening: &mut Opening<'_>) -> Result<SessionHandle, TranscribeError> {
    match opening {
        Some(opening) => opening.await,
        None => std::future::pending().await,
    }
}

/// A place for the next command; never without one.
pub(super) async fn reserve(
    commands: Option<&SessionSender>,
    samples: Option<usize>,
) -> Result<CommandPlace, SessionEnded> {
    match (commands, samples) {
        (Some(commands), Some(samples)) => commands.reserve(samples).await,
        _ => std::future::pending().await,
    }
}

/// Why a connection with this error is closed. The error's type belongs to a library of axum's; its text is
/// held by a test of each case.
pub(super) fn close_reason(error: &axum::Error) -> CloseReason {
    let text = error.to_string();
    if text.starts_with("Space limit exceeded") {
        CloseReason::TooLong
    } else if text.starts_with("UTF-8") {
        CloseReason::NotText
    } else if text.starts_with("WebSocket protocol error") && !text.contains("without closing") {
        CloseReason::ProtocolError
    } else {
        CloseReason::Client
    }
}
