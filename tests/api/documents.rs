//! The `OpenAPI` document and its page, compared with the routes and the written documentation.

mod swagger_ui;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use halkspeech::config::Secret;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::helpers::audio::{stereo, tone};
use crate::helpers::{MODEL, TRANSCRIPTIONS, TestApp, TestSetup, error, header};

async fn app_with_pages() -> TestApp {
    let mut setup = TestSetup::default();
    setup.settings.enable_ui = true;
    TestApp::start_with(setup).await
}

async fn document(app: &TestApp) -> Value {
    let answer = app.get("/openapi.json").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), "application/json");
    answer.json().await.unwrap()
}

/// Every method and path in the document.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| -> Vec<_> {
        let methods = item.as_object().unwrap().keys();
        methods
            .map(|method| (method.to_uppercase(), path.clone()))
            .collect()
    };
    paths.iter().flat_map(of_path).collect()
}

#[tokio::test]
async fn the_document_names_its_version_and_every_operation() {
    let app = TestApp::start().await;

    let document = document(&app).await;

    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["info"]["license"]["name"], "MIT");
    let operations = document["paths"].as_object().unwrap().values();
    let operations = operations.flat_map(|item| item.as_object().unwrap().values());
    let ids: BTreeSet<_> = operations
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    let expected = [
        "connectRealtime",
        "connectStream",
        "createClientSecret",
        "createDiarization",
        "createTranscription",
        "createTranscriptionSession",
        "createTranslation",
        "deleteModel",
        "detectLanguage",
        "detectLanguages",
        "detectSpeech",
        "downloadModel",
        "infer",
        "listLoadedModels",
        "listModels",
        "loadModel",
        "recogniseSpeech",
        "showHealth",
        "showMetrics",
        "showModel",
        "showReadiness",
        "unloadModel",
    ];
    assert_eq!(ids, BTreeSet::from(expected));
}

