//! `stream=true` with an engine that writes token by token.

use std::time::Duration;

use serde_json::Value;

use crate::helpers::audio::{tone, tones};
use crate::helpers::engine::EngineGate;
use crate::helpers::token_engine::token_engine;
use crate::helpers::{MODEL, TestApp, TestSetup, text};

/// More steps than any test makes.
const NEVER: usize = usize::MAX;

async fn app(gate: &std::sync::Arc<EngineGate>, step: usize) -> TestApp {
    TestApp::start_with(TestSetup {
        engine: token_engine(gate, step),
        ..TestSetup::default()
    })
    .await
}

/// Two windows.
fn long() -> Vec<u8> {
    let half = Duration::from_millis(23_750);
    tones(&[(300.0, half), (900.0, half)])
}

fn events(body: &str) -> Vec<Value> {
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn deltas(events: &[Value]) -> Vec<&str> {
    let delta = |event: &Value| event["type"] == "transcript.text.delta";
    let deltas = events.iter().filter(|event| delta(event));
    deltas
        .map(|event| event["delta"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn words_are_sent_while_the_rest_is_written() {
    let gate = EngineGate::new();
    // Fewer steps than the text has tokens.
    let app = app(&gate, 6).await;
    let mut answer = app
        .raw(tone(500.0), &[("model", MODEL), ("stream", "true")])
        .send()
        .await
        .unwrap();

    let mut read = String::new();
    while !read.contains(" is") {
        let chunk = answer.chunk().await.unwrap().expect("the stream goes on");
        read.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    gate.reached().await;
    assert!(!read.contains("transcript.text.done"), "{read}");
    let counted = "halkspeech_first_text_seconds_count 1\n";
    assert!(app.metrics.encode().contains(counted));
    gate.open();
    read.push_str(&answer.text().await.unwrap());

    let events = events(&read);
    let done = events.last().unwrap();
    assert_eq!(done["text"], "Band 13 is louder, than all others");
    assert_eq!(deltas(&events).concat(), done["text"].as_str().unwrap());
    assert!(done.get("dropped").is_none(), "{done}");
    assert!(app.metrics.encode().contains(counted));
}

#[tokio::test]
async fn the_words_of_windows_are_sent_in_order_and_are_the_text() {
    let gate = EngineGate::new();
    let app = app(&gate, NEVER).await;
    for format in ["json", "text"] {
        let fields = [("model", MODEL), ("response_format", format)];
        let whole = app.raw(long(), &fields[..1]).send().await.unwrap();
        let whole = text(whole).await;

        let answer = app.raw(long(), &fields).query(&[("stream", "true")]);
        let events = events(&answer.send().await.unwrap().text().await.unwrap());

        assert!(!deltas(&events).is_empty(), "{events:?}");
        assert_eq!(deltas(&events).concat(), whole);
        assert_eq!(events.last().unwrap()["text"], whole.as_str());
    }
}

#[tokio::test]
async fn segments_are_sent_when_their_window_is_done() {
    let gate = EngineGate::new();
    let app = app(&gate, NEVER).await;
    let fields = [("model", MODEL), ("response_format", "verbose_json")];
    let answer = app.raw(tone(500.0), &fields).query(&[("stream", "true")]);

    let events = events(&answer.send().await.unwrap().text().await.unwrap());

    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["transcript.text.segment", "transcript.text.done"]);
}

#[tokio::test]
async fn the_probabilities_of_the_deltas_are_those_of_the_text() {
    let gate = EngineGate::new();
    let app = app(&gate, NEVER).await;
    let fields = [("model", MODEL), ("include[]", "logprobs")];
    let answer = app.raw(long(), &fields).query(&[("stream", "true")]);

    let events = events(&answer.send().await.unwrap().text().await.unwrap());

    let (done, deltas) = events.split_last().unwrap();
    let of_deltas = deltas
        .iter()
        .flat_map(|delta| delta["logprobs"].as_array().unwrap().clone());
    let of_deltas: Vec<Value> = of_deltas.collect();
    assert_eq!(&of_deltas, done["logprobs"].as_array().unwrap());
    let joined: String = of_deltas
        .iter()
        .map(|token| token["token"].as_str().unwrap())
        .collect();
    assert_eq!(joined.trim(), done["text"].as_str().unwrap());
}
