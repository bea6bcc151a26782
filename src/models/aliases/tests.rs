//! Resolution of names, with and without models on disk.

use super::*;

fn id(name: &str) -> ModelId {
    ModelId::parse(name).unwrap()
}

impl ModelLookup for &[&str] {
    fn has(&self, id: &ModelId) -> bool {
        self.contains(&id.as_str())
    }

    fn first(&self, matches: &dyn Fn(&ModelId) -> bool) -> Option<ModelId> {
        self.iter().map(|name| id(name)).find(matches)
    }

    fn only(&self) -> Option<ModelId> {
        match self {
            [name] => ModelId::parse(name).ok(),
            _ => None,
        }
    }
}

fn aliases() -> Aliases {
    aliases_of(DefaultModel::Configured(id("base")))
}

fn aliases_of(default: DefaultModel) -> Aliases {
    let configured = [
        ("fast".to_owned(), id("tiny.en")),
        ("gpt-4o-transcribe".to_owned(), id("owner/large")),
    ];
    Aliases::new(default, configured)
}

#[track_caller]
fn check(name: &str, on_disk: &[&str], expected: &str) {
    assert_eq!(
        aliases().resolve(name, &on_disk),
        Ok(id(expected)),
        "{name}"
    );
}

#[test]
fn openai_transcription_names_resolve_to_the_default_model() {
    for name in [
        "whisper-1",
        "Whisper-1",
        "gpt-transcribe",
        "gpt-live-transcribe",
        "gpt-realtime-whisper",
        "GPT-4o-Mini-Transcribe-2025-12-15",
    ] {
        check(name, &["base", "tiny.en"], "base");
    }
    for name in [
        "whisper-2",
        "gpt-4o",
        "my-gpt-transcribe",
        "transcribe",
        "o/gpt-whisper",
    ] {
        check(name, &["base"], name);
    }
}

#[test]
fn configured_aliases_take_precedence_over_openai_names() {
    check("gpt-4o-transcribe", &[], "owner/large");
    check("GPT-4o-transcribe", &[], "owner/large");
    check("fast", &["tiny.en"], "tiny.en");
    check("Fast", &["tiny.en"], "tiny.en");
    let nothing: &[&str] = &[];
    let refused = aliases().resolve("../x", &nothing);
    assert_eq!(refused, Err(InvalidModelId));
}

#[test]
fn an_exact_model_name_takes_precedence_over_every_alias() {
    for name in ["whisper-1", "gpt-4o-transcribe", "fast", "whisper-small"] {
        check(name, &["base", name, "small"], name);
    }
}

#[test]
fn names_match_in_any_letter_case() {
    check("Tiny.EN", &["tiny.en"], "tiny.en");
    check("owner/Other", &["Owner/other"], "Owner/other");
}

#[test]
fn a_size_resolves_to_a_model_on_disk_of_that_size() {
    let repository = "Systran/faster-whisper-small";
    for name in [
        "small",
        "Small",
        "whisper-small",
        "openai/whisper-small",
        "faster-whisper-small",
    ] {
        check(name, &["base", "small", "small.en"], "small");
        check(name, &["base", repository], repository);
        check(
            name,
            &["o/whisper-small-ct2-int8"],
            "o/whisper-small-ct2-int8",
        );
    }
    check(
        "turbo",
        &["o/faster-whisper-large-v3-turbo-ct2"],
        "o/faster-whisper-large-v3-turbo-ct2",
    );
    check(
        "distil-whisper/distil-small.en",
        &["Systran/faster-distil-whisper-small.en"],
        "Systran/faster-distil-whisper-small.en",
    );
    // These are specific models that are not on disk.
    check("owner/whisper-small", &["small"], "owner/whisper-small");
    check("small@v1", &["small"], "small@v1");
    check("small", &["whisper-small-turkish"], repository);
}

#[test]
fn a_size_resolves_to_the_repository_if_no_model_on_disk_has_it() {
    check("base", &[], "Systran/faster-whisper-base");
    check("whisper-base", &[], "Systran/faster-whisper-base");
    check("openai/whisper-base", &[], "openai/whisper-base");
    check("gpt-transcribe", &[], "Systran/faster-whisper-base");
    check("base@v1", &[], "base@v1");
    check("unknown", &[], "unknown");
    check("owner/other", &[], "owner/other");
    for (name, repositories) in SHORT_NAMES {
        check(name, &[], repositories[0]);
        for repository in repositories {
            check(repository, &[], repository);
        }
    }
}

#[test]
fn a_size_with_two_repositories_resolves_to_the_one_on_disk() {
    let &[first, second] = TURBO else {
        panic!("two repositories");
    };
    for name in ["large-v3-turbo", "turbo"] {
        check(name, &[], first);
        check(name, &[second], second);
        check(name, &[second, first], first);
        check(name, &[second, name], name);
    }
}

#[test]
fn the_only_model_on_disk_is_the_default_if_none_is_configured() {
    #[track_caller]
    fn check(default: DefaultModel, on_disk: &[&str], expected: &str) {
        let found = aliases_of(default).default_model(&on_disk);
        assert_eq!(found, id(expected), "{on_disk:?}");
    }
    let built_in = || DefaultModel::BuiltIn(id("base"));
    check(built_in(), &["base", "small"], "base");
    check(built_in(), &["small"], "small");
    check(
        built_in(),
        &["small", "tiny"],
        "Systran/faster-whisper-base",
    );
    check(built_in(), &[], "Systran/faster-whisper-base");
    let configured = DefaultModel::Configured(id("base"));
    check(configured, &["small"], "Systran/faster-whisper-base");
}

#[test]
fn lists_the_aliases_of_a_model() {
    let of = |name: &str, on_disk: &[&str]| aliases().of(&id(name), &on_disk);
    let openai = [
        "gpt-4o-mini-transcribe",
        "gpt-4o-transcribe-diarize",
        "whisper-1",
    ];
    assert_eq!(of("base", &["base"]), openai);
    assert_eq!(of("owner/large", &[]), ["gpt-4o-transcribe"]);
    assert_eq!(
        of("Systran/faster-whisper-base", &[]),
        [&["base"][..], &openai].concat()
    );
    assert_eq!(of("Systran/faster-whisper-base", &["base"]), [""; 0]);
}
