//! Accepted and refused values of the settings.

use proptest::prelude::*;

use super::*;

const ACCEPTED: &str = r#"
WHISPER__MODEL=org/name => whisper.model org/name
WHISPER__INFERENCE_DEVICE=CUDA => whisper.inference_device cuda
WHISPER__DEVICE_INDEX=1 => whisper.device_index [1]
WHISPER__DEVICE_INDEX=0, 1 => whisper.device_index [0,1]
WHISPER__DEVICE_INDEX=[2,3] => whisper.device_index [2,3]
WHISPER__COMPUTE_TYPE=default => whisper.compute_type default
WHISPER__COMPUTE_TYPE=auto => whisper.compute_type auto
WHISPER__COMPUTE_TYPE=int8 => whisper.compute_type int8
WHISPER__COMPUTE_TYPE=int8_float16 => whisper.compute_type int8_float16
WHISPER__COMPUTE_TYPE=int8_bfloat16 => whisper.compute_type int8_bfloat16
WHISPER__COMPUTE_TYPE=int8_float32 => whisper.compute_type int8_float32
WHISPER__COMPUTE_TYPE=int16 => whisper.compute_type int16
WHISPER__COMPUTE_TYPE=float16 => whisper.compute_type float16
WHISPER__COMPUTE_TYPE=bfloat16 => whisper.compute_type bfloat16
WHISPER__COMPUTE_TYPE=float32 => whisper.compute_type float32
WHISPER__CPU_THREADS=8 => whisper.cpu_threads 8
WHISPER__NUM_WORKERS=2 => whisper.num_workers 2
WHISPER__USE_BATCHED_MODE=no => whisper.use_batched_mode false
WHISPER__BATCH_SIZE= 512  => whisper.batch_size 512
WHISPER__BATCH_WINDOW_MS=0 => whisper.batch_window_ms 0
WHISPER__VRAM_LIMIT_GB=40 => whisper.vram_limit_gb 40
WHISPER__PRELOAD_MODEL=Off => whisper.preload_model false
WHISPER__AUTO_DOWNLOAD=1 => whisper.auto_download true
WHISPER__MAX_QUEUE_SIZE=1000 => whisper.max_queue_size 1000
WHISPER__MAX_CONCURRENT_REQUESTS=1 => whisper.max_concurrent_requests 1
WHISPER__MODEL_TTL=-1 => whisper.model_ttl -1
WHISPER__MODEL_TTL=0 => whisper.model_ttl 0
STT_MODEL_TTL=300 => whisper.model_ttl 300
WHISPER__MAX_LOADED_MODELS=0 => whisper.max_loaded_models 0
WHISPER__MAX_LOADED_MODELS=1000 => whisper.max_loaded_models 1000
WHISPER__MAX_LOADED_MIB=0 => whisper.max_loaded_mib 0
WHISPER__MAX_LOADED_MIB=10000000 => whisper.max_loaded_mib 10000000
WHISPER__BEAM_SIZE=5 => whisper.beam_size 5
UVICORN_HOST=:: => server.host ::
UVICORN_PORT=0 => server.port 0
SERVER__PORT=65535 => server.port 65535
API_KEY=hunter2 => server.api_key ***
API_KEYS_FILE=/run/secrets/keys => server.api_keys_file /run/secrets/keys
SERVER__SECRET=hunter2 => server.secret ***
LIVE__MAX_SESSIONS=0 => live.max_sessions 0
WYOMING__HOST=0.0.0.0 => wyoming.host 0.0.0.0
WYOMING__PORT=10300 => wyoming.port 10300
WYOMING__ALLOW_UNAUTHENTICATED=yes => wyoming.allow_unauthenticated true
SERVER__READ_TIMEOUT_S=1 => server.read_timeout_s 1
SERVER__MAX_CONNECTIONS=1000000 => server.max_connections 1000000
SERVER__RATE_LIMIT_PER_MINUTE=60 => server.rate_limit_per_minute 60
SERVER__AUDIO_LIMIT_PER_MINUTE_S=600 => server.audio_limit_per_minute_s 600
SERVER__CONCURRENT_LIMIT=4 => server.concurrent_limit 4
ALLOW_ORIGINS=["*"] => server.allow_origins ["*"]
ALLOW_ORIGINS=http://a, null => server.allow_origins ["http://a","null"]
ALLOW_ORIGINS=[] => server.allow_origins []
ALLOWED_HOSTS=["*"] => server.allowed_hosts ["*"]
ALLOWED_HOSTS=a.example, b => server.allowed_hosts ["a.example","b"]
ENABLE_UI=0 => server.enable_ui false
SERVER__MAX_UPLOAD_MIB=25 => server.max_upload_mib 25
SERVER__UPLOAD_MEMORY_MIB=0 => server.upload_memory_mib 0
SERVER__REQUEST_TIMEOUT_S=1 => server.request_timeout_s 1
SERVER__SHUTDOWN_TIMEOUT_S=0 => server.shutdown_timeout_s 0
SERVER__REJECT_UNKNOWN_FIELDS=YES => server.reject_unknown_fields true
AUDIO__FFMPEG=off => audio.ffmpeg off
AUDIO__FFMPEG_TIMEOUT_S=5 => audio.ffmpeg_timeout_s 5
AUDIO__MAX_DURATION_S=30 => audio.max_duration_s 30
AUDIO__MAX_DECODED_MIB=512 => audio.max_decoded_mib 512
AUDIO__WORKERS=3 => audio.workers 3
MODELS_DIR=~/m => models.dir /home/ada/m
MODELS_DIR=~ => models.dir /home/ada/
MODELS_DIR=~bob/m => models.dir ~bob/m
PRELOAD_MODELS=["a", "b"] => models.preload ["a","b"]
PRELOAD_MODELS=a,b => models.preload ["a","b"]
MODEL_ALIASES={"fast": "tiny.en", "b.c": "o/n"} => models.aliases {"b.c":"o/n","fast":"tiny.en"}
SERVER__REQUIRE_MODEL=on => server.require_model true
HF_HUB_CACHE=/c => models.hub_cache /c
HUGGINGFACE_HUB_CACHE=~/c => models.hub_cache /home/ada/c
HF_HOME=~/hf => models.hub_cache /home/ada/hf/hub
HF_TOKEN=hf_x => models.hub_token ***
HF_ENDPOINT=https://mirror/ => models.hub_endpoint https://mirror
HF_HUB_OFFLINE=1 => models.hub_offline true
MODELS__HUB_TIMEOUT_S=1 => models.hub_timeout_s 1
HF_HUB_DOWNLOAD_TIMEOUT=3600 => models.hub_timeout_s 3600
WHISPER__VAD_FILTER=off => whisper.vad_filter false
WHISPER__LENGTH_AWARE=off => whisper.length_aware false
WHISPER__LENGTH_MARGIN_S=30 => whisper.length_margin_s 30
WHISPER__LENGTH_STEP_S=30 => whisper.length_step_s 30
LOG_LEVEL=WARNING => log.level warning
LOG_LEVEL=warn => log.level warning
LOG_LEVEL=Trace => log.level trace
LOG_FORMAT=json => log.format json
OTEL_TRACES_EXPORTER=OTLP => traces.exporter otlp
TRACES__EXPORTER=none => traces.exporter none
OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 => traces.exporter otlp
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://collector/v1/traces => traces.exporter otlp
whisper__model=any case => whisper.model any case
"#;

