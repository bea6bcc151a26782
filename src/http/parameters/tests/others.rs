//! Reading the fields of other servers' APIs.

use super::*;
use crate::format::AsrOutput;

#[test]
fn fields_of_whisper_asr_webservice() {
    let read = |fields: &[(&str, &str)]| read_by(Api::Asr, fields).unwrap();
    for (output, format, timestamps) in [
        ("txt", ResponseFormat::Text, false),
        ("srt", ResponseFormat::Srt, true),
        ("vtt", ResponseFormat::Vtt, true),
        ("tsv", ResponseFormat::Srt, true),
        ("JSON", ResponseFormat::VerboseJson, true),
    ] {
        let request = read(&[("output", output), ("word_timestamps", "true")]);
        let expected = AsrOutput::parse(&output.to_ascii_lowercase()).unwrap();
        assert_eq!(request.response, ResponseKind::Asr(expected));
        assert_eq!(request.output.format, format, "{output}");
        assert_eq!(request.options.search.timestamps, timestamps, "{output}");
        assert_eq!(request.options.words, output == "JSON", "{output}");
    }
    assert_eq!(read(&[]).response, ResponseKind::Asr(AsrOutput::Txt));
    assert_eq!(read(&[("task", "translate")]).task, Task::Translate);
    let usual = [
        ("task", ""),
        ("initial_prompt", "Dear,"),
        ("vad_filter", "false"),
        ("language", "tr"),
        ("beam_size", "1"),
    ];
    let request = read(&usual);
    assert_eq!(request.task, Task::Transcribe);
    assert_eq!(request.options.prompt.as_deref(), Some("Dear,"));
    assert!(request.options.vad.is_none() && request.options.language.is_some());

    let language = read_by(Api::Language, &[("model", "base")]).unwrap();
    assert_eq!(language.response, ResponseKind::Language);
    assert_eq!(
        language.options.clip.duration,
        Some(Duration::from_secs(30))
    );
    assert!(language.options.vad.is_none());
    // These APIs have no such field.
    for (api, name) in [(Api::Asr, "response_format"), (Api::Language, "output")] {
        let error = read_by(api, &[(name, "json")]).unwrap_err();
        assert_eq!(error.to_string(), format!("field {name} is unknown"));
    }
}

#[test]
fn diarize_of_whisper_cpp_has_no_effect() {
    for fields in [
        &[][..],
        &[("response_format", "text")],
        &[("response_format", "srt")],
        &[("response_format", "verbose_json")],
        &[("response_format", "verbose_json"), ("stream", "true")],
        &[("response_format", "verbose_json"), ("channels", "split")],
        &[("response_format", "srt"), ("speaker_labels", "true")],
    ] {
        let without = read_by(Api::Inference, fields).unwrap();
        let with = [fields, &[("diarize", "true")]].concat();
        let with = read_by(Api::Inference, &with).unwrap();
        assert_eq!(format!("{with:?}"), format!("{without:?}"));
    }
    let error = read_by(Api::Inference, &[("diarize", "maybe")]).unwrap_err();
    assert_eq!(error.to_string(), "diarize must be true or false");
}

#[test]
fn fields_of_whisper_cpp() {
    let read = |fields: &[(&str, &str)]| read_by(Api::Inference, fields).unwrap();
    assert_eq!(read(&[]).response, ResponseKind::BareText);
    let verbose = read(&[("response_format", "verbose_json"), ("translate", "true")]);
    assert_eq!(
        (verbose.response, verbose.task),
        (ResponseKind::Format, Task::Translate)
    );
    let clip = read(&[("offset_t", "1500"), ("duration", "2000")])
        .options
        .clip;
    assert_eq!(clip.offset, Duration::from_millis(1_500));
    assert_eq!(clip.duration, Some(Duration::from_secs(2)));
    assert_eq!(read(&[("duration", "0")]).options.clip.duration, None);
    let diarized = ("response_format", "diarized_json");
    let translated = ("translate", "true");
    for fields in [[diarized, translated], [translated, diarized]] {
        let error = read_by(Api::Inference, &fields).unwrap_err();
        let message = "'response_format=diarized_json' is not supported with translate=true";
        assert_eq!(error.to_string(), message, "{fields:?}");
    }
    for (fields, first, rest) in [
        (&[("temperature_inc", "0")][..], 0.0, &[][..]),
        (&[("temperature_inc", "0.5")], 0.0, &[0.5, 1.0]),
        (
            &[("temperature_inc", "0.2"), ("temperature", "0.0")],
            0.0,
            &[0.2, 0.4, 0.6, 0.8, 1.0],
        ),
        (
            &[("temperature_inc", "0.4"), ("temperature", "0.5")],
            0.5,
            &[0.9],
        ),
    ] {
        let options = read(fields).options;
        assert_eq!(options.search.temperature, first, "{fields:?}");
        let actual = options.fallback.temperatures;
        assert_eq!(actual.len(), rest.len(), "{fields:?}: {actual:?}");
        let mut pairs = actual.iter().zip(rest);
        assert!(
            pairs.all(|(one, other)| (one - other).abs() < 1e-6),
            "{actual:?}"
        );
    }
}
