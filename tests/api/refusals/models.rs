//! Refusals of requests whose model is missing or absent.

use super::*;

#[tokio::test]
async fn the_error_of_a_missing_model_names_the_default() {
    let mut setup = TestSetup::default();
    setup.settings.require_model = true;
    let app = TestApp::start_with(setup).await;
    for request in [
        app.form(tone(500.0), &[]),
        app.form(tone(500.0), &[("model", "")]),
        app.raw(tone(500.0), &[]),
    ] {
        let answer = request.send().await.unwrap();

        assert_eq!(answer.status(), 400);
        let error = error(answer).await;
        check_error(
            &error,
            INVALID,
            Some("model"),
            Some("missing_required_parameter"),
            MODEL,
        );
    }
}

#[tokio::test]
async fn the_error_of_an_absent_model_names_ways_to_add_it() {
    let app = TestApp::start().await;
    for name in ["large-v9", "owner/model"] {
        for request in [
            app.form(tone(500.0), &[("model", name)]),
            app.raw(tone(500.0), &[("model", name)]),
        ] {
            let answer = request.send().await.unwrap();

            assert_eq!(answer.status(), 404, "{name}");
            let error = error(answer).await;
            check_error(
                &error,
                INVALID,
                Some("model"),
                Some("model_not_found"),
                name,
            );
            check_error(
                &error,
                INVALID,
                Some("model"),
                Some("model_not_found"),
                "MODELS_DIR",
            );
            check_error(
                &error,
                INVALID,
                Some("model"),
                Some("model_not_found"),
                "base, tiny.en",
            );
        }
    }
}

#[tokio::test]
async fn an_absent_model_is_refused_before_the_upload() {
    let app = TestApp::start().await;

    let headers = ["Content-Length: 1000000", "Expect: 100-continue"];
    let mut connection = raw::begin(&app, "?model=absent", &headers).await;
    let answer = raw::read_until(&mut connection, "}}").await;

    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("model_not_found"), "{answer}");
}
