//! What fields ask for, alone and together.

mod documents;
mod others;

use std::num::NonZeroUsize;
use std::time::Duration;

use super::*;
use crate::audio::{Channels, VadOptions};
use crate::http::test_settings::{defaults, settings};
use crate::tokens::Language;

fn read(task: Task, fields: &[(&str, &str)]) -> Result<Asked, ApiError> {
    let api = match task {
        Task::Transcribe => Api::Transcription,
        Task::Translate => Api::Translation,
    };
    read_by(api, fields)
}

fn read_by(api: Api, fields: &[(&str, &str)]) -> Result<Asked, ApiError> {
    let mut parameters = Parameters::new(api);
    for (name, value) in fields {
        parameters.set(name, (*value).to_owned(), &settings())?;
    }
    parameters.finish(defaults())
}

#[track_caller]
fn asked(fields: &[(&str, &str)]) -> Asked {
    read(Task::Transcribe, fields).unwrap()
}

#[track_caller]
fn check(fields: &[(&str, &str)], is_right: impl FnOnce(&Asked) -> bool) {
    let asked = asked(fields);
    assert!(is_right(&asked), "{fields:?} asks for {asked:?}");
}

#[track_caller]
fn check_refused(task: Task, fields: &[(&str, &str)], message: &str) {
    match read(task, fields) {
        Err(error) => assert_eq!(error.to_string(), message, "{fields:?}"),
        Ok(asked) => panic!("{fields:?} asks for {asked:?}"),
    }
}

#[test]
fn without_fields_the_defaults_hold() {
    let asked = asked(&[]);
    assert_eq!(asked.model, None);
    assert!(!asked.stream);
    assert_eq!(asked.wish.format, ResponseFormat::Json);
    assert_eq!(asked.wishes.options.beam_size, defaults().beam_size);
    assert!(asked.wishes.vad.is_some());
    assert_eq!(asked.wishes.fallback, Wishes::default().fallback);
    assert!(!asked.wishes.words && !asked.wishes.logprobs);
}

#[test]
fn an_empty_value_is_as_good_as_none() {
    for field in Field::ALL {
        for value in ["", "  "] {
            let asked = asked(&[(field.name, value)]);
            assert_eq!(
                format!("{asked:?}"),
                format!("{:?}", super::tests::asked(&[]))
            );
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
            it.wishes.language == Language::parse("tr")
        });
    }
    check(&[("language", "tr"), ("language", "auto")], |it| {
        it.wishes.language.is_none()
    });
    for name in ["prompt", "initial_prompt"] {
        check(&[(name, "Dear,"), (name, "")], |it| {
            it.wishes.prompt.as_deref() == Some("Dear,")
        });
    }
    check(&[("channels", "split")], |it| {
        it.wishes.channels == Channels::Split
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
    let both = |it: &Asked| it.wish.granularities.words && it.wish.granularities.segments;
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
        it.wish.granularities.words && !it.wish.granularities.segments && it.wishes.words
    });
    check(&[verbose], |it| {
        it.wish.granularities.segments && !it.wish.granularities.words && !it.wishes.words
    });
    check(
        &[("languages[]", "de"), ("languages[]", "tr,german")],
        |it| {
            let codes: Vec<_> = it.wishes.candidates.iter().map(|it| it.code()).collect();
            codes == ["de", "tr"]
        },
    );
    check(
        &[
            ("hotwords", "and more"),
            ("keywords[]", "CTranslate2"),
            ("keywords[]", r#"["Halk, Speech"]"#),
        ],
        |it| it.wishes.hotwords.as_deref() == Some("CTranslate2, Halk, Speech, and more"),
    );
    check(&[("include[]", "logprobs")], |it| {
        it.wishes.logprobs && it.wish.logprobs && !it.wish.dropped
    });
    check(&[verbose, ("include", "dropped")], |it| {
        it.wish.dropped && !it.wish.logprobs
    });
    for (value, tokens) in [
        ("-1", &[-1][..]),
        ("[]", &[]),
        ("-1, 50", &[-1, 50]),
        ("[7]", &[7]),
    ] {
        check(&[("suppress_tokens", value)], |it| {
            *it.wishes.options.suppress_tokens == *tokens
        });
    }
    check(
        &[("suppress_tokens[]", "1"), ("suppress_tokens[]", "2")],
        |it| *it.wishes.options.suppress_tokens == [1, 2],
    );
}

