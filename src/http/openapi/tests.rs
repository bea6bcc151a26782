//! The parameters of the document, against their table.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use utoipa::{IntoParams, PartialSchema};

use super::*;
use crate::http::parameters::{Field, ValueKind};

fn form() -> Value {
    serde_json::to_value(TranscriptionForm::schema()).unwrap()
}

/// The names of the rows, without the list that has the name of a single value.
fn names<'a>(fields: impl Iterator<Item = &'a Field>) -> BTreeSet<String> {
    let names = fields.map(Field::sent_name);
    names.filter(|name| name != "temperature[]").collect()
}

#[test]
fn the_form_has_every_field() {
    let form = form();
    let properties = form["properties"].as_object().unwrap();
    let documented: BTreeSet<_> = properties.keys().cloned().collect();
    let mut known = names(Field::ALL.iter().filter(|field| field.member().is_none()));
    known.insert("file".to_owned());
    assert_eq!(documented, known);

    for (object, key) in Field::ALL.iter().filter_map(Field::member) {
        let property = &properties[object];
        let object = property["anyOf"].get(1).unwrap_or(property);
        assert!(object["properties"][key].is_object(), "{key} of {property}");
    }
}

#[test]
fn the_query_has_every_field_too() {
    let parameters = TranscriptionParameters::into_params(|| None);
    let documented: BTreeSet<_> = parameters.iter().map(|one| one.name.clone()).collect();
    let fields = Field::ALL.iter();
    let known = names(fields.filter(|field| field.kind != ValueKind::OneOf(&[])));
    assert_eq!(documented, known);
}

#[test]
fn a_field_has_its_range_its_words_and_its_default() {
    let form = form();
    let property = |name: &str| {
        let mut property = form["properties"][name].clone();
        property.as_object_mut().unwrap().remove("description");
        property
    };
    assert_eq!(
        property("best_of"),
        json!({ "type": "integer", "minimum": 1, "maximum": 32, "default": 5 })
    );
    assert_eq!(
        property("channels"),
        json!({ "type": "string", "enum": ["mix", "split"], "default": "mix" })
    );
    assert_eq!(
        property("timestamp_granularities[]"),
        json!({
            "type": "array",
            "items": { "type": "string", "enum": ["word", "segment"] },
            "default": ["segment"],
        })
    );
    assert_eq!(
        property("model"),
        json!({ "type": "string", "examples": ["whisper-1"] })
    );
    // A client that sends defaults would override what its user sent under the other name.
    assert_eq!(property("no_speech_threshold")["default"], "");
    // Without a default, Swagger UI would send a value of its own making.
    assert_eq!(
        property("prompt"),
        json!({ "type": "string", "default": "" })
    );
    assert_eq!(
        property("max_line_width"),
        json!({
            "type": ["integer", "string"],
            "minimum": 1,
            "maximum": 1000,
            "maxLength": 0,
            "default": "",
        })
    );
    assert_eq!(property("keywords[]")["default"], json!([]));
    assert_eq!(property("vad_parameters")["default"], json!({}));
    assert_eq!(property("chunking_strategy")["default"], "");
}

#[test]
fn a_star_in_a_path_is_the_routers_alone() {
    assert_eq!(openapi_path("/v1/models/{*id}"), "/v1/models/{id}");
    assert_eq!(openapi_path("/v1/models"), "/v1/models");
}
