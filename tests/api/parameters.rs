//! Invalid parameters: a 400 with the name, the value and the valid values.

use crate::helpers::audio::tone;
use crate::helpers::{MODEL, TRANSCRIPTIONS, TestApp, check_error, error, form};

const INVALID: &str = "invalid_request_error";
const TRANSLATIONS: &str = "/v1/audio/translations";

type Field = (&'static str, &'static str);

/// Sends the fields as a form and as a query, and checks that one of them is refused with its value.
async fn check_refused(app: &TestApp, path: &str, fields: &[Field], refused: Field, allowed: &str) {
    let (param, value) = refused;
    check_message(app, path, fields, param, &[allowed, &format!("{value:?}")]).await;
}

/// Sends the fields as a form and as a query, and checks that the error of `param` has these texts.
async fn check_message(app: &TestApp, path: &str, fields: &[Field], param: &str, texts: &[&str]) {
    let fields = [&[("model", MODEL)], fields].concat();
    let as_form = app.post(path).multipart(form(tone(500.0), &fields));
    let as_query = app.post(path).query(&fields).body(tone(500.0));
    for request in [as_form, as_query] {
        let answer = request.send().await.unwrap();

        assert_eq!(answer.status(), 400, "{fields:?}");
        let error = error(answer).await;
        for text in texts {
            check_error(&error, INVALID, Some(param), Some("invalid_value"), text);
        }
    }
}