const REFUSED: &str = r#"
WHISPER__INFERENCE_DEVICE=gpu => auto, cpu or cuda
WHISPER__DEVICE_INDEX=a => a number from 0 to 1023, or a list of them such as [0, 1]
WHISPER__DEVICE_INDEX=[] => a number from 0 to 1023, or a list of them such as [0, 1]
WHISPER__DEVICE_INDEX=0,-1 => a number from 0 to 1023, or a list of them such as [0, 1]
WHISPER__CPU_THREADS=-1 => a whole number from 0 to 1024
WHISPER__NUM_WORKERS=257 => a whole number from 0 to 256
WHISPER__USE_BATCHED_MODE=2 => true, false, 1, 0, yes, no, on or off
WHISPER__BATCH_SIZE=0 => a whole number from 1 to 4096
WHISPER__BATCH_SIZE=sixteen => a whole number from 1 to 4096
WHISPER__BATCH_SIZE=1.5 => a whole number from 1 to 4096
WHISPER__BATCH_SIZE=99999999999999999999 => a whole number from 1 to 4096
WHISPER__BATCH_WINDOW_MS=10001 => a whole number from 0 to 10000
WHISPER__VRAM_LIMIT_GB=10001 => a whole number from 0 to 10000
WHISPER__PRELOAD_MODEL=maybe => true, false, 1, 0, yes, no, on or off
WHISPER__AUTO_DOWNLOAD=always => true, false, 1, 0, yes, no, on or off
WHISPER__MAX_QUEUE_SIZE=0 => a whole number from 1 to 1000000
WHISPER__MAX_CONCURRENT_REQUESTS=0 => a whole number from 1 to 1000000
WHISPER__MODEL_TTL=-2 => a whole number from -1 to 31536000
STT_MODEL_TTL=never => a whole number from -1 to 31536000
WHISPER__MAX_LOADED_MODELS=-1 => a whole number from 0 to 1000
WHISPER__MAX_LOADED_MODELS=1001 => a whole number from 0 to 1000
WHISPER__MAX_LOADED_MIB=10000001 => a whole number from 0 to 10000000
WHISPER__MAX_LOADED_MIB=4GiB => a whole number from 0 to 10000000
WHISPER__VAD_FILTER=sometimes => true, false, 1, 0, yes, no, on or off
WHISPER__BEAM_SIZE=33 => a whole number from 1 to 32
WHISPER__LENGTH_AWARE=maybe => true, false, 1, 0, yes, no, on or off
WHISPER__LENGTH_MARGIN_S=0 => a whole number from 1 to 30
WHISPER__LENGTH_STEP_S=0 => a whole number from 1 to 30
SERVER__READ_TIMEOUT_S=0 => a whole number from 1 to 3600
SERVER__MAX_CONNECTIONS=0 => a whole number from 1 to 1000000
SERVER__RATE_LIMIT_PER_MINUTE=-1 => a whole number from 0 to 1000000
SERVER__AUDIO_LIMIT_PER_MINUTE_S=1.5 => a whole number from 0 to 1000000
SERVER__CONCURRENT_LIMIT=-1 => a whole number from 0 to 1000000
UVICORN_HOST=a b => a text without spaces
UVICORN_PORT=65536 => a whole number from 0 to 65535
ALLOWED_HOSTS=a.example:80 => a list of host names such as ["stt.example"], without a port, or ["*"]
ALLOWED_HOSTS=http://a.example => a list of host names such as ["stt.example"], without a port, or ["*"]
ALLOWED_HOSTS=["a/"] => a list of host names such as ["stt.example"], without a port, or ["*"]
ALLOWED_HOSTS=*.example => a list of host names such as ["stt.example"], without a port, or ["*"]
ENABLE_UI=enabled => true, false, 1, 0, yes, no, on or off
SERVER__MAX_UPLOAD_MIB=0 => a whole number from 1 to 65536
SERVER__UPLOAD_MEMORY_MIB=65537 => a whole number from 0 to 65536
SERVER__REQUEST_TIMEOUT_S=0 => a whole number from 1 to 86400
SERVER__SHUTDOWN_TIMEOUT_S=3601 => a whole number from 0 to 3600
SERVER__REJECT_UNKNOWN_FIELDS=y => true, false, 1, 0, yes, no, on or off
AUDIO__FFMPEG=on => auto or off
AUDIO__FFMPEG_TIMEOUT_S=0 => a whole number from 1 to 3600
AUDIO__MAX_DECODED_MIB=16777217 => a whole number from 0 to 16777216
AUDIO__MAX_DURATION_S=604801 => a whole number from 1 to 604800
AUDIO__WORKERS=1025 => a whole number from 0 to 1024
LIVE__MAX_SESSIONS=1000001 => a whole number from 0 to 1000000
WYOMING__HOST=a b => a text without spaces
WYOMING__PORT=65536 => a whole number from 0 to 65535
WYOMING__ALLOW_UNAUTHENTICATED=maybe => true, false, 1, 0, yes, no, on or off
PRELOAD_MODELS=["a", 1] => a list of texts such as ["one", "two"]
MODEL_ALIASES=fast => a table of texts, or a JSON object such as {"name": "model"}
MODEL_ALIASES={"fast": 1} => a table of texts, or a JSON object such as {"name": "model"}
MODEL_ALIASES=["fast"] => a table of texts, or a JSON object such as {"name": "model"}
SERVER__REQUIRE_MODEL=maybe => true, false, 1, 0, yes, no, on or off
PRELOAD_MODELS=a,,b => a list of texts such as ["one", "two"]
HF_ENDPOINT=huggingface.co => an address that starts with http:// or https://
HF_HUB_OFFLINE=tru => true, false, 1, 0, yes, no, on or off
HF_HUB_DOWNLOAD_TIMEOUT=0 => a whole number from 1 to 3600
MODELS__HUB_TIMEOUT_S=3601 => a whole number from 1 to 3600
LOG_LEVEL=loud => trace, debug, info, warn, warning, error or critical
LOG_FORMAT=xml => text or json
OTEL_TRACES_EXPORTER=zipkin => none or otlp
"#;

