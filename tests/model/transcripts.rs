//! Transcripts are correct, alone and in shared batches.

use futures_util::future::join_all;

use super::server::Server;
use super::speech::{SENTENCE, sample, sample_pcm, wav, word_errors, words};

#[tokio::test]
async fn the_sample_is_transcribed() {
    let server = Server::with_model("base");

    for query in [
        &[("model", "base"), ("language", "en")][..],
        &[("model", "whisper-1")],
    ] {
        let text = server.text(query, sample()).await;

        assert_eq!(words(&text), words(SENTENCE), "{query:?}");
    }
}

#[tokio::test]
async fn an_english_only_model_transcribes_and_refuses_other_languages() {
    let server = Server::with_model("tiny.en");

    let text = server.text(&[("model", "tiny.en")], sample()).await;
    let query = [("model", "tiny.en"), ("language", "tr")];
    let response = server.transcription(&query, sample()).send().await.unwrap();

    assert_eq!(words(&text), words(SENTENCE));
    assert_eq!(response.status(), 400);
    assert!(
        response
            .text()
            .await
            .unwrap()
            .contains(r#""param":"language""#)
    );
}

#[tokio::test]
async fn speech_longer_than_thirty_seconds_is_cut_at_pauses_and_joined() {
    let server = Server::with_model("base");
    let pause = vec![0; 32_000];
    let pcm = [sample_pcm(), pause].concat().repeat(4);

    let text = server
        .text(&[("model", "base"), ("language", "en")], wav(&pcm))
        .await;

    // The sentence begins with "And so" each time; the model may drop that once it is a repetition.
    let words = words(&text);
    let country = words.iter().filter(|word| *word == "country").count();
    assert_eq!(country, 8, "{text}");
    assert!(word_errors(&SENTENCE.repeat(4), &text) <= 8, "{text}");
}

#[tokio::test]
async fn the_text_of_a_clip_does_not_depend_on_its_batch() {
    let server = Server::start(&[("WHISPER__MODEL", "tiny.en"), ("WHISPER__BATCH_SIZE", "8")]);
    let pcm = sample_pcm();
    let query = [("model", "tiny.en"), ("temperature", "0")];
    let alone = server.text(&query, sample()).await;

    // Clips of other lengths and one with a prompt, between copies of the same one.
    let requests = (0..24).map(|number: usize| {
        let cut = wav(&pcm[..32_000 * (2 + number % 9)]);
        let prompted = [&query[..], &[("prompt", "The president speaks.")]].concat();
        let (copy, query, audio) = match number % 3 {
            0 => (true, query.to_vec(), sample()),
            1 => (false, query.to_vec(), cut),
            _ => (false, prompted, cut),
        };
        let request = server.transcription(&query, audio);
        async move { (copy, request.send().await.unwrap()) }
    });

    let mut batches = Vec::new();
    for (copy, response) in join_all(requests).await {
        let batch = response.headers()["x-batch-size"]
            .to_str()
            .unwrap()
            .to_owned();
        batches.push(batch.parse::<usize>().unwrap());
        let body: serde_json::Value =
            serde_json::from_str(&response.text().await.unwrap()).unwrap();
        if copy {
            assert_eq!(body["text"].as_str().unwrap(), alone.trim_end());
        }
    }
    assert!(
        batches.iter().any(|size| *size > 1),
        "no batch was shared: {batches:?}"
    );
}

#[tokio::test]
async fn the_text_of_a_clip_does_not_depend_on_other_languages_and_parameters() {
    let server = Server::start(&[("WHISPER__MODEL", "base"), ("WHISPER__BATCH_SIZE", "8")]);
    let pcm = sample_pcm();
    // Without fallback: speech in the wrong language would be tried six times.
    let query = [
        ("model", "base"),
        ("language", "en"),
        ("temperature[]", "0"),
    ];
    let alone = server.text(&query, sample()).await;

    let others = [
        ("language", "tr"),
        ("language", "de"),
        ("language", "auto"),
        ("prompt", "The president speaks."),
        ("without_timestamps", "true"),
        ("beam_size", "1"),
        ("beam_size", "3"),
        ("temperature[]", "0.4"),
        ("vad_filter", "true"),
        ("no_repeat_ngram_size", "3"),
        ("offset", "1"),
        ("logprob_threshold", "none"),
    ];
    let other_requests = others.into_iter().enumerate().map(|(number, other)| {
        let cut = wav(&pcm[..32_000 * (2 + number % 9)]);
        // Each parameter appears once in the query.
        let kept = query.into_iter().filter(|(name, _)| *name != other.0);
        let query: Vec<_> = kept.chain([other]).collect();
        server.transcription(&query, cut).send()
    });
    let copies = (0..4).map(|_| server.transcription(&query, sample()).send());
    let (responses, copies) = futures_util::join!(join_all(other_requests), join_all(copies));

    for (other, answer) in others.iter().zip(responses) {
        assert_eq!(answer.unwrap().status(), 200, "{other:?}");
    }
    let mut batches = Vec::new();
    for copy in copies {
        let copy = copy.unwrap();
        batches.push(copy.headers()["x-batch-size"].clone());
        let body: serde_json::Value = serde_json::from_str(&copy.text().await.unwrap()).unwrap();
        assert_eq!(body["text"].as_str().unwrap(), alone.trim_end());
    }
    assert!(
        batches.iter().any(|size| size != "1"),
        "no batch was shared: {batches:?}"
    );
}

mod needs_recordings {
    use std::fs;

    use super::super::server::Server;
    use super::super::speech::{clips, recordings, word_errors, words};

    #[tokio::test]
    #[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
    async fn turkish_is_detected_and_transcribed() {
        let folder = recordings();
        let server = Server::with_model("base");

        let mut reference_words = 0;
        let mut errors = 0;
        for (file, reference) in clips(&folder, "tr", "telephone") {
            let text = server
                .text(&[("model", "base")], fs::read(file).unwrap())
                .await;
            reference_words += words(&reference).len();
            errors += word_errors(&reference, &text);
        }

        assert!(reference_words > 40, "clips are missing");
        assert!(
            errors * 4 <= reference_words,
            "{errors} errors in {reference_words} words"
        );
    }

    #[tokio::test]
    #[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
    async fn a_prompt_changes_the_spelling() {
        let folder = recordings();
        let server = Server::with_model("base");
        let clip = fs::read(folder.join("multi_hotwords_comfyui.mp3")).unwrap();

        let plain = server
            .text(&[("model", "base"), ("language", "en")], clip.clone())
            .await;
        let query = [("model", "base"), ("language", "en"), ("prompt", "ComfyUI")];
        let prompted = server.text(&query, clip).await;

        assert!(!plain.contains("ComfyUI"), "{plain}");
        assert!(prompted.contains("ComfyUI"), "{prompted}");
    }
}

#[cfg(target_arch = "x86_64")]
mod needs_avx2 {
    use futures_util::future::join_all;

    use super::super::server::Server;
    use super::super::speech::{sample_pcm, wav};

    #[tokio::test]
    #[ignore = "needs a processor with AVX2"]
    async fn on_a_cpu_clips_of_different_lengths_share_a_batch() {
        // Without AVX2 all windows of a batch have one length.
        assert!(
            is_x86_feature_detected!("avx2"),
            "the processor has no AVX2"
        );
        let server = Server::start(&[
            ("WHISPER__MODEL", "tiny.en"),
            ("WHISPER__INFERENCE_DEVICE", "cpu"),
            ("WHISPER__NUM_WORKERS", "1"),
            ("WHISPER__BATCH_WINDOW_MS", "1000"),
        ]);
        let pcm = sample_pcm();
        // Differences above `LENGTH_STEP_S`, so that no clip is padded to the length of another.
        let clips = [2, 5, 8, 11].map(|seconds| wav(&pcm[..32_000 * seconds]));
        let query = [("model", "tiny.en")];

        let answers = clips.map(|clip| server.transcription(&query, clip).send());

        let mut batches = Vec::new();
        for answer in join_all(answers).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status(), 200);
            batches.push(answer.headers()["x-batch-size"].clone());
        }
        // The first may have been processed before the others arrived.
        let shared = batches.iter().filter(|size| *size != "1").count();
        assert!(shared >= 2, "{batches:?}");
    }
}
