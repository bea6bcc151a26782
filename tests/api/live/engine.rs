//! Sessions on an engine that writes token by token: what happens to them when it fails, when models come and go, and
//! when clients hang up.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use halkspeech::models::{DefaultModel, ModelId};
use halkspeech_whisper::engine::EngineFactory;
use serde_json::{Value, json};

use super::client::{LiveClient, append};
use super::{REALTIME, silence, update};
use crate::fetched_files::sample_pcm;
use crate::helpers::engine::EngineGate;
use crate::helpers::token_engine::{faulty_token_engine, token_engine};
use crate::helpers::{MODEL, TestApp, TestSetup, models_dir, until};
use crate::loaded_models::two_models;

/// More steps than any test makes.
const NEVER: usize = usize::MAX;

/// Speech of four seconds at 16 kHz, as a client sends it.
fn speech() -> Vec<u8> {
    let pcm = sample_pcm();
    let samples = pcm[..64_000].iter().map(|value| (value * 32_768.0) as i16);
    samples.flat_map(i16::to_le_bytes).collect()
}

/// A server whose sessions run on its own engine.
async fn app(setup: TestSetup) -> TestApp {
    TestApp::start_with(TestSetup {
        sessions: None,
        ..setup
    })
    .await
}

/// A server whose sessions run on this engine.
async fn app_of(engine: EngineFactory) -> TestApp {
    app(TestSetup {
        engine,
        ..TestSetup::default()
    })
    .await
}

/// A client that commits its turns itself.
async fn client(app: &TestApp) -> LiveClient {
    let mut client = LiveClient::connect(app, REALTIME).await;
    client.event("session.created").await;
    let input = json!({
        "format": { "type": "audio/pcm", "rate": 16_000 },
        "transcription": { "language": "en", "delay": "low" },
        "turn_detection": null,
    });
    client.send(update(input)).await;
    client.event("session.updated").await;
    client
}

async fn commit(client: &mut LiveClient) {
    client
        .send(json!({ "type": "input_audio_buffer.commit" }))
        .await;
}

/// The last event of the turn, and its joined deltas.
async fn end_of_turn(client: &mut LiveClient) -> (Value, String) {
    let mut deltas = String::new();
    loop {
        let event = client.message().await;
        let kind = event["type"].as_str().unwrap();
        assert_ne!(kind, "error", "{event}");
        match kind.rsplit('.').next().unwrap() {
            "delta" => deltas.push_str(event["delta"].as_str().unwrap()),
            "completed" | "failed" => return (event, deltas),
            _ => {}
        }
    }
}

#[track_caller]
fn check_text(completed: &Value) {
    let transcript = completed["transcript"].as_str().unwrap();
    assert!(transcript.starts_with("Band "), "{completed}");
}

/// The value of a metric, the sum of those with different labels.
fn metric(app: &TestApp, name: &str) -> f64 {
    let metrics = app.metrics.encode();
    let values = metrics.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let is_named = series == name || series.split_once('{').is_some_and(|(all, _)| all == name);
        is_named.then(|| value.parse::<f64>().unwrap())
    });
    values.sum()
}

/// Partial texts with this outcome.
fn partials(app: &TestApp, outcome: &str) -> f64 {
    let series = format!("halkspeech_live_partials_total{{outcome=\"{outcome}\"}}");
    metric(app, &series)
}

#[tokio::test]
async fn the_words_of_a_turn_are_measured() {
    let app = app_of(token_engine(&EngineGate::new(), NEVER)).await;
    let mut client = client(&app).await;
    let speech = speech();
    client.send(append(&speech[..2 * 32_000])).await;
    until(|| partials(&app, "shown") >= 1.0).await;
    assert_eq!(metric(&app, "halkspeech_live_word_seconds_count"), 0.0);
    client.send(append(&speech[2 * 32_000..])).await;
    // Both begin with the same word.
    until(|| partials(&app, "shown") >= 2.0).await;
    until(|| metric(&app, "halkspeech_live_word_seconds_count") >= 1.0).await;
    commit(&mut client).await;

    let (completed, deltas) = end_of_turn(&mut client).await;

    check_text(&completed);
    assert!(deltas.starts_with("Band"), "{deltas}");
    assert_eq!(completed["logprobs"], Value::Null);
}

#[tokio::test]
async fn the_tokens_of_the_text_come_if_they_are_included() {
    let app = app_of(token_engine(&EngineGate::new(), NEVER)).await;
    let mut client = client(&app).await;
    let include = json!({ "include": ["item.input_audio_transcription.logprobs"] });
    client
        .send(json!({ "type": "session.update", "session": include }))
        .await;
    client.event("session.updated").await;
    client.send(append(&speech())).await;
    commit(&mut client).await;

    let (completed, _) = end_of_turn(&mut client).await;

    let logprobs = completed["logprobs"].as_array().unwrap();
    let tokens = logprobs
        .iter()
        .map(|token| token["token"].as_str().unwrap());
    let joined: String = tokens.collect();
    assert_eq!(joined.trim(), completed["transcript"].as_str().unwrap());
    assert!(logprobs.iter().all(|token| token["logprob"].is_number()));
}

