//! Seeds of sampled texts, and words that are sent while a window is written.

use futures_util::future::join_all;
use serde_json::Value;

use super::server::Server;
use super::speech::{sample_pcm, wav};

/// Speech in noise, of which a sampled text has many variants.
fn noisy() -> Vec<u8> {
    let mut state = 1_u32;
    let pcm = sample_pcm();
    let noisy = pcm.chunks_exact(2).flat_map(|bytes| {
        // The numbers of `Numerical Recipes`.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 20) as i16 - 2_048;
        let sample = i16::from_le_bytes([bytes[0], bytes[1]]) / 4;
        (sample + noise).to_le_bytes()
    });
    wav(&noisy.collect::<Vec<_>>())
}

/// The text of noisy speech at temperature 0.8 with this seed.
async fn sampled(server: &Server, seed: &str) -> String {
    let query = [
        ("model", "base"),
        ("language", "en"),
        ("temperature", "0.8"),
        ("vad_filter", "false"),
        ("seed", seed),
    ];
    server.text(&query, noisy()).await
}

/// The deltas of a stream, and its last event.
async fn streamed(server: &Server, query: &[(&str, &str)], audio: Vec<u8>) -> (Vec<String>, Value) {
    let query = [query, &[("stream", "true")]].concat();
    let answer = server.transcription(&query, audio).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let body = answer.text().await.unwrap();
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut events: Vec<Value> = data
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let done = events.pop().unwrap();
    assert_eq!(done["type"], "transcript.text.done", "{body}");
    let deltas = events.iter().map(|event| event["delta"].as_str().unwrap());
    (deltas.map(str::to_owned).collect(), done)
}

#[tokio::test]
async fn the_same_seed_gives_the_same_text_in_any_company_and_after_a_restart() {
    let settings = [("WHISPER__MODEL", "base"), ("WHISPER__NUM_WORKERS", "2")];
    let server = Server::start(&settings);
    let text = sampled(&server, "7").await;
    for _ in 0..4 {
        assert_eq!(sampled(&server, "7").await, text);
    }
    let mut others = Vec::new();
    for seed in ["0", "1", "9223372036854775807"] {
        others.push(sampled(&server, seed).await);
    }
    assert!(
        others.iter().all(|other| *other != text),
        "{text}{others:?}"
    );

    // Next to each other, on both engines.
    let together = join_all(["7", "0", "7", "1", "7"].map(|seed| sampled(&server, seed))).await;
    let alone = [&text, &others[0], &text, &others[1], &text];
    assert_eq!(together.iter().collect::<Vec<_>>(), alone);

    drop(server);
    let restarted = Server::with_model("base");
    assert_eq!(sampled(&restarted, "7").await, text);
}

#[tokio::test]
async fn words_are_streamed_before_their_window_is_done_and_are_the_text() {
    let server = Server::with_model("base");
    // Five hypotheses of this sentence differ in a comma up to its end.
    for (beam_size, min_deltas) in [("1", 20), ("5", 1)] {
        let query = [
            ("model", "base"),
            ("language", "en"),
            ("beam_size", beam_size),
        ];
        let whole = server.text(&query, wav(&sample_pcm())).await;

        let logprobs = [&query[..], &[("include[]", "logprobs")]].concat();
        let (deltas, done) = streamed(&server, &logprobs, wav(&sample_pcm())).await;

        // One window.
        assert!(deltas.len() >= min_deltas, "beam {beam_size}: {deltas:?}");
        assert_eq!(deltas.concat(), whole.trim_end());
        assert_eq!(done["text"], whole.trim_end());
        let tokens = done["logprobs"].as_array().unwrap();
        let joined = tokens.iter().map(|token| token["token"].as_str().unwrap());
        assert_eq!(joined.collect::<String>().trim(), whole.trim_end());
    }
}

#[tokio::test]
async fn the_deltas_of_a_rejected_text_are_its_text() {
    let server = Server::with_model("tiny.en");
    // Every text is rejected; so is every begin of one but the first words.
    let repeated = wav(&sample_pcm()[..96_000].repeat(8));
    for threshold in ["0.9", "1.1", "1.3"] {
        let query = [
            ("model", "tiny.en"),
            ("beam_size", "1"),
            ("compression_ratio_threshold", threshold),
        ];
        let (deltas, done) = streamed(&server, &query, repeated.clone()).await;
        assert_eq!(
            deltas.concat(),
            done["text"].as_str().unwrap(),
            "{threshold}"
        );
    }
}

mod needs_recordings {
    use std::fs;

    use super::super::server::Server;
    use super::super::speech::recordings;
    use super::streamed;

    #[tokio::test]
    #[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
    async fn the_deltas_of_any_recording_are_its_text() {
        let folder = recordings();
        let server = Server::with_model("base");
        for file in [
            "long_en_sonnet1_53s.mp3",
            "en_tel8k_queue-periodic-announce.wav",
            "tr_ivr8k_maintenance.wav",
            "tr_gcompris_words.ogg",
            "ja_picovoice.wav",
            "zh_f5_24k.wav",
            "ru_sample.wav",
            "de_fleurs_000.ogg",
        ] {
            let audio = fs::read(folder.join(file)).unwrap();
            for beam_size in ["1", "5"] {
                let query = [("model", "base"), ("beam_size", beam_size)];
                let whole = server.text(&query, audio.clone()).await;

                let (deltas, done) = streamed(&server, &query, audio.clone()).await;

                assert_eq!(deltas.concat(), done["text"].as_str().unwrap(), "{file}");
                // None of these texts is rejected.
                assert_eq!(done["text"], whole.trim_end(), "{file} {beam_size}");
            }
        }
    }
}
