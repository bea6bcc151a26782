//! Warnings about settings that do not suit this machine, for the log at the start and for
//! `halkspeech doctor`. Each is a sentence that names the setting as the user wrote it.

use std::ffi::OsString;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use crate::config::LoadedSettings;
use crate::models::files::{WEIGHTS, required_in_words};
use crate::models::{Aliases, Catalog, ModelLookup};

/// Prefix of the folder names in a Hugging Face cache.
const REPOSITORY_PREFIX: &str = "models--";

/// Logs all warnings.
pub fn log(loaded: &LoadedSettings, aliases: &Aliases, catalog: &Catalog) {
    let warnings = [
        open_port_warning(loaded),
        models_dir_warning(loaded, catalog),
        default_model_warning(loaded, aliases, catalog),
    ];
    for warning in warnings.into_iter().flatten() {
        tracing::warn!("{warning}");
    }
    let default = aliases.default_model(catalog);
    if !loaded.is_set("whisper.model") && catalog.has(&default) {
        tracing::info!(model.id = %default, "default model");
    }
}

/// Warns if the server listens on every interface and requires no key.
pub fn open_port_warning(loaded: &LoadedSettings) -> Option<String> {
    let server = &loaded.settings.server;
    let address: IpAddr = server.host.parse().ok()?;
    let is_open = address.is_unspecified() && !server.has_key();
    is_open.then(|| {
        format!(
            "{} is {}, every interface of this machine, and there is no key: every caller that \
             reaches port {} may use the server; set API_KEY, or listen on 127.0.0.1 alone",
            loaded.setting_name("server.host"),
            server.host,
            server.port
        )
    })
}

/// Warns if the configured folder of models cannot be read or contains no models.
pub fn models_dir_warning(loaded: &LoadedSettings, catalog: &Catalog) -> Option<String> {
    if !loaded.is_set("models.dir") {
        return None;
    }
    let folder = &loaded.settings.models.dir;
    let problem = match fs::read_dir(folder) {
        Err(error) => format!("cannot be read ({error}): name a folder of models"),
        Ok(_) if folder.join(WEIGHTS).exists() => format!(
            "holds the files of one model: name the folder above it, {}",
            folder.parent().unwrap_or(Path::new("/")).display()
        ),
        Ok(mut entries) => {
            let in_folder = |model: &Path| model.starts_with(folder);
            if catalog.list().iter().any(|model| in_folder(&model.dir)) {
                return None;
            }
            let is_repository = |name: OsString| {
                let name = name.as_encoded_bytes();
                name.starts_with(REPOSITORY_PREFIX.as_bytes())
            };
            let is_cache =
                entries.any(|entry| entry.is_ok_and(|entry| is_repository(entry.file_name())));
            if is_cache {
                "is a Hugging Face cache: name it in HF_HUB_CACHE instead".to_owned()
            } else {
                let files = required_in_words();
                format!("holds no model: a model is a folder in it, with {files}")
            }
        }
    };
    let name = loaded.setting_name("models.dir");
    Some(format!("{name} is {}, which {problem}", folder.display()))
}

/// Warns if the default model is not on disk.
pub fn default_model_warning(
    loaded: &LoadedSettings,
    aliases: &Aliases,
    catalog: &Catalog,
) -> Option<String> {
    let id = aliases.default_model(catalog);
    if catalog.has(&id) {
        return None;
    }
    let missing = missing_model_message("default model", loaded, catalog);
    let consequence = if loaded.settings.whisper.auto_download {
        "the first request for it waits for its download".to_owned()
    } else {
        let name = &loaded.settings.whisper.model;
        format!("until then requests for it get 404; POST /v1/models/{name} downloads it as well")
    };
    Some(format!("{missing}; {consequence}"))
}