const REFUSED_IN_A_FILE: &str = r#"
server.port = 70000 => server.port in FILE is 70000, expected a whole number from 0 to 65535
server.port = 1.5 => server.port in FILE is 1.5, expected a whole number from 0 to 65535
server.host = '' => server.host in FILE is "", expected a text without spaces
server.host = 1 => server.host in FILE is 1, expected a text without spaces
server.api_key = 12 => server.api_key in FILE is ***, expected a text
server.enable_ui = 2 => server.enable_ui in FILE is 2, expected true, false, 1, 0, yes, no, on or off
whisper.model = ' ' => whisper.model in FILE is " ", expected a text that is not empty
whisper.model = [1] => whisper.model in FILE is [1], expected a text that is not empty
models.dir = '' => models.dir in FILE is "", expected the path of a folder
models.aliases.a = 1 => models.aliases in FILE is {"a":1}, expected a table of texts, or a JSON object such as {"name": "model"}
log = 1 => log in FILE is not a table, expected a table [log]
"#;

/// The lines of a table: input and expected result.
fn lines(table: &str) -> impl Iterator<Item = (&str, &str)> {
    table.lines().filter_map(|line| line.split_once(" => "))
}

#[test]
fn accepts_every_allowed_value() {
    for (input, expected) in lines(ACCEPTED) {
        let (name, value) = input.split_once('=').unwrap();
        let (path, expected) = expected.split_once(' ').unwrap();
        let loaded = from_env(&[(name, value)]).unwrap();
        assert_eq!(table_value(&loaded, path), expected, "{input}");
        let origin = SettingOrigin::Environment(name.to_owned());
        assert_eq!(loaded.origins[path], origin, "{input}");
        assert_eq!(loaded.warnings, [], "{input}");
    }
}