#[tokio::test]
async fn the_documented_routes_are_exactly_the_served_ones() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let documented = operations(&document);

    let paths: BTreeSet<_> = documented.iter().map(|(_, path)| path).collect();
    for path in paths {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let url = app.url(&path.replace("{id}", "no/such"));
            let method_sent = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = app.client.request(method_sent, url).send().await.unwrap();
            // Served for its message alone: OpenAI's WebRTC is not offered.
            let is_webrtc = method == "POST" && path == "/v1/realtime";
            let is_served = answer.status() != 405 && !is_webrtc;
            let is_documented = documented.contains(&(method.to_owned(), path.clone()));
            assert_eq!(is_served, is_documented, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_written_documentation_has_the_same_routes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once("\n## Endpoints\n").unwrap();
    let (table, _) = table.split_once("\nWhere the server has keys").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let written = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let written = written.filter_map(|route| route.split_once(' '));
    let written: BTreeSet<_> = written
        .map(|(method, path)| (method.to_owned(), path.to_owned()))
        // Not in the document: pages, and the document itself.
        .filter(|(_, path)| !["/", "/docs", "/openapi.json"].contains(&path.as_str()))
        .collect();

    let app = TestApp::start().await;
    assert_eq!(written, operations(&document(&app).await));
}

#[tokio::test]
async fn the_document_is_public_and_names_the_key_requirement() {
    let mut setup = TestSetup::default();
    setup.settings.api_keys = vec![Secret::new("open sesame")];
    setup.settings.enable_ui = true;
    let keyed = TestApp::start_with(setup).await;
    let open = TestApp::start().await;

    let bearer = json!({ "bearer": [] });
    assert_eq!(document(&keyed).await["security"], json!([bearer]));
    let document = document(&open).await;
    assert_eq!(document["security"], json!([{}, bearer]));
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
    assert_eq!(document["paths"]["/health"]["get"]["security"], json!([{}]));
    assert_eq!(keyed.get("/docs/").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_translation_has_no_diarized_json() {
    let app = TestApp::start().await;
    let schemas = &document(&app).await["components"]["schemas"];
    let formats = |form: &str| {
        let formats = &schemas[form]["properties"]["response_format"]["enum"];
        formats.as_array().unwrap().len()
    };

    assert_eq!(formats("CreateTranscriptionRequest"), 6);
    assert_eq!(formats("CreateTranslationRequest"), 5);
}

/// Violations of `schema` in `value`. Checks what our schemas use: types, properties, items, and
/// alternatives; a property that the schema does not name is a violation too.
fn schema_violations(schemas: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        assert!(schemas[name].is_object(), "no schema {name}");
        return schema_violations(schemas, &schemas[name], value, place);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(alternatives) = schema[key].as_array() {
            let of_each: Vec<_> = alternatives
                .iter()
                .map(|schema| schema_violations(schemas, schema, value, place))
                .collect();
            return if of_each.iter().any(Vec::is_empty) {
                Vec::new()
            } else {
                of_each.concat()
            };
        }
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = schema["type"].to_string();
    let is_number = kind == "integer" && allowed.contains("number");
    if !is_number && !allowed.contains(kind) {
        return vec![format!("{place} is {kind}, not {allowed}")];
    }
    let mut violations = Vec::new();
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        let place = format!("{place}[{index}]");
        violations.extend(schema_violations(schemas, &schema["items"], item, &place));
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let place = format!("{place}.{name}");
        match &schema["properties"][name] {
            Value::Null => violations.push(format!("{place} is not documented")),
            schema => violations.extend(schema_violations(schemas, schema, member, &place)),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            violations.push(format!("{place}.{name} is missing"));
        }
    }
    violations
}

#[tokio::test]
async fn responses_match_their_schemas() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let schemas = &document["components"]["schemas"];
    let check = |name: &str, value: &Value| {
        let violations = schema_violations(schemas, &json!({ "$ref": name }), value, name);
        assert_eq!(violations, [""; 0], "{value}");
    };

    for (schema, query) in [
        ("Transcription", &[("include[]", "logprobs")][..]),
        (
            "TranscriptionVerbose",
            &[
                ("response_format", "verbose_json"),
                ("word_timestamps", "true"),
                ("include[]", "dropped"),
            ],
        ),
        (
            "TranscriptionDiarized",
            &[("response_format", "diarized_json"), ("channels", "split")],
        ),
    ] {
        let query = [&[("model", MODEL)], query].concat();
        let answer = app.raw(stereo(500.0, 600.0), &query).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{schema}");
        check(schema, &answer.json().await.unwrap());
    }
    for (schema, path, query) in [
        (
            "AsrTranscript",
            "/asr",
            &[("output", "json"), ("word_timestamps", "true")][..],
        ),
        ("DetectedLanguage", "/detect-language", &[]),
        ("BareText", "/inference", &[]),
        (
            "InferenceAnswer",
            "/inference",
            &[("response_format", "verbose_json")],
        ),
    ] {
        let request = app.post(path).query(query).body(tone(500.0));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{schema}");
        check(schema, &answer.json().await.unwrap());
    }
    for (schema, path) in [
        ("ModelList", "/v1/models"),
        ("Model", "/v1/models/tiny.en"),
        ("LoadedModels", "/api/ps"),
        ("Health", "/ready"),
        ("ErrorResponse", "/v1/models/no/such"),
    ] {
        let answer = app.get(path).send().await.unwrap();
        check(schema, &answer.json().await.unwrap());
    }
    for format in ["json", "verbose_json"] {
        let query = [
            ("model", MODEL),
            ("stream", "true"),
            ("response_format", format),
        ];
        let events = app.raw(tone(500.0), &query).send().await.unwrap();
        for line in events.text().await.unwrap().lines() {
            if let Some(data) = line.strip_prefix("data: ") {
                check("TranscriptionEvent", &serde_json::from_str(data).unwrap());
            }
        }
    }
}

#[tokio::test]
async fn the_document_is_served_without_the_pages() {
    let app = TestApp::start().await;

    for path in [
        "/",
        "/page/app.js",
        "/docs",
        "/docs/",
        "/docs/swagger-ui.css",
    ] {
        let answer = app.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(error(answer).await["code"], "unknown_url", "{path}");
    }
    document(&app).await;

    let app = app_with_pages().await;
    let answer = app.get("/docs/nothing.js").send().await.unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(error(answer).await["code"], "unknown_url");
}
