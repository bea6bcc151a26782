use serde_json::{Value, json};

use super::super::audio::Encoding;
use super::*;
use crate::http::error::ApiError;
use crate::http::request_id::RequestId;
use crate::http::test_settings::settings;
use crate::live::{Eagerness, TurnDetection};

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("{other}"),
    }
}

fn update(
    configuration: &mut Configuration,
    form: SessionForm,
    session: Value,
) -> Result<(), LiveError> {
    configuration.update(&object(session), form, &settings())
}

fn nested(input: Value) -> Configuration {
    let mut configuration = Configuration::default();
    let audio = Object::from_iter([("input".to_owned(), input)]);
    let session = json!({ "audio": audio });
    update(&mut configuration, SessionForm::Nested, session).unwrap();
    configuration
}

/// Checks the error of an update; the configuration stays as it was.
#[track_caller]
fn check_error(form: SessionForm, session: Value, param: &str, message: &str) {
    let mut configuration = nested(json!({ "transcription": { "language": "tr" } }));
    let before = configuration.clone();
    let shown = session.to_string();
    let error = update(&mut configuration, form, session).unwrap_err();
    let error = ApiError::from(error).object(&RequestId::default());
    assert_eq!(error.param.as_deref(), Some(param), "{shown}");
    assert_eq!(error.code, Some("invalid_value"), "{shown}");
    assert!(error.message.contains(message), "{}", error.message);
    assert!(
        error.message.contains(&format!("'{param}'")),
        "{}",
        error.message
    );
    assert_eq!(configuration, before, "{shown}");
}

#[test]
fn the_defaults_are_shown_in_both_forms() {
    let configuration = Configuration::default();
    let server_vad = json!({
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": null,
    });
    assert_eq!(
        Value::Object(configuration.to_json(SessionForm::Nested)),
        json!({
            "type": "transcription",
            "audio": { "input": {
                "format": { "type": "audio/pcm", "rate": 24000 },
                "noise_reduction": null,
                "transcription": { "model": null, "language": null, "prompt": null, "delay": null },
                "turn_detection": server_vad,
            }},
            "include": null,
        })
    );
    assert_eq!(
        Value::Object(configuration.to_json(SessionForm::Flat)),
        json!({
            "input_audio_format": "pcm16",
            "input_audio_noise_reduction": null,
            "input_audio_transcription": { "model": null, "language": null, "prompt": null },
            "turn_detection": server_vad,
            "include": null,
        })
    );
}

#[test]
fn only_what_is_present_changes_and_null_clears() {
    let mut configuration = Configuration::default();
    let everything = json!({
        "type": "transcription",
        "audio": { "input": {
            "format": { "type": "audio/pcmu" },
            "noise_reduction": { "type": "near_field" },
            "transcription": {
                "model": "whisper-1", "language": "tr", "languages": ["tr", "en"],
                "keywords": ["Halk"], "prompt": "p", "delay": "low",
            },
            "turn_detection": { "type": "server_vad", "threshold": 0.7, "idle_timeout_ms": 6000 },
        }},
        "include": ["item.input_audio_transcription.logprobs", "speakers"],
    });
    update(&mut configuration, SessionForm::Nested, everything).unwrap();
    let transcription = json!({
        "model": "whisper-1", "language": "tr", "languages": ["tr", "en"],
        "keywords": ["Halk"], "prompt": "p", "delay": "low",
    });
    let shown = configuration.to_json(SessionForm::Nested);
    let input = &shown["audio"]["input"];
    assert_eq!(
        input["format"],
        json!({ "type": "audio/pcmu", "rate": 8000 })
    );
    assert_eq!(input["transcription"], transcription);
    assert_eq!(input["noise_reduction"], json!({ "type": "near_field" }));
    assert_eq!(input["turn_detection"]["threshold"], json!(0.7));
    assert_eq!(input["turn_detection"]["idle_timeout_ms"], json!(6000));

    let before = configuration.clone();
    for nothing in [
        json!({}),
        json!({ "audio": {} }),
        json!({ "audio": { "input": { "unknown": 1, "transcription": {} } } }),
        json!({ "audio": { "input": { "transcription": { "language": "", "model": " " } } } }),
    ] {
        update(&mut configuration, SessionForm::Nested, nothing.clone()).unwrap();
        assert_eq!(configuration, before, "{nothing}");
    }

    let clear = json!({ "audio": { "input": {
        "format": null,
        "noise_reduction": null,
        "transcription": { "language": null, "keywords": null, "delay": null },
        "turn_detection": { "silence_duration_ms": 200, "threshold": null },
    }}, "include": null });
    update(&mut configuration, SessionForm::Nested, clear).unwrap();
    let shown = configuration.to_json(SessionForm::Nested);
    let input = &shown["audio"]["input"];
    assert_eq!(configuration.format, AudioFormat::default());
    assert_eq!(input["noise_reduction"], Value::Null);
    assert_eq!(shown["include"], Value::Null);
    assert_eq!(
        input["transcription"],
        json!({
            "model": "whisper-1", "language": null, "languages": ["tr", "en"],
            "prompt": "p", "delay": null,
        })
    );
    assert_eq!(
        input["turn_detection"],
        json!({
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 200,
            "idle_timeout_ms": 6000,
        })
    );

    let clear_all =
        json!({ "audio": { "input": { "transcription": null, "turn_detection": null } } });
    update(&mut configuration, SessionForm::Nested, clear_all).unwrap();
    assert_eq!(configuration.turn_detection, TurnDetectionField::Off);
    assert_eq!(configuration.transcription, Transcription::default());
}

