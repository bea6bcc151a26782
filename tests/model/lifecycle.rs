//! Loading, unloading and the end.

use futures_util::future::join_all;
use rustix::process::{Resource, getrlimit};

use super::server::Server;
use super::speech::{SENTENCE, sample, sample_pcm, wav, words};

#[tokio::test]
async fn first_requests_wait_for_one_loading() {
    let settings = [
        ("WHISPER__MODEL", "tiny.en"),
        ("WHISPER__PRELOAD_MODEL", "false"),
    ];
    let server = Server::start(&settings);

    let first = (0..4).map(|_| server.text(&[("model", "tiny.en")], sample()));
    for text in join_all(first).await {
        assert_eq!(words(&text), words(SENTENCE));
    }

    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    assert_eq!(log.matches("model loaded").count(), 1, "{log}");
}

#[tokio::test]
async fn a_model_with_no_time_to_live_is_unloaded_after_its_request() {
    let settings = [("WHISPER__MODEL", "tiny.en"), ("WHISPER__MODEL_TTL", "0")];
    let server = Server::start(&settings);

    for _ in 0..2 {
        let text = server.text(&[("model", "tiny.en")], sample()).await;
        assert_eq!(words(&text), words(SENTENCE));
    }

    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    assert!(log.matches("model unloaded").count() >= 2, "{log}");
}

#[tokio::test]
async fn sigterm_lets_running_requests_end() {
    a_signal_lets_running_requests_end("TERM").await;
}

#[tokio::test]
async fn sighup_lets_running_requests_end() {
    a_signal_lets_running_requests_end("HUP").await;
}

async fn a_signal_lets_running_requests_end(signal: &str) {
    let server = Server::with_model("tiny.en");
    let query = [("model", "tiny.en")];
    let running = (0..6).map(|_| server.text(&query, sample()));
    // Every request has had its first byte answered with nothing yet, but is at the server.
    let in_flight = async {
        while !server
            .get("/metrics")
            .await
            .text()
            .await
            .unwrap()
            .contains("in_flight 6")
        {}
        server.signal(signal);
    };

    let (texts, ()) = futures_util::join!(join_all(running), in_flight);

    assert!(
        texts.iter().all(|text| words(text) == words(SENTENCE)),
        "{texts:?}"
    );
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    assert!(log.contains("stopped"), "{log}");
}

/// What keeps an engine inside one window for many seconds.
const HARD: [(&str, &str); 10] = [
    ("model", "base"),
    ("language", "en"),
    ("beam_size", "32"),
    ("best_of", "32"),
    ("patience", "2"),
    ("length_penalty", "0"),
    ("compression_ratio_threshold", "0"),
    ("logprob_threshold", "0"),
    ("no_speech_threshold", "none"),
    ("vad_filter", "false"),
];

/// A server whose engine works on a window that nobody waits for any more.
async fn with_a_window_without_owner(model_ttl: &str) -> Server {
    let settings = [
        ("WHISPER__MODEL", "base"),
        ("WHISPER__PRELOAD_MODEL", "false"),
        ("WHISPER__MODEL_TTL", model_ttl),
    ];
    let server = Server::start(&settings);
    let leaving = server.transcription(&HARD, wav(&sample_pcm().repeat(2)));
    let leaving = tokio::spawn(leaving.send());
    until_shown(&server, "/metrics", "batch_windows_count 1").await;
    leaving.abort();
    until_shown(&server, "/metrics", "requests_in_flight 0").await;
    server
}

async fn until_shown(server: &Server, path: &str, text: &str) {
    while !server.get(path).await.text().await.unwrap().contains(text) {}
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_window_without_owner() {
    let server = with_a_window_without_owner("-1").await;

    server.terminate();

    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    assert!(log.contains("engines are still running"), "{log}");
    assert!(log.contains("stopped"), "{log}");
}

#[tokio::test]
async fn a_stop_is_heard_while_a_model_is_being_unloaded() {
    let server = with_a_window_without_owner("0").await;
    until_shown(&server, "/api/ps", "\"models\":[]").await;

    server.terminate();

    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    assert!(log.contains("draining"), "{log}");
    assert!(!log.contains("model unloaded"), "{log}");
}

#[test]
fn a_setting_out_of_range_stops_the_start_with_its_name() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_halkspeech"))
        .env_clear()
        .env("WHISPER__BATCH_SIZE", "0")
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.contains("WHISPER__BATCH_SIZE") && message.contains("1 to 4096"),
        "{message}"
    );
}

#[tokio::test]
async fn a_second_signal_ends_the_program_while_an_engine_works() {
    let mut server = Server::with_model("base");
    let minutes = wav(&sample_pcm().repeat(20));
    let running = server.transcription(&[("model", "base")], minutes);
    let running = tokio::spawn(running.send());
    // The first batch has left for an engine, and many more are to come.
    while !server
        .get("/metrics")
        .await
        .text()
        .await
        .unwrap()
        .contains("windows_count 1")
    {}

    server.terminate();
    server.until_logged("draining");
    server.terminate();

    let answer = running.await.unwrap();
    assert!(answer.is_err(), "the connection ends with the program");
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(1), "{log}");
}

#[tokio::test]
async fn the_limit_of_open_files_is_raised_as_far_as_the_system_allows() {
    let settings = [("WHISPER__MODEL", "tiny.en")];
    let server = Server::start_limited("-S -n 100", &settings);

    let metrics = server.get("/metrics").await.text().await.unwrap();

    let allowed = getrlimit(Resource::Nofile).maximum.unwrap() as f64;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("process_max_fds "));
    let limit: f64 = line.unwrap().split_once(' ').unwrap().1.parse().unwrap();
    assert!(limit > 100.0, "{limit}");
    assert_eq!(limit, allowed);
}

#[test]
fn a_server_that_has_no_place_for_uploads_does_not_start() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_halkspeech"))
        .env_clear()
        .env("TMPDIR", "/nonexistent")
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("/nonexistent (TMPDIR)"), "{message}");
}

#[test]
fn a_server_whose_audio_may_take_more_memory_than_there_is_warns() {
    for (decoded_mib, warns) in [("16777216", true), ("1", false)] {
        let settings = [
            ("WHISPER__MODEL", "tiny.en"),
            ("AUDIO__MAX_DECODED_MIB", decoded_mib),
        ];
        let server = Server::start(&settings);

        let log = server.log_at_start();

        assert_eq!(log.contains("memory is scarce"), warns, "{log}");
    }
}
