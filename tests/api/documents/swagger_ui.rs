//! The page of the `OpenAPI` document.

use super::*;

#[tokio::test]
async fn the_page_of_the_document_loads_no_external_resources() {
    let app = app_with_pages().await;

    let page = app.get("/docs").send().await.unwrap();

    assert_eq!(page.status(), 200);
    assert_eq!(page.url().path(), "/docs/");
    assert_eq!(header(&page, "content-type"), "text/html");
    for file in [
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger-ui-standalone-preset.js",
        "swagger-initializer.js",
    ] {
        let answer = app.get(&format!("/docs/{file}")).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{file}");
    }
}

/// The initial value of a field in Swagger UI: its example, its default, its first enum value, or a value of
/// its type; of alternatives the first.
fn initial_value(schema: &Value) -> Value {
    let schema = schema.as_object().unwrap();
    let first = |key: &str| Some(schema.get(key)?.as_array()?.first()?.clone());
    let given = first("examples").or_else(|| schema.get("default").cloned());
    let given = given.or_else(|| schema.get("example").cloned());
    if let Some(value) = given.or_else(|| first("enum")) {
        return value;
    }
    if let Some(alternative) = first("anyOf").or_else(|| first("oneOf")) {
        return initial_value(&alternative);
    }
    match schema["type"].as_str().or(schema["type"][0].as_str()) {
        Some("string") => json!("string"),
        Some("number" | "integer") => json!(0),
        Some("boolean") => json!(true),
        Some("array") => json!([initial_value(&schema["items"])]),
        Some("object") => {
            let properties = schema["properties"].as_object().unwrap();
            let filled = properties
                .iter()
                .map(|(name, schema)| (name.clone(), initial_value(schema)));
            filled.collect::<serde_json::Map<_, _>>().into()
        }
        other => panic!("{other:?}"),
    }
}

/// The form fields that Swagger UI sends along with a file: all fields, including empty ones, and one field
/// per list item.
fn form_fields_of_swagger_ui(form: &Value) -> Vec<(String, String)> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let properties = form["properties"].as_object().unwrap();
    let others = properties.iter().filter(|(name, _)| *name != "file");
    let fields = others.flat_map(|(name, schema)| {
        let values = match initial_value(schema) {
            Value::Array(items) if items.is_empty() => vec![json!("")],
            Value::Array(items) => items,
            other => vec![other],
        };
        values.into_iter().map(|value| (name.clone(), text(value)))
    });
    fields.collect()
}

/// The query string of Swagger UI: the parameters with an example or a default.
fn query_of_swagger_ui(operation: &Value) -> Vec<(String, String)> {
    let parameters = operation["parameters"].as_array().unwrap().iter();
    let filled = parameters.filter_map(|parameter| {
        let example = parameter.get("example");
        let value = example.or(parameter["schema"].get("default"))?;
        let name = parameter["name"].as_str().unwrap();
        Some((name.to_owned(), value.as_str().unwrap().to_owned()))
    });
    filled.collect()
}

#[tokio::test]
async fn the_page_of_the_document_sends_a_request_that_works() {
    let mut setup = TestSetup::default();
    setup.settings.reject_unknown_fields = true;
    let app = TestApp::start_with(setup).await;
    let document = document(&app).await;
    let expected = app.text_of(tone(500.0)).await;
    let check = async |request: RequestBuilder, sent: &[(String, String)]| {
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, 200, "{body} for {sent:?}");
        assert_eq!(body["text"], expected, "{sent:?}");
    };

    for (path, form) in [
        (TRANSCRIPTIONS, "CreateTranscriptionRequest"),
        ("/v1/audio/translations", "CreateTranslationRequest"),
    ] {
        let query = query_of_swagger_ui(&document["paths"][path]["post"]);
        assert_eq!(query, [("model".to_owned(), "whisper-1".to_owned())]);
        let fields = form_fields_of_swagger_ui(&document["components"]["schemas"][form]);
        assert!(fields.contains(&query[0]), "{fields:?}");
        let file = Part::bytes(tone(500.0)).file_name("talk.wav");
        let form = Form::new().part("file", file);
        let form = fields.iter().fold(form, |form, (name, value)| {
            form.text(name.clone(), value.clone())
        });

        check(app.post(path).query(&query).multipart(form), &fields).await;
        let bare = app.post(path).query(&query).body(tone(500.0));
        let bare = bare.header("content-type", "application/octet-stream");
        check(bare, &query).await;
    }
}