#[test]
fn turn_detection_is_for_the_policy() {
    let policy = |value| {
        nested(json!({ "turn_detection": value }))
            .turn_detection
            .policy()
    };
    assert_eq!(policy(Value::Null), TurnDetection::Off);
    assert_eq!(policy(json!({})), TurnDetection::default());
    for (eagerness, expected) in [
        ("low", Eagerness::Low),
        ("medium", Eagerness::Medium),
        ("auto", Eagerness::Medium),
        ("high", Eagerness::High),
    ] {
        let value = json!({ "type": "semantic_vad", "eagerness": eagerness });
        assert_eq!(
            policy(value),
            TurnDetection::Semantic(expected),
            "{eagerness}"
        );
    }
}

#[test]
fn formats_have_their_usual_rates() {
    let format = |value| nested(json!({ "format": value })).format;
    for (value, encoding, rate_hz) in [
        (json!({ "type": "audio/pcm" }), Encoding::Pcm16, 24_000),
        (
            json!({ "type": "audio/pcm", "rate": 16000 }),
            Encoding::Pcm16,
            16_000,
        ),
        (json!({ "rate": 48000 }), Encoding::Pcm16, 48_000),
        (json!({ "type": "audio/pcma" }), Encoding::ALaw, 8_000),
        (
            json!({ "type": "audio/pcmu", "rate": 16000 }),
            Encoding::MuLaw,
            16_000,
        ),
    ] {
        assert_eq!(
            format(value.clone()),
            AudioFormat { encoding, rate_hz },
            "{value}"
        );
    }
}

#[test]
fn the_flat_form_has_the_same_fields() {
    let mut configuration = Configuration::default();
    let session = json!({
        "input_audio_format": "g711_alaw",
        "input_audio_noise_reduction": { "type": "far_field" },
        "input_audio_transcription": { "model": "whisper-1", "language": "de", "prompt": "" },
        "turn_detection": null,
        "include": ["item.input_audio_transcription.logprobs"],
    });
    update(&mut configuration, SessionForm::Flat, session).unwrap();
    assert_eq!(
        Value::Object(configuration.to_json(SessionForm::Flat)),
        json!({
            "input_audio_format": "g711_alaw",
            "input_audio_noise_reduction": { "type": "far_field" },
            "input_audio_transcription": { "model": "whisper-1", "language": "de", "prompt": null },
            "turn_detection": null,
            "include": ["item.input_audio_transcription.logprobs"],
        })
    );
    let empty = json!({ "input_audio_format": "" });
    let before = configuration.clone();
    update(&mut configuration, SessionForm::Flat, empty).unwrap();
    assert_eq!(configuration, before);
}