#[tokio::test]
async fn the_error_of_an_invalid_value_names_the_valid_ones() {
    let app = TestApp::start().await;
    let formats = "json or text or srt or verbose_json or vtt or diarized_json";
    let probability = &["-0.1", "1.1", "NaN", "inf", "half"][..];
    let switch = &["maybe", "2", "y", "-1"][..];
    let milliseconds = &["-1", "1.5", "60001", "NaN", "long"][..];
    for (name, values, allowed) in [
        (
            "language",
            &["klingon", "xx", "e"][..],
            "an ISO 639 code such as en",
        ),
        (
            "languages[]",
            &["klingon", "auto", "de,xx"],
            "an ISO 639 code such as en",
        ),
        ("response_format", &["docx", "js on", "0"], formats),
        (
            "temperature",
            &["-0.1", "1.5", "NaN", "inf", "warm"],
            "a number from 0 to 1",
        ),
        (
            "temperature",
            &["0,1.5", "[]", "[\"warm\"]", "0,0,0,0,0,0,0"],
            "1 to 6 numbers from 0 to 1",
        ),
        ("temperature[]", &["-1"], "1 to 6 numbers from 0 to 1"),
        (
            "include[]",
            &["words", "logprobs,item"],
            "logprobs or dropped",
        ),
        (
            "timestamp_granularities[]",
            &["char", "words", "[\"word\", \"x\"]"],
            "word or segment",
        ),
        ("timestamp_granularities", &["char"], "word or segment"),
        ("stream", switch, "true or false"),
        (
            "chunking_strategy",
            &["none at all", "semantic_vad", "0"],
            "auto or server_vad",
        ),
        (
            "chunking_strategy[type]",
            &["semantic_vad"],
            "auto or server_vad",
        ),
        (
            "chunking_strategy[threshold]",
            probability,
            "a number from 0 to 1",
        ),
        (
            "chunking_strategy[prefix_padding_ms]",
            &["-1", "10001", "x"],
            "from 0 to 10000",
        ),
        (
            "chunking_strategy[silence_duration_ms]",
            milliseconds,
            "from 0 to 60000",
        ),
        (
            "known_speaker_names[]",
            &["a\u{1b}b"],
            "at most 16 names of at most 64 characters",
        ),
        (
            "known_speaker_references[]",
            &["x", "https://example.org/a.wav"],
            "a data URL in base64",
        ),
        ("vad_filter", switch, "true or false"),
        ("vad", switch, "true or false"),
        ("vad_threshold", probability, "a number from 0 to 1"),
        (
            "vad_min_speech_ms",
            milliseconds,
            "a whole number of milliseconds from 0 to 60000",
        ),
        (
            "vad_min_speech_duration_ms",
            milliseconds,
            "from 0 to 60000",
        ),
        ("vad_min_silence_ms", milliseconds, "from 0 to 60000"),
        (
            "vad_min_silence_duration_ms",
            milliseconds,
            "from 0 to 60000",
        ),
        (
            "vad_max_speech_s",
            &["0", "0.9", "NaN", "inf", "604801"],
            "a number of seconds from 1 to 604800",
        ),
        (
            "vad_max_speech_duration_s",
            &["0", "-5"],
            "from 1 to 604800",
        ),
        ("vad_speech_pad_ms", &["-1", "10001"], "from 0 to 10000"),
        (
            "vad_parameters",
            &["0.5", "[1]", "{"],
            "a JSON object such as",
        ),
        (
            "vad_parameters[threshold]",
            probability,
            "a number from 0 to 1",
        ),
        (
            "vad_parameters[min_speech_duration_ms]",
            milliseconds,
            "from 0 to 60000",
        ),
        (
            "vad_parameters[min_silence_duration_ms]",
            milliseconds,
            "from 0 to 60000",
        ),
        (
            "vad_parameters[max_speech_duration_s]",
            &["0", "x"],
            "from 1 to 604800",
        ),
        (
            "vad_parameters[speech_pad_ms]",
            &["10001"],
            "from 0 to 10000",
        ),
        (
            "beam_size",
            &["0", "33", "-1", "2.5", "many"],
            "a whole number from 1 to 32",
        ),
        ("best_of", &["0", "33", "x"], "a whole number from 1 to 32"),
        (
            "seed",
            &["-1", "9223372036854775808", "1.5", "x"],
            "a whole number from 0 to 9223372036854775807",
        ),
        (
            "patience",
            &["0", "-1", "10.5", "NaN", "inf"],
            "a number from 0.01 to 10",
        ),
        (
            "length_penalty",
            &["-0.5", "11", "NaN"],
            "a number from 0 to 10",
        ),
        (
            "repetition_penalty",
            &["0", "11", "inf"],
            "a number from 0.1 to 10",
        ),
        (
            "no_repeat_ngram_size",
            &["-1", "225", "1.5"],
            "a whole number from 0 to 224",
        ),
        (
            "suppress_tokens",
            &["-2", "51864", "the", "[1.5]", "1;2"],
            "whole numbers from -1 to 51863",
        ),
        ("without_timestamps", switch, "true or false"),
        ("no_timestamps", switch, "true or false"),
        ("condition_on_previous_text", switch, "true or false"),
        ("word_timestamps", switch, "true or false"),
        (
            "compression_ratio_threshold",
            &["-1", "101", "NaN", "off"],
            "a number from 0 to 100, or none",
        ),
        (
            "logprob_threshold",
            &["0.1", "-101", "inf"],
            "a number from -100 to 0, or none",
        ),
        (
            "log_prob_threshold",
            &["1"],
            "a number from -100 to 0, or none",
        ),
        ("logprob_thold", &["1"], "a number from -100 to 0, or none"),
        (
            "no_speech_threshold",
            probability,
            "a number from 0 to 1, or none",
        ),
        (
            "no_speech_thold",
            probability,
            "a number from 0 to 1, or none",
        ),
        (
            "hallucination_silence_threshold",
            &["-1", "3601", "NaN"],
            "a number from 0 to 3600, or none",
        ),
        (
            "offset",
            &["-1", "604801", "NaN", "00:01:00"],
            "a number of seconds from 0 to 604800",
        ),
        (
            "duration",
            &["0", "-1", "0.05", "inf", "604801"],
            "a number of seconds from 0.1 to 604800",
        ),
        ("channels", &["2", "left", "Split"], "mix or split"),
        (
            "max_line_width",
            &["0", "-1", "1001", "wide"],
            "a whole number from 1 to 1000",
        ),
        (
            "max_line_count",
            &["0", "-1", "101", "1.0"],
            "a whole number from 1 to 100",
        ),
    ] {
        // A list is named without its brackets, in whichever form it is sent.
        let param = name.strip_suffix("[]").unwrap_or(name);
        for &value in values {
            let fields = [(name, value)];
            check_refused(&app, TRANSCRIPTIONS, &fields, (param, value), allowed).await;
        }
    }
}

