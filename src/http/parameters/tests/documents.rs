//! The table of fields equals its readers and `docs/api.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::*;

/// A row of a table of parameters in the documentation.
struct Row {
    names: Vec<String>,
    values: String,
    default: String,
    effect: String,
}

/// The rows of all tables of parameters, which are recognized by their first column.
fn documentation() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let text = fs::read_to_string(path).unwrap();
    let tables = text.split("| parameter |").skip(1);
    let tables = tables.filter_map(|rest| rest.split("\n\n").next());
    let lines = tables.flat_map(|table| table.lines().skip(2));
    lines.map(row).filter(|row| row.names != ["file"]).collect()
}

fn row(line: &str) -> Row {
    let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
    let mut cell = || cells.next().unwrap_or_default().to_owned();
    let names = cell()
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    Row {
        names,
        values: cell(),
        default: cell().replace('`', ""),
        effect: cell(),
    }
}

/// The allowed values of a field, in the words of the documentation.
fn describe_values(field: &Field) -> String {
    let item = match field.kind {
        ValueKind::Text => "text".to_owned(),
        ValueKind::Boolean => "switch".to_owned(),
        ValueKind::Number(min, max) => format!("{min} to {max}"),
        ValueKind::OptionalNumber(min, max) => format!("{min} to {max}, or `none`"),
        ValueKind::Integer(min, max) => format!("{min} to {max}"),
        ValueKind::OneOf(words) => {
            let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        ValueKind::DataUrl => "data URLs".to_owned(),
    };
    match (field.shape, field.kind) {
        (FieldShape::Single, _) => item,
        (FieldShape::List, ValueKind::Text) => "list".to_owned(),
        (FieldShape::List, _) => format!("list of {item}"),
        (FieldShape::Object, ValueKind::OneOf(&[])) => "object".to_owned(),
        (FieldShape::Object, _) => format!("{item}, or an object"),
    }
}

fn named(name: &str) -> Field {
    let fields = Field::ALL.iter();
    let mut found = fields.filter(|field| field.sent_name() == name);
    *found.next().unwrap_or_else(|| panic!("{name} has no row"))
}

#[test]
fn the_documentation_has_every_field_and_no_other() {
    let rows = documentation();
    let documented: BTreeSet<_> = rows.into_iter().flat_map(|row| row.names).collect();
    let known: BTreeSet<_> = Field::ALL.iter().map(Field::sent_name).collect();
    assert_eq!(documented, known);
}

#[test]
fn the_documentation_equals_the_table() {
    for row in documentation() {
        let (first, others) = row.names.split_first().unwrap();
        let field = named(first);
        for other in others {
            let other = named(other);
            assert_eq!(
                other.description,
                FieldDescription::AliasOf(field.name),
                "{}",
                other.name
            );
            assert_eq!(other.kind, field.kind, "{}", other.name);
        }
        let FieldDescription::Text(effect) = field.description else {
            panic!("the first name {first} is an alias");
        };
        let default = match field.default {
            FieldDefault::Value(value) => value,
            FieldDefault::Described(words) => words,
        };
        assert_eq!(row.values, describe_values(&field), "{first}");
        assert_eq!(row.default, default, "{first}");
        assert_eq!(row.effect, effect, "{first}");
    }
}

/// Values that a row allows, and values that it does not allow.
fn examples(kind: ValueKind) -> (Vec<String>, Vec<String>) {
    let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    match kind {
        // Accepted by every text field, also by a language.
        ValueKind::Text => (texts(&["en", "turkish"]), Vec::new()),
        ValueKind::Boolean => (texts(&["true", "false"]), texts(&["2", "maybe"])),
        ValueKind::Number(min, max) => (
            vec![
                min.to_string(),
                f64::midpoint(min, max).to_string(),
                max.to_string(),
            ],
            vec![
                (min - 0.001).to_string(),
                (max + 1.0).to_string(),
                "none".to_owned(),
            ],
        ),
        ValueKind::OptionalNumber(min, max) => (
            vec![min.to_string(), max.to_string(), "none".to_owned()],
            vec![
                (min - 0.001).to_string(),
                (max + 1.0).to_string(),
                "x".to_owned(),
            ],
        ),
        ValueKind::Integer(min, max) => (
            vec![min.to_string(), max.to_string()],
            vec![
                (i128::from(min) - 1).to_string(),
                (i128::from(max) + 1).to_string(),
                "1.5".to_owned(),
            ],
        ),
        ValueKind::OneOf(words) => (texts(words), texts(&["x"])),
        ValueKind::DataUrl => (
            texts(&["data:audio/wav;base64,UklGRg=="]),
            texts(&["x", "https://example.org/a.wav", "data:audio/wav;base64,?"]),
        ),
    }
}

#[test]
fn a_reader_accepts_exactly_what_its_row_allows() {
    let set = |api: Api, field: &Field, value: &str| {
        let mut parameters = Parameters::new(api);
        parameters.set(&field.sent_name(), value.to_owned(), &settings())
    };
    // Translations have one format fewer.
    let apis = [
        Api::Transcription,
        Api::Asr,
        Api::Language,
        Api::Inference,
        Api::Diarization,
        Api::SpeechTimestamps,
    ];
    let fields = apis.into_iter();
    for (api, field) in fields.flat_map(|api| api.fields().map(move |field| (api, field))) {
        let (allowed, refused) = examples(field.kind);
        for value in allowed {
            let name = field.name;
            set(api, field, &value).unwrap_or_else(|error| panic!("{name}={value}: {error}"));
        }
        for value in refused {
            assert!(set(api, field, &value).is_err(), "{}={value}", field.name);
        }
    }
}

#[test]
fn sending_a_default_has_no_effect() {
    for others in [&[][..], &[("chunking_strategy[type]", "server_vad")]] {
        for field in Field::ALL {
            let FieldDefault::Value(value) = field.default else {
                continue;
            };
            let name = field.sent_name();
            let with = [others, &[(name.as_str(), value)]].concat();
            let (with, without) = (request(&with), request(others));
            assert_eq!(format!("{with:?}"), format!("{without:?}"), "{name}");
        }
    }
}

#[test]
fn members_belong_to_objects() {
    let shapes: BTreeMap<_, _> = Field::ALL
        .iter()
        .map(|field| (field.name, field.shape))
        .collect();
    for (object, _) in Field::ALL.iter().filter_map(Field::member) {
        assert_eq!(shapes.get(object), Some(&FieldShape::Object), "{object}");
    }
}

/// The fields that only other servers' APIs have are in separate tables.
#[test]
fn the_documentation_has_the_fields_of_other_apis() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let text = fs::read_to_string(path).unwrap();
    let apis = [
        Api::Asr,
        Api::Inference,
        Api::Diarization,
        Api::SpeechTimestamps,
    ];
    for field in apis.into_iter().flat_map(Api::own) {
        let (
            FieldDescription::Text(effect),
            FieldDefault::Value(default) | FieldDefault::Described(default),
        ) = (field.description, field.default)
        else {
            panic!("{} is another name", field.name);
        };
        let values = describe_values(field);
        let row = format!("| `{}` | {values} | {default} | {effect} |", field.name);
        assert!(text.contains(&row), "no {row}");
    }
}