/// The table of keys and the types of the settings have the same words.
#[test]
fn accepts_every_word_of_a_choice() {
    for key in KEYS {
        let ValueKind::Choice(words) = key.kind else {
            continue;
        };
        let name = key.environment_names().next().unwrap();
        for word in words {
            let loaded = from_env(&[(name.as_str(), *word)]);
            assert!(loaded.is_ok(), "{name}={word}: {:?}", loaded.err());
        }
    }
}

#[test]
fn the_tables_contain_every_setting() {
    let is_map = |key: &&SettingKey| matches!(key.kind, ValueKind::TextMap);
    for key in KEYS.iter().filter(|key| !is_map(key)) {
        let is_set = |(input, _): (&str, &str)| {
            let (name, _) = input.split_once('=').unwrap();
            key.environment_names().any(|known| known == name)
        };
        let accepts_any = matches!(
            key.kind,
            ValueKind::Text | ValueKind::Folder | ValueKind::File | ValueKind::SecretText
        );
        assert!(lines(ACCEPTED).any(is_set), "{}", key.path);
        let is_refused = lines(REFUSED).any(is_set) || accepts_any;
        let has_own_test =
            matches!(key.kind, ValueKind::WebOrigins) || key.path == "whisper.compute_type";
        assert!(is_refused || has_own_test, "{}", key.path);
    }
}

