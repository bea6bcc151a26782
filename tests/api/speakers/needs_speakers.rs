//! With the real networks, on a recording of two voices: the sample, and the sample as a higher voice.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use halkspeech_whisper::engine::EngineFactory;
use halkspeech_whisper::engine::fake::FakeEngine;
use reqwest::multipart::{Form, Part};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use super::{DIARIZATION, NAME, TIMESTAMPS};
use crate::helpers::audio::wav;
use crate::helpers::engine::timed_generation;
use crate::helpers::{TRANSCRIPTIONS, TestApp, TestSetup, check_error, error, header};

/// Samples of the low voice: the sample, 11 s.
const LOW_S: f64 = 11.0;
/// How much higher and faster the other voice is.
const RATIO: f64 = 1.35;

/// The samples of the recorded sentence.
fn low() -> Vec<i16> {
    let path = samples_dir().join("jfk.wav");
    let file = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let start = file.windows(4).position(|name| name == b"data").unwrap() + 8;
    let samples = file[start..].chunks_exact(2);
    samples
        .map(|sample| i16::from_le_bytes([sample[0], sample[1]]))
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the Makefile passes the samples' folder"
)]
fn samples_dir() -> std::path::PathBuf {
    match std::env::var_os("SAMPLES_DIR") {
        Some(dir) => dir.into(),
        None => std::env::home_dir()
            .unwrap()
            .join(".cache/halkspeech/samples"),
    }
}

/// The same played faster, which sounds like somebody else.
fn high() -> Vec<i16> {
    let low = low();
    let count = (low.len() as f64 / RATIO) as usize - 1;
    let sample = |index: usize| {
        let position = index as f64 * RATIO;
        let (before, share) = (position as usize, position.fract());
        let [one, other] = [low[before], low[before + 1]].map(f64::from);
        (one + (other - one) * share) as i16
    };
    (0..count).map(sample).collect()
}

/// The low voice, the high one, the low one.
fn dialogue() -> Vec<u8> {
    wav(1, &[low(), high(), low()].concat())
}

/// End of the high voice, in seconds.
fn high_end_s() -> f64 {
    LOW_S + LOW_S / RATIO
}

/// An engine that writes a sentence for each voice in the first window of the dialogue.
fn dialogue_engine() -> EngineFactory {
    FakeEngine::factory(|_, inputs| {
        let sentences = [
            (0.5, " Ask not.", 10.0),
            (11.4, " Who is this?", 18.6),
            (20.0, " It is me.", 29.5),
        ];
        Ok(inputs
            .iter()
            .map(|_| timed_generation(&sentences))
            .collect())
    })
}

async fn start() -> TestApp {
    TestApp::start_with(TestSetup {
        engine: dialogue_engine(),
        ..TestSetup::default()
    })
    .await
}

