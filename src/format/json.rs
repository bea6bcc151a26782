//! OpenAI's `json` format.

use serde::Serialize;

use crate::transcript::Transcript;

#[derive(Serialize)]
struct Body<'a> {
    text: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Usage {
    r#type: &'static str,
    seconds: u64,
}

/// `{"text", "usage"}`; the usage is the audio's length in whole seconds, rounded up.
#[must_use]
pub fn json(transcript: &Transcript) -> String {
    let seconds = transcript.duration.as_secs_f64().ceil() as u64;
    let usage = Usage {
        r#type: "duration",
        seconds,
    };
    let body = Body {
        text: &transcript.text,
        usage,
    };
    serde_json::to_string(&body).expect("strings and numbers always serialise")
}
