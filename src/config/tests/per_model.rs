//! Settings of single models in a file.

use super::*;
use halkspeech_whisper::engine::ComputeType;

const EVERY_KEY: &str = r#"
[models."owner/name"]
inference_device = "CUDA"
device_index = 1
compute_type = "int8_float16"
cpu_threads = 2
num_workers = 3
use_batched_mode = "no"
batch_size = 4
batch_window_ms = 5
vram_limit_gb = 9
max_queue_size = 6
model_ttl = 7
beam_size = 8
vad_filter = false
length_aware = false
length_margin_s = 2
length_step_s = 1
"#;

#[test]
fn reads_every_setting_of_one_model() {
    let loaded = from_file(EVERY_KEY, &[]).unwrap();

    let number = |number| std::num::NonZeroUsize::new(number);
    let own = ModelSettings {
        inference_device: Some(DeviceChoice::Cuda),
        device_index: Some(vec![1]),
        compute_type: Some(ComputeType::Int8Float16),
        cpu_threads: Some(2),
        num_workers: Some(3),
        use_batched_mode: Some(false),
        batch_size: number(4),
        batch_window_ms: Some(5),
        vram_limit_gb: Some(9),
        max_queue_size: number(6),
        model_ttl: Some(ModelTtl::from(7)),
        beam_size: number(8),
        vad_filter: Some(false),
        length_aware: Some(false),
        length_margin_s: Some(2),
        length_step_s: Some(1),
    };
    let expected = BTreeMap::from([("owner/name".to_owned(), own.clone())]);
    assert_eq!(loaded.settings.per_model, expected);

    // None of these is the default, and nothing else is changed.
    let whisper = loaded.settings.whisper_for("owner/name");
    let changed = Value::serialize(whisper.as_ref()).unwrap();
    let unchanged = Value::serialize(Whisper::default()).unwrap();
    let own = Value::serialize(own).unwrap();
    for (name, value) in changed.as_dict().unwrap() {
        match own.find_ref(name) {
            Some(own) => {
                assert_eq!(value, own, "{name}");
                assert_ne!(Some(value), unchanged.find_ref(name), "{name}");
            }
            None => assert_eq!(Some(value), unchanged.find_ref(name), "{name}"),
        }
    }
}

#[test]
fn settings_of_one_model_override_those_of_all_models() {
    let toml = "[whisper]\nbatch_size = 2\nbeam_size = 2\nnum_workers = 2\n\
                [models.tiny]\nbatch_size = 3\n\
                [models.'tiny@v1']\nbeam_size = 3";
    let pairs = [("WHISPER__BATCH_SIZE", "4"), ("WHISPER__BEAM_SIZE", "4")];
    let settings = from_file(toml, &pairs).unwrap().settings;

    for (model, batch_size, beam_size) in [
        ("tiny", 3, 4),
        ("tiny@v1", 4, 3),
        ("Tiny", 4, 4),
        ("base", 4, 4),
    ] {
        let whisper = settings.whisper_for(model);
        assert_eq!(whisper.batch_size.get(), batch_size, "{model}");
        assert_eq!(whisper.beam_size.get(), beam_size, "{model}");
        assert_eq!(whisper.num_workers, 2, "{model}");
    }
    assert_eq!(settings.whisper.batch_size.get(), 4);
}

#[test]
fn a_table_named_like_a_setting_is_that_setting() {
    let toml = "[models.aliases]\nmine = 'tiny'\n[models.tiny]\n[models]\ndir = '/m'";
    let settings = from_file(toml, &[]).unwrap().settings;
    assert_eq!(settings.models.aliases["mine"], "tiny");
    assert_eq!(settings.models.dir, Path::new("/m"));
    assert!(settings.per_model.is_empty(), "an empty table sets nothing");

    assert_eq!(
        from_file("[models.preload]\nbatch_size = 3", &[]).unwrap_err(),
        "models.preload in FILE is {\"batch_size\":3}, \
         expected a list of texts such as [\"one\", \"two\"]"
    );
}