fn form(fields: &[(&'static str, String)]) -> Form {
    // One window, so that the fake engine writes the dialogue once.
    let form = Form::new()
        .part("file", Part::bytes(dialogue()).file_name("dialogue.wav"))
        .text("duration", "30");
    let fields = fields.iter().cloned();
    fields.fold(form, |form, (name, value)| form.text(name, value))
}

fn transcription(app: &TestApp, fields: &[(&'static str, &str)]) -> RequestBuilder {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    app.post(TRANSCRIPTIONS).multipart(form(&fields))
}

fn reference(samples: &[i16]) -> String {
    let file = wav(1, samples);
    format!("data:audio/wav;base64,{}", STANDARD.encode(file))
}

async fn body(request: RequestBuilder) -> String {
    let answer: Response = request.send().await.unwrap();
    let status = answer.status();
    let body = answer.text().await.unwrap();
    assert_eq!(status, 200, "{body}");
    body
}

async fn json_of(request: RequestBuilder) -> Value {
    serde_json::from_str(&body(request).await).unwrap()
}

/// Speaker and text of each segment.
fn spoken(segments: &Value) -> Vec<(&str, &str)> {
    let segments = segments.as_array().unwrap().iter();
    segments
        .map(|segment| {
            let text = segment["text"].as_str().unwrap().trim();
            (segment["speaker"].as_str().unwrap(), text)
        })
        .collect()
}

const EXPECTED: [(&str, &str); 3] = [("A", "Ask not."), ("B", "Who is this?"), ("A", "It is me.")];

#[tokio::test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
async fn each_format_has_the_speakers() {
    let app = start().await;

    let diarized = json_of(transcription(&app, &[("response_format", "diarized_json")])).await;
    assert_eq!(spoken(&diarized["segments"]), EXPECTED);
    assert_eq!(diarized["segments"][1]["type"], "transcript.text.segment");
    assert_eq!(diarized["segments"][1]["id"], "seg_002");
    assert_eq!(diarized["text"], "Ask not. Who is this? It is me.");
    assert_eq!(diarized["task"], "transcribe");

    let fields = [("response_format", "verbose_json"), ("diarize", "true")];
    let verbose = json_of(transcription(&app, &fields)).await;
    assert_eq!(spoken(&verbose["segments"]), EXPECTED);

    let fields = [("response_format", "srt"), ("speaker_labels", "true")];
    let srt = body(transcription(&app, &fields)).await;
    assert!(
        srt.contains("\n[A] Ask not.\n") && srt.contains("\n[B] Who is this?\n"),
        "{srt}"
    );
    let fields = [("response_format", "vtt"), ("speaker_labels", "true")];
    let vtt = body(transcription(&app, &fields)).await;
    assert!(vtt.contains("\n<v B>Who is this?\n"), "{vtt}");

    let metrics = app.metrics.encode();
    assert!(
        metrics.contains("halkspeech_speakers_seconds_count 4\n"),
        "{metrics}"
    );
    let path = format!("/v1/models/{NAME}");
    let shown: Value = app.get(&path).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["loaded"], true);
}

#[tokio::test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
async fn known_speakers_have_their_names() {
    let app = start().await;
    let references = [
        reference(&low()[16_000..80_000]),
        reference(&high()[16_000..80_000]),
    ];
    let fields = [
        ("response_format", "diarized_json".to_owned()),
        ("known_speaker_names[]", "Bob <1>".to_owned()),
        ("known_speaker_names[]", "Ann".to_owned()),
        ("known_speaker_references[]", references[0].clone()),
        ("known_speaker_references[]", references[1].clone()),
    ];
    let diarized = json_of(app.post(TRANSCRIPTIONS).multipart(form(&fields))).await;
    let expected = [
        ("Bob <1>", "Ask not."),
        ("Ann", "Who is this?"),
        ("Bob <1>", "It is me."),
    ];
    assert_eq!(spoken(&diarized["segments"]), expected);

    // A stranger keeps a letter; a name that nobody has is not used.
    let fields = [
        ("response_format", "vtt".to_owned()),
        ("speaker_labels", "true".to_owned()),
        ("known_speaker_names[]", "Ann <1>".to_owned()),
        ("known_speaker_references[]", references[1].clone()),
    ];
    let vtt = body(app.post(TRANSCRIPTIONS).multipart(form(&fields))).await;
    assert!(vtt.contains("\n<v Ann &lt;1&gt;>Who is this?\n"), "{vtt}");
    assert!(vtt.contains("\n<v A>Ask not.\n"), "{vtt}");
}

#[tokio::test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
async fn every_wrong_reference_has_its_error() {
    let app = start().await;
    let good = reference(&low()[..80_000]);
    let silence = reference(&[0; 48_000]);
    for (wrong, message) in [
        (
            reference(&low()[..16_000]),
            "the audio lasts 1.0 s; 2 to 10 s are needed.",
        ),
        (
            reference(&low()),
            "the audio is longer than 10 s; 2 to 10 s are needed.",
        ),
        (silence, "no voice was found in the audio."),
        (
            "data:audio/wav;base64,AAAA".to_owned(),
            "Invalid file format.",
        ),
        ("data:audio/wav;base64,".to_owned(), "Invalid item 2"),
    ] {
        let fields = [
            ("response_format", "diarized_json".to_owned()),
            ("known_speaker_names[]", "Ann".to_owned()),
            ("known_speaker_names[]", "Bob".to_owned()),
            ("known_speaker_references[]", good.clone()),
            ("known_speaker_references[]", wrong),
        ];
        let answer = app.post(TRANSCRIPTIONS).multipart(form(&fields));
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 400, "{message}");
        let error = error(answer).await;
        let param = Some("known_speaker_references");
        let kind = "invalid_request_error";
        check_error(&error, kind, param, Some("invalid_value"), message);
        check_error(
            &error,
            kind,
            param,
            Some("invalid_value"),
            "Invalid item 2 of",
        );
    }
    let metrics = app.metrics.encode();
    assert!(
        metrics.contains("halkspeech_inference_seconds_count 0\n"),
        "{metrics}"
    );
}

#[tokio::test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
async fn a_stream_has_the_text_first_and_then_its_speakers() {
    let app = start().await;
    let diarized = [("response_format", "diarized_json")];
    let whole = json_of(transcription(&app, &diarized)).await;

    let streamed = [diarized[0], ("stream", "true")];
    let text = body(transcription(&app, &streamed)).await;

    let events = text
        .split_terminator("\n\n")
        .filter(|line| !line.starts_with(':'));
    let events: Vec<Value> = events
        .map(|line| serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap())
        .collect();
    let of = |kind: &str| {
        let events = events.iter().filter(|event| event["type"] == kind);
        events.cloned().collect::<Vec<_>>()
    };
    let deltas = of("transcript.text.delta");
    let segments = of("transcript.text.segment");
    let done = of("transcript.text.done");
    assert_eq!([deltas.len(), segments.len(), done.len()], [3, 3, 1]);
    let kinds: Vec<_> = events.iter().map(|event| event["type"].clone()).collect();
    let in_order: Vec<_> = [deltas.clone(), segments.clone(), done.clone()]
        .concat()
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(kinds, in_order, "all text, all segments, the end");
    assert_eq!(json!(segments), whole["segments"]);
    let joined: String = deltas
        .iter()
        .map(|delta| delta["delta"].as_str().unwrap())
        .collect();
    assert_eq!(json!(joined), whole["text"]);
    assert_eq!(done[0]["text"], whole["text"]);
    assert_eq!(done[0]["usage"]["type"], "tokens");
    for delta in &deltas {
        let is_of = |segment: &&Value| segment["id"] == delta["segment_id"];
        assert!(segments.iter().any(|segment| is_of(&segment)), "{delta}");
    }
}

#[tokio::test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
async fn diarizations_are_json_and_rttm() {
    let app = start().await;
    let request = |query: &[(&str, &str)]| {
        let request = app.post(DIARIZATION).query(query);
        request.header("content-type", "audio/wav").body(dialogue())
    };

    let found = json_of(request(&[])).await;
    let length = found["duration"].as_f64().unwrap();
    assert!((length - high_end_s() - LOW_S).abs() < 0.1, "{length}");
    let segments = found["segments"].as_array().unwrap();
    let at = |second: f64| {
        let inside = |segment: &&Value| {
            segment["start"].as_f64().unwrap() <= second
                && second < segment["end"].as_f64().unwrap()
        };
        let segment = segments.iter().find(inside);
        segment.map_or("nobody", |segment| segment["speaker"].as_str().unwrap())
    };
    assert_eq!(at(4.0), "SPEAKER_00", "{segments:?}");
    assert_eq!(at(14.0), "SPEAKER_01", "{segments:?}");
    assert_eq!(at(high_end_s() + 4.0), "SPEAKER_00", "{segments:?}");

    let rttm = request(&[("response_format", "rttm"), ("num_speakers", "1")]);
    let answer = rttm.send().await.unwrap();
    assert_eq!(header(&answer, "content-type"), "text/plain; charset=utf-8");
    let lines = answer.text().await.unwrap();
    assert!(lines.starts_with("SPEAKER audio 1 "), "{lines}");
    for line in lines.lines() {
        assert!(line.ends_with(" <NA> <NA> SPEAKER_00 <NA> <NA>"), "{line}");
    }

    // The same beside other work, which shares its networks.
    let requests = [(); 4].map(|()| json_of(request(&[])));
    for other in futures_util::future::join_all(requests).await {
        assert_eq!(other, found);
    }
}

#[tokio::test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
async fn silence_has_no_speaker() {
    let app = start().await;
    let silence = wav(1, &[0; 48_000]);
    let found = json_of(app.post(DIARIZATION).body(silence)).await;
    assert_eq!(found, json!({ "duration": 3.0, "segments": [] }));
}

#[tokio::test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
async fn speech_has_times_in_milliseconds() {
    let app = start().await;
    let spans = |query: &[(&str, &str)]| {
        let request = app.post(TIMESTAMPS).query(query).body(wav(1, &low()));
        async move { json_of(request).await.as_array().unwrap().clone() }
    };
    let found = spans(&[("min_silence_duration_ms", "100")]).await;
    assert!(found.len() > 2, "{found:?}");
    let mut last = 0;
    for span in &found {
        let [start, end] = ["start", "end"].map(|name| span[name].as_u64().unwrap());
        assert!(last <= start && start < end && end <= 11_000, "{found:?}");
        last = end;
    }
    let cut = spans(&[
        ("min_silence_duration_ms", "5000"),
        ("max_speech_duration_s", "3"),
    ])
    .await;
    assert!(cut.len() >= 3, "{cut:?}");
    for span in &cut {
        let length = span["end"].as_u64().unwrap() - span["start"].as_u64().unwrap();
        assert!(length <= 3_000, "{cut:?}");
    }
}
