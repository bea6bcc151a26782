//! Recordings of every container and encoding are transcribed; files without audio are refused.

use super::server::Server;
use super::speech::{SENTENCE, word_errors};

/// Checks that a file that says [`SENTENCE`] is transcribed.
async fn check_sentence(server: &Server, name: &str, audio: Vec<u8>) {
    check_words(server, name, audio, 1).await;
}

/// Fails if more than `max_errors` words of the sample's text are wrong.
async fn check_words(server: &Server, name: &str, audio: Vec<u8>, max_errors: usize) {
    let query = [
        ("model", "base"),
        ("language", "en"),
        ("response_format", "text"),
    ];
    let response = server.transcription(&query, audio).send().await.unwrap();
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, 200, "{name}: {text}");
    assert!(word_errors(SENTENCE, &text) <= max_errors, "{name}: {text}");
}

mod needs_ffmpeg {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::super::server::Server;
    use super::super::speech::sample;
    use super::check_words;

    /// Codecs of telephony blur a word or two, GSM three: with float weights it says "America asked not".
    const MAX_ERRORS: usize = 2;
    const MAX_ERRORS_OF_GSM: usize = 3;

    const WITH_VIDEO: &str = "-f lavfi -i color=s=64x64:r=5 -shortest -c:v mpeg4 -c:a aac";

    /// File name, and the arguments with which ffmpeg encodes the sample. These are the containers that
    /// the built-in decoders read, with every encoding in at least one of them (docs/audio.md).
    const BUILT_IN: [(&str, &str); 33] = [
        ("pcm.wav", "-c:a pcm_s16le"),
        ("float.wav", "-c:a pcm_f32le"),
        ("a_law.wav", "-c:a pcm_alaw"),
        ("mu_law.wav", "-c:a pcm_mulaw"),
        ("ms_adpcm.wav", "-c:a adpcm_ms"),
        ("ima_adpcm.wav", "-c:a adpcm_ima_wav"),
        ("rf64.wav", "-rf64 always"),
        ("pcm.w64", "-c:a pcm_s16le"),
        ("pcm.aiff", "-c:a pcm_s16be"),
        ("little_endian.aifc", "-c:a pcm_s16le"),
        ("mu_law.au", "-c:a pcm_mulaw"),
        ("pcm.caf", "-c:a pcm_s16be"),
        ("layer3.mp3", "-c:a libmp3lame"),
        ("lossless.flac", "-c:a flac"),
        ("adts.aac", "-c:a aac"),
        ("aac.m4a", "-c:a aac"),
        ("alac.m4a", "-c:a alac"),
        ("alac.mp4", "-c:a alac"),
        ("alac.mov", "-c:a alac"),
        ("video.mp4", WITH_VIDEO),
        ("video.mov", WITH_VIDEO),
        ("video.mkv", WITH_VIDEO),
        ("opus.ogg", "-c:a libopus"),
        ("stereo.opus", "-ac 2 -c:a libopus"),
        ("vorbis.ogg", "-c:a libvorbis"),
        ("flac.ogg", "-c:a flac"),
        ("opus.webm", "-c:a libopus"),
        ("vorbis.webm", "-c:a libvorbis"),
        ("opus.mkv", "-c:a libopus"),
        ("vorbis.mkv", "-c:a libvorbis"),
        ("mp3.mkv", "-c:a libmp3lame"),
        ("aac.mkv", "-c:a aac"),
        ("flac.mkv", "-c:a flac"),
    ];

    /// The same for formats that only ffmpeg decodes. AMR, which it does not encode, and RIFX are tested in
    /// crates/audio.
    const FFMPEG_ONLY: [(&str, &str); 14] = [
        ("wma.wma", "-c:a wmav2"),
        ("mp3.avi", "-c:a libmp3lame"),
        ("mp3.flv", "-ar 44100 -c:a libmp3lame"),
        ("program_stream.mpg", "-c:a mp2"),
        ("transport_stream.ts", "-c:a mp2"),
        ("ac3.ac3", "-ar 48000 -c:a ac3"),
        ("dts.dts", "-ar 48000 -strict -2 -c:a dca"),
        ("speex.ogg", "-c:a libspeex"),
        ("wavpack.wv", "-c:a wavpack"),
        ("gsm.wav", "-ar 8000 -c:a libgsm_ms"),
        ("g722.wav", "-c:a g722"),
        ("yamaha_adpcm.wav", "-c:a adpcm_yamaha"),
        ("six_channels.m4a", "-ac 6 -c:a aac"),
        ("six_channels.opus", "-ac 6 -c:a libopus"),
    ];

