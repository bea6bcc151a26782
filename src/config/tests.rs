//! Tests of the settings through the public API: sources, names, warnings, table.

mod values;
mod names;
mod per_model;
mod documents;
mod presets;

use std::io::Write;

use super::*;

type Variables = Vec<(String, String)>;

fn variables(pairs: &[(&str, &str)]) -> Variables {
    let home = [("HOME", "/home/ada")];
    home.iter()
        .chain(pairs)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn from_env(pairs: &[(&str, &str)]) -> Result<LoadedSettings, ConfigError> {
    Settings::load(Sources {
        env: variables(pairs),
        ..Sources::default()
    })
}

/// Loads `toml` as a file together with the variables; replaces its path by
/// `FILE` in an error.
fn from_file(toml: &str, pairs: &[(&str, &str)]) -> Result<LoadedSettings, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    let path = file.path().to_owned();
    Settings::load(Sources {
        file: Some(path.clone()),
        env: variables(pairs),
        flags: Flags::default(),
    })
    .map_err(|error| error.to_string().replace(path.to_str().unwrap(), "FILE"))
}

/// The value of a setting in the settings table.
fn table_value(loaded: &LoadedSettings, name: &str) -> String {
    let rows = loaded.table().unwrap().rows;
    rows.into_iter().find(|row| row.name == name).unwrap().value
}

#[test]
fn without_sources_all_settings_have_their_defaults() {
    let loaded = from_env(&[]).unwrap();

    let mut expected = Settings::default();
    expected.models.dir = "/home/ada/.cache/halkspeech/models".into();
    expected.models.hub_cache = "/home/ada/.cache/huggingface/hub".into();
    assert_eq!(loaded.settings, expected);
    assert!(loaded.origins.is_empty());
    assert_eq!(loaded.warnings, []);
}

#[test]
fn flags_override_the_environment_and_the_environment_the_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[server]\nhost = 'file'\nport = 2\n[whisper]\nmodel = 'file'\n")
        .unwrap();
    let loaded = Settings::load(Sources {
        file: Some(file.path().to_owned()),
        env: variables(&[("WHISPER__MODEL", "env"), ("UVICORN_PORT", "3")]),
        flags: Flags {
            port: Some("4".to_owned()),
            ..Flags::default()
        },
    })
    .unwrap();

    assert_eq!(loaded.settings.server.host, "file");
    assert_eq!(loaded.settings.whisper.model, "env");
    assert_eq!(loaded.settings.server.port, 4);
    assert_eq!(loaded.settings.server.request_timeout_s, 600);
    let origin = |path| loaded.origins.get(path).cloned();
    assert_eq!(
        origin("server.host"),
        Some(SettingOrigin::File(file.path().to_owned()))
    );
    assert_eq!(
        origin("whisper.model"),
        Some(SettingOrigin::Environment("WHISPER__MODEL".to_owned()))
    );
    assert_eq!(origin("server.port"), Some(SettingOrigin::Flag("--port")));
    assert_eq!(origin("server.request_timeout_s"), None);
}

#[test]
fn every_flag_sets_its_setting() {
    let text = |text: &str| Some(text.to_owned());
    let loaded = Settings::load(Sources {
        env: variables(&[]),
        file: None,
        flags: Flags {
            model: text("tiny"),
            host: text("::1"),
            port: text("1"),
            models_dir: text("/m"),
            log_level: text("debug"),
        },
    })
    .unwrap();

    let origins: Vec<String> = loaded
        .origins
        .values()
        .map(SettingOrigin::to_string)
        .collect();
    let expected = ["--log-level", "--models-dir", "--host", "--port", "--model"];
    assert_eq!(origins.len(), expected.len());
    for (origin, flag) in origins.iter().zip(expected) {
        assert_eq!(*origin, format!("flag {flag}"));
    }
}

