//! Loading, unloading and shutdown.

use futures_util::future::join_all;
use rustix::process::{Resource, getrlimit};

use super::server::Server;
use super::speech::{SENTENCE, sample, sample_pcm, wav, words};

#[tokio::test]
async fn concurrent_first_requests_load_the_model_once() {
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
async fn a_model_with_ttl_zero_is_unloaded_after_its_request() {
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
async fn sigterm_lets_running_requests_finish() {
    check_running_requests_finish("TERM").await;
}

#[tokio::test]
async fn sighup_lets_running_requests_finish() {
    check_running_requests_finish("HUP").await;
}

async fn check_running_requests_finish(signal: &str) {
    let server = Server::with_model("tiny.en");
    let query = [("model", "tiny.en")];
    let running = (0..6).map(|_| server.text(&query, sample()));
    // The signal is sent once all requests are in progress.
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

/// Parameters with which an engine needs many seconds for one window.
const SLOW: [(&str, &str); 10] = [
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

async fn wait_for_text(server: &Server, path: &str, text: &str) {
    while !server.get(path).await.text().await.unwrap().contains(text) {}
}

#[tokio::test]
async fn a_window_whose_caller_leaves_is_not_written_to_its_end() {
    let server = Server::start(&[
        ("WHISPER__MODEL", "base"),
        ("WHISPER__PRELOAD_MODEL", "false"),
    ]);
    let request = server.transcription(&SLOW, wav(&sample_pcm().repeat(2)));
    let request = tokio::spawn(request.send());
    wait_for_text(&server, "/metrics", "halkspeech_open_windows 1").await;

    request.abort();

    wait_for_text(&server, "/metrics", "halkspeech_open_windows 0").await;
    let metrics = server.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("jobs_cancelled_total 1"), "{metrics}");
    assert!(metrics.contains("generated_tokens_total 0"), "{metrics}");
    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    assert!(!log.contains("engines are still running"), "{log}");
    assert!(log.contains("stopped"), "{log}");
}

#[test]
fn the_start_fails_on_a_setting_out_of_range_and_names_it() {
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
async fn a_second_signal_ends_the_program_during_inference() {
    let mut server = Server::with_model("base");
    let minutes = wav(&sample_pcm().repeat(20));
    let running = server.transcription(&[("model", "base")], minutes);
    let running = tokio::spawn(running.send());
    // The first batch runs, and many more follow.
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
async fn the_limit_of_open_files_is_raised_to_the_hard_limit() {
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
fn the_start_fails_without_a_folder_for_uploads() {
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
fn warns_if_decoded_audio_may_exceed_the_memory() {
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
