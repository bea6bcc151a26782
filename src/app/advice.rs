//! What an operator should know of these settings on this machine: for the log of the start, and for
//! `halkspeech doctor`. Each piece of advice is a sentence that names the setting as it was written.

use std::ffi::OsString;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use crate::config::Loaded;
use crate::models::{Aliases, Catalog, ModelLookup};

/// What the names of folders begin with in a Hugging Face cache.
const REPOSITORY: &str = "models--";
/// The file without which a folder holds no model.
const WEIGHTS: &str = "model.bin";

/// Logs all of it as warnings.
pub fn log(loaded: &Loaded, aliases: &Aliases, catalog: &Catalog) {
    let advice = [
        of_open_port(loaded),
        of_models_dir(loaded, catalog),
        of_default_model(loaded, aliases, catalog),
    ];
    for sentence in advice.into_iter().flatten() {
        tracing::warn!("{sentence}");
    }
    let default = aliases.default_model(catalog);
    if !loaded.is_set("whisper.model") && catalog.has(&default) {
        tracing::info!(model.id = %default, "default model");
    }
}

/// Every caller is let in, from wherever the port can be reached.
pub fn of_open_port(loaded: &Loaded) -> Option<String> {
    let server = &loaded.settings.server;
    let address: IpAddr = server.host.parse().ok()?;
    let is_open = address.is_unspecified() && !server.has_key();
    is_open.then(|| {
        format!(
            "{} is {}, every interface of this machine, and there is no key: every caller that \
             reaches port {} may use the server; set API_KEY, or listen on 127.0.0.1 alone",
            loaded.name_of("server.host"),
            server.host,
            server.port
        )
    })
}

/// The folder of models that was named does not hold what it should.
pub fn of_models_dir(loaded: &Loaded, catalog: &Catalog) -> Option<String> {
    if !loaded.is_set("models.dir") {
        return None;
    }
    let folder = &loaded.settings.models.dir;
    let flaw = match fs::read_dir(folder) {
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
                name.starts_with(REPOSITORY.as_bytes())
            };
            let is_cache =
                entries.any(|entry| entry.is_ok_and(|entry| is_repository(entry.file_name())));
            if is_cache {
                "is a Hugging Face cache: name it in HF_HUB_CACHE instead".to_owned()
            } else {
                "holds no model: a model is a folder in it, with model.bin, config.json, \
                 tokenizer.json and vocabulary.json or vocabulary.txt"
                    .to_owned()
            }
        }
    };
    let name = loaded.name_of("models.dir");
    Some(format!("{name} is {}, which {flaw}", folder.display()))
}

/// The default model is not on disk.
pub fn of_default_model(loaded: &Loaded, aliases: &Aliases, catalog: &Catalog) -> Option<String> {
    let id = aliases.default_model(catalog);
    if catalog.has(&id) {
        return None;
    }
    let missing = of_missing_model("default model", loaded, catalog);
    let until = if loaded.settings.whisper.auto_download {
        "the first request for it waits for its download".to_owned()
    } else {
        let name = &loaded.settings.whisper.model;
        format!("until then requests for it get 404; POST /v1/models/{name} downloads it, too")
    };
    Some(format!("{missing}; {until}"))
}

