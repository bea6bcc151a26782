//! Times, subtitles, streams and translations of real speech.

use serde_json::Value;

use super::server::Server;
use super::speech::{SENTENCE, sample, sample_pcm, stereo_wav, wav, words};

const SAMPLE_S: f64 = 11.0;

async fn body(server: &Server, query: &[(&str, &str)], audio: Vec<u8>) -> String {
    let answer = server.transcription(query, audio).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

/// Hours, minutes, seconds and milliseconds, as srt writes them.
fn seconds(time: &str) -> f64 {
    let (clock, millis) = time.split_once(',').unwrap();
    let whole = clock
        .split(':')
        .fold(0, |sum, part| 60 * sum + part.parse::<u32>().unwrap());
    f64::from(whole) + millis.parse::<f64>().unwrap() / 1000.0
}

fn times(item: &Value) -> (f64, f64) {
    let time = |name: &str| item[name].as_f64().unwrap();
    (time("start"), time("end"))
}

/// The texts of the words in a response.
fn word_texts(answer: &Value) -> Vec<&str> {
    let words = answer["words"].as_array().unwrap().iter();
    words.map(|word| word["word"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn words_and_cues_of_the_sample_are_in_order() {
    let server = Server::with_model("base");
    let query = [("model", "base"), ("language", "en")];
    let text = server.text(&query, sample()).await;
    let text = text.trim_end();

    let timed = [
        &query[..],
        &[
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "word"),
        ],
    ];
    let timed: Value =
        serde_json::from_str(&body(&server, &timed.concat(), sample()).await).unwrap();
    let mut now_s = 0.0;
    for word in timed["words"].as_array().unwrap() {
        let (start_s, end_s) = times(word);
        assert!(now_s <= start_s && start_s <= end_s, "{word} after {now_s}");
        now_s = end_s;
    }
    assert!(now_s <= SAMPLE_S, "{now_s}");
    // Punctuation may differ from that of a text without time stamps.
    assert_eq!(
        word_texts(&timed).join(" "),
        timed["text"].as_str().unwrap().trim()
    );
    assert_eq!(words(timed["text"].as_str().unwrap()), words(SENTENCE));
    assert_eq!(words(text), words(SENTENCE));

    let srt = [&query[..], &[("response_format", "srt")]].concat();
    let srt = body(&server, &srt, sample()).await;
    let mut now_s = 0.0;
    let mut lines = Vec::new();
    for (number, cue) in (1..).zip(srt.trim_end().split("\n\n")) {
        let mut parts = cue.lines();
        assert_eq!(parts.next().unwrap(), number.to_string());
        let (start, end) = parts.next().unwrap().split_once(" --> ").unwrap();
        let (start_s, end_s) = (seconds(start), seconds(end));
        assert!(now_s <= start_s && start_s < end_s, "{cue}");
        now_s = end_s;
        lines.extend(parts);
    }
    assert!(now_s <= SAMPLE_S, "{now_s}");
    assert_eq!(words(&lines.join(" ")), words(SENTENCE));
}

#[tokio::test]
async fn logprobs_cover_the_text() {
    let server = Server::with_model("base");
    let query = [("model", "base"), ("include[]", "logprobs")];

    let answer = body(&server, &query, sample()).await;

    let answer: Value = serde_json::from_str(&answer).unwrap();
    let mut text = Vec::new();
    for token in answer["logprobs"].as_array().unwrap() {
        let logprob = token["logprob"].as_f64().unwrap();
        assert!((-20.0..=0.0).contains(&logprob), "{token}");
        let bytes = token["bytes"].as_array().unwrap();
        text.extend(bytes.iter().map(|byte| byte.as_u64().unwrap() as u8));
    }
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.trim(), answer["text"].as_str().unwrap());
    assert_eq!(words(&text), words(SENTENCE));
}

#[tokio::test]
async fn each_channel_of_a_call_is_a_speaker() {
    let server = Server::with_model("tiny.en");
    // The second speaker begins five seconds after the first.
    let pcm = sample_pcm();
    let late = [vec![0; 32_000 * 5], pcm.clone()].concat();
    let early = [pcm, vec![0; 32_000 * 5]].concat();
    let frames = early.chunks_exact(2).zip(late.chunks_exact(2));
    let stereo: Vec<u8> = frames
        .flat_map(|(left, right)| [left, right].concat())
        .collect();
    let query = [
        ("model", "tiny.en"),
        ("channels", "split"),
        ("response_format", "diarized_json"),
    ];

    let answer = body(&server, &query, stereo_wav(&stereo)).await;

    let answer: Value = serde_json::from_str(&answer).unwrap();
    let segments = answer["segments"].as_array().unwrap();
    for (speaker, begins_s) in [("A", 0.0), ("B", 5.0)] {
        let own = segments
            .iter()
            .filter(|segment| segment["speaker"] == speaker);
        let own: Vec<_> = own.collect();
        let texts: Vec<_> = own
            .iter()
            .map(|segment| segment["text"].as_str().unwrap())
            .collect();
        assert_eq!(words(&texts.join(" ")), words(SENTENCE), "{speaker}");
        let (start_s, _) = times(own[0]);
        assert!(
            (start_s - begins_s).abs() < 1.0,
            "{speaker} begins at {start_s}"
        );
    }
    assert!(
        segments.is_sorted_by_key(|segment| times(segment).0),
        "{segments:?}"
    );
}

#[tokio::test]
async fn streamed_text_equals_the_text_of_the_response() {
    let server = Server::with_model("base");
    // Repeated speech looks like a repetition loop, which would be sampled again.
    let query = [("model", "base"), ("compression_ratio_threshold", "20")];
    let long = wav(&sample_pcm().repeat(4));
    let text = server.text(&query, long.clone()).await;

    let streamed = [&query[..], &[("stream", "true")]].concat();
    let stream = body(&server, &streamed, long).await;

    let events = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = events
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let (done, deltas) = events.split_last().unwrap();
    let joined: String = deltas
        .iter()
        .map(|delta| delta["delta"].as_str().unwrap())
        .collect();
    assert!(deltas.len() >= 2, "{stream}");
    assert_eq!(joined, text.trim_end());
    assert_eq!(done["type"], "transcript.text.done");
    assert_eq!(done["text"], joined);
}

#[tokio::test]
async fn a_rejected_window_is_generated_again_while_it_improves() {
    let server = Server::with_model("tiny.en");
    let query = [("model", "tiny.en"), ("response_format", "verbose_json")];

    // No text reaches log probability 0: the first try is rejected, so is the second, which is less
    // probable, and the better of them is kept.
    for (threshold, tried_again) in [("-1", false), ("0", true)] {
        let query = [&query[..], &[("logprob_threshold", threshold)]].concat();
        let answer: Value = serde_json::from_str(&body(&server, &query, sample()).await).unwrap();

        let temperature = answer["segments"][0]["temperature"].as_f64().unwrap();
        assert_eq!(temperature > 0.0, tried_again, "{threshold}: {temperature}");
        assert!(!answer["text"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn faint_speech_keeps_its_first_words() {
    let server = Server::with_model("base");
    let pcm = sample_pcm();
    let faint = pcm.chunks_exact(2).flat_map(|bytes| {
        let sample = i16::from_le_bytes([bytes[0], bytes[1]]);
        (sample / 100).to_le_bytes()
    });

    let query = [("model", "base"), ("language", "en")];
    let text = server.text(&query, wav(&faint.collect::<Vec<_>>())).await;

    assert!(
        words(&text).starts_with(&words("And so my fellow")),
        "{text}"
    );
}

/// Requests as sent by Bazarr: raw samples, first to detect the language.
#[tokio::test]
async fn clients_of_other_servers_get_the_language_and_subtitles() {
    let server = Server::with_model("base");
    let send = async |path: &str, query: &[(&str, &str)]| {
        let request = reqwest::Client::new().post(server.url(path));
        let request = request.query(query).body(sample_pcm());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    };

    let language = send("/detect-language", &[("encode", "false")]).await;
    let language: Value = serde_json::from_str(&language).unwrap();
    assert_eq!(language["language_code"], "en");
    assert_eq!(language["detected_language"], "english");
    let confidence = language["confidence"].as_f64().unwrap();
    assert!((0.5..=1.0).contains(&confidence), "{language}");

    let query = [("encode", "false"), ("output", "srt"), ("language", "en")];
    let subtitles = send("/asr", &query).await;
    assert!(subtitles.starts_with("1\n00:00:0"), "{subtitles}");
    assert!(subtitles.contains("what your country"), "{subtitles}");
    let query = [("encode", "false"), ("output", "tsv"), ("language", "en")];
    let table = send("/asr", &query).await;
    assert!(table.starts_with("start\tend\ttext\n"), "{table}");
}

mod needs_recordings {
    use std::fs;

    use serde_json::Value;

    use super::super::server::Server;
    use super::super::speech::{clips, recordings, words};
    use super::{body, times, word_texts};

    #[tokio::test]
    #[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
    async fn segments_and_words_of_long_speech_are_in_order() {
        let folder = recordings();
        let server = Server::with_model("base");
        let audio = fs::read(folder.join("long_en_sonnet1_53s.mp3")).unwrap();

        for continues in ["false", "true"] {
            let query = [
                ("model", "base"),
                ("response_format", "verbose_json"),
                ("timestamp_granularities[]", "word,segment"),
                ("condition_on_previous_text", continues),
            ];
            let answer = body(&server, &query, audio.clone()).await;

            let answer: Value = serde_json::from_str(&answer).unwrap();
            let text = answer["text"].as_str().unwrap();
            let duration_s = answer["duration"].as_f64().unwrap();
            for kind in ["segments", "words"] {
                let mut now_s = 0.0;
                for item in answer[kind].as_array().unwrap() {
                    let (start_s, end_s) = times(item);
                    assert!(now_s <= start_s && start_s <= end_s, "{item} after {now_s}");
                    now_s = end_s;
                }
                assert!(now_s > 45.0 && now_s <= duration_s, "{kind} end at {now_s}");
            }
            let segments = answer["segments"].as_array().unwrap();
            let texts: String = segments
                .iter()
                .map(|one| one["text"].as_str().unwrap())
                .collect();
            assert_eq!(words(&texts), words(text));
            // Hyphenated words are two, as the reference has them.
            assert_eq!(word_texts(&answer).concat(), text.replace(' ', ""));
        }
    }

    #[tokio::test]
    #[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
    async fn words_of_languages_without_spaces_join_to_the_text() {
        let folder = recordings();
        let server = Server::with_model("base");
        let query = [
            ("model", "base"),
            ("response_format", "verbose_json"),
            ("word_timestamps", "true"),
        ];

        for (file, name) in [
            ("ja_picovoice.wav", "japanese"),
            ("zh_f5_24k.wav", "chinese"),
        ] {
            let audio = fs::read(folder.join(file)).unwrap();
            let answer = body(&server, &query, audio).await;

            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer["language"], name);
            let words = word_texts(&answer);
            assert!(words.len() >= 4, "{words:?}");
            assert_eq!(words.concat(), answer["text"].as_str().unwrap());
        }
    }

    #[tokio::test]
    #[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
    async fn translations_are_english() {
        let folder = recordings();
        let server = Server::with_model("base");

        for (language, kind) in [
            ("de", "short"),
            ("fr", "short"),
            ("es", "short"),
            ("tr", "telephone"),
        ] {
            let clips = clips(&folder, language, kind);
            let mut english = 0;
            let mut all = 0;
            for (file, _) in &clips {
                let query = [("model", "base"), ("response_format", "text")];
                let request = server.client.post(server.url("/v1/audio/translations"));
                let request = request.query(&query).body(fs::read(file).unwrap());
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 200);
                let translated = words(&answer.text().await.unwrap());
                let common = [
                    "the", "and", "of", "to", "was", "it", "is", "that", "you", "in",
                ];
                english += translated
                    .iter()
                    .filter(|word| common.contains(&word.as_str()))
                    .count();
                all += translated.len();
            }
            assert!(clips.len() >= 4, "clips are missing");
            assert!(
                all >= 40 && english * 6 >= all,
                "{language}: {english} of {all}"
            );
        }
    }
}