#[tokio::test]
async fn a_session_with_speakers_needs_their_networks() {
    let root = tempfile::tempdir().unwrap();
    symlink(models_dir().join(MODEL), root.path().join(MODEL)).unwrap();
    let app = app(TestSetup {
        engine: token_engine(&EngineGate::new(), NEVER),
        models_dir: root.path().to_owned(),
        ..TestSetup::default()
    })
    .await;
    let mut client = client(&app).await;
    let include = async |client: &mut LiveClient, items: Value| {
        let session = json!({ "include": items });
        let update = json!({ "type": "session.update", "session": session });
        client.send(update).await;
        client.event("session.updated").await;
        client.send(append(&speech())).await;
    };
    include(&mut client, json!(["speakers"])).await;
    let error = client.event("error").await;
    assert_eq!(error["error"]["code"], "model_not_found", "{error}");

    include(&mut client, Value::Null).await;
    commit(&mut client).await;
    let (completed, _) = end_of_turn(&mut client).await;
    check_text(&completed);

    // Names of OpenAI's find speakers where the networks are.
    let path = "/v1/realtime?intent=transcription&model=gpt-4o-transcribe-diarize";
    let mut client = LiveClient::connect(&app, path).await;
    client.event("session.created").await;
    let off = json!({ "audio": { "input": { "turn_detection": null } } });
    client
        .send(json!({ "type": "session.update", "session": off }))
        .await;
    client.event("session.updated").await;
    client.send(append(&speech())).await;
    commit(&mut client).await;
    let (completed, _) = end_of_turn(&mut client).await;
    check_text(&completed);
}

#[tokio::test]
async fn a_panic_of_the_engine_in_a_partial_text_is_not_seen() {
    let faults = Arc::new(AtomicUsize::new(1));
    let app = app_of(faulty_token_engine(&faults)).await;
    let mut client = client(&app).await;
    client.send(append(&speech())).await;
    until(|| metric(&app, "halkspeech_engines_restarted_total") == 1.0).await;
    until(|| partials(&app, "shown") >= 1.0).await;
    assert_eq!(partials(&app, "failed"), 0.0);
    commit(&mut client).await;

    let (completed, _) = end_of_turn(&mut client).await;

    check_text(&completed);
}

#[tokio::test]
async fn a_turn_on_which_the_engine_always_panics_fails_and_the_session_goes_on() {
    let faults = Arc::new(AtomicUsize::new(NEVER));
    let app = app_of(faulty_token_engine(&faults)).await;
    let mut client = client(&app).await;
    client.send(append(&speech())).await;
    until(|| partials(&app, "failed") >= 1.0).await;
    commit(&mut client).await;
    let (failed, _) = end_of_turn(&mut client).await;
    assert_eq!(failed["error"]["code"], "transcription_failed", "{failed}");
    assert_eq!(failed["item_id"], "item_1");

    faults.store(0, Ordering::SeqCst);
    client.send(append(&speech())).await;
    commit(&mut client).await;

    let (completed, _) = end_of_turn(&mut client).await;
    assert_eq!(completed["item_id"], "item_2");
    check_text(&completed);
}

#[tokio::test]
async fn a_session_keeps_its_model_and_an_unknown_one_ends_no_session() {
    let root = two_models();
    let engine = token_engine(&EngineGate::new(), NEVER);
    let app = app(TestSetup {
        engine,
        models_dir: root.path().to_owned(),
        preload: false,
        default_model: DefaultModel::Configured(ModelId::parse("one").unwrap()),
        ..TestSetup::default()
    })
    .await;
    let delete = |path: &str| app.client.delete(app.url(path)).send();
    let mut client = client(&app).await;
    client.send(append(&silence(1_600))).await;
    until(|| app.models.list().len() == 1).await;
    for path in ["/api/ps/one", "/v1/models/one"] {
        assert_eq!(delete(path).await.unwrap().status(), 409, "{path}");
    }

    // Named, but not in use before its first audio.
    let other = json!({ "transcription": { "model": "owner/two" } });
    client.send(update(other)).await;
    client.event("session.updated").await;
    let deleted = delete("/v1/models/owner/two").await.unwrap();
    assert_eq!(deleted.status(), 200);
    client.send(append(&speech())).await;
    let error = client.event("error").await;
    assert_eq!(error["error"]["code"], "model_not_found");

    client
        .send(update(json!({ "transcription": { "model": "one" } })))
        .await;
    client.event("session.updated").await;
    client.send(append(&speech())).await;
    commit(&mut client).await;
    let (completed, _) = end_of_turn(&mut client).await;
    check_text(&completed);

    drop(client);
    // The session gives the model back when it ends.
    until(|| app.models.list()[0].idle.is_some()).await;
    assert_eq!(delete("/api/ps/one").await.unwrap().status(), 204);
}

#[tokio::test]
async fn a_thousand_clients_that_hang_up_leave_nothing_behind() {
    let gate = EngineGate::new();
    let app = app(TestSetup {
        engine: token_engine(&gate, 1),
        max_sessions: 2_000,
        ..TestSetup::default()
    })
    .await;
    let speech = append(&speech());
    let mut speaking = Vec::new();
    for number in 0..1_000 {
        if number % 200 == 0 {
            let mut client = client(&app).await;
            client.send(speech.clone()).await;
            speaking.push(client);
            continue;
        }
        let mut client = LiveClient::connect(&app, REALTIME).await;
        client.send(append(&silence(240))).await;
        if number % 2 == 0 {
            client.socket.close(None).await.unwrap();
        }
    }
    // Their windows are in the engine, or wait for it.
    gate.reached().await;
    drop(speaking);
    gate.open();

    let closed = "halkspeech_live_closed_total{code=\"client\"}";
    until(|| metric(&app, closed) == 1_000.0).await;
    for gauge in [
        "halkspeech_live_sessions",
        "halkspeech_open_windows",
        "halkspeech_queued_windows",
    ] {
        until(|| metric(&app, gauge) == 0.0).await;
    }
    until(|| app.context.transcriber.memory().used_bytes() == 0).await;
    // No session holds the model.
    until(|| app.models.list()[0].idle.is_some()).await;
}