#[test]
fn refuses_settings_that_cannot_be_set_for_one_model() {
    for (toml, expected) in [
        (
            "[models.'owner/name']\nbach_size = 1",
            "models.\"owner/name\".bach_size in FILE is no setting; \
             did you mean models.\"owner/name\".batch_size?",
        ),
        (
            "[models.'whisper-v1.5']\nttl = 1",
            "models.\"whisper-v1.5\".ttl in FILE is no setting; \
             did you mean models.\"whisper-v1.5\".model_ttl?",
        ),
        (
            "[models.base]\npreload_model = true",
            "models.base.preload_model in FILE is no setting; did you mean whisper.preload_model?",
        ),
        (
            "[models.base]\nhub_tokn = 'x'",
            "models.base.hub_tokn in FILE is no setting; did you mean models.hub_token?",
        ),
        (
            "[models.base]\nxyzzy = 1",
            "models.base.xyzzy in FILE is no setting",
        ),
        (
            "[models.alias]\nmine = 'tiny'",
            "models.alias.mine in FILE is no setting; did you mean [models.aliases]?",
        ),
        ("[models]\nbase = 1", "models.base in FILE is no setting"),
        (
            "[models]\nhub_tokn = 'x'",
            "models.hub_tokn in FILE is no setting; did you mean models.hub_token?",
        ),
        (
            "[models.tiny.en]\nbatch_size = 1",
            "models.tiny.en in FILE is no setting; did you mean [models.\"tiny.en\"]?",
        ),
        (
            "[whisper.base]\nbatch_size = 1",
            "whisper.base in FILE is no setting",
        ),
        (
            "[models.'']\nbatch_size = 1",
            "models.\"\" in FILE is a table without a name, \
             expected the name of a model, as in [models.\"owner/name\"]",
        ),
    ] {
        assert_eq!(from_file(toml, &[]).unwrap_err(), expected, "{toml}");
    }
}

#[test]
fn refuses_the_same_values_as_for_all_models() {
    let toml = "[whisper]\nbatch_size = 0\n\
                [models.base]\nbatch_size = 0\ncompute_type = 'int8'\n\
                [models.'owner/name']\nvad_filter = 'sometimes'\nmodel_ttl = [1]";
    assert_eq!(
        from_file(toml, &[]).unwrap_err(),
        "whisper.batch_size in FILE is 0, expected a whole number from 1 to 4096\n\
         models.base.batch_size in FILE is 0, expected a whole number from 1 to 4096\n\
         models.\"owner/name\".model_ttl in FILE is [1], \
         expected a whole number from -1 to 31536000\n\
         models.\"owner/name\".vad_filter in FILE is \"sometimes\", \
         expected true, false, 1, 0, yes, no, on or off"
    );
}

#[test]
fn the_table_shows_settings_of_one_model_last() {
    let toml = "[models.'owner/name']\nvad_filter = false\ncompute_type = 'INT8'\n\
                [models.base]\ndevice_index = [1, 2]";
    let loaded = from_file(toml, &[("WHISPER__COMPUTE_TYPE", "float32")]).unwrap();

    let rows = loaded.table().unwrap().rows;
    let (general, per_model) = rows.split_at(KEYS.len());
    assert!(
        general
            .iter()
            .all(|row| SettingKey::at(&row.name).is_some())
    );
    let per_model: Vec<(&str, &str)> = (per_model.iter())
        .map(|row| (row.name.as_str(), row.value.as_str()))
        .collect();
    let expected = [
        ("models.base.device_index", "[1,2]"),
        ("models.\"owner/name\".compute_type", "int8"),
        ("models.\"owner/name\".vad_filter", "false"),
    ];
    assert_eq!(per_model, expected);
    for row in &rows[KEYS.len()..] {
        assert!(matches!(row.origin, SettingOrigin::File(_)), "{row:?}");
    }
}

#[test]
fn a_warning_about_a_short_queue_names_the_settings_in_effect() {
    let warnings = |toml: &str| -> Vec<String> {
        let warnings = from_file(toml, &[]).unwrap().warnings;
        warnings.iter().map(SettingWarning::to_string).collect()
    };
    for (toml, expected) in [
        (
            "[models.base]\nmax_queue_size = 4",
            "models.base.max_queue_size is 4, below whisper.batch_size 8",
        ),
        (
            "[models.base]\nbatch_size = 4096",
            "whisper.max_queue_size is 2048, below models.base.batch_size 4096",
        ),
        (
            "[whisper]\nmax_queue_size = 4\n[models.base]\nbeam_size = 1",
            "whisper.max_queue_size is 4, below whisper.batch_size 8",
        ),
    ] {
        let expected = format!("{expected}: no batch will ever be full");
        assert_eq!(warnings(toml), [expected], "{toml}");
    }
    let toml = "[whisper]\nbatch_size = 4096\nmax_queue_size = 4096\n[models.base]\nbatch_size = 1";
    assert!(warnings(toml).is_empty());
}
