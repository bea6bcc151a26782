//! The checks. None has side effects: the port is bound for a moment, the temporary file has no name, and
//! no model is loaded.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use indicatif::HumanBytes;
use rustix::fs::{Access, access, statvfs};

use super::Finding;
use crate::app::{
    AppError, engine_layout, live_limit, memory, open_files, services, startup_warnings,
};
use crate::config::LoadedSettings;
use crate::models::{Aliases, Catalog};
use crate::telemetry::error_chain;
use halkspeech_audio::FfmpegMode;

/// The warnings about the settings; invalid settings fail before the checks.
pub fn settings(loaded: &LoadedSettings) -> Vec<Finding> {
    let warnings = loaded.warnings.iter();
    let mut findings: Vec<_> = warnings
        .map(|warning| Finding::warning("settings", warning.to_string()))
        .collect();
    if findings.is_empty() {
        let count = loaded.origins.len();
        findings.push(Finding::ok("settings", format!("{count} set, none wrong")));
    }
    findings
}

/// Whether models can run on the configured device.
pub fn device(loaded: &LoadedSettings) -> Finding {
    match services::plans(loaded).and_then(|_plans| engine_layout::summary(loaded)) {
        Ok(summary) => Finding::ok("device", summary),
        Err(error) => Finding::error("device", error_chain(&error)),
    }
}

/// The models on disk, and whether the memory suffices for the default one.
pub async fn models(loaded: &LoadedSettings) -> Result<Vec<Finding>, AppError> {
    let aliases = match services::aliases(loaded) {
        Ok(aliases) => aliases,
        Err(error) => return Ok(vec![Finding::error("models", error_chain(&error))]),
    };
    let catalog = services::open_catalog(&loaded.settings.models).await?;
    let folder = startup_warnings::models_dir_warning(loaded, &catalog);
    let folder = folder.map(|text| Finding::warning("models", text));
    let mut findings: Vec<_> = folder.into_iter().collect();
    findings.push(default_model(loaded, &aliases, &catalog));
    findings.push(model_memory(loaded, &aliases, &catalog));
    findings.push(live(loaded, &aliases, &catalog));
    Ok(findings)
}

/// How many live sessions the server takes, and whether the machine can follow them.
fn live(loaded: &LoadedSettings, aliases: &Aliases, catalog: &Catalog) -> Finding {
    if !engine_layout::IS_CONTINUOUS {
        let text = "this build has no live sessions: their sockets get an error";
        return Finding::warning("live", text);
    }
    let id = aliases.default_model(catalog);
    let model = catalog.find(&id);
    let sessions = live_limit::max_sessions(&loaded.settings, model.as_deref());
    let name = loaded.setting_name("live.max_sessions");
    if loaded.settings.live.max_sessions == 0 {
        let text = format!(
            "sessions at a time: at most {sessions}, by an estimate for the cores and {id} ({name})"
        );
        return Finding::ok("live", text);
    }
    let followed = live_limit::sessions_of_cores(model.as_deref());
    let text = format!("sessions at a time: at most {sessions} ({name})");
    if sessions > followed {
        Finding::warning(
            "live",
            format!(
                "{text}; the cores can follow about {followed} with {id}: with more, partial texts come \
                 more rarely"
            ),
        )
    } else {
        Finding::ok("live", text)
    }
}

fn default_model(loaded: &LoadedSettings, aliases: &Aliases, catalog: &Catalog) -> Finding {
    let count = catalog.list().len();
    match startup_warnings::default_model_warning(loaded, aliases, catalog) {
        None => {
            let id = aliases.default_model(catalog);
            Finding::ok("models", format!("{count} on disk, {id} is the default"))
        }
        Some(text) if count == 0 && !loaded.settings.whisper.auto_download => {
            Finding::error("models", text)
        }
        Some(text) => Finding::warning("models", text),
    }
}

fn model_memory(loaded: &LoadedSettings, aliases: &Aliases, catalog: &Catalog) -> Finding {
    let Some(limit) = memory::limit_bytes() else {
        return Finding::warning("memory", "the system does not report its memory");
    };
    let decoded = services::decoded_bytes(&loaded.settings.audio, Some(limit));
    let default = catalog.find(&aliases.default_model(catalog));
    let model = match (default, services::plans(loaded)) {
        (Some(stored), Ok(plans)) if engine_layout::is_on_cpu(loaded) => {
            plans(&stored).memory_bytes
        }
        _ => 0,
    };
    let text = format!(
        "{} for this process; weights of the default model take {}, decoded audio at most {}",
        HumanBytes(limit),
        HumanBytes(model),
        HumanBytes(decoded)
    );
    if model > limit {
        let remedy = "use a smaller model, or fewer engines (WHISPER__NUM_WORKERS)";
        Finding::error("memory", format!("{text}: {remedy}"))
    } else if model.saturating_add(decoded) > limit {
        let remedy = "lower AUDIO__MAX_DECODED_MIB or AUDIO__MAX_DURATION_S";
        Finding::warning("memory", format!("{text}: {remedy}"))
    } else {
        Finding::ok("memory", text)
    }
}

