//! The `[server]` settings: address, authentication and limits.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Secret;

/// The HTTP server. Environment: `SERVER__…` and some older flat names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The address to listen on.
    ///
    /// Default `0.0.0.0` (every IPv4 interface); environment `SERVER__HOST`
    /// or `UVICORN_HOST`, flag `--host`. Choose `127.0.0.1` behind a proxy on
    /// the same machine, `::` for IPv6.
    pub host: String,

    /// The TCP port to listen on.
    ///
    /// Default 8000, 0 to 65,535 (0: any free one); environment
    /// `SERVER__PORT` or `UVICORN_PORT`, flag `--port`.
    pub port: u16,

    /// The key a caller must send as `Authorization: Bearer …`.
    ///
    /// Default none (no authentication); environment `SERVER__API_KEY` or
    /// `API_KEY`. Set it if other machines can reach the port.
    pub api_key: Option<Secret>,

    /// A file of accepted keys, one per line.
    ///
    /// Default none; environment `SERVER__API_KEYS_FILE` or `API_KEYS_FILE`.
    /// Lines that begin with `#` are comments; `api_key` is accepted as well.
    /// It is read at the start.
    pub api_keys_file: Option<PathBuf>,

    /// A further secret that client secrets of live sessions are signed with.
    ///
    /// Default none; environment `SERVER__SECRET`. Set it to the same value
    /// on all replicas if the server has no key, or if a key is shorter than
    /// 16 characters. Changing it ends all client secrets.
    pub secret: Option<Secret>,

    /// The web origins whose pages may call the server (CORS).
    ///
    /// Default none; environment `SERVER__ALLOW_ORIGINS` or `ALLOW_ORIGINS`,
    /// a JSON list (`["https://app.example"]`) or comma-separated; `*` allows
    /// every page. Without a key, pages of the server itself, of loopback, and
    /// of `app://` and `tauri://` are allowed too, and requests from pages of
    /// other origins are refused.
    pub allow_origins: Vec<String>,

    /// The accepted names of the server (`Host`) if there is no key; prevents
    /// DNS rebinding by web pages.
    ///
    /// Default none; environment `SERVER__ALLOWED_HOSTS` or `ALLOWED_HOSTS`, a
    /// JSON list (`["stt.example"]`) or comma-separated; `*` is any name.
    /// Addresses, names without a dot, and names that end in `.localhost`,
    /// `.local`, `.internal` or `.svc` are always allowed.
    pub allowed_hosts: Vec<String>,

    /// Whether the page for people is served at `/`, and Swagger UI at `/docs`.
    ///
    /// Default true; environment `SERVER__ENABLE_UI` or `ENABLE_UI`.
    pub enable_ui: bool,

    /// The largest upload, in MiB; a larger one gets 413.
    ///
    /// Default 100, 1 to 65,536; environment `SERVER__MAX_UPLOAD_MIB`. An
    /// hour is 110 MiB as 16 kHz WAV, 55 MiB as MP3 of 128 kbit/s.
    pub max_upload_mib: u64,

    /// The largest upload kept in memory, in MiB; larger ones are spooled to
    /// a temporary file.
    ///
    /// Default 8, 0 to 65,536; environment `SERVER__UPLOAD_MEMORY_MIB`.
    /// Multiplied by the concurrent requests it limits the memory for
    /// uploads; 0 spools all.
    pub upload_memory_mib: u64,

    /// The timeout of a request from its arrival, in seconds; then it gets
    /// 504.
    ///
    /// Default 600, 1 to 86,400; environment `SERVER__REQUEST_TIMEOUT_S`.
    /// Choose the time that the longest file needs under full load.
    pub request_timeout_s: u64,

    /// The timeout of a request's head, between two chunks of an upload, and
    /// of a response that is not read, in seconds; then the connection is
    /// closed, or an upload gets 408.
    ///
    /// Default 60, 1 to 3,600; environment `SERVER__READ_TIMEOUT_S`. An idle
    /// keep-alive connection is closed after it, too. An upload that is 30 s
    /// behind a rate of 512 bytes per second gets 408 even before this
    /// timeout.
    pub read_timeout_s: u64,

    /// The most connections at a time; a further one gets 503, except for
    /// `/health`, `/ready` and `/metrics`, for which 64 more are reserved. If
    /// all are in use, idle connections of an address with more than half are
    /// closed for other addresses.
    ///
    /// Default 4096, 1 to 1,000,000; environment `SERVER__MAX_CONNECTIONS`.
    /// Keep it below the limit of open files (`ulimit -n`).
    pub max_connections: usize,

    /// The most transcriptions and translations per minute for each key, or
    /// for each address if there are no keys; a further one gets 429.
    ///
    /// Default 0 (no limit), 0 to 1,000,000; environment
    /// `SERVER__RATE_LIMIT_PER_MINUTE`. After a pause a caller may send a
    /// minute's requests at once. Behind a proxy all callers without a key
    /// share its address, so the limit applies to all of them together.
    pub rate_limit_per_minute: u32,

    /// The most seconds of audio per minute for each key, or for each address
    /// if there are no keys; a further recording gets 429.
    ///
    /// Default 0 (no limit), 0 to 1,000,000; environment
    /// `SERVER__AUDIO_LIMIT_PER_MINUTE_S`. After a pause a caller may send a
    /// minute's audio at once. A recording that is longer is accepted, and
    /// the caller then waits until it would have been within the limit.
    pub audio_limit_per_minute_s: u32,

    /// The most transcriptions and translations at one time for each key, or
    /// for each address if there are no keys; a further one gets 429.
    ///
    /// Default 0 (no limit but `whisper.max_concurrent_requests`, of which a
    /// caller has at most half while others send requests), 0 to 1,000,000;
    /// environment `SERVER__CONCURRENT_LIMIT`.
    pub concurrent_limit: usize,

    /// The longest wait for running requests at the shutdown, in seconds.
    ///
    /// Default 30, 0 to 3,600; environment `SERVER__SHUTDOWN_TIMEOUT_S`. Keep
    /// it below the stop timeout of the supervisor (by default 10 s in Docker
    /// and 30 s in Kubernetes).
    pub shutdown_timeout_s: u64,

    /// Whether an unknown form field is an error instead of being ignored.
    ///
    /// Default false, as at OpenAI; environment
    /// `SERVER__REJECT_UNKNOWN_FIELDS`. Set it to find misspelt fields while
    /// developing a client.
    pub reject_unknown_fields: bool,

    /// Whether a request without a model is an error, as at OpenAI, instead
    /// of using the default model.
    ///
    /// Default false; environment `SERVER__REQUIRE_MODEL`. Set it to find
    /// clients that omit the model.
    pub require_model: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: "0.0.0.0".to_owned(),
            port: 8000,
            api_key: None,
            api_keys_file: None,
            secret: None,
            allow_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            enable_ui: true,
            max_upload_mib: 100,
            upload_memory_mib: 8,
            request_timeout_s: 600,
            read_timeout_s: 60,
            max_connections: 4096,
            rate_limit_per_minute: 0,
            audio_limit_per_minute_s: 0,
            concurrent_limit: 0,
            shutdown_timeout_s: 30,
            reject_unknown_fields: false,
            require_model: false,
        }
    }
}

