//! Tests that the documentation of the settings agrees with the code.

use std::fs;

use super::*;

const DEFAULT_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/default.toml");
const DOCUMENTATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

/// Which commented-out lines of the default file are read in addition.
#[derive(Clone, Copy, PartialEq)]
enum Uncommented {
    Nothing,
    Settings,
    Example,
}

/// Loads the settings of `configs/default.toml`.
fn default_file(uncommented: Uncommented) -> Settings {
    let text = fs::read_to_string(DEFAULT_FILE).unwrap();
    let is_key = |line: &str| {
        let key = line.split_once(" = ").map(|(key, _)| key);
        key.is_some_and(|key| KEYS.iter().any(|known| known.name() == key))
    };
    // An example is a commented-out table with the keys after it.
    let mut in_example = false;
    let lines: Vec<&str> = text
        .lines()
        .map(|line| {
            let commented = line.strip_prefix("# ");
            let is_table = commented.is_some_and(|rest| rest.starts_with('['));
            in_example = is_table || (in_example && commented.is_some());
            let kind = match commented {
                Some(_) if in_example => Uncommented::Example,
                Some(rest) if is_key(rest) => Uncommented::Settings,
                _ => Uncommented::Nothing,
            };
            commented
                .filter(|_| kind == uncommented && kind != Uncommented::Nothing)
                .unwrap_or(line)
        })
        .collect();
    from_file(&lines.join("\n"), &[]).unwrap().settings
}

#[test]
fn the_default_file_contains_the_defaults() {
    let expected = from_env(&[]).unwrap().settings;
    assert_eq!(default_file(Uncommented::Nothing), expected);
    assert_eq!(default_file(Uncommented::Settings), expected);
}

#[test]
fn the_example_in_the_default_file_applies_only_to_its_model() {
    let mut settings = default_file(Uncommented::Example);
    let per_model = std::mem::take(&mut settings.per_model);

    assert_eq!(settings, from_env(&[]).unwrap().settings);
    let names: Vec<&String> = per_model.keys().collect();
    assert_eq!(names, ["deepdml/faster-whisper-large-v3-turbo-ct2"]);
    assert_ne!(per_model[names[0]], ModelSettings::default());
}

#[test]
fn the_default_file_contains_every_setting_in_order_with_its_names() {
    let text = fs::read_to_string(DEFAULT_FILE).unwrap();
    let mut rest = text.as_str();
    for key in KEYS {
        let (section, name) = key.path.split_once('.').unwrap();
        let written = match key.kind {
            ValueKind::TextMap => format!("\n[{}]\n", key.path),
            _ => format!("{name} = "),
        };
        let at = (rest.match_indices(&written))
            .map(|(at, _)| at)
            .find(|at| {
                ["\n", "\n# ", ""]
                    .iter()
                    .any(|before| rest[..*at].ends_with(before))
            })
            .unwrap_or_else(|| panic!("{} is missing or out of order", key.path));
        let comment = &rest[..at];
        for name in key.environment_names().chain(key.flag.map(str::to_owned)) {
            assert!(comment.contains(&name), "{section}.{name} lacks {name}");
        }
        rest = &rest[at + written.len()..];
    }
}

#[test]
fn the_documentation_lists_every_setting() {
    let text = fs::read_to_string(DOCUMENTATION).unwrap();
    let defaults = SettingsTable::new(&Settings::default(), &BTreeMap::new()).unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("| `"));
    for (key, row) in KEYS.iter().zip(defaults.rows) {
        let mut names: Vec<String> = key.environment_names().collect();
        if key.path == "models.hub_cache" {
            names.push("HF_HOME".to_owned());
        }
        names.extend(key.flag.map(str::to_owned));
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let start = format!(
            "| `{}` | `{}` | {} | ",
            key.path,
            row.value,
            names.join(" ")
        );
        let line = lines.next().unwrap_or_default();
        assert!(line.starts_with(&start), "expected {start}…, found {line}");
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn the_documentation_lists_the_settings_of_one_model() {
    let text = fs::read_to_string(DOCUMENTATION).unwrap();
    let (_, section) = text.split_once("## Settings of one model\n").unwrap();
    let names = KEYS.iter().filter(|key| key.per_model);
    let names: Vec<String> = names.map(|key| format!("`{}`", key.name())).collect();
    let list = names.join(", ");
    assert!(section.contains(&list), "expected {list}");
}

#[test]
fn the_default_file_lists_the_settings_of_one_model() {
    let text = fs::read_to_string(DEFAULT_FILE).unwrap();
    let (_, list) = text.split_once("# Settings of one model").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    for key in KEYS.iter().filter(|key| key.per_model) {
        assert!(list.contains(key.name()), "no {}", key.name());
    }
}

#[test]
fn the_table_of_keys_and_the_structs_agree() {
    let tree = Value::serialize(Settings::default()).unwrap();
    let mut paths = Vec::new();
    for (section, table) in tree.as_dict().unwrap() {
        for name in table.as_dict().unwrap().keys() {
            paths.push(format!("{section}.{name}"));
        }
    }
    let mut known: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
    known.sort_unstable();
    assert_eq!(paths, known);
}

#[test]
fn the_table_of_keys_and_the_settings_of_a_model_agree() {
    let tree = Value::serialize(ModelSettings::default()).unwrap();
    let names: Vec<&String> = tree.as_dict().unwrap().keys().collect();
    let per_model = KEYS.iter().filter(|key| key.per_model);
    let mut known: Vec<&str> = per_model.map(SettingKey::name).collect();
    known.sort_unstable();
    assert_eq!(names, known);

    for key in KEYS.iter().filter(|key| key.per_model) {
        assert!(key.path.starts_with("whisper."), "{}", key.path);
    }
}
