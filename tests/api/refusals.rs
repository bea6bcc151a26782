//! Invalid requests: status, type, param, code and message of the error.

mod models;

use std::time::Duration;

use halkspeech::config::Secret;
use reqwest::multipart::{Form, Part};

use crate::helpers::audio::{tone, tones};
use crate::helpers::{
    MODEL, TRANSCRIPTIONS, TestApp, TestSetup, check_error, error, form, header, raw,
};

const INVALID: &str = "invalid_request_error";

#[tokio::test]
async fn errors_name_invalid_parameters_and_their_values() {
    let app = TestApp::start().await;
    for (name, value, fragment) in [
        ("language", "klingon", "\"klingon\""),
        ("language", "tr", "turkish"),
        ("languages", "en,tr", "turkish"),
        ("temperature", "warm", "\"warm\""),
        ("temperature", "1.5", "\"1.5\""),
        ("temperature", "-0.1", "from 0 to 1"),
        ("temperature", "NaN", "\"NaN\""),
        ("response_format", "docx", "json or text or srt"),
        ("stream", "maybe", "\"maybe\""),
    ] {
        let fields = [("model", MODEL), (name, value)];
        for request in [
            app.form(tone(500.0), &fields),
            app.raw(tone(500.0), &fields),
        ] {
            let answer = request.send().await.unwrap();

            assert_eq!(answer.status(), 400, "{name}={value}");
            let error = error(answer).await;
            check_error(&error, INVALID, Some(name), Some("invalid_value"), fragment);
        }
    }
}

