//! Reading fields, alone and in combination.

mod documents;
mod others;

use std::num::NonZeroUsize;
use std::time::Duration;

use super::*;
use crate::http::test_settings::{defaults, settings};
use halkspeech_audio::{Channels, VadOptions};
use halkspeech_whisper::Language;

fn read(task: Task, fields: &[(&str, &str)]) -> Result<TranscriptionRequest, ApiError> {
    let api = match task {
        Task::Transcribe => Api::Transcription,
        Task::Translate => Api::Translation,
    };
    read_by(api, fields)
}

fn read_by(api: Api, fields: &[(&str, &str)]) -> Result<TranscriptionRequest, ApiError> {
    let mut parameters = Parameters::new(api);
    for (name, value) in fields {
        parameters.set(name, (*value).to_owned(), &settings())?;
    }
    parameters.finish(defaults())
}

#[track_caller]
fn request(fields: &[(&str, &str)]) -> TranscriptionRequest {
    read(Task::Transcribe, fields).unwrap()
}

#[track_caller]
fn check(fields: &[(&str, &str)], is_right: impl FnOnce(&TranscriptionRequest) -> bool) {
    let request = request(fields);
    assert!(is_right(&request), "{fields:?} gives {request:?}");
}

#[track_caller]
fn check_refused(task: Task, fields: &[(&str, &str)], message: &str) {
    match read(task, fields) {
        Err(error) => assert_eq!(error.to_string(), message, "{fields:?}"),
        Ok(request) => panic!("{fields:?} gives {request:?}"),
    }
}

#[test]
fn without_fields_the_defaults_apply() {
    let request = request(&[]);
    assert_eq!(request.model, None);
    assert!(!request.stream);
    assert_eq!(request.output.format, ResponseFormat::Json);
    assert_eq!(request.options.search.beam_size, defaults().beam_size);
    assert!(request.options.vad.is_some());
    assert_eq!(
        request.options.fallback,
        TranscriptionOptions::default().fallback
    );
    assert!(!request.options.words && !request.options.logprobs);
}

#[test]
fn an_empty_value_counts_as_not_sent() {
    for field in Field::ALL {
        for value in ["", "  "] {
            let request = request(&[(field.name, value)]);
            assert_eq!(
                format!("{request:?}"),
                format!("{:?}", super::tests::request(&[]))
            );
        }
    }
}

