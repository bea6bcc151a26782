//! Why a connection is closed, with its code (RFC 6455, 7.4).

use axum::extract::ws::{CloseFrame, Utf8Bytes};

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client has said that it is done, and has got all texts.
    Done,
    /// The client has sent nothing for five minutes.
    Idle,
    /// The session has reached its longest time.
    Expired,
    /// The server is shutting down.
    Draining,
    /// The protocol has no binary messages.
    Binary,
    /// A text is not UTF-8.
    NotText,
    /// A frame violates the WebSocket protocol.
    ProtocolError,
    /// The client does not read.
    Unread,
    /// A stream without turn detection has reached its longest time.
    StreamTooLong,
    /// A message is too long.
    TooLong,
    /// The engine cannot go on.
    Failed,
    /// The server has no memory for the audio.
    NoMemory,
    /// The client has closed the connection, or it broke.
    Client,
}

impl CloseReason {
    /// Every reason for which the server sends a code.
    #[cfg(test)]
    pub const ALL: [Self; 12] = [
        Self::Done,
        Self::Idle,
        Self::Expired,
        Self::Draining,
        Self::Binary,
        Self::NotText,
        Self::ProtocolError,
        Self::Unread,
        Self::StreamTooLong,
        Self::TooLong,
        Self::Failed,
        Self::NoMemory,
    ];

    /// The code.
    pub fn code(self) -> u16 {
        match self {
            Self::Done | Self::Idle | Self::Client => 1000,
            Self::Expired | Self::Draining => 1001,
            Self::ProtocolError => 1002,
            Self::Binary => 1003,
            Self::NotText => 1007,
            Self::Unread | Self::StreamTooLong => 1008,
            Self::TooLong => 1009,
            Self::Failed => 1011,
            Self::NoMemory => 1013,
        }
    }

    /// The text that is sent with the code.
    pub fn text(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Idle => "no message for 5 minutes",
            Self::Expired => "session expired",
            Self::Draining => "server is shutting down",
            Self::Binary => "binary messages are not supported: send input_audio_buffer.append",
            Self::NotText => "text is not UTF-8",
            Self::ProtocolError => "frame violates the WebSocket protocol",
            Self::Unread => "events were not read for 10 seconds",
            Self::StreamTooLong => "stream is longer than 30 minutes",
            Self::TooLong => "message is longer than 16 MiB",
            Self::Failed => "session failed",
            Self::NoMemory => "server has no memory for the audio",
            Self::Client => "closed by the client",
        }
    }

    /// The value of the metrics' label: the code, or `client`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Done | Self::Idle => "1000",
            Self::Expired | Self::Draining => "1001",
            Self::ProtocolError => "1002",
            Self::Binary => "1003",
            Self::NotText => "1007",
            Self::Unread | Self::StreamTooLong => "1008",
            Self::TooLong => "1009",
            Self::Failed => "1011",
            Self::NoMemory => "1013",
        }
    }

    /// The frame that closes the connection.
    pub fn frame(self) -> CloseFrame {
        CloseFrame {
            code: self.code(),
            reason: Utf8Bytes::from_static(self.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_close_frame_fits_into_a_control_frame() {
        for reason in CloseReason::ALL {
            assert!(reason.text().len() <= 123, "{reason:?}");
            assert_eq!(reason.label(), reason.code().to_string());
        }
    }

    #[test]
    fn the_documentation_lists_every_code() {
        let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/live.md");
        let document = fs::read_to_string(document).unwrap();
        for reason in CloseReason::ALL {
            let row = format!("| {} | {} |", reason.code(), reason.text());
            assert!(document.contains(&row), "docs/live.md has no row {row:?}");
        }
    }
}
