//! What is written about the settings says what the program does.

use std::fs;

use super::*;

const DEFAULT_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/default.toml");
const DOCUMENTATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

/// The settings in `configs/default.toml`, with and without what stands
/// behind a `#`.
fn default_file(with_commented: bool) -> Settings {
    let text = fs::read_to_string(DEFAULT_FILE).unwrap();
    let is_commented_key = |line: &str| {
        let key = line
            .strip_prefix("# ")
            .and_then(|rest| rest.split_once(" = "));
        key.is_some_and(|(key, _)| {
            KEYS.iter()
                .any(|known| known.path.ends_with(&format!(".{key}")))
        })
    };
    let lines: Vec<&str> = text
        .lines()
        .map(|line| {
            let uncomment = with_commented && is_commented_key(line);
            if uncomment { &line[2..] } else { line }
        })
        .collect();
    from_file(&lines.join("\n"), &[]).unwrap().settings
}

#[test]
fn the_default_file_holds_the_defaults() {
    let expected = from_env(&[]).unwrap().settings;
    assert_eq!(default_file(false), expected);
    assert_eq!(default_file(true), expected);
}

#[test]
fn the_default_file_holds_every_setting_in_order_with_its_names() {
    let text = fs::read_to_string(DEFAULT_FILE).unwrap();
    let mut rest = text.as_str();
    for key in KEYS {
        let (section, name) = key.path.split_once('.').unwrap();
        let written = match key.kind {
            Kind::TextMap => format!("\n[{}]\n", key.path),
            _ => format!("{name} = "),
        };
        let at = (rest.match_indices(&written))
            .map(|(at, _)| at)
            .find(|at| {
                ["\n", "\n# ", ""]
                    .iter()
                    .any(|before| rest[..*at].ends_with(before))
            })
            .unwrap_or_else(|| panic!("{} is absent or out of order", key.path));
        let comment = &rest[..at];
        for name in key.environment_names().chain(key.flag.map(str::to_owned)) {
            assert!(comment.contains(&name), "{section}.{name} names no {name}");
        }
        rest = &rest[at + written.len()..];
    }
}

#[test]
fn the_documentation_lists_every_setting() {
    let text = fs::read_to_string(DOCUMENTATION).unwrap();
    let defaults = Report::new(&Settings::default(), &BTreeMap::new()).unwrap();
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