/// Whether the folder for downloads is writable.
pub fn downloads(loaded: &LoadedSettings) -> Finding {
    let models = &loaded.settings.models;
    let (name, folder) = (loaded.setting_name("models.hub_cache"), &models.hub_cache);
    let shown = folder.display();
    if models.hub_offline {
        let name = loaded.setting_name("models.hub_offline");
        return Finding::ok("downloads", format!("off ({name})"));
    }
    let existing = folder.ancestors().find(|folder| folder.exists());
    match access(existing.unwrap_or(Path::new("/")), Access::WRITE_OK) {
        Ok(()) => Finding::ok("downloads", format!("go to {shown}")),
        Err(error) => Finding::warning(
            "downloads",
            format!(
                "no model can be downloaded to {shown} ({name}): {error}; make it writable for \
                 user {}, or name another folder",
                rustix::process::getuid().as_raw()
            ),
        ),
    }
}

/// Whether the address can be listened on, and whether callers need a key.
pub fn port(loaded: &LoadedSettings) -> Vec<Finding> {
    let server = &loaded.settings.server;
    let (host, port) = (server.host.as_str(), server.port);
    let (host_name, port_name) = (
        loaded.setting_name("server.host"),
        loaded.setting_name("server.port"),
    );
    let listening = match TcpListener::bind((host, port)) {
        Ok(_listener) => Finding::ok("port", format!("{host} port {port} is free")),
        Err(error) => {
            let remedy = match error.kind() {
                ErrorKind::AddrInUse => {
                    format!("stop the program that listens there, or change {port_name}")
                }
                ErrorKind::PermissionDenied => format!("set {port_name} to 1024 or higher"),
                _ => format!("{host_name} must be an address of this machine"),
            };
            let text = format!("cannot listen on {host} port {port}: {error}; {remedy}");
            Finding::error("port", text)
        }
    };
    let keys = match server.api_keys() {
        Err(error) => Finding::error("keys", error_chain(&error)),
        Ok(keys) => match startup_warnings::open_port_warning(loaded) {
            Some(text) => Finding::warning("keys", text),
            None => Finding::ok("keys", format!("{} set", keys.len())),
        },
    };
    vec![listening, keys]
}

/// Whether ffmpeg is available for formats that the built-in decoders do not support.
pub fn ffmpeg(loaded: &LoadedSettings) -> Finding {
    if loaded.settings.audio.ffmpeg == FfmpegMode::Off {
        return Finding::ok(
            "ffmpeg",
            format!("off ({})", loaded.setting_name("audio.ffmpeg")),
        );
    }
    match Command::new("ffmpeg").arg("-version").output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let version = text.lines().next().unwrap_or_default();
            let version = version.split(" Copyright").next().unwrap_or_default();
            Finding::ok("ffmpeg", version)
        }
        Ok(output) => Finding::warning("ffmpeg", format!("does not run: {}", output.status)),
        Err(error) => Finding::warning(
            "ffmpeg",
            format!(
                "does not run ({error}): WMA, AMR, AVI and other formats that the built-in decoders \
                 do not support are refused; install it, or set AUDIO__FFMPEG=off"
            ),
        ),
    }
}

/// Whether temporary files for uploads can be created, and the disk space for them.
pub fn temporary_files(loaded: &LoadedSettings) -> Finding {
    let folder = std::env::temp_dir();
    let shown = folder.display();
    if let Err(error) = tempfile::tempfile() {
        let text = format!(
            "no temporary file can be created in {shown} ({error}): set TMPDIR to a writable folder"
        );
        return Finding::error("temporary files", text);
    }
    let free = statvfs(&folder).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    let largest = loaded.settings.server.max_upload_mib << 20;
    match free {
        Ok(free) if free < largest => Finding::warning(
            "temporary files",
            format!(
                "{shown} has {} left, and one upload may need {}: free some space, or set TMPDIR to \
                 another folder",
                HumanBytes(free),
                HumanBytes(largest)
            ),
        ),
        Ok(free) => Finding::ok(
            "temporary files",
            format!("{shown}, {} free", HumanBytes(free)),
        ),
        Err(_) => Finding::ok("temporary files", shown.to_string()),
    }
}

