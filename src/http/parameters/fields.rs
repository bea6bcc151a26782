//! The table of all fields but `file`: their names, and where each one's value goes.
//!
//! A name that two servers spell differently has a row for each spelling, so that an error names
//! the field that was sent. `docs/api.md` tells what each means; a test holds the two equal.

use super::Parameters;
use super::value::{Expected, bound, count, real, seconds, switch, whole};
use super::{readers, speech};

/// A field by one of its names.
#[derive(Clone, Copy)]
pub struct Field {
    /// As it is sent; a list also with `[]` behind it.
    pub name: &'static str,
    /// How it may be sent.
    pub shape: Shape,
    /// Puts what it holds, which is not blank, where it belongs.
    pub read: Read,
}

/// How a field may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Once.
    One,
    /// More than once, under its name with or without `[]`.
    Many,
    /// As a JSON object, which stands for a field `name[key]` for each of its members.
    Object,
}

/// Puts what a field holds where it belongs.
type Read = fn(&mut Parameters, &str) -> Result<(), Expected>;

/// The longest recording that any setting allows, in seconds: a week.
pub const LONGEST_S: f64 = 604_800.0;

impl Field {
    /// All fields.
    pub const ALL: &[Self] = &[
        // OpenAI's.
        one("model", |all, text| {
            put(&mut all.model, Ok(Some(text.trim().to_owned())))
        }),
        one("language", readers::language),
        many("languages", readers::languages),
        many("keywords", readers::keywords),
        one("prompt", readers::prompt),
        one("response_format", readers::response_format),
        one("temperature", readers::temperature),
        one("temperature[]", readers::more_temperatures),
        many("include", readers::include),
        many("timestamp_granularities", readers::timestamp_granularities),
        one("stream", |all, text| put(&mut all.stream, switch(text))),
        object("chunking_strategy", speech::strategy),
        one("chunking_strategy[type]", speech::strategy),
        one("chunking_strategy[threshold]", speech::server_threshold),
        one("chunking_strategy[prefix_padding_ms]", speech::server_pad),
        one(
            "chunking_strategy[silence_duration_ms]",
            speech::server_min_silence,
        ),
        many("known_speaker_names", readers::no_diarization),
        many("known_speaker_references", readers::no_diarization),
        // How speech is told from silence.
        one("vad_filter", speech::filter),
        one("vad", speech::filter),
        one("vad_threshold", speech::threshold),
        one("vad_min_speech_ms", speech::min_speech),
        one("vad_min_speech_duration_ms", speech::min_speech),
        one("vad_min_silence_ms", speech::min_silence),
        one("vad_min_silence_duration_ms", speech::min_silence),
        one("vad_max_speech_s", speech::max_speech),
        one("vad_max_speech_duration_s", speech::max_speech),
        one("vad_speech_pad_ms", speech::pad),
        object("vad_parameters", speech::no_object),
        one("vad_parameters[threshold]", speech::threshold),
        one("vad_parameters[min_speech_duration_ms]", speech::min_speech),
        one(
            "vad_parameters[min_silence_duration_ms]",
            speech::min_silence,
        ),
        one("vad_parameters[max_speech_duration_s]", speech::max_speech),
        one("vad_parameters[speech_pad_ms]", speech::pad),
        // How tokens are chosen.
        one("beam_size", |all, text| {
            put(&mut all.beam_size, count(text, 32).map(Some))
        }),
        one("best_of", |all, text| {
            put(&mut all.wishes.options.best_of, count(text, 32))
        }),
        one("patience", |all, text| {
            put(&mut all.wishes.options.patience, real(text, 0.01..=10.0))
        }),
        one("length_penalty", |all, text| {
            let penalty = real(text, 0.0..=10.0);
            put(&mut all.wishes.options.length_penalty, penalty)
        }),
        one("repetition_penalty", |all, text| {
            let penalty = real(text, 0.1..=10.0);
            put(&mut all.wishes.options.repetition_penalty, penalty)
        }),
        one("no_repeat_ngram_size", |all, text| {
            let size = whole(text, 0..=224);
            put(&mut all.wishes.options.no_repeat_ngram_size, size)
        }),
        many("suppress_tokens", readers::suppress_tokens),
        one("without_timestamps", readers::without_timestamps),
        one("no_timestamps", readers::without_timestamps),
        one("condition_on_previous_text", |all, text| {
            put(&mut all.wishes.condition_on_previous_text, switch(text))
        }),
        one("initial_prompt", readers::prompt),
        one("hotwords", |all, text| {
            put(&mut all.wishes.hotwords, Ok(Some(text.trim().to_owned())))
        }),
        // When a text is not believed.
        one("compression_ratio_threshold", |all, text| {
            let threshold = bound(text, 0.0..=100.0);
            put(
                &mut all.wishes.fallback.compression_ratio_threshold,
                threshold,
            )
        }),
        one("logprob_threshold", readers::logprob_threshold),
        one("log_prob_threshold", readers::logprob_threshold),
        one("logprob_thold", readers::logprob_threshold),
        one("no_speech_threshold", readers::no_speech_threshold),
        one("no_speech_thold", readers::no_speech_threshold),
        one("hallucination_silence_threshold", |all, text| {
            let threshold = bound(text, 0.0..=3_600.0)?.map(f64::from);
            put(
                &mut all.wishes.hallucination_silence_threshold_s,
                Ok(threshold),
            )
        }),
        // Which part of the recording, and in which form.
        one("offset", |all, text| {
            put(&mut all.wishes.clip.offset, seconds(text, 0.0..=LONGEST_S))
        }),
        one("duration", |all, text| {
            let duration = seconds(text, 0.1..=LONGEST_S).map(Some);
            put(&mut all.wishes.clip.duration, duration)
        }),
        one("channels", readers::channels),
        one("word_timestamps", |all, text| {
            put(&mut all.word_timestamps, switch(text))
        }),
        one("max_line_width", |all, text| {
            put(
                &mut all.subtitles.max_line_width,
                count(text, 1_000).map(Some),
            )
        }),
        one("max_line_count", |all, text| {
            put(
                &mut all.subtitles.max_line_count,
                count(text, 100).map(Some),
            )
        }),
    ];

    /// Finds a field by its name as it was sent.
    pub fn find(name: &str) -> Option<Self> {
        let is_called = |field: &&Self| match field.shape {
            Shape::Many => name.strip_suffix("[]").unwrap_or(name) == field.name,
            Shape::One | Shape::Object => name == field.name,
        };
        Self::ALL.iter().find(is_called).copied()
    }
}

const fn one(name: &'static str, read: Read) -> Field {
    let shape = Shape::One;
    Field { name, shape, read }
}

const fn many(name: &'static str, read: Read) -> Field {
    let shape = Shape::Many;
    Field { name, shape, read }
}

const fn object(name: &'static str, read: Read) -> Field {
    let shape = Shape::Object;
    Field { name, shape, read }
}

/// Puts a value in its place, if it is one.
pub fn put<T>(place: &mut T, value: Result<T, Expected>) -> Result<(), Expected> {
    *place = value?;
    Ok(())
}
