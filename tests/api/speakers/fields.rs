//! The fields of speakers: combinations, names and references that are refused.

use reqwest::multipart::{Form, Part};

use super::INVALID;
use crate::helpers::audio::tone;
use crate::helpers::{TRANSCRIPTIONS, TestApp, check_error, error};

#[tokio::test]
async fn fields_that_contradict_each_other_are_refused() {
    let app = TestApp::start().await;
    let diarized = ("response_format", "diarized_json");
    let name = |name| ("known_speaker_names[]", name);
    let reference = (
        "known_speaker_references[]",
        "data:audio/wav;base64,UklGRg==",
    );
    for (fields, param, message) in [
        (
            &[diarized, ("num_speakers", "2"), ("min_speakers", "1")][..],
            "num_speakers",
            "'num_speakers' is not supported with min_speakers.",
        ),
        (
            &[diarized, ("num_speakers", "2"), ("max_speakers", "2")],
            "num_speakers",
            "'num_speakers' is not supported with max_speakers.",
        ),
        (
            &[diarized, ("min_speakers", "3"), ("max_speakers", "2")],
            "min_speakers",
            "'min_speakers' must be at most max_speakers (got 3 and 2).",
        ),
        (
            &[
                diarized,
                ("max_speakers", "1"),
                name("Ann"),
                name("Bob"),
                reference,
                reference,
            ],
            "known_speaker_names",
            "'known_speaker_names' has more items than max_speakers allows (2 and 1).",
        ),
        (
            &[
                diarized,
                ("num_speakers", "1"),
                name("Ann,Bob"),
                reference,
                reference,
            ],
            "known_speaker_names",
            "'known_speaker_names' has more items than num_speakers allows (2 and 1).",
        ),
        (
            &[diarized, name("Ann"), name("Ann"), reference, reference],
            "known_speaker_names",
            "'known_speaker_names' has a name twice.",
        ),
        (
            &[diarized, name("Ann"), name("Bob"), reference],
            "known_speaker_references",
            "'known_speaker_references' needs one item for each of known_speaker_names (got 1 and 2).",
        ),
        (
            &[diarized, reference],
            "known_speaker_references",
            "(got 1 and 0).",
        ),
        (
            &[("num_speakers", "2")],
            "num_speakers",
            "'num_speakers' requires response_format=diarized_json, diarize=true or \
             speaker_labels=true.",
        ),
        (
            &[name("Ann"), reference],
            "known_speaker_names",
            "'known_speaker_names' requires response_format=diarized_json",
        ),
        (
            &[diarized, ("channels", "split"), ("max_speakers", "2")],
            "max_speakers",
            "'max_speakers' is not supported with channels=split, where a channel is a speaker.",
        ),
        (
            &[
                ("response_format", "verbose_json"),
                ("channels", "split"),
                ("diarize", "true"),
            ],
            "diarize",
            "'diarize' is not supported with channels=split",
        ),
        (
            &[("diarize", "true")],
            "diarize",
            "'diarize' requires response_format=verbose_json or diarized_json (got json).",
        ),
        (
            &[("speaker_labels", "true"), ("response_format", "text")],
            "speaker_labels",
            "'speaker_labels' requires response_format=srt or vtt (got text).",
        ),
        (
            &[
                ("diarize", "true"),
                ("response_format", "verbose_json"),
                ("stream", "true"),
            ],
            "diarize",
            "'diarize' is not supported with stream=true; diarized_json can be streamed.",
        ),
    ] {
        let answer = app.form(tone(500.0), fields).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{fields:?}");
        let error = error(answer).await;
        check_error(&error, INVALID, Some(param), Some("invalid_value"), message);
    }
}

#[tokio::test]
async fn a_wrong_name_or_reference_is_refused_without_sending_it_back() {
    let app = TestApp::start().await;
    let long = "x".repeat(65);
    let large = format!(
        "data:audio/wav;base64,{}",
        "A".repeat((1 << 20) / 3 * 4 + 8)
    );
    let huge = format!("data:audio/wav;base64,{}", "A".repeat(1 << 21));
    for (field, value, message) in [
        (
            "known_speaker_names[]",
            long.as_str(),
            "at most 64 characters",
        ),
        (
            "known_speaker_names[]",
            "a\u{7}b",
            "without control characters",
        ),
        (
            "known_speaker_references[]",
            "https://example.org/a.wav",
            "Expected a data URL",
        ),
        (
            "known_speaker_references[]",
            "data:audio/wav;base64,AA?A",
            "Expected a data URL",
        ),
        ("known_speaker_references[]", &large, "at most 1 MiB"),
        (
            "known_speaker_references[]",
            &huge,
            "is longer than the limit of",
        ),
    ] {
        let file = Part::bytes(tone(500.0)).file_name("a.wav");
        let form = Form::new()
            .text("response_format", "diarized_json")
            .text(field, value.to_owned())
            .part("file", file);
        let answer = app.post(TRANSCRIPTIONS).multipart(form);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 400, "{field}");
        let error = error(answer).await;
        let param = error["param"].as_str().unwrap().trim_end_matches("[]");
        assert_eq!(param, field.trim_end_matches("[]"));
        let text = error["message"].as_str().unwrap();
        assert!(text.contains(message), "{text}");
        assert!(!text.contains("AA"), "{text}");
    }
}
