//! Any text as the name of a model. An accepted name stays inside its folder, parses to itself and consists of
//! its parts; an alias resolves to such a name too.
#![no_main]

use std::path::{Component, Path};

use halkspeech::models::{Aliases, DefaultModel, ModelId, ModelLookup};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let default = ModelId::parse("base").expect("a plain word is a name");
    let alias = ("my/own name".to_owned(), default.clone());
    let aliases = Aliases::new(DefaultModel::BuiltIn(default), [alias]);
    for disk in [Disk::Empty, Disk::Full] {
        if let Ok(id) = aliases.resolve(text, &disk) {
            check(&id);
            for name in aliases.of(&id, &disk) {
                assert_eq!(aliases.resolve(&name, &disk).as_ref(), Ok(&id));
            }
        }
    }
    if let Ok(id) = ModelId::parse(text) {
        assert_eq!(id.as_str(), text);
        check(&id);
    }
});

/// A disk with no model, or with every model.
enum Disk {
    Empty,
    Full,
}

impl ModelLookup for Disk {
    fn has(&self, _: &ModelId) -> bool {
        matches!(self, Self::Full)
    }

    fn only(&self) -> Option<ModelId> {
        None
    }
}

fn check(id: &ModelId) {
    assert_eq!(ModelId::parse(&id.to_string()).as_ref(), Ok(id));
    let with_revision = match id.revision() {
        Some(revision) => format!("{}@{revision}", id.repository()),
        None => id.repository().to_owned(),
    };
    assert_eq!(with_revision, id.as_str());
    assert!(
        id.owner()
            .is_none_or(|owner| id.repository().starts_with(owner))
    );
    for part in [
        Some(id.as_str()),
        Some(id.repository()),
        id.revision(),
        id.owner(),
    ] {
        assert!(part.is_none_or(stays_below), "{id}");
    }
}

/// Whether a path stays inside its folder.
fn stays_below(path: &str) -> bool {
    let is_visible = |part: Component<'_>| match part {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
        _ => false,
    };
    let mut parts = Path::new(path).components();
    !path.is_empty() && path.is_ascii() && !path.contains('\\') && parts.all(is_visible)
}