#[test]
fn known_speakers_cannot_be_printed() {
    let fields = [
        ("response_format", "diarized_json"),
        ("known_speaker_names[]", "Ann"),
        ("known_speaker_references[]", "data:;base64,UklGRg=="),
    ];
    let mut parameters = Parameters::new(Api::Transcription);
    for (name, value) in fields {
        parameters.set(name, value.to_owned(), &settings()).unwrap();
    }
    let read = format!("{parameters:?}");
    let finished = format!("{:?}", parameters.finish(defaults()).unwrap());
    for text in [read, finished] {
        for secret in ["Ann", "UklG", "RIFF", "82, 73, 70"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}

#[test]
fn text_fields() {
    check(&[("model", " base ")], |it| {
        it.model.as_deref() == Some("base")
    });
    for value in ["tr", "TUR", "turkish", "tr-TR"] {
        check(&[("language", value)], |it| {
            it.options.language == Language::parse("tr")
        });
    }
    check(&[("language", "tr"), ("language", "auto")], |it| {
        it.options.language.is_none()
    });
    for name in ["prompt", "initial_prompt"] {
        check(&[(name, "Dear,"), (name, "")], |it| {
            it.options.prompt.as_deref() == Some("Dear,")
        });
    }
    check(&[("channels", "split")], |it| {
        it.options.channels == Channels::Split
    });
    for value in ["true", "True", "1"] {
        check(&[("stream", value)], |it| it.stream);
    }
    for value in ["false", "False", "0"] {
        check(&[("stream", "1"), ("stream", value)], |it| !it.stream);
    }
}

#[test]
fn lists_in_every_wire_form() {
    let both = |it: &TranscriptionRequest| {
        it.output.granularities.words && it.output.granularities.segments
    };
    let verbose = ("response_format", "verbose_json");
    for fields in [
        &[
            ("timestamp_granularities[]", "word"),
            ("timestamp_granularities[]", "segment"),
        ][..],
        &[
            ("timestamp_granularities", "word"),
            ("timestamp_granularities", "segment"),
        ],
        &[("timestamp_granularities", "word,segment")],
        &[("timestamp_granularities[]", r#"["word", "segment"]"#)],
    ] {
        check(&[fields, &[verbose]].concat(), both);
    }
    check(&[verbose, ("word_timestamps", "true")], both);
    check(&[verbose, ("timestamp_granularities[]", "word")], |it| {
        it.output.granularities.words && !it.output.granularities.segments && it.options.words
    });
    check(&[verbose], |it| {
        it.output.granularities.segments && !it.output.granularities.words && !it.options.words
    });
    check(
        &[("languages[]", "de"), ("languages[]", "tr,german")],
        |it| {
            let codes: Vec<_> = it.options.candidates.iter().map(|it| it.code()).collect();
            codes == ["de", "tr"]
        },
    );
    check(
        &[
            ("hotwords", "and more"),
            ("keywords[]", "CTranslate2"),
            ("keywords[]", r#"["Halk, Speech"]"#),
        ],
        |it| it.options.hotwords.as_deref() == Some("CTranslate2, Halk, Speech, and more"),
    );
    check(&[("include[]", "logprobs")], |it| {
        it.options.logprobs && it.output.logprobs && !it.output.dropped
    });
    check(&[verbose, ("include", "dropped")], |it| {
        it.output.dropped && !it.output.logprobs
    });
    for (value, tokens) in [
        ("-1", &[-1][..]),
        ("[]", &[]),
        ("-1, 50", &[-1, 50]),
        ("[7]", &[7]),
    ] {
        check(&[("suppress_tokens", value)], |it| {
            *it.options.search.suppress_tokens == *tokens
        });
    }
    check(
        &[("suppress_tokens[]", "1"), ("suppress_tokens[]", "2")],
        |it| *it.options.search.suppress_tokens == [1, 2],
    );
}

#[test]
fn temperatures() {
    let usual = TranscriptionOptions::default().fallback.temperatures;
    for (fields, first, rest) in [
        (&[("temperature", "0")][..], 0.0, &usual[..]),
        (&[("temperature", "-0")], 0.0, &usual),
        (&[("temperature", "0.3")], 0.3, &[]),
        (&[("temperature", "0.3"), ("temperature", "0")], 0.0, &usual),
        (&[("temperature", "0,0.5,1")], 0.0, &[0.5, 1.0]),
        (&[("temperature", "[0]")], 0.0, &[]),
        (
            &[("temperature[]", "0.1"), ("temperature[]", "0.2")],
            0.1,
            &[0.2],
        ),
        (
            &[("temperature", "[0,1]"), ("temperature", "0.5")],
            0.5,
            &[],
        ),
    ] {
        check(fields, |it| {
            it.options.search.temperature == first && it.options.fallback.temperatures == rest
        });
    }
}

#[test]
fn accepts_what_clients_send_by_default() {
    for value in ["auto", "Auto", "None", "null", "und", "\"\""] {
        let fields = [("language", "tr"), ("language", value)];
        check(&fields, |it| it.options.language.is_none());
    }
    check(&[("language", "\"tr\""), ("stream", "yes")], |it| it.stream);
    check(&[("stream", "on")], |it| it.stream);
    let numbered = [
        ("response_format", "VERBOSE_JSON"),
        ("timestamp_granularities[0]", "word"),
        ("timestamp_granularities[1]", "segment"),
    ];
    check(&numbered, |it| {
        let granularities = it.output.granularities;
        granularities.words && granularities.segments
    });
}

#[test]
fn decoding_fields() {
    let fields = [
        ("beam_size", "2"),
        ("best_of", "4"),
        ("seed", "9223372036854775807"),
        ("patience", "1.5"),
        ("length_penalty", "0.5"),
        ("repetition_penalty", "1.1"),
        ("no_repeat_ngram_size", "3"),
        ("without_timestamps", "true"),
        ("condition_on_previous_text", "true"),
        ("compression_ratio_threshold", "2"),
        ("log_prob_threshold", "-2"),
        ("no_speech_threshold", "none"),
        ("hallucination_silence_threshold", "2"),
        ("offset", "1.5"),
        ("duration", "30"),
    ];
    check(&fields, |it| {
        let (options, search, fallback) = (&it.options, &it.options.search, &it.options.fallback);
        search.beam_size.get() == 2
            && search.best_of.get() == 4
            && options.seed == Some(9_223_372_036_854_775_807)
            && search.patience == 1.5
            && search.length_penalty == 0.5
            && search.repetition_penalty == 1.1
            && search.no_repeat_ngram_size == 3
            && !search.timestamps
            && options.condition_on_previous_text
            && fallback.compression_ratio_threshold == Some(2.0)
            && fallback.logprob_threshold == Some(-2.0)
            && fallback.no_speech_threshold.is_none()
            && options.hallucination_silence_threshold_s == Some(2.0)
            && options.words
            && options.clip.offset == Duration::from_millis(1_500)
            && options.clip.duration == Some(Duration::from_secs(30))
    });
    let subtitles = [("max_line_width", "42"), ("response_format", "srt")];
    check(&subtitles, |it| {
        it.options.words && it.output.subtitles.max_line_width == NonZeroUsize::new(42)
    });
}

#[test]
fn vad_is_enabled_by_its_fields() {
    let usual = VadOptions::default();
    let threshold = |it: &TranscriptionRequest| it.options.vad.as_ref().map(|vad| vad.threshold);
    for (fields, expected) in [
        (&[("vad_filter", "false")][..], None),
        (&[("vad", "0"), ("vad_threshold", "0.7")], None),
        (&[("vad_threshold", "0.7")], Some(0.7)),
        (
            &[("vad_filter", "0"), ("chunking_strategy", "auto")],
            Some(usual.threshold),
        ),
        (
            &[("vad_filter", "0"), ("chunking_strategy", "\"auto\"")],
            Some(usual.threshold),
        ),
        (&[("vad_filter", "0"), ("chunking_strategy", "null")], None),
        (&[("chunking_strategy[type]", "server_vad")], Some(0.5)),
        (
            &[("vad", "0"), ("chunking_strategy[threshold]", "0.4")],
            Some(0.4),
        ),
        (&[("vad_parameters", r#"{"threshold": 0.2}"#)], Some(0.2)),
        (&[("vad_parameters", "None")], Some(usual.threshold)),
    ] {
        check(fields, |it| threshold(it) == expected);
    }
    let milliseconds = Duration::from_millis;
    let strategy = r#"{"type":"server_vad","silence_duration_ms":null,"prefix_padding_ms":100}"#;
    check(&[("chunking_strategy", strategy)], |it| {
        let vad = it.options.vad.as_ref().unwrap();
        vad.speech_pad == milliseconds(100) && vad.min_silence == milliseconds(200)
    });
    for fields in [
        [
            ("vad_min_speech_ms", "1"),
            ("vad_min_silence_ms", "2"),
            ("vad_max_speech_s", "3"),
            ("vad_speech_pad_ms", "4"),
        ],
        [
            ("vad_min_speech_duration_ms", "1"),
            ("vad_min_silence_duration_ms", "2"),
            ("vad_max_speech_duration_s", "3"),
            ("vad_parameters[speech_pad_ms]", "4"),
        ],
    ] {
        check(&fields, |it| {
            let vad = it.options.vad.as_ref().unwrap();
            vad.min_speech == milliseconds(1)
                && vad.min_silence == milliseconds(2)
                && vad.max_speech == milliseconds(3_000)
                && vad.speech_pad == milliseconds(4)
        });
    }
}

#[test]
fn refuses_fields_that_cannot_be_combined() {
    for (fields, message) in [
        (
            &[("timestamp_granularities[]", "word")][..],
            "'timestamp_granularities' requires response_format=verbose_json (got json)",
        ),
        (
            &[("response_format", "srt"), ("stream", "true")],
            "'stream' requires response_format=json or text or verbose_json or diarized_json (got srt)",
        ),
        (
            &[("channels", "split"), ("stream", "true")],
            "'stream' is not supported with channels=split",
        ),
        (
            &[("beam_size", "1"), ("patience", "0.4")],
            "'patience' multiplied by beam_size must be at least 0.5 (got 0.4 × 1)",
        ),
        (
            &[("beam_size", "32"), ("patience", "2.1")],
            "'patience' multiplied by beam_size must be at most 64 (got 2.1 × 32)",
        ),
    ] {
        check_refused(Task::Transcribe, fields, message);
    }
    for (beam_size, patience) in [("32", "2"), ("6", "10"), ("5", "2")] {
        let fields = [("beam_size", beam_size), ("patience", patience)];
        check(&fields, |it| {
            it.options.search.patience.to_string() == patience
        });
    }
    check(
        &[("response_format", "diarized_json"), ("channels", "split")],
        |it| it.output.format == ResponseFormat::DiarizedJson,
    );
}

#[test]
fn translations_have_no_diarized_json() {
    let fields = [("response_format", "diarized_json"), ("channels", "split")];
    let message = "response_format must be json or text or srt or verbose_json or vtt";
    check_refused(Task::Translate, &fields, message);
    read(
        Task::Translate,
        &[("language", "de"), ("response_format", "vtt")],
    )
    .unwrap();
}

#[test]
fn unknown_members_are_unknown_fields() {
    let fields = [("vad_parameters", r#"{"neg_threshold": 0.3}"#)];
    let message = "field vad_parameters[neg_threshold] is unknown";
    check_refused(Task::Transcribe, &fields, message);
}