#[tokio::test]
async fn the_error_names_an_invalid_member_of_an_object() {
    let app = TestApp::start().await;
    for (name, value, refused) in [
        (
            "chunking_strategy",
            r#"{"type": "semantic_vad"}"#,
            ("chunking_strategy[type]", "semantic_vad"),
        ),
        (
            "chunking_strategy",
            r#"{"type": "server_vad", "threshold": 2}"#,
            ("chunking_strategy[threshold]", "2"),
        ),
        (
            "vad_parameters",
            r#"{"speech_pad_ms": -1}"#,
            ("vad_parameters[speech_pad_ms]", "-1"),
        ),
    ] {
        check_refused(&app, TRANSCRIPTIONS, &[(name, value)], refused, "Expected").await;
    }
}

#[tokio::test]
async fn conflicting_parameters_are_refused() {
    let app = TestApp::start().await;
    let format = |name| ("response_format", name);
    for (fields, param, message) in [
        (
            &[("timestamp_granularities[]", "word")][..],
            "timestamp_granularities",
            "'timestamp_granularities' requires response_format=verbose_json (got json).",
        ),
        (
            &[("word_timestamps", "true"), format("text")],
            "word_timestamps",
            "'word_timestamps' requires response_format=verbose_json (got text).",
        ),
        (
            &[("include[]", "logprobs"), format("verbose_json")],
            "include",
            "'include=logprobs' requires response_format=json (got verbose_json).",
        ),
        (
            &[("include[]", "dropped")],
            "include",
            "'include=dropped' requires response_format=verbose_json (got json).",
        ),
        (
            &[("max_line_width", "42")],
            "max_line_width",
            "'max_line_width' requires response_format=srt or vtt (got json).",
        ),
        (
            &[("max_line_count", "2"), format("verbose_json")],
            "max_line_count",
            "'max_line_count' requires response_format=srt or vtt (got verbose_json).",
        ),
        (
            &[("stream", "true"), format("srt")],
            "stream",
            "'stream' requires response_format=json or text or verbose_json or diarized_json (got srt).",
        ),
        (
            &[("stream", "true"), format("vtt")],
            "stream",
            "'stream' requires response_format=json or text or verbose_json or diarized_json (got vtt).",
        ),
        (
            &[("stream", "true"), ("channels", "split")],
            "stream",
            "'stream' is not supported with channels=split.",
        ),
        (
            &[("beam_size", "4"), ("patience", "0.1")],
            "patience",
            "'patience' multiplied by beam_size must be at least 0.5 (got 0.1 × 4).",
        ),
    ] {
        check_message(&app, TRANSCRIPTIONS, fields, param, &[message]).await;
    }
}

#[tokio::test]
async fn translations_have_the_same_checks_and_refuse_diarized_json() {
    let app = TestApp::start().await;
    let format = ("response_format", "diarized_json");
    for (fields, refused, allowed) in [
        (
            &[format, ("channels", "split")][..],
            format,
            "json or text or srt or verbose_json or vtt.",
        ),
        (&[("beam_size", "0")], ("beam_size", "0"), "from 1 to 32"),
    ] {
        check_refused(&app, TRANSLATIONS, fields, refused, allowed).await;
    }
    let fields = [("stream", "true"), ("response_format", "srt")];
    let message = "'stream' requires response_format=json or text";
    check_message(&app, TRANSLATIONS, &fields, "stream", &[message]).await;
}
