//! Refuses fields that do not go together.

use super::readers::NO_DIARIZATION;
use super::{ApiError, Parameters};
use crate::audio::Channels;
use crate::format::ResponseFormat;

/// A field that has a meaning in some formats only.
struct OnlyIn {
    param: &'static str,
    /// What it holds, where it asks for something.
    asked: fn(&Parameters) -> Option<String>,
    formats: &'static [ResponseFormat],
}

/// As OpenAI has it for its own fields. The granularity `segment` is the default, so that it asks
/// for nothing.
const ONLY_IN: [OnlyIn; 7] = [
    OnlyIn {
        param: "timestamp_granularities",
        asked: |all| all.granularities.words.then(|| "word".to_owned()),
        formats: &[ResponseFormat::VerboseJson],
    },
    OnlyIn {
        param: "word_timestamps",
        asked: |all| all.word_timestamps.then(|| "true".to_owned()),
        formats: &[ResponseFormat::VerboseJson],
    },
    OnlyIn {
        param: "include",
        asked: |all| all.wishes.logprobs.then(|| "logprobs".to_owned()),
        formats: &[ResponseFormat::Json],
    },
    OnlyIn {
        param: "include",
        asked: |all| all.dropped.then(|| "dropped".to_owned()),
        formats: &[ResponseFormat::VerboseJson],
    },
    OnlyIn {
        param: "max_line_width",
        asked: |all| all.subtitles.max_line_width.map(|width| width.to_string()),
        formats: &[ResponseFormat::Srt, ResponseFormat::Vtt],
    },
    OnlyIn {
        param: "max_line_count",
        asked: |all| all.subtitles.max_line_count.map(|count| count.to_string()),
        formats: &[ResponseFormat::Srt, ResponseFormat::Vtt],
    },
    OnlyIn {
        param: "stream",
        asked: |all| all.stream.then(|| "true".to_owned()),
        formats: &[
            ResponseFormat::Json,
            ResponseFormat::Text,
            ResponseFormat::VerboseJson,
        ],
    },
];

/// The most texts that a search may be asked to finish: `beam_size` × `patience`.
const MAX_FINISHED: f32 = 64.0;

/// Refuses fields that do not go together.
pub fn check(all: &Parameters) -> Result<(), ApiError> {
    let is_split = all.wishes.channels == Channels::Split;
    if all.format == ResponseFormat::DiarizedJson && !is_split {
        let message =
            format!("'response_format=diarized_json' requires channels=split: {NO_DIARIZATION}");
        return Err(conflict("response_format", message));
    }
    // The channels are put together once the last of them is done.
    if all.stream && is_split {
        let message = "'stream' is not supported with channels=split".to_owned();
        return Err(conflict("stream", message));
    }
    // What the search does not take: no hypothesis would ever be finished.
    let options = &all.wishes.options;
    let finished = options.beam_size.get() as f32 * options.patience;
    // A search for this many occupies an engine for so long that others would wait.
    if finished > MAX_FINISHED {
        let message = format!(
            "'patience' multiplied by beam_size must be at most {MAX_FINISHED} (got {} × {})",
            options.patience, options.beam_size
        );
        return Err(conflict("patience", message));
    }
    if finished.round() < 1.0 {
        let message = format!(
            "'patience' multiplied by beam_size must be at least 0.5 (got {} × {})",
            options.patience, options.beam_size
        );
        return Err(conflict("patience", message));
    }
    for rule in &ONLY_IN {
        if let Some(value) = (rule.asked)(all)
            && !rule.formats.contains(&all.format)
        {
            let formats = rule.formats.iter().copied().map(name).collect::<Vec<_>>();
            // The items of `include` require different formats.
            let param = match rule.param {
                "include" => format!("include={value}"),
                param => param.to_owned(),
            };
            let message = format!(
                "'{param}' requires response_format={} (got {})",
                formats.join(" or "),
                name(all.format)
            );
            return Err(conflict(rule.param, message));
        }
    }
    Ok(())
}

fn conflict(param: &'static str, message: String) -> ApiError {
    ApiError::ParameterConflict { param, message }
}

/// The name of a format, as callers write it.
fn name(format: ResponseFormat) -> &'static str {
    let is_its_name = |name: &&str| ResponseFormat::parse(name) == Some(format);
    ResponseFormat::NAMES
        .into_iter()
        .find(is_its_name)
        .unwrap_or_default()
}
