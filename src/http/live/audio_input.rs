//! The audio of one message, in pieces: a message of minutes never becomes as many samples at once.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Padding is removed before.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The audio of a message that is not read yet.
pub enum AudioInput {
    /// The message itself, or a part of it.
    Bytes(Bytes),
    /// Base64 inside a message, without its padding.
    Base64(Utf8Bytes, Range<usize>),
    /// Base64 that was escaped in its message.
    Unescaped(String, usize),
}

/// The text is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBase64;

impl AudioInput {
    /// The base64 `text`, which was read from `message` and is usually a part of it.
    ///
    /// # Errors
    /// [`NotBase64`]
    pub fn base64(message: &Utf8Bytes, text: Cow<'_, str>) -> Result<Self, NotBase64> {
        let length = encoded_length(&text)?;
        Ok(match text {
            Cow::Borrowed(text) => {
                let start = text.as_ptr() as usize - message.as_str().as_ptr() as usize;
                Self::Base64(message.clone(), start..start + length)
            }
            Cow::Owned(mut text) => {
                text.truncate(length);
                Self::Unescaped(text, 0)
            }
        })
    }

    /// Bytes that it occupies.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Base64(message, _) => message.len(),
            Self::Unescaped(text, _) => text.capacity(),
        }
    }

    /// The next bytes of the audio, about `bytes` of them; none at its end.
    pub fn next_piece(&mut self, bytes: usize) -> Option<Bytes> {
        // Every four characters are three bytes, so a piece can be decoded alone.
        let characters = (bytes / 3).max(1) * 4;
        let piece = match self {
            Self::Bytes(rest) => {
                let piece = rest.split_to(rest.len().min(bytes));
                return (!piece.is_empty()).then_some(piece);
            }
            Self::Base64(message, rest) => {
                let end = rest.end.min(rest.start + characters);
                let piece = &message.as_str()[rest.start..end];
                rest.start = end;
                piece
            }
            Self::Unescaped(text, start) => {
                let end = text.len().min(*start + characters);
                let piece = &text[*start..end];
                *start = end;
                piece
            }
        };
        if piece.is_empty() {
            return None;
        }
        // Checked when the message came.
        BASE64.decode(piece).ok().map(Bytes::from)
    }
}

impl fmt::Debug for AudioInput {
    /// Never shows audio.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AudioInput({} bytes)", self.held_bytes())
    }
}

/// The length of the text without its padding.
fn encoded_length(text: &str) -> Result<usize, NotBase64> {
    let unpadded = text.trim_end_matches('=');
    let padding = text.len() - unpadded.len();
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let is_whole = match unpadded.len() % 4 {
        0 => padding == 0,
        2 => matches!(padding, 0 | 2),
        3 => matches!(padding, 0 | 1),
        _ => false,
    };
    if is_whole && unpadded.bytes().all(is_digit) {
        Ok(unpadded.len())
    } else {
        Err(NotBase64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(mut input: AudioInput, piece: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(piece) = input.next_piece(piece) {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&[u8], NotBase64>) {
        let message = Utf8Bytes::from(format!("{{\"audio\":\"{text}\"}}"));
        let borrowed = &message.as_str()[10..10 + text.len()];
        for piece in [1, 3, 4, 1_000] {
            let inputs = [Cow::Borrowed(borrowed), Cow::Owned(text.to_owned())];
            for input in inputs {
                let input = AudioInput::base64(&message, input);
                let bytes = input.map(|input| bytes_of(input, piece));
                let expected = expected.map(<[u8]>::to_vec);
                assert_eq!(bytes, expected, "{text:?} by {piece}");
            }
        }
    }

    #[test]
    fn decodes_base64_with_and_without_padding() {
        check("", Ok(b""));
        check("AQ==", Ok(&[1]));
        check("AQ", Ok(&[1]));
        check("AQI=", Ok(&[1, 2]));
        check("AQI", Ok(&[1, 2]));
        check("AQIDBAUG", Ok(&[1, 2, 3, 4, 5, 6]));
        check("+/+/", Ok(&[0xfb, 0xff, 0xbf]));
    }

    #[test]
    fn refuses_what_is_not_base64() {
        for text in [
            "A", "AQI==", "AQ=", "A===", "AQID=", "AQ=I", "AQ I", "-_-_", "ä",
        ] {
            check(text, Err(NotBase64));
        }
    }

    #[test]
    fn divides_bytes() {
        let bytes: Vec<u8> = (0..100).collect();
        for piece in [1, 7, 100, 1_000] {
            let input = AudioInput::Bytes(Bytes::from(bytes.clone()));
            assert_eq!(bytes_of(input, piece), bytes, "{piece}");
        }
    }
}