/// Whether the limit of open files allows the configured number of connections.
pub fn descriptors(loaded: &LoadedSettings) -> Finding {
    let configured = loaded.settings.server.max_connections;
    let allowed = open_files::raise_limit(configured);
    if allowed < configured {
        let name = loaded.setting_name("server.max_connections");
        return Finding::warning(
            "descriptors",
            format!(
                "enough for {allowed} connections, not for the {configured} of {name}: raise the limit \
                 (ulimit -Hn; LimitNOFILE= of systemd)"
            ),
        );
    }
    Finding::ok(
        "descriptors",
        format!("enough for {configured} connections"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;
    use crate::config::{Settings, Sources};

    fn load(variables: &[(&str, &str)]) -> LoadedSettings {
        let home = [("HOME", "/nonexistent")];
        let env = home.iter().chain(variables);
        let env = env.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::load(Sources {
            env: env.collect::<Vec<_>>(),
            ..Sources::default()
        })
        .unwrap()
    }

    #[track_caller]
    fn check(finding: &Finding, severity: Severity, excerpts: &[&str]) {
        assert_eq!(finding.severity, severity, "{finding}");
        for excerpt in excerpts {
            assert!(
                finding.text.contains(excerpt),
                "no {excerpt:?} in {finding}"
            );
        }
    }

    #[test]
    fn a_port_that_is_taken_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = listener.local_addr().unwrap().port().to_string();
        let loaded = load(&[
            ("UVICORN_HOST", "127.0.0.1"),
            ("UVICORN_PORT", number.as_str()),
        ]);

        let findings = port(&loaded);
        check(
            &findings[0],
            Severity::Error,
            &[number.as_str(), "change UVICORN_PORT"],
        );
        check(&findings[1], Severity::Ok, &["0 set"]);
        drop(listener);
        check(&port(&loaded)[0], Severity::Ok, &["is free"]);

        let findings = port(&load(&[("UVICORN_PORT", "0"), ("API_KEYS_FILE", "/gone")]));
        check(&findings[1], Severity::Error, &["cannot read /gone"]);
    }

    #[test]
    #[cfg_attr(
        any(feature = "cuda", feature = "cuda-runner"),
        ignore = "needs a build without CUDA"
    )]
    fn a_missing_gpu_is_an_error_that_names_the_setting() {
        let loaded = load(&[("WHISPER__INFERENCE_DEVICE", "cuda")]);
        let excerpts = [
            "WHISPER__INFERENCE_DEVICE is cuda, but this build has no CUDA",
            "or write auto or cpu",
        ];
        check(&device(&loaded), Severity::Error, &excerpts);
    }

    #[test]
    fn a_gpu_number_format_is_an_error_on_a_cpu() {
        let on_cpu = ("WHISPER__INFERENCE_DEVICE", "cpu");
        for compute_type in ["float16", "int8_float16", "bfloat16", "int16"] {
            let loaded = load(&[on_cpu, ("WHISPER__COMPUTE_TYPE", compute_type)]);
            let expected = format!("WHISPER__COMPUTE_TYPE is {compute_type}, which");
            check(
                &device(&loaded),
                Severity::Error,
                &[expected.as_str(), "int8 or float32"],
            );
        }
        check(&device(&load(&[on_cpu])), Severity::Ok, &["CPU"]);
    }

    #[tokio::test]
    async fn no_model_at_all_is_an_error_and_a_download_on_demand_a_warning() {
        let findings = models(&load(&[])).await.unwrap();
        check(
            &findings[0],
            Severity::Error,
            &["halkspeech models pull base"],
        );
        let on_demand = load(&[("WHISPER__AUTO_DOWNLOAD", "true")]);
        let findings = models(&on_demand).await.unwrap();
        check(&findings[0], Severity::Warning, &["first request"]);
    }

    #[tokio::test]
    async fn the_number_of_live_sessions_is_shown() {
        let on_cpu = ("WHISPER__INFERENCE_DEVICE", "cpu");
        for (sessions, severity, excerpt) in [
            ("0", Severity::Ok, "an estimate for the cores"),
            ("1", Severity::Ok, "at most 1 ("),
            ("1000000", Severity::Warning, "can follow about"),
        ] {
            let loaded = load(&[on_cpu, ("LIVE__MAX_SESSIONS", sessions)]);
            let findings = models(&loaded).await.unwrap();
            let live = findings.iter().find(|finding| finding.subject == "live");
            check(live.unwrap(), severity, &[excerpt, "LIVE__MAX_SESSIONS"]);
        }
    }

    #[test]
    fn a_disabled_feature_is_not_checked() {
        let loaded = load(&[("AUDIO__FFMPEG", "off"), ("HF_HUB_OFFLINE", "1")]);
        check(&ffmpeg(&loaded), Severity::Ok, &["off (AUDIO__FFMPEG)"]);
        check(&downloads(&loaded), Severity::Ok, &["off (HF_HUB_OFFLINE)"]);
    }

    #[test]
    fn warnings_about_the_settings_are_findings() {
        let findings = settings(&load(&[("API_KEYS", "a")]));
        check(&findings[0], Severity::Warning, &["did you mean API_KEY?"]);
        check(&settings(&load(&[]))[0], Severity::Ok, &["0 set"]);
    }
}