/// Says that the configured model is not on disk and how to download it; `role` is the noun for it, such
/// as "default model".
pub fn missing_model_message(role: &str, loaded: &LoadedSettings, catalog: &Catalog) -> String {
    let models = catalog.list();
    let ids: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
    let present = if ids.is_empty() {
        "no model".to_owned()
    } else {
        ids.join(", ")
    };
    let settings = &loaded.settings;
    format!(
        "the {role} {model} ({}) is not on disk: `halkspeech models pull {model}` downloads \
         it; {} ({}) and {} ({}) hold {present}",
        loaded.setting_name("whisper.model"),
        loaded.setting_name("models.dir"),
        settings.models.dir.display(),
        loaded.setting_name("models.hub_cache"),
        settings.models.hub_cache.display(),
        model = settings.whisper.model,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::services;
    use crate::config::{Settings, Sources};
    use crate::models::Store;
    use crate::models::test_files::{Fixture, lay_out};

    /// Loads the settings from these variables and the models in their folders.
    fn load(folder: &Path, variables: &[(&str, &str)]) -> (LoadedSettings, Aliases, Catalog) {
        let folder = folder.to_str().unwrap().to_owned();
        let variable = |name: &str, value: &str| (name.to_owned(), value.replace('~', &folder));
        let variables = variables.iter().map(|(name, value)| variable(name, value));
        let hub = [variable("HOME", "~"), variable("HF_HUB_CACHE", "~/hub")];
        let loaded = Settings::load(Sources {
            env: hub.into_iter().chain(variables).collect::<Vec<_>>(),
            ..Sources::default()
        });
        let loaded = loaded.unwrap();
        let models = &loaded.settings.models;
        let catalog = Catalog::open(Store::new(models.dir.clone(), models.hub_cache.clone()));
        let aliases = services::aliases(&loaded).unwrap();
        (loaded, aliases, catalog)
    }

    #[track_caller]
    fn check_folder(folder: &Path, models_dir: &str, expected: Option<&str>) {
        let (loaded, _, catalog) = load(folder, &[("MODELS_DIR", models_dir)]);
        let warning = models_dir_warning(&loaded, &catalog);
        match expected {
            None => assert_eq!(warning, None),
            Some(expected) => {
                let warning = warning.unwrap();
                assert!(warning.starts_with("MODELS_DIR is /"), "{warning}");
                assert!(warning.contains(expected), "{warning}");
            }
        }
    }

    #[test]
    fn warns_about_a_wrong_models_folder() {
        let root = tempfile::tempdir().unwrap();
        lay_out(&root.path().join("models/base"), &Fixture::default());
        fs::create_dir_all(root.path().join("hub/models--o--n/snapshots")).unwrap();
        fs::create_dir(root.path().join("empty")).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let above = format!("the folder above it, {}/models", root.path().display());
        for (models_dir, expected) in [
            ("~/models", None),
            ("~/models/base", Some(above.as_str())),
            ("~/gone", Some("cannot be read (No such file")),
            ("~/file", Some("cannot be read (Not a directory")),
            ("~/hub", Some("name it in HF_HUB_CACHE")),
            (
                "~/empty",
                Some(
                    "holds no model: a model is a folder in it, with model.bin, config.json, \
                     tokenizer.json and vocabulary.json or vocabulary.txt",
                ),
            ),
        ] {
            check_folder(root.path(), models_dir, expected);
        }
        let (loaded, _, catalog) = load(root.path(), &[]);
        assert_eq!(
            models_dir_warning(&loaded, &catalog),
            None,
            "it is the default folder"
        );
    }

    #[test]
    fn warns_about_a_missing_default_model_and_says_how_to_get_it() {
        let root = tempfile::tempdir().unwrap();
        lay_out(&root.path().join("models/small"), &Fixture::default());
        let warning = |variables: &[(&str, &str)]| {
            let (loaded, aliases, catalog) = load(root.path(), variables);
            default_model_warning(&loaded, &aliases, &catalog)
        };
        let models = ("MODELS_DIR", "~/models");
        assert_eq!(warning(&[models]), None, "the only model is the default");
        assert_eq!(warning(&[models, ("WHISPER__MODEL", "small")]), None);

        let text = warning(&[models, ("WHISPER__MODEL", "base")]).unwrap();
        for expected in [
            "base (WHISPER__MODEL) is not on disk",
            "`halkspeech models pull base`",
            "MODELS_DIR (/",
            "hold small",
            "get 404; POST /v1/models/base",
        ] {
            assert!(text.contains(expected), "{text}");
        }
        let download = ("WHISPER__AUTO_DOWNLOAD", "true");
        let text = warning(&[("MODELS_DIR", "~/gone"), download]).unwrap();
        assert!(text.contains("hold no model; the first request"), "{text}");
    }

    #[test]
    fn warns_about_an_open_port_without_a_key() {
        let root = tempfile::tempdir().unwrap();
        let warning =
            |variables: &[(&str, &str)]| open_port_warning(&load(root.path(), variables).0);
        let text = warning(&[("UVICORN_HOST", "::"), ("UVICORN_PORT", "9000")]).unwrap();
        assert!(text.starts_with("UVICORN_HOST is ::"), "{text}");
        assert!(text.contains("port 9000"), "{text}");
        let text = warning(&[]).unwrap();
        assert!(text.starts_with("UVICORN_HOST is 0.0.0.0"), "{text}");
        for closed in [
            ("UVICORN_HOST", "127.0.0.1"),
            ("UVICORN_HOST", "localhost"),
            ("API_KEY", "secret"),
            ("API_KEYS_FILE", "/keys"),
        ] {
            assert_eq!(warning(&[closed]), None, "{closed:?}");
        }
    }
}
