//! With the real networks, on a recording of two voices: the sample, and the sample as a higher voice.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use halkspeech_whisper::engine::EngineFactory;
use halkspeech_whisper::engine::fake::FakeEngine;
use reqwest::RequestBuilder;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::{DIARIZATION, NAME, TIMESTAMPS};
use crate::helpers::audio::{sample, tone, wav};
use crate::helpers::engine::{EngineGate, gated_engine, timed_generation};
use crate::helpers::{
    TRANSCRIPTIONS, TestApp, TestSetup, body_of, check_error, error, header, json_of,
};

/// Samples of the low voice: the sample, 11 s.
const LOW_S: f64 = 11.0;
/// How much higher and faster the other voice is.
const RATIO: f64 = 1.35;

/// The sample played faster, which sounds like somebody else.
fn high() -> Vec<i16> {
    let low = sample();
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
    wav(1, &[sample(), high(), sample()].concat())
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
    let srt = body_of(transcription(&app, &fields)).await;
    assert!(
        srt.contains("\n[A] Ask not.\n") && srt.contains("\n[B] Who is this?\n"),
        "{srt}"
    );
    let fields = [("response_format", "vtt"), ("speaker_labels", "true")];
    let vtt = body_of(transcription(&app, &fields)).await;
    assert!(vtt.contains("\n<v B>Who is this?\n"), "{vtt}");

    let metrics = app.metrics.encode();
    assert!(
        metrics.contains("halkspeech_speakers_seconds_count 4\n"),
        "{metrics}"
    );
    let path = format!("/v1/models/{NAME}");
    let shown = json_of(app.get(&path)).await;
    assert_eq!(shown["loaded"], true);
}

#[tokio::test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
async fn known_speakers_have_their_names() {
    let app = start().await;
    let references = [
        reference(&sample()[16_000..80_000]),
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
    let vtt = body_of(app.post(TRANSCRIPTIONS).multipart(form(&fields))).await;
    assert!(vtt.contains("\n<v Ann &lt;1&gt;>Who is this?\n"), "{vtt}");
    assert!(vtt.contains("\n<v A>Ask not.\n"), "{vtt}");
}

#[tokio::test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
async fn every_wrong_reference_has_its_error() {
    let app = start().await;
    let good = reference(&sample()[..80_000]);
    let silence = reference(&[0; 48_000]);
    for (wrong, message) in [
        (
            reference(&sample()[..16_000]),
            "the audio lasts 1.00 s; 2 to 10 s are needed.",
        ),
        (
            reference(&sample()),
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
    let text = body_of(transcription(&app, &streamed)).await;

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
async fn a_reference_without_memory_is_refused_as_any_other_audio() {
    let gate = EngineGate::new();
    let app = TestApp::start_with(TestSetup {
        // The tone takes 131 kB of it, the reference as much as is left.
        decoded_bytes: 200_000,
        engine: gated_engine(&gate),
        ..TestSetup::default()
    })
    .await;
    let running = app.submit(tone(500.0));
    gate.reached().await;

    let known = Form::new()
        .text("known_speaker_names[]", "Ann")
        .text("known_speaker_references[]", reference(&sample()[..48_000]))
        .part("file", Part::bytes(tone(500.0)));
    let answer = app.post(DIARIZATION).multipart(known).send().await.unwrap();

    assert_eq!(answer.status(), 429);
    assert!(!header(&answer, "retry-after").is_empty());
    let kind = "rate_limit_exceeded";
    check_error(
        &error(answer).await,
        kind,
        None,
        Some(kind),
        "memory for audio",
    );
    gate.open();
    assert_eq!(running.await.unwrap().status(), 200);
}

#[tokio::test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
async fn the_memory_for_the_voices_counts() {
    let app = TestApp::start_with(TestSetup {
        // Enough for the 192 kB of the recording.
        decoded_bytes: 300_000,
        ..TestSetup::default()
    })
    .await;
    let recording = wav(1, &sample()[..48_000]);

    let plain = app.post(TIMESTAMPS).body(recording.clone());
    let diarized = app.post(DIARIZATION).body(recording);

    assert_eq!(plain.send().await.unwrap().status(), 200);
    let answer = diarized.send().await.unwrap();
    assert_eq!(answer.status(), 413);
    let (kind, code) = ("invalid_request_error", Some("audio_too_long"));
    let fragment = "AUDIO__MAX_DECODED_MIB";
    check_error(&error(answer).await, kind, Some("file"), code, fragment);
}