/// The API key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// It contains no key; the server does not start, because it would be open.
    #[error("{} contains no key", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Server {
    /// Whether callers must send a key.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.api_key.is_some() || self.api_keys_file.is_some()
    }

    /// All accepted keys; empty if no authentication is required.
    ///
    /// # Errors
    /// [`KeysError`] if a key file is set and no key can be read from it.
    pub fn api_keys(&self) -> Result<Vec<Secret>, KeysError> {
        let mut keys: Vec<Secret> = self.api_key.iter().cloned().collect();
        if let Some(path) = &self.api_keys_file {
            let path = path.clone();
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(source) => return Err(KeysError::Read { path, source }),
            };
            let lines = text.lines().map(str::trim);
            let in_file: Vec<Secret> = lines
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(Secret::new)
                .collect();
            if in_file.is_empty() {
                return Err(KeysError::Empty { path });
            }
            keys.extend(in_file);
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(api_key: Option<&str>, file: Option<&str>) -> Result<Vec<String>, KeysError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        if let Some(text) = file {
            fs::write(&path, text).unwrap();
        }
        let server = Server {
            api_key: api_key.map(Secret::new),
            api_keys_file: file.map(|_| path),
            ..Server::default()
        };
        let keys = server.api_keys()?;
        Ok(keys.iter().map(|key| key.expose().to_owned()).collect())
    }

    #[test]
    fn a_file_adds_one_key_per_line_to_the_key_of_the_settings() {
        assert!(keys(None, None).unwrap().is_empty());
        assert_eq!(keys(Some("a"), None).unwrap(), ["a"]);
        let file = "# of the office\n b \n\nc\r\n";
        assert_eq!(keys(None, Some(file)).unwrap(), ["b", "c"]);
        assert_eq!(keys(Some("a"), Some(file)).unwrap(), ["a", "b", "c"]);
    }

    #[test]
    fn a_file_without_a_key_does_not_open_the_server() {
        for api_key in [None, Some("a")] {
            let error = keys(api_key, Some("# later\n\n")).unwrap_err();
            assert!(matches!(error, KeysError::Empty { .. }), "{error}");
        }
        let server = Server {
            api_keys_file: Some("/does/not/exist".into()),
            ..Server::default()
        };
        let error = server.api_keys().unwrap_err();
        assert_eq!(error.to_string(), "cannot read /does/not/exist");
    }
}
