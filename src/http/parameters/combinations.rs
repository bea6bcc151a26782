//! Refuses fields that cannot be combined.

use super::{ApiError, Parameters, speakers};
use crate::format::ResponseFormat;
use halkspeech_audio::Channels;
use halkspeech_whisper::Task;

/// A field that is allowed with some response formats only.
struct FormatRule {
    param: &'static str,
    /// The value that requires one of the formats, if it was sent.
    value: fn(&Parameters) -> Option<String>,
    formats: &'static [ResponseFormat],
}

/// The same rules as OpenAI's for its own fields. The granularity `segment` is the default, so it
/// requires no format.
const FORMAT_RULES: [FormatRule; 9] = [
    FormatRule {
        param: "timestamp_granularities",
        value: |parameters| parameters.granularities.words.then(|| "word".to_owned()),
        formats: &[ResponseFormat::VerboseJson],
    },
    FormatRule {
        param: "word_timestamps",
        value: |parameters| parameters.word_timestamps.then(|| "true".to_owned()),
        formats: &[ResponseFormat::VerboseJson],
    },
    FormatRule {
        param: "include",
        value: |parameters| parameters.options.logprobs.then(|| "logprobs".to_owned()),
        formats: &[ResponseFormat::Json],
    },
    FormatRule {
        param: "include",
        value: |parameters| parameters.dropped.then(|| "dropped".to_owned()),
        formats: &[ResponseFormat::VerboseJson],
    },
    FormatRule {
        param: "max_line_width",
        value: |parameters| {
            parameters
                .subtitles
                .max_line_width
                .map(|width| width.to_string())
        },
        formats: &[ResponseFormat::Srt, ResponseFormat::Vtt],
    },
    FormatRule {
        param: "max_line_count",
        value: |parameters| {
            parameters
                .subtitles
                .max_line_count
                .map(|count| count.to_string())
        },
        formats: &[ResponseFormat::Srt, ResponseFormat::Vtt],
    },
    FormatRule {
        param: "stream",
        value: |parameters| parameters.stream.then(|| "true".to_owned()),
        formats: &[
            ResponseFormat::Json,
            ResponseFormat::Text,
            ResponseFormat::VerboseJson,
            ResponseFormat::DiarizedJson,
        ],
    },
    FormatRule {
        param: "diarize",
        value: |parameters| parameters.speakers.diarize.then(|| "true".to_owned()),
        formats: &[ResponseFormat::VerboseJson, ResponseFormat::DiarizedJson],
    },
    FormatRule {
        param: "speaker_labels",
        value: |parameters| parameters.speakers.labels.then(|| "true".to_owned()),
        formats: &[ResponseFormat::Srt, ResponseFormat::Vtt],
    },
];

/// Maximum number of finished hypotheses that end a search: `beam_size` × `patience`.
const MAX_FINISHED: f32 = 64.0;

/// Refuses fields that cannot be combined.
pub fn check(parameters: &Parameters) -> Result<(), ApiError> {
    let is_split = parameters.options.channels == Channels::Split;
    speakers::check(parameters)?;
    if parameters.task == Task::Translate && parameters.format == ResponseFormat::DiarizedJson {
        let message = "'response_format=diarized_json' is not supported with translate=true";
        return Err(conflict("response_format", message.to_owned()));
    }
    // The text of the channels is merged when the last channel is done.
    if parameters.stream && is_split {
        let message = "'stream' is not supported with channels=split".to_owned();
        return Err(conflict("stream", message));
    }
    let search = &parameters.options.search;
    let finished = search.beam_size.get() as f32 * search.patience;
    // A wider search would occupy an engine for too long.
    if finished > MAX_FINISHED {
        let message = format!(
            "'patience' multiplied by beam_size must be at most {MAX_FINISHED} (got {} × {})",
            search.patience, search.beam_size
        );
        return Err(conflict("patience", message));
    }
    // The search would never finish a hypothesis.
    if finished.round() < 1.0 {
        let message = format!(
            "'patience' multiplied by beam_size must be at least 0.5 (got {} × {})",
            search.patience, search.beam_size
        );
        return Err(conflict("patience", message));
    }
    for rule in &FORMAT_RULES {
        if let Some(value) = (rule.value)(parameters)
            && !rule.formats.contains(&parameters.format)
        {
            let formats = rule.formats.iter().map(|format| format.name());
            // The items of `include` require different formats.
            let param = match rule.param {
                "include" => format!("include={value}"),
                param => param.to_owned(),
            };
            let message = format!(
                "'{param}' requires response_format={} (got {})",
                formats.collect::<Vec<_>>().join(" or "),
                parameters.format.name()
            );
            return Err(conflict(rule.param, message));
        }
    }
    Ok(())
}

/// The error of a field that cannot be combined; the message has no full stop.
pub fn conflict(param: &'static str, message: String) -> ApiError {
    ApiError::ParameterConflict { param, message }
}
