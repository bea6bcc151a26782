//! Renders a transcript in the format the caller asked for.

mod json;

pub use json::json;

use crate::transcript::Transcript;

/// A response format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseFormat {
    /// A JSON object with the text.
    #[default]
    Json,
    /// The bare text, ending with one newline.
    Text,
}

impl ResponseFormat {
    /// Names a caller may use, in the order they are listed in an error.
    pub const NAMES: [&'static str; 2] = ["json", "text"];

    /// Finds a format by its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            _ => None,
        }
    }
}

/// The bare text, ending with one newline.
#[must_use]
pub fn text(transcript: &Transcript) -> String {
    format!("{}\n", transcript.text)
}