#[tokio::test]
async fn refuses_text_instead_of_a_file() {
    let app = TestApp::start().await;
    for text in [
        "https://example.com/talk.mp3",
        "talk.mp3",
        "data:audio/wav;base64,UklG",
    ] {
        let form = Form::new().text("file", text).text("model", MODEL);

        let answer = app
            .post(TRANSCRIPTIONS)
            .multipart(form)
            .send()
            .await
            .unwrap();

        assert_eq!(answer.status(), 400, "{text}");
        let error = error(answer).await;
        let code = Some("invalid_value");
        check_error(&error, INVALID, Some("file"), code, text);
        check_error(&error, INVALID, Some("file"), code, "-F file=@talk.mp3");
    }

    // A recording may come without a name.
    let form = Form::new().part("file", Part::bytes(tone(500.0)));
    let form = form.text("model", MODEL);
    let answer = app
        .post(TRANSCRIPTIONS)
        .multipart(form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn refuses_content_types_without_a_recording() {
    let app = TestApp::start().await;
    for (content_type, body, kind) in [
        ("application/json", r#"{"file":"talk.mp3"}"#, "is JSON"),
        (
            "application/json; charset=utf-8",
            r#"{"model":"whisper-1"}"#,
            "is JSON",
        ),
        (
            "application/x-www-form-urlencoded",
            "file=talk.mp3&model=base",
            "is a form without files",
        ),
    ] {
        let request = app
            .post(TRANSCRIPTIONS)
            .header("content-type", content_type);

        let answer = request.body(body).send().await.unwrap();

        assert_eq!(answer.status(), 400, "{content_type}");
        let error = error(answer).await;
        let code = Some("invalid_value");
        check_error(&error, INVALID, Some("file"), code, kind);
        check_error(&error, INVALID, Some("file"), code, "multipart form");
    }

    // curl sends this type for any body; the query string contains the model.
    let request = app.post(TRANSCRIPTIONS).query(&[("model", MODEL)]);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(tone(500.0)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn errors_of_unusable_audio_name_the_reason() {
    let setup = TestSetup {
        max_duration: Duration::from_secs(2),
        ..TestSetup::default()
    };
    let app = TestApp::start_with(setup).await;
    let tone_of_ms = |duration_ms: u64| tones(&[(500.0, Duration::from_millis(duration_ms))]);
    for (audio, code, fragment) in [
        (Vec::new(), "invalid_value", "empty"),
        (
            vec![7; 5_000],
            "invalid_value",
            "Invalid file format. Supported formats: ['",
        ),
        (
            b"<html>an error page</html>".to_vec(),
            "invalid_value",
            "Invalid file format.",
        ),
        (tone_of_ms(50), "audio_too_short", "50 ms"),
        (tone_of_ms(2_500), "invalid_value", "2 s"),
    ] {
        for request in [
            app.form(audio.clone(), &[("model", MODEL)]),
            app.raw(audio, &[("model", MODEL)]),
        ] {
            let answer = request.send().await.unwrap();

            assert_eq!(answer.status(), 400, "{fragment}");
            let error = error(answer).await;
            check_error(&error, INVALID, Some("file"), Some(code), fragment);
        }
    }
}

#[tokio::test]
async fn errors_of_malformed_forms_name_the_reason() {
    let app = TestApp::start().await;
    let not_utf8 = Part::bytes(vec![0xff, 0xfe]);
    let two_files = form(tone(500.0), &[("model", MODEL)]).part("file", Part::bytes(tone(500.0)));
    for (form, param, code, fragment) in [
        (
            Form::new().text("model", MODEL),
            "file",
            "missing_required_parameter",
            "'file'",
        ),
        (two_files, "file", "invalid_value", "more than one"),
        (
            Form::new().part("prompt", not_utf8),
            "prompt",
            "invalid_value",
            "UTF-8",
        ),
        (
            Form::new().text("prompt", "x".repeat(70_000)),
            "prompt",
            "invalid_value",
            "65536",
        ),
    ] {
        let answer = app
            .post(TRANSCRIPTIONS)
            .multipart(form)
            .send()
            .await
            .unwrap();

        assert_eq!(answer.status(), 400, "{fragment}");
        check_error(
            &error(answer).await,
            INVALID,
            Some(param),
            Some(code),
            fragment,
        );
    }
}

#[tokio::test]
async fn a_body_that_is_no_form_is_a_bad_request() {
    let app = TestApp::start().await;
    for (content_type, body) in [
        ("multipart/form-data", "no boundary"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"model\"",
        ),
        ("multipart/form-data; boundary=x", ""),
    ] {
        let request = app
            .post(TRANSCRIPTIONS)
            .header("content-type", content_type)
            .body(body);
        let answer = request.send().await.unwrap();

        assert_eq!(answer.status(), 400, "{content_type}");
        check_error(&error(answer).await, INVALID, None, None, "multipart form");
    }
}

#[tokio::test]
async fn unknown_fields_are_refused_if_configured() {
    let mut setup = TestSetup::default();
    setup.settings.reject_unknown_fields = true;
    let app = TestApp::start_with(setup).await;

    let answer = app
        .form(tone(500.0), &[("model", MODEL), ("colour", "red")])
        .send()
        .await
        .unwrap();

    assert_eq!(answer.status(), 400);
    let error = error(answer).await;
    check_error(
        &error,
        INVALID,
        Some("colour"),
        Some("unknown_parameter"),
        "'colour'",
    );
}

#[tokio::test]
async fn text_of_the_caller_is_truncated_in_errors() {
    let mut setup = TestSetup::default();
    setup.settings.reject_unknown_fields = true;
    let app = TestApp::start_with(setup).await;
    let long = "x".repeat(30_000);
    let form = Form::new().text(long.clone(), "red");

    for request in [
        app.post(TRANSCRIPTIONS).multipart(form),
        app.post(TRANSCRIPTIONS).query(&[(&long, "red")]),
        app.post(&format!("/v1/models/{long}")),
        app.get(&format!("/v1/models/{long}")),
        app.get(&format!("/{long}")),
    ] {
        let answer = request.send().await.unwrap();

        assert!(answer.status().is_client_error());
        let error = error(answer).await.to_string();
        assert!(error.len() < 1_000, "{} bytes", error.len());
    }
}

#[tokio::test]
async fn every_route_under_v1_requires_the_key() {
    let mut setup = TestSetup::default();
    setup.settings.api_keys = vec![Secret::new("open sesame")];
    let app = TestApp::start_with(setup).await;
    for path in [
        "/v1/models",
        "/v1/models/tiny.en",
        TRANSCRIPTIONS,
        "/v1/nothing",
        "/asr",
        "/detect-language",
        "/inference",
    ] {
        for key in [None, Some("wrong")] {
            let request = app.get(path);
            let request = match key {
                Some(key) => request.bearer_auth(key),
                None => request,
            };
            let answer = request.send().await.unwrap();

            assert_eq!(answer.status(), 401, "{path}");
            assert_eq!(header(&answer, "www-authenticate"), "Bearer");
            let error = error(answer).await;
            check_error(&error, INVALID, None, Some("invalid_api_key"), "Bearer");
        }
    }
    for path in ["/health", "/ready", "/metrics"] {
        assert_eq!(app.get(path).send().await.unwrap().status(), 200, "{path}");
    }

    let request = app
        .form(tone(500.0), &[("model", MODEL)])
        .bearer_auth("open sesame");
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn errors_of_unknown_paths_and_methods_have_the_same_shape() {
    let app = TestApp::start().await;
    for (request, status, code) in [
        (app.get("/nothing"), 404, "unknown_url"),
        (app.post("/v1/audio/nothing"), 404, "unknown_url"),
        (app.get("/"), 404, "unknown_url"),
        (app.get(TRANSCRIPTIONS), 405, "method_not_allowed"),
        (app.post("/health"), 405, "method_not_allowed"),
    ] {
        let answer = request.send().await.unwrap();

        assert_eq!(answer.status(), status);
        assert_eq!(header(&answer, "allow").is_empty(), status == 404);
        check_error(&error(answer).await, INVALID, None, Some(code), "/");
    }
}

#[tokio::test]
async fn a_client_that_expects_a_100_is_refused_at_once() {
    let mut setup = TestSetup::default();
    setup.settings.api_keys = vec![Secret::new("open sesame")];
    let app = TestApp::start_with(setup).await;

    let headers = ["Content-Length: 1000000", "Expect: 100-continue"];
    let mut connection = raw::begin(&app, "", &headers).await;
    let answer = raw::read_until(&mut connection, "\r\n\r\n").await;

    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}
