//! Recordings of every container and encoding are transcribed; files without audio are refused.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::server::Server;
use super::speech::{SENTENCE, recordings, word_errors};

/// Files that need ffmpeg: GSM 6.10, G.722 and Windows Media.
const FFMPEG_FILES: [&str; 3] = ["jfk_8k_gsm.wav", "jfk_g722.wav", "jfk_wmav2.wma"];

fn files(folder: PathBuf) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn has_ffmpeg() -> bool {
    let is_installed = Command::new("ffmpeg").arg("-version").output().is_ok();
    if !is_installed {
        println!("skipped: {FFMPEG_FILES:?}, because ffmpeg is not installed");
    }
    is_installed
}

#[tokio::test]
async fn every_format_is_transcribed() {
    let Some(folder) = recordings() else { return };
    let server = Server::with_model("base");
    let has_ffmpeg = has_ffmpeg();

    let mut transcribed = 0;
    for file in files(folder.join("formats")) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if !has_ffmpeg && FFMPEG_FILES.contains(&name.as_str()) {
            continue;
        }
        let query = [("model", "base"), ("language", "en")];
        let text = server.text(&query, fs::read(&file).unwrap()).await;
        assert!(word_errors(SENTENCE, &text) <= 1, "{name}: {text}");
        transcribed += 1;
    }
    assert!(transcribed >= 40, "only {transcribed} files");
}

#[tokio::test]
async fn without_ffmpeg_the_error_names_the_format() {
    let Some(folder) = recordings() else { return };
    let settings = [("WHISPER__MODEL", "tiny.en"), ("AUDIO__FFMPEG", "off")];
    let server = Server::start(&settings);

    for (name, format) in FFMPEG_FILES
        .into_iter()
        .zip(["GSM 6.10", "G.722", "ASF (WMA)"])
    {
        let audio = fs::read(folder.join("formats").join(name)).unwrap();
        let response = server
            .transcription(&[("model", "tiny.en")], audio)
            .send()
            .await
            .unwrap();

        assert_eq!(response.status(), 400, "{name}");
        let body = response.text().await.unwrap();
        assert!(
            body.contains(format) && body.contains("ffmpeg"),
            "{name}: {body}"
        );
    }
}

#[tokio::test]
async fn unusual_files_are_transcribed_and_invalid_ones_refused() {
    let Some(folder) = recordings() else { return };
    let server = Server::with_model("tiny.en");

    for file in files(folder.join("edge")) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let audio = fs::read(&file).unwrap();
        let response = server
            .transcription(&[("model", "tiny.en")], audio)
            .send()
            .await
            .unwrap();

        let is_invalid = name.starts_with("invalid_") || name.starts_with("no_samples");
        let expected = if is_invalid || name.starts_with("one_sample") {
            400
        } else {
            200
        };
        assert_eq!(
            response.status(),
            expected,
            "{name}: {}",
            response.text().await.unwrap()
        );
    }
    assert_eq!(server.get("/ready").await.status(), 200);
}
