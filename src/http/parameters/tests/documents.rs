//! What the table says of each field is what its reader takes, and what `docs/api.md` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::*;

/// A row of a table of parameters in the documentation.
struct Row {
    names: Vec<String>,
    takes: String,
    default: String,
    effect: String,
}

/// The rows of all tables of parameters, which begin with this word as no others do.
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
        takes: cell(),
        default: cell().replace('`', ""),
        effect: cell(),
    }
}

/// What a field takes, in the words of the documentation.
fn takes_in_words(field: &Field) -> String {
    let item = match field.takes {
        Takes::Text => "text".to_owned(),
        Takes::Switch => "switch".to_owned(),
        Takes::Real(least, most) => format!("{least} to {most}"),
        Takes::Bound(least, most) => format!("{least} to {most}, or `none`"),
        Takes::Whole(least, most) => format!("{least} to {most}"),
        Takes::OneOf(words) => {
            let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        Takes::Nothing => String::new(),
    };
    match (field.shape, field.takes) {
        (Shape::One, _) => item,
        (Shape::Many, Takes::Text) => "list".to_owned(),
        (Shape::Many, _) => format!("list of {item}"),
        (Shape::Object, Takes::OneOf(&[])) => "object".to_owned(),
        (Shape::Object, _) => format!("{item}, or an object"),
    }
}

fn named(name: &str) -> Field {
    let fields = Field::ALL.iter();
    let mut found = fields.filter(|field| field.sent_name() == name);
    *found
        .next()
        .unwrap_or_else(|| panic!("{name} is in no row"))
}

#[test]
fn the_documentation_has_every_field_and_no_other() {
    let rows = documentation();
    let documented: BTreeSet<_> = rows.into_iter().flat_map(|row| row.names).collect();
    let known: BTreeSet<_> = Field::ALL.iter().map(Field::sent_name).collect();
    assert_eq!(documented, known);
}

#[test]
fn the_documentation_says_what_the_table_says() {
    for row in documentation() {
        let (first, others) = row.names.split_first().unwrap();
        let field = named(first);
        for other in others {
            let other = named(other);
            assert_eq!(other.does, Does::SameAs(field.name), "{}", other.name);
            assert_eq!(other.takes, field.takes, "{}", other.name);
        }
        let Does::This(effect) = field.does else {
            panic!("{first} is another name, and stands first");
        };
        if field.takes == Takes::Nothing {
            assert_eq!(row.takes, effect, "{first}");
            continue;
        }
        let default = match field.unsent {
            Unsent::Same(value) => value,
            Unsent::Words(words) => words,
        };
        assert_eq!(row.takes, takes_in_words(&field), "{first}");
        assert_eq!(row.default, default, "{first}");
        assert_eq!(row.effect, effect, "{first}");
    }
}

/// Values that a field takes, and values that it refuses, by what its row says.
fn examples(takes: Takes) -> (Vec<String>, Vec<String>) {
    let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    match takes {
        // What every text field of ours takes, a language too.
        Takes::Text => (texts(&["en", "turkish"]), Vec::new()),
        Takes::Switch => (texts(&["true", "false"]), texts(&["2", "maybe"])),
        Takes::Real(least, most) => (
            vec![
                least.to_string(),
                f64::midpoint(least, most).to_string(),
                most.to_string(),
            ],
            vec![
                (least - 0.001).to_string(),
                (most + 1.0).to_string(),
                "none".to_owned(),
            ],
        ),
        Takes::Bound(least, most) => (
            vec![least.to_string(), most.to_string(), "none".to_owned()],
            vec![
                (least - 0.001).to_string(),
                (most + 1.0).to_string(),
                "x".to_owned(),
            ],
        ),
        Takes::Whole(least, most) => (
            vec![least.to_string(), most.to_string()],
            vec![
                (least - 1).to_string(),
                (most + 1).to_string(),
                "1.5".to_owned(),
            ],
        ),
        Takes::OneOf(words) => (texts(words), texts(&["x"])),
        Takes::Nothing => (Vec::new(), texts(&["x", "1", "true"])),
    }
}

#[test]
fn a_reader_takes_what_its_row_allows_and_nothing_else() {
    let set = |api: Api, field: &Field, value: &str| {
        let mut parameters = Parameters::new(api);
        parameters.set(&field.sent_name(), value.to_owned(), &settings())
    };
    // Translations have one format fewer.
    let apis = [Api::Transcription, Api::Asr, Api::Language, Api::Inference];
    let fields = apis.into_iter();
    for (api, field) in fields.flat_map(|api| api.fields().map(move |field| (api, field))) {
        let (taken, refused) = examples(field.takes);
        for value in taken {
            let name = field.name;
            set(api, field, &value).unwrap_or_else(|error| panic!("{name}={value}: {error}"));
        }
        for value in refused {
            assert!(set(api, field, &value).is_err(), "{}={value}", field.name);
        }
    }
}

#[test]
fn a_default_that_is_sent_has_the_effect_of_none() {
    for surroundings in [&[][..], &[("chunking_strategy[type]", "server_vad")]] {
        for field in Field::ALL {
            let Unsent::Same(value) = field.unsent else {
                continue;
            };
            let name = field.sent_name();
            let with = [surroundings, &[(name.as_str(), value)]].concat();
            let (with, without) = (asked(&with), asked(surroundings));
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
        assert_eq!(shapes.get(object), Some(&Shape::Object), "{object}");
    }
}

/// The fields that only other servers' APIs have stand in tables of their own.
#[test]
fn the_documentation_says_what_fields_of_other_apis_do() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let text = fs::read_to_string(path).unwrap();
    for field in [Api::Asr, Api::Inference].into_iter().flat_map(Api::own) {
        let (Does::This(effect), Unsent::Same(default) | Unsent::Words(default)) =
            (field.does, field.unsent)
        else {
            panic!("{} is another name", field.name);
        };
        let takes = takes_in_words(field);
        let row = format!("| `{}` | {takes} | {default} | {effect} |", field.name);
        assert!(text.contains(&row), "no {row}");
    }
}