#[test]
fn an_error_names_all_problems() {
    let error = from_file(
        "[whisper]\nbatchsize = 3\n[server]\nport = -1",
        &[("WHISPER__BATCH_SIZE", "0")],
    );
    assert_eq!(
        error.unwrap_err(),
        "whisper.batchsize in FILE is no setting; did you mean whisper.batch_size?\n\
         WHISPER__BATCH_SIZE is \"0\", expected a whole number from 1 to 4096\n\
         server.port in FILE is -1, expected a whole number from 0 to 65535"
    );
}

#[test]
fn refuses_unknown_keys_in_a_file() {
    for (toml, expected) in [
        (
            "[wisper]",
            "wisper in FILE is no setting; did you mean [whisper]?",
        ),
        (
            "batch_size = 1",
            "batch_size in FILE is no setting; did you mean whisper.batch_size?",
        ),
        (
            "[whisper]\nport = 1",
            "whisper.port in FILE is no setting; did you mean server.port?",
        ),
        (
            "[whisper]\nxyzzy = 1",
            "whisper.xyzzy in FILE is no setting",
        ),
    ] {
        assert_eq!(from_file(toml, &[]).unwrap_err(), expected, "{toml}");
    }
}

#[test]
fn refuses_a_file_that_is_absent_or_broken() {
    let error = Settings::load(Sources {
        file: Some("/nowhere/h.toml".into()),
        env: variables(&[]),
        flags: Flags::default(),
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "cannot read the configuration file /nowhere/h.toml"
    );

    let error = from_file("[whisper\nmodel = 1", &[]).unwrap_err();
    assert!(error.starts_with("the configuration file FILE is not valid TOML: "));
    assert!(error.contains("line 1"), "{error}");
}

#[test]
fn a_syntax_error_does_not_quote_the_line() {
    for toml in [
        "[server]\napi_key = 'hunter2",
        "[server]\napi_key = \"hunter2\\q\"",
        "[whisper]\ndevice_index = [0,\n[server]\napi_key = 'hunter2'",
        "[models]\nhub_token = hunter2",
    ] {
        let error = from_file(toml, &[]).unwrap_err();
        assert!(error.contains("at line "), "{error}");
        assert!(
            !error.contains("hunter2") && !error.contains('\n'),
            "{error}"
        );
    }
}

#[test]
fn warnings_explain_the_problem() {
    let loaded = from_env(&[
        ("API_KEY", "one"),
        ("SERVER__API_KEY", "two"),
        ("WHISPER__MAX_QUEUE_SIZE", "4"),
        ("WHISPER__QUEUE_SIZE", "4"),
    ])
    .unwrap();

    let warnings = loaded.warnings.iter().map(SettingWarning::to_string);
    assert_eq!(
        warnings.collect::<Vec<_>>(),
        [
            "API_KEY in the environment is ignored: SERVER__API_KEY sets the same and takes precedence",
            "WHISPER__QUEUE_SIZE in the environment is no setting and has no effect; did you mean WHISPER__MAX_QUEUE_SIZE?",
            "whisper.max_queue_size is 4, below whisper.batch_size 8: no batch will ever be full",
        ]
    );
    assert!(loaded.settings.server.api_key.unwrap().verify("two"));
}

#[test]
fn an_empty_variable_means_unset() {
    let toml = "[whisper]\nbatch_size = 3\n[server]\napi_key = 'file'";
    let loaded = from_file(toml, &[("WHISPER__BATCH_SIZE", " "), ("API_KEY", "")]).unwrap();
    assert_eq!(loaded.settings.whisper.batch_size.get(), 3);
    assert!(loaded.settings.server.api_key.unwrap().verify("file"));
}

#[test]
fn traces_are_sent_if_a_collector_is_set() {
    let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    let traces = |more: &[(&str, &str)]| {
        let loaded = from_env(&[&[collector], more].concat()).unwrap();
        table_value(&loaded, "traces.exporter")
    };
    assert_eq!(traces(&[]), "otlp");
    assert_eq!(traces(&[("OTEL_TRACES_EXPORTER", "none")]), "none");
    assert_eq!(traces(&[("OTEL_SDK_DISABLED", "TRUE")]), "none");
    assert_eq!(traces(&[("OTEL_SDK_DISABLED", "false")]), "otlp");
    let disabled = [
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_SDK_DISABLED", "true"),
    ];
    assert_eq!(traces(&disabled), "none");
}

#[test]
fn default_folders_depend_on_the_environment() {
    for (pairs, dir, hub_cache) in [
        (
            &[("XDG_CACHE_HOME", "/x")][..],
            "/x/halkspeech/models",
            "/x/huggingface/hub",
        ),
        (
            &[("XDG_CACHE_HOME", "relative")],
            "/home/ada/.cache/halkspeech/models",
            "/home/ada/.cache/huggingface/hub",
        ),
        (
            &[
                ("XDG_CACHE_HOME", "/x"),
                ("HF_HOME", "/h"),
                ("MODELS_DIR", "/m"),
            ],
            "/m",
            "/h/hub",
        ),
        (
            &[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")],
            "/home/ada/.cache/halkspeech/models",
            "/c",
        ),
        (
            &[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/h")],
            "/home/ada/.cache/halkspeech/models",
            "/old",
        ),
        (
            &[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/c")],
            "/home/ada/.cache/halkspeech/models",
            "/c",
        ),
    ] {
        let models = from_env(pairs).unwrap().settings.models;
        assert_eq!(models.dir, Path::new(dir), "{pairs:?}");
        assert_eq!(models.hub_cache, Path::new(hub_cache), "{pairs:?}");
    }

    let toml = "[models]\ndir = '~/file'\nhub_cache = '/file'";
    let models = from_file(toml, &[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")])
        .unwrap()
        .settings
        .models;
    assert_eq!(models.dir, Path::new("/home/ada/file"));
    assert_eq!(models.hub_cache, Path::new("/h/hub"));
}

#[test]
fn without_a_home_folder_paths_must_be_absolute() {
    let load = |pairs: &[(&str, &str)]| {
        let env: Variables = variables(pairs).into_iter().skip(1).collect();
        Settings::load(Sources {
            env,
            ..Sources::default()
        })
    };
    assert!(load(&[("MODELS_DIR", "/m"), ("HF_HOME", "/h")]).is_ok());
    assert_eq!(
        load(&[("MODELS_DIR", "~/m"), ("HF_HOME", "/h")])
            .unwrap_err()
            .to_string(),
        "MODELS_DIR is \"~/m\", but no home folder is known: set HOME, or write the whole path"
    );
}

#[test]
fn aliases_come_from_a_file_or_the_environment() {
    let toml = "[models.aliases]\n'my.whisper-2' = 'org/large'";
    let loaded = from_file(toml, &[]).unwrap();
    assert_eq!(loaded.settings.models.aliases["my.whisper-2"], "org/large");
    assert_eq!(
        table_value(&loaded, "models.aliases"),
        r#"{"my.whisper-2":"org/large"}"#
    );

    for name in ["MODEL_ALIASES", "MODELS__ALIASES"] {
        let loaded = from_file(toml, &[(name, r#"{"fast": "org/small"}"#)]).unwrap();
        assert_eq!(
            table_value(&loaded, "models.aliases"),
            r#"{"fast":"org/small"}"#
        );
        assert_eq!(loaded.warnings, []);
    }
}

#[test]
fn the_table_shows_sources_and_hides_secrets() {
    let loaded = from_env(&[("API_KEY", "hunter2"), ("LOG_LEVEL", "debug")]).unwrap();
    let text = loaded.table().unwrap().to_string();

    assert!(!text.contains("hunter2"));
    assert_eq!(text.lines().count(), KEYS.len());
    let line = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        line("server.api_key"),
        "server.api_key *** environment API_KEY"
    );
    assert_eq!(line("log.level"), "log.level debug environment LOG_LEVEL");
    assert_eq!(line("models.hub_token"), "models.hub_token none default");
    assert_eq!(line("whisper.model_ttl"), "whisper.model_ttl -1 default");
    let columns: Vec<_> = text
        .lines()
        .map(|line| line.find("  default").or(line.find("  environment ")))
        .collect();
    assert!(columns.iter().all(Option::is_some));
    assert!(!format!("{loaded:?}").contains("hunter2"));
}