#[test]
fn temperatures() {
    let usual = Wishes::default().fallback.temperatures;
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
            it.wishes.options.temperature == first && it.wishes.fallback.temperatures == rest
        });
    }
}

#[test]
fn what_clients_send_unasked_is_taken() {
    for value in ["auto", "Auto", "None", "null", "und", "\"\""] {
        let fields = [("language", "tr"), ("language", value)];
        check(&fields, |it| it.wishes.language.is_none());
    }
    check(&[("language", "\"tr\""), ("stream", "yes")], |it| it.stream);
    check(&[("stream", "on")], |it| it.stream);
    let numbered = [
        ("response_format", "VERBOSE_JSON"),
        ("timestamp_granularities[0]", "word"),
        ("timestamp_granularities[1]", "segment"),
    ];
    check(&numbered, |it| {
        let granularities = it.wish.granularities;
        granularities.words && granularities.segments
    });
}

#[test]
fn decoding_fields() {
    let fields = [
        ("beam_size", "2"),
        ("best_of", "4"),
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
        let (wishes, options, fallback) = (&it.wishes, &it.wishes.options, &it.wishes.fallback);
        options.beam_size.get() == 2
            && options.best_of.get() == 4
            && options.patience == 1.5
            && options.length_penalty == 0.5
            && options.repetition_penalty == 1.1
            && options.no_repeat_ngram_size == 3
            && !options.timestamps
            && wishes.condition_on_previous_text
            && fallback.compression_ratio_threshold == Some(2.0)
            && fallback.logprob_threshold == Some(-2.0)
            && fallback.no_speech_threshold.is_none()
            && wishes.hallucination_silence_threshold_s == Some(2.0)
            && wishes.words
            && wishes.clip.offset == Duration::from_millis(1_500)
            && wishes.clip.duration == Some(Duration::from_secs(30))
    });
    let subtitles = [("max_line_width", "42"), ("response_format", "srt")];
    check(&subtitles, |it| {
        it.wishes.words && it.wish.subtitles.max_line_width == NonZeroUsize::new(42)
    });
}

#[test]
fn speech_is_told_from_silence_where_it_is_wanted() {
    let usual = VadOptions::default();
    let threshold = |it: &Asked| it.wishes.vad.as_ref().map(|vad| vad.threshold);
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
        let vad = it.wishes.vad.as_ref().unwrap();
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
            let vad = it.wishes.vad.as_ref().unwrap();
            vad.min_speech == milliseconds(1)
                && vad.min_silence == milliseconds(2)
                && vad.max_speech == milliseconds(3_000)
                && vad.speech_pad == milliseconds(4)
        });
    }
}

#[test]
fn fields_that_do_not_go_together() {
    for (fields, message) in [
        (
            &[("timestamp_granularities[]", "word")][..],
            "'timestamp_granularities' requires response_format=verbose_json (got json)",
        ),
        (
            &[("response_format", "srt"), ("stream", "true")],
            "'stream' requires response_format=json or text or verbose_json (got srt)",
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
            it.wishes.options.patience.to_string() == patience
        });
    }
    check(
        &[("response_format", "diarized_json"), ("channels", "split")],
        |it| it.wish.format == ResponseFormat::DiarizedJson,
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
fn members_nobody_knows_are_unknown_fields() {
    let fields = [("vad_parameters", r#"{"neg_threshold": 0.3}"#)];
    let message = "field vad_parameters[neg_threshold] is unknown";
    check_refused(Task::Transcribe, &fields, message);
}