#[test]
fn refuses_every_invalid_value() {
    for (input, expected) in lines(REFUSED) {
        let (name, value) = input.split_once('=').unwrap();
        let error = from_env(&[(name, value)]).unwrap_err().to_string();
        assert_eq!(error, format!("{name} is {value:?}, expected {expected}"));
    }
}

#[test]
fn refuses_an_unknown_number_format() {
    assert_eq!(
        from_env(&[("WHISPER__COMPUTE_TYPE", "int4")])
            .unwrap_err()
            .to_string(),
        "WHISPER__COMPUTE_TYPE is \"int4\", expected default, auto, int8, int8_float16, \
         int8_bfloat16, int8_float32, int16, float16, bfloat16 or float32"
    );
}

#[test]
fn refuses_web_origins_that_would_never_match() {
    for value in [
        "https://a/",
        "a.example",
        r#"["https://a/b"]"#,
        r#"["*""#,
        "https:// a",
    ] {
        let error = from_env(&[("ALLOW_ORIGINS", value)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "ALLOW_ORIGINS is {value:?}, expected a list of web origins \
                 such as [\"https://app.example:8443\"], without a path, or [\"*\"]"
            )
        );
    }
}

#[test]
fn an_error_about_a_file_names_the_key() {
    for (toml, expected) in lines(REFUSED_IN_A_FILE) {
        assert_eq!(from_file(toml, &[]).unwrap_err(), expected, "{toml}");
    }
}

#[test]
fn an_error_about_a_flag_names_the_flag() {
    let error = Settings::load(Sources {
        env: variables(&[("UVICORN_PORT", "1")]),
        file: None,
        flags: Flags {
            port: Some("x".to_owned()),
            ..Flags::default()
        },
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "--port is \"x\", expected a whole number from 0 to 65535"
    );
}

#[test]
fn booleans_have_eight_spellings() {
    for (values, expected) in [
        (["true", "1", "yes", "ON"], true),
        (["false", "0", "No", "off"], false),
    ] {
        for value in values {
            let settings = from_env(&[("ENABLE_UI", value)]).unwrap().settings;
            assert_eq!(settings.server.enable_ui, expected, "{value}");
        }
    }
}

#[test]
fn a_single_value_in_a_file_is_a_list_of_one() {
    let toml = "whisper.device_index = 2\nmodels.preload = 'a'\nserver.allow_origins = ''";
    let settings = from_file(toml, &[]).unwrap().settings;
    assert_eq!(settings.whisper.device_index, [2]);
    assert_eq!(settings.models.preload, ["a"]);
    assert!(settings.server.allow_origins.is_empty());
}

proptest! {
    #[test]
    fn any_text_is_accepted_or_an_error_names_the_setting(index in 0..KEYS.len(), value in ".{0,20}") {
        let Some(name) = KEYS[index].environment_names().last() else {
            return Ok(());
        };
        match from_env(&[(&name, &value)]) {
            Ok(loaded) => prop_assert!(loaded.table().is_ok()),
            Err(ConfigError::Problems(problems)) => {
                prop_assert_eq!(problems.len(), 1);
                prop_assert!(problems[0].to_string().starts_with(&name));
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn a_number_is_accepted_only_in_its_range(number: i64) {
        let value = number.to_string();
        let loaded = from_env(&[("WHISPER__BEAM_SIZE", &value)]);
        prop_assert_eq!(loaded.is_ok(), (1..=32).contains(&number));
    }
}
