//! Runs the built program as a server.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use reqwest::{Client, RequestBuilder, Response};

use super::speech::models_dir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_halkspeech");

/// A running server; killed at the end of the test.
pub struct Server {
    pub client: Client,
    address: String,
    child: Child,
    stderr: BufReader<ChildStderr>,
    log_at_start: String,
}

impl Server {
    /// Starts the program with these settings and waits until it logs that it is ready.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_with(&[], settings)
    }

    /// As [`start`](Self::start), with these arguments.
    pub fn start_with(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        // The server ignores SIGHUP if its parent does, as under `nohup`.
        let mut command = Command::new("/usr/bin/env");
        command.args(["--default-signal=HUP", PROGRAM]);
        command.args(arguments);
        Self::run(command, settings)
    }

    /// Starts it from a shell that has set this limit; see `help ulimit`.
    pub fn start_limited(limit: &str, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit {limit} && exec {PROGRAM}")]);
        Self::run(command, settings)
    }

    fn run(mut command: Command, settings: &[(&str, &str)]) -> Self {
        let mut child = command
            .env_clear()
            .envs([("UVICORN_HOST", "127.0.0.1"), ("UVICORN_PORT", "0")])
            .env("MODELS_DIR", models_dir())
            // For the fallback decoder, if the system has it.
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut log = String::new();
        let address = loop {
            let mut line = String::new();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended:\n{log}");
            if let Some((_, fields)) = line.split_once("ready address=") {
                break fields.split_whitespace().next().unwrap().to_owned();
            }
            log.push_str(&line);
        };
        Self {
            client: Client::new(),
            address,
            child,
            stderr,
            log_at_start: log,
        }
    }

    /// Starts a server with default settings and this model.
    pub fn with_model(model: &str) -> Self {
        Self::start(&[("WHISPER__MODEL", model)])
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A transcription request with the audio as its body.
    pub fn transcription(&self, query: &[(&str, &str)], audio: Vec<u8>) -> RequestBuilder {
        self.client
            .post(self.url("/v1/audio/transcriptions"))
            .query(query)
            .body(audio)
    }

    /// The text of a transcription that must succeed.
    pub async fn text(&self, query: &[(&str, &str)], audio: Vec<u8>) -> String {
        let query = [query, &[("response_format", "text")]].concat();
        let response = self.transcription(&query, audio).send().await.unwrap();
        let status = response.status();
        let body = response.text().await.unwrap();
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The response to a GET request.
    pub async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    /// Sends SIGTERM, as service managers do.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends the signal of this name.
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.args(["-s", name, &self.child.id().to_string()]);
        assert!(kill.status().unwrap().success());
    }

    /// Resident memory of the process, as reported by the kernel.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kibibytes = line.unwrap().split_whitespace().nth(1).unwrap();
        kibibytes.parse::<u64>().unwrap() * 1024
    }

    /// The log until the server was ready.
    pub fn log_at_start(&self) -> &str {
        &self.log_at_start
    }

    /// Reads the log up to a line with this text.
    pub fn until_logged(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.stderr.read_line(&mut line).unwrap(), 0, "it ended");
        }
    }

    /// Waits for the program to end; returns its exit status and its remaining log.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let log = self
            .stderr
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .collect::<Vec<_>>();
        (self.child.wait().unwrap(), log.join("\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}