/// Why the model of the settings is not found, and what brings it here; `role` is what it is for.
pub fn of_missing_model(role: &str, loaded: &Loaded, catalog: &Catalog) -> String {
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
        loaded.name_of("whisper.model"),
        loaded.name_of("models.dir"),
        settings.models.dir.display(),
        loaded.name_of("models.hub_cache"),
        settings.models.hub_cache.display(),
        model = settings.whisper.model,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::rooms;
    use crate::config::{Settings, Sources};
    use crate::models::Store;
    use crate::models::test_files::{Fixture, lay_out};

    /// The settings of these variables, with the models that are in their folders.
    fn load(folder: &Path, variables: &[(&str, &str)]) -> (Loaded, Aliases, Catalog) {
        let folder = folder.to_str().unwrap().to_owned();
        let own = |name: &str, value: &str| (name.to_owned(), value.replace('~', &folder));
        let given = variables.iter().map(|(name, value)| own(name, value));
        let hub = [own("HOME", "~"), own("HF_HUB_CACHE", "~/hub")];
        let loaded = Settings::load(Sources {
            env: hub.into_iter().chain(given).collect::<Vec<_>>(),
            ..Sources::default()
        });
        let loaded = loaded.unwrap();
        let models = &loaded.settings.models;
        let catalog = Catalog::open(Store::new(models.dir.clone(), models.hub_cache.clone()));
        let aliases = rooms::aliases(&loaded).unwrap();
        (loaded, aliases, catalog)
    }

    #[track_caller]
    fn check_folder(folder: &Path, models_dir: &str, expected: Option<&str>) {
        let (loaded, _, catalog) = load(folder, &[("MODELS_DIR", models_dir)]);
        let advice = of_models_dir(&loaded, &catalog);
        match expected {
            None => assert_eq!(advice, None),
            Some(piece) => {
                let advice = advice.unwrap();
                assert!(advice.starts_with("MODELS_DIR is /"), "{advice}");
                assert!(advice.contains(piece), "{advice}");
            }
        }
    }

    #[test]
    fn a_wrong_folder_of_models_is_reported() {
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
            ("~/empty", Some("holds no model: a model is a folder in it")),
        ] {
            check_folder(root.path(), models_dir, expected);
        }
        let (loaded, _, catalog) = load(root.path(), &[]);
        assert_eq!(
            of_models_dir(&loaded, &catalog),
            None,
            "it is the default folder"
        );
    }

    #[test]
    fn a_missing_default_model_is_reported_with_the_way_to_get_it() {
        let root = tempfile::tempdir().unwrap();
        lay_out(&root.path().join("models/small"), &Fixture::default());
        let of = |variables: &[(&str, &str)]| {
            let (loaded, aliases, catalog) = load(root.path(), variables);
            of_default_model(&loaded, &aliases, &catalog)
        };
        let there = ("MODELS_DIR", "~/models");
        assert_eq!(of(&[there]), None, "the only model is the default");
        assert_eq!(of(&[there, ("WHISPER__MODEL", "small")]), None);

        let advice = of(&[there, ("WHISPER__MODEL", "base")]).unwrap();
        for piece in [
            "base (WHISPER__MODEL) is not on disk",
            "`halkspeech models pull base`",
            "MODELS_DIR (/",
            "hold small",
            "get 404; POST /v1/models/base",
        ] {
            assert!(advice.contains(piece), "{advice}");
        }
        let download = ("WHISPER__AUTO_DOWNLOAD", "true");
        let advice = of(&[("MODELS_DIR", "~/gone"), download]).unwrap();
        assert!(
            advice.contains("hold no model; the first request"),
            "{advice}"
        );
    }

    #[test]
    fn an_open_port_without_a_key_is_reported() {
        let root = tempfile::tempdir().unwrap();
        let of = |variables: &[(&str, &str)]| of_open_port(&load(root.path(), variables).0);
        let advice = of(&[("UVICORN_HOST", "::"), ("UVICORN_PORT", "9000")]).unwrap();
        assert!(advice.starts_with("UVICORN_HOST is ::"), "{advice}");
        assert!(advice.contains("port 9000"), "{advice}");
        assert!(of(&[]).unwrap().starts_with("UVICORN_HOST is 0.0.0.0"));
        for closed in [
            ("UVICORN_HOST", "127.0.0.1"),
            ("UVICORN_HOST", "localhost"),
            ("API_KEY", "secret"),
            ("API_KEYS_FILE", "/keys"),
        ] {
            assert_eq!(of(&[closed]), None, "{closed:?}");
        }
    }
}