#[test]
fn an_error_names_the_field_in_its_form() {
    let input = |value: Value| json!({ "audio": { "input": value } });
    let transcription = |value: Value| input(json!({ "transcription": value }));
    for (session, param, message) in [
        (
            json!({ "type": "realtime" }),
            "session.type",
            "this server only transcribes",
        ),
        (json!({ "audio": 1 }), "session.audio", "an object or null"),
        (input(json!([])), "session.audio.input", "an object or null"),
        (
            input(json!({ "format": { "type": "audio/mp3" } })),
            "session.audio.input.format.type",
            "audio/pcmu",
        ),
        (
            input(json!({ "format": { "rate": 100 } })),
            "session.audio.input.format.rate",
            "100. Expected",
        ),
        (
            input(json!({ "format": { "rate": 383_983 } })),
            "session.audio.input.format.rate",
            "recorders use",
        ),
        (
            input(json!({ "turn_detection": { "type": "x" } })),
            "session.audio.input.turn_detection.type",
            "semantic_vad",
        ),
        (
            input(json!({ "turn_detection": { "threshold": 2 } })),
            "session.audio.input.turn_detection.threshold",
            "from 0 to 1",
        ),
        (
            input(json!({ "turn_detection": { "silence_duration_ms": 0.5 } })),
            "session.audio.input.turn_detection.silence_duration_ms",
            "whole number",
        ),
        (
            transcription(json!({ "language": "xx" })),
            "session.audio.input.transcription.language",
            "\"xx\". Expected an ISO 639",
        ),
        (
            transcription(json!({ "languages": ["tr", "xx"] })),
            "session.audio.input.transcription.languages",
            "ISO 639",
        ),
        (
            transcription(json!({ "languages": "tr" })),
            "session.audio.input.transcription.languages",
            "a list of strings",
        ),
        (
            transcription(json!({ "keywords": ["x".repeat(201)] })),
            "session.audio.input.transcription.keywords",
            "200 characters",
        ),
        (
            transcription(json!({ "delay": "none" })),
            "session.audio.input.transcription.delay",
            "minimal or low",
        ),
        (
            json!({ "include": ["x"] }),
            "session.include",
            "logprobs\" or \"speakers\"",
        ),
    ] {
        check_error(SessionForm::Nested, session, param, message);
    }
    for (session, param, message) in [
        (
            json!({ "input_audio_format": "mp3" }),
            "session.input_audio_format",
            "pcm16 or g711_ulaw",
        ),
        (
            json!({ "input_audio_transcription": { "language": "xx" } }),
            "session.input_audio_transcription.language",
            "ISO",
        ),
        (
            json!({ "turn_detection": { "threshold": -1 } }),
            "session.turn_detection.threshold",
            "from 0 to 1",
        ),
        (
            json!({ "input_audio_noise_reduction": "x" }),
            "session.input_audio_noise_reduction",
            "an object",
        ),
    ] {
        check_error(SessionForm::Flat, session, param, message);
    }
}

#[test]
fn what_a_secret_names_cannot_be_changed() {
    let mut configuration = Configuration::default();
    let session = json!({
        "type": "transcription",
        "audio": { "input": { "transcription": { "language": "tr" }, "turn_detection": null } },
    });
    configuration.fix(object(session), &settings()).unwrap();
    assert_eq!(configuration.turn_detection, TurnDetectionField::Off);
    configuration.set_default_model("small");

    for (session, param) in [
        (
            json!({ "audio": { "input": { "transcription": { "language": "en" } } } }),
            "session.audio.input.transcription.language",
        ),
        (
            json!({ "audio": { "input": { "transcription": null } } }),
            "session.audio.input.transcription",
        ),
        (
            json!({ "audio": { "input": { "turn_detection": {} } } }),
            "session.audio.input.turn_detection",
        ),
        (json!({ "audio": null }), "session.audio"),
    ] {
        let error = update(&mut configuration, SessionForm::Nested, session.clone()).unwrap_err();
        let error = ApiError::from(error).object(&RequestId::default());
        assert_eq!(error.code, Some("immutable_value"), "{session}");
        assert_eq!(error.param.as_deref(), Some(param), "{session}");
    }
    let flat = json!({ "input_audio_transcription": { "language": "en" } });
    let error = update(&mut configuration, SessionForm::Flat, flat).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("session.input_audio_transcription.language")
    );

    let same = json!({ "audio": { "input": {
        "transcription": { "language": "tr", "prompt": "p", "model": "base" },
        "turn_detection": null,
    }}});
    update(&mut configuration, SessionForm::Nested, same).unwrap();
    assert_eq!(configuration.transcription.model.as_deref(), Some("base"));
    assert_eq!(configuration.transcription.prompt.as_deref(), Some("p"));
}

#[test]
fn the_models_name_in_the_url_is_a_default() {
    let mut configuration = Configuration::default();
    configuration.set_default_model(" ");
    assert_eq!(configuration.transcription.model, None);
    configuration.set_default_model("tiny");
    configuration.set_default_model("base");
    assert_eq!(configuration.transcription.model.as_deref(), Some("tiny"));
}
