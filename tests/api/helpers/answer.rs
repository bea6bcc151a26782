//! What a response says.

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

/// The body of the successful response to a request.
pub async fn body_of(request: RequestBuilder) -> String {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let body = answer.text().await.unwrap();
    assert_eq!(status, 200, "{body}");
    body
}

/// The same as JSON.
pub async fn json_of(request: RequestBuilder) -> Value {
    serde_json::from_str(&body_of(request).await).unwrap()
}

/// The text of a `json` response.
pub async fn text(answer: Response) -> String {
    let body: Value = answer.json().await.unwrap();
    body["text"].as_str().unwrap().to_owned()
}

pub fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// The error object of a response; checks its shape.
pub async fn error(answer: Response) -> Value {
    assert_eq!(header(&answer, "content-type"), "application/json");
    error_in(&answer.json().await.unwrap())
}

/// The error object of a body or an event; checks its shape.
#[track_caller]
pub fn error_in(body: &Value) -> Value {
    let error = body["error"].as_object().unwrap();
    let keys: Vec<_> = error.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["code", "message", "param", "type"],
        "the SDK reads all four"
    );
    assert_eq!(body.as_object().unwrap().len(), 1);
    body["error"].clone()
}

/// Checks the type, param and code of an error, and a part of its message.
#[track_caller]
pub fn check_error(
    error: &Value,
    kind: &str,
    param: Option<&str>,
    code: Option<&str>,
    expected_text: &str,
) {
    assert_eq!(error["type"].as_str(), Some(kind), "{error}");
    assert_eq!(error["param"].as_str(), param, "{error}");
    assert_eq!(error["code"].as_str(), code, "{error}");
    assert!(
        error["message"].as_str().unwrap().contains(expected_text),
        "no {expected_text:?} in {error}"
    );
}
