//! A model with random weights, written by the script of the GPU benchmarks.

use std::process::Command;

/// Parameters that disable generating an improbable text again.
const NO_FALLBACK: [(&str, &str); 6] = [
    ("language", "en"),
    ("temperature", "[0]"),
    ("vad_filter", "false"),
    ("compression_ratio_threshold", "none"),
    ("logprob_threshold", "none"),
    ("no_speech_threshold", "none"),
];

/// Whether Python runs successfully with these arguments. It writes no bytecode files next to a script.
fn python(arguments: &[&str]) -> bool {
    let status = Command::new("python3").arg("-B").args(arguments).status();
    status.is_ok_and(|status| status.success())
}

mod needs_python {
    use std::path::Path;

    use serde_json::Value;

    use super::super::server::Server;
    use super::super::speech::sample;
    use super::{NO_FALLBACK, python};

    #[tokio::test]
    #[ignore = "needs Python 3.9 or later"]
    async fn random_weights_generate_the_requested_number_of_tokens() {
        let has_python = python(&["-c", "import sys; assert sys.version_info >= (3, 9)"]);
        assert!(has_python, "needs Python 3.9 or later");
        let folder = tempfile::tempdir().unwrap();
        let models = folder.path().to_str().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gpu/write_model.py");
        let script = script.to_str().unwrap();
        let shape = "64,1,1,1,80,51865";
        let is_written = python(&[script, shape, &format!("{models}/random"), "--tokens=12"]);
        assert!(is_written, "the model is not written");
        let server = Server::start(&[("MODELS_DIR", models), ("WHISPER__MODEL", "random")]);

        for beam in ["1", "5"] {
            let query = [
                ("model", "random"),
                ("beam_size", beam),
                ("response_format", "verbose_json"),
                ("without_timestamps", "true"),
            ];
            let query = [&query[..], &NO_FALLBACK].concat();
            let answer = server.transcription(&query, sample()).send().await.unwrap();
            let answer: Value = answer.json().await.unwrap();

            let segments = answer["segments"].as_array().unwrap();
            assert_eq!(segments.len(), 1, "{answer}");
            assert_eq!(
                segments[0]["tokens"].as_array().unwrap().len(),
                12,
                "{answer}"
            );
        }
    }
}
