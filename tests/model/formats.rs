//! Every container and encoding gives the sentence; what is no audio is refused.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::server::Server;
use super::speech::{SENTENCE, recordings, wrong_words};

/// These need ffmpeg: GSM 6.10, G.722 and Windows Media.
const BY_FFMPEG: [&str; 3] = ["jfk_8k_gsm.wav", "jfk_g722.wav", "jfk_wmav2.wma"];

fn files(folder: PathBuf) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn has_ffmpeg() -> bool {
    let found = Command::new("ffmpeg").arg("-version").output().is_ok();
    if !found {
        println!("skipped: {BY_FFMPEG:?}, for ffmpeg is not installed");
    }
    found
}

#[tokio::test]
async fn every_format_gives_the_sentence() {
    let Some(folder) = recordings() else { return };
    let server = Server::with_model("base");
    let ffmpeg = has_ffmpeg();

    let mut heard = 0;
    for file in files(folder.join("formats")) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if !ffmpeg && BY_FFMPEG.contains(&name.as_str()) {
            continue;
        }
        let query = [("model", "base"), ("language", "en")];
        let text = server.text(&query, fs::read(&file).unwrap()).await;
        assert!(wrong_words(SENTENCE, &text) <= 1, "{name}: {text}");
        heard += 1;
    }
    assert!(heard >= 40, "only {heard} files");
}

#[tokio::test]
async fn without_ffmpeg_its_formats_are_refused_by_name() {
    let Some(folder) = recordings() else { return };
    let settings = [("WHISPER__MODEL", "tiny.en"), ("AUDIO__FFMPEG", "off")];
    let server = Server::start(&settings);

    for (name, found) in BY_FFMPEG
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
            body.contains(found) && body.contains("ffmpeg"),
            "{name}: {body}"
        );
    }
}

#[tokio::test]
async fn odd_files_are_answered_and_invalid_ones_refused() {
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

        let refused = name.starts_with("invalid_") || name.starts_with("no_samples");
        let expected = if refused || name.starts_with("one_sample") {
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