    async fn check_encodings(server: &Server, encodings: &[(&str, &str)]) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sample.wav"), sample()).unwrap();
        for (name, arguments) in encodings {
            let audio = encode_sample(folder.path(), name, arguments);
            let max_errors = match *name {
                "gsm.wav" => MAX_ERRORS_OF_GSM,
                _ => MAX_ERRORS,
            };
            check_words(server, name, audio, max_errors).await;
        }
    }

    /// Encodes `sample.wav` in the folder as a file of this name.
    fn encode_sample(folder: &Path, name: &str, arguments: &str) -> Vec<u8> {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-nostdin", "-loglevel", "error", "-i", "sample.wav"]);
        ffmpeg.args(arguments.split(' ')).arg(name);
        let output = ffmpeg.current_dir(folder).output().expect("needs ffmpeg");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {errors}");
        fs::read(folder.join(name)).unwrap()
    }

    #[tokio::test]
    #[ignore = "needs ffmpeg"]
    async fn formats_of_the_built_in_decoders_are_transcribed() {
        let server = Server::start(&[("WHISPER__MODEL", "base"), ("AUDIO__FFMPEG", "off")]);
        check_encodings(&server, &BUILT_IN).await;
    }

    #[tokio::test]
    #[ignore = "needs ffmpeg"]
    async fn formats_that_only_ffmpeg_decodes_are_transcribed() {
        let server = Server::with_model("base");
        check_encodings(&server, &FFMPEG_ONLY).await;
    }
}

mod needs_recordings {
    use std::fs;
    use std::path::PathBuf;

    use super::super::server::Server;
    use super::super::speech::recordings;
    use super::check_sentence;

    /// Files that need ffmpeg, the names of their formats, and the most words that are wrong: GSM blurs some.
    const FFMPEG_FILES: [(&str, &str, usize); 3] = [
        ("jfk_8k_gsm.wav", "GSM 6.10", 2),
        ("jfk_g722.wav", "G.722", 1),
        ("jfk_wmav2.wma", "ASF (WMA)", 1),
    ];

    /// Name and path of the files in this folder of the recordings.
    fn files(folder: &str) -> Vec<(String, PathBuf)> {
        let mut files: Vec<_> = fs::read_dir(recordings().join(folder))
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name().into_string().unwrap(), entry.path())
            })
            .collect();
        files.sort();
        files
    }

    #[tokio::test]
    #[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
    async fn every_format_is_transcribed() {
        let mut files = files("formats");
        files.retain(|(name, _)| FFMPEG_FILES.iter().all(|(other, ..)| name != other));
        assert!(files.len() >= 40, "only {} files", files.len());
        let server = Server::start(&[("WHISPER__MODEL", "base"), ("AUDIO__FFMPEG", "off")]);

        for (name, path) in files {
            check_sentence(&server, &name, fs::read(path).unwrap()).await;
        }
    }

    #[tokio::test]
    #[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
    async fn without_ffmpeg_the_error_names_the_format() {
        let folder = recordings().join("formats");
        let settings = [("WHISPER__MODEL", "tiny.en"), ("AUDIO__FFMPEG", "off")];
        let server = Server::start(&settings);

        for (name, format, _) in FFMPEG_FILES {
            let audio = fs::read(folder.join(name)).unwrap();
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
    #[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
    async fn unusual_files_are_transcribed_and_invalid_ones_refused() {
        let files = files("edge");
        let server = Server::with_model("tiny.en");

        for (name, path) in files {
            let audio = fs::read(path).unwrap();
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

    mod needs_ffmpeg {
        use std::fs;

        use super::super::super::server::Server;
        use super::super::check_words;
        use super::{FFMPEG_FILES, recordings};

        #[tokio::test]
        #[ignore = "needs ffmpeg, and recordings: set HALKSPEECH_RECORDINGS"]
        async fn every_other_format_is_transcribed() {
            let folder = recordings().join("formats");
            let server = Server::with_model("base");

            for (name, _, max_errors) in FFMPEG_FILES {
                let audio = fs::read(folder.join(name)).unwrap();
                check_words(&server, name, audio, max_errors).await;
            }
        }
    }
}
