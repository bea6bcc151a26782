//! Names of settings: unknown ones, those of other programs, those of their sources.

use super::*;

#[test]
fn warns_about_unknown_names() {
    for (name, suggestion) in [
        ("WHISPER__BATCHSIZE", Some("WHISPER__BATCH_SIZE")),
        ("WHISPER__QUEUE_SIZE", Some("WHISPER__MAX_QUEUE_SIZE")),
        ("WHISPER__TTL", Some("WHISPER__MODEL_TTL")),
        ("WHISPER__PORT", Some("SERVER__PORT")),
        ("WHISPER__XYZZY", None),
        ("WHISPER_BATCH_SIZE", Some("WHISPER__BATCH_SIZE")),
        ("SERVER__HOSTS", Some("SERVER__HOST")),
        ("AUDIO__FFMEG", Some("AUDIO__FFMPEG")),
        ("MODELS__DIRECTORY", Some("MODELS__DIR")),
        ("LOG__LEVL", Some("LOG__LEVEL")),
    ] {
        let loaded = from_env(&[(name, "1")]).unwrap();
        let expected = SettingWarning::UnknownName {
            name: name.to_owned(),
            suggestion: suggestion.map(str::to_owned),
        };
        assert_eq!(loaded.warnings, [expected]);
    }

    let others = [
        ("WHISPER_HOME", "1"),
        ("SERVER_PORT", "1"),
        ("OTHER__MODEL", "1"),
    ];
    assert_eq!(from_env(&others).unwrap().warnings, []);

    let loaded = from_env(&[("WHISPER__QUEUE_SIZE", "")]).unwrap();
    assert_eq!(loaded.warnings, [], "empty means unset");
}

#[test]
fn warns_about_similar_names_but_not_about_variables_of_other_programs() {
    for (name, suggestion) in [
        ("API_KEYS", "API_KEY"),
        ("APIKEY", "API_KEY"),
        ("api_keys", "API_KEY"),
        ("API_KEY_FILE", "API_KEYS_FILE"),
        ("ALLOWED_ORIGINS", "ALLOW_ORIGINS"),
        ("ALLOW_ORIGIN", "ALLOW_ORIGINS"),
        ("ALLOWED_HOST", "ALLOWED_HOSTS"),
        ("ENABLED_UI", "ENABLE_UI"),
        ("UVICORN_PROT", "UVICORN_PORT"),
        ("UVICORN__PORT", "UVICORN_PORT"),
        ("LOG_LEVLE", "LOG_LEVEL"),
        ("LOG_FORMATS", "LOG_FORMAT"),
        ("MODEL_DIR", "MODELS_DIR"),
        ("PRELOAD_MODEL", "WHISPER__PRELOAD_MODEL"),
        ("PRELOADED_MODELS", "PRELOAD_MODELS"),
        ("HF_TOKENS", "HF_TOKEN"),
        ("HF_HOMES", "HF_HOME"),
        ("HF_HUB_OFLINE", "HF_HUB_OFFLINE"),
        ("WISPER__MODEL", "WHISPER__MODEL"),
        ("SERVR__PORT", "SERVER__PORT"),
        ("AUDIOS__FFMPEG", "AUDIO__FFMPEG"),
        ("TRACE__EXPORTER", "TRACES__EXPORTER"),
        ("COMPUTE_TYPE", "WHISPER__COMPUTE_TYPE"),
        ("MODEL_TTL", "WHISPER__MODEL_TTL"),
    ] {
        let loaded = from_env(&[(name, "1")]).unwrap();
        let expected = SettingWarning::UnknownName {
            name: name.to_owned(),
            suggestion: Some(suggestion.to_owned()),
        };
        assert_eq!(loaded.warnings, [expected], "{name}");
    }
    for name in [
        "OPENAI_API_KEY",
        "SERVER_PORT",
        "SERVICE_PORT",
        "AUDIO_WORKERS",
        "ENABLE_CI",
        "MODULES_DIR",
        "NODE_DIR",
        "TTS_MODEL_TTL",
        "HF_HUB_ETAG_TIMEOUT",
        "HF_TOKEN_PATH",
        "HF_XET_CACHE",
        "HF_ASSETS_CACHE",
        "OTEL_METRICS_EXPORTER",
        "OTEL_LOGS_EXPORTER",
        "OTHER__MODEL",
        "HOME",
        "HOST",
        "MODEL",
        "PORT",
        "LOGNAME",
        "UVICORN_WORKERS",
    ] {
        assert_eq!(from_env(&[(name, "/1")]).unwrap().warnings, [], "{name}");
    }
}

#[test]
fn the_name_of_a_setting_is_that_of_its_source() {
    let toml = "[server]\nport = 1\n[models.tiny]\ncompute_type = 'int8'";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    let loaded = Settings::load(Sources {
        file: Some(file.path().to_owned()),
        env: variables(&[("models_dir", "/m"), ("WHISPER__COMPUTE_TYPE", "int8")]),
        flags: Flags {
            model: Some("tiny".to_owned()),
            ..Flags::default()
        },
    });
    let loaded = loaded.unwrap();
    let path = file.path().display();

    assert_eq!(loaded.setting_name("models.dir"), "models_dir");
    assert_eq!(loaded.setting_name("whisper.model"), "--model");
    assert_eq!(
        loaded.setting_name("server.port"),
        format!("server.port in {path}")
    );
    assert_eq!(loaded.setting_name("server.host"), "UVICORN_HOST");
    assert_eq!(loaded.setting_name("audio.workers"), "AUDIO__WORKERS");
    let compute_type = |model| loaded.model_setting_name(model, "whisper.compute_type");
    assert_eq!(compute_type("base"), "WHISPER__COMPUTE_TYPE");
    let own = format!("models.tiny.compute_type in {path}");
    assert_eq!(compute_type("tiny"), own);
}
