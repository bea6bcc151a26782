//! Readers of the fields, but for those of `speech`.

use super::Parameters;
use super::fields::{LONGEST_S, put};
use super::value::{self, Expected, bound, count, is_none, list, real, seconds, switch, whole};
use crate::audio::Channels;
use crate::format::ResponseFormat;
use crate::tokens::Task;

/// What a caller who wants speakers told apart is told.
pub const NO_DIARIZATION: &str = "speaker diarization of mono audio is not supported, and \
    channels=split labels each channel of a stereo call";

/// The highest id that all of OpenAI's vocabularies have; the smallest has 51,864 tokens.
pub const HIGHEST_TOKEN: i32 = 51_863;
/// Bound on what a list may grow to.
const MAX_ITEMS: usize = 1_000;
/// Bound on a keyword, in characters.
const MAX_KEYWORD_CHARS: usize = 200;
/// As many as the reference's own list has.
const MAX_TEMPERATURES: usize = 6;

/// The model's name.
pub fn model(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.model, Ok(Some(text.trim().to_owned())))
}

/// What clients send where nobody chose a language: `auto`, nothing as other languages write it, the
/// code of an undetermined language, and an empty text in quotes.
pub fn language(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    let text = text.trim().trim_matches('"');
    let is_open = |word: &&str| text.eq_ignore_ascii_case(word);
    if is_none(text) || ["auto", "und", ""].iter().any(is_open) {
        return put(&mut all.options.language, Ok(None));
    }
    put(&mut all.options.language, value::language(text).map(Some))
}

/// Text that the audio continues.
pub fn prompt(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.options.prompt, Ok(Some(text.to_owned())))
}

/// Candidates for detection, each once.
pub fn languages(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    for item in list(text) {
        let language = value::language(&item)?;
        if !all.options.candidates.contains(&language) {
            all.options.candidates.push(language);
        }
    }
    Ok(())
}

/// Words to expect.
pub fn keywords(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    let keywords = list(text);
    let are_short = keywords
        .iter()
        .all(|keyword| keyword.chars().count() <= MAX_KEYWORD_CHARS);
    if !are_short || all.keywords.len() + keywords.len() > MAX_ITEMS {
        return Err(Expected(format!(
            "at most {MAX_ITEMS} keywords of at most {MAX_KEYWORD_CHARS} characters"
        )));
    }
    all.keywords.extend(keywords);
    Ok(())
}

/// A format that the endpoint offers.
pub fn response_format(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    let is_offered = |format: &ResponseFormat| {
        all.task == Task::Transcribe || *format != ResponseFormat::DiarizedJson
    };
    let format = ResponseFormat::parse(&text.trim().to_ascii_lowercase()).filter(is_offered);
    let format = format.ok_or_else(|| {
        let names = ResponseFormat::NAMES.into_iter();
        let offered =
            names.filter(|name| ResponseFormat::parse(name).as_ref().is_some_and(is_offered));
        Expected(offered.collect::<Vec<_>>().join(" or "))
    });
    put(&mut all.format, format)
}

/// One temperature, or a list of the first one and those to fall back to.
pub fn temperature(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    all.temperatures.clear();
    if text.contains(['[', ',']) {
        return more_temperatures(all, text);
    }
    let temperature = real(text, 0.0..=1.0);
    put(&mut all.options.search.temperature, temperature)
}

/// Items of such a list.
pub fn more_temperatures(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    let expected = || {
        let words = format!("1 to {MAX_TEMPERATURES} numbers from 0 to 1");
        Expected(words)
    };
    for item in list(text) {
        let temperature = real(&item, 0.0..=1.0).map_err(|_| expected())?;
        all.temperatures.push(temperature);
    }
    if (1..=MAX_TEMPERATURES).contains(&all.temperatures.len()) {
        Ok(())
    } else {
        Err(expected())
    }
}

/// What is to be in the answer besides.
pub fn include(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    for item in list(text) {
        match item.as_str() {
            "logprobs" => all.options.logprobs = true,
            "dropped" => all.dropped = true,
            _ => return Err(Expected::new("logprobs or dropped")),
        }
    }
    Ok(())
}

/// What is to have time stamps.
pub fn timestamp_granularities(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    for item in list(text) {
        match item.as_str() {
            "segment" => all.granularities.segments = true,
            "word" => all.granularities.words = true,
            _ => return Err(Expected::new("word or segment")),
        }
    }
    Ok(())
}

/// Whether the text is sent piece by piece.
pub fn stream(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.stream, switch(text))
}

/// Refuses what would tell speakers apart by their voices.
pub fn no_diarization(_: &mut Parameters, _: &str) -> Result<(), Expected> {
    Err(Expected(format!("no value: {NO_DIARIZATION}")))
}

/// Beams of the search.
pub fn beam_size(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.beam_size, count(text, 32).map(Some))
}

/// Texts sampled.
pub fn best_of(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.options.search.best_of, count(text, 32))
}

/// How many finished texts end the search.
pub fn patience(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.options.search.patience, real(text, 0.01..=10.0))
}

/// Exponent of a text's length.
pub fn length_penalty(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut all.options.search.length_penalty,
        real(text, 0.0..=10.0),
    )
}

/// Penalty of tokens that were written.
pub fn repetition_penalty(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    let penalty = real(text, 0.1..=10.0);
    put(&mut all.options.search.repetition_penalty, penalty)
}

/// Length of what does not come twice.
pub fn no_repeat_ngram_size(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    let size = whole(text, 0..=224);
    put(&mut all.options.search.no_repeat_ngram_size, size)
}

/// Tokens never to write; an empty JSON list lets all be written.
pub fn suppress_tokens(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    let tokens = list(text).into_iter().map(|item| {
        let token = item.parse().ok();
        token.filter(|token| (-1..=HIGHEST_TOKEN).contains(token))
    });
    let tokens = tokens.collect::<Option<Vec<i32>>>();
    let all_tokens = all.suppress_tokens.get_or_insert_default();
    match tokens {
        Some(tokens) if all_tokens.len() + tokens.len() <= MAX_ITEMS => {
            all_tokens.extend(tokens);
            Ok(())
        }
        _ => Err(Expected(format!(
            "at most {MAX_ITEMS} whole numbers from -1 to {HIGHEST_TOKEN}"
        ))),
    }
}

/// Whether the model is to write no time stamps.
pub fn without_timestamps(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.without_timestamps, switch(text))
}

/// Whether a window continues the text of the one before.
pub fn condition_on_previous_text(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.options.condition_on_previous_text, switch(text))
}

/// Words to expect, as one text.
pub fn hotwords(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.options.hotwords, Ok(Some(text.trim().to_owned())))
}

/// Bound on how well a text compresses.
pub fn compression_ratio_threshold(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    let threshold = bound(text, 0.0..=100.0);
    put(
        &mut all.options.fallback.compression_ratio_threshold,
        threshold,
    )
}

/// Bound on the mean log probability of a token.
pub fn logprob_threshold(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    let threshold = bound(text, -100.0..=0.0);
    put(&mut all.options.fallback.logprob_threshold, threshold)
}

/// Bound on the probability of no speech.
pub fn no_speech_threshold(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    let threshold = bound(text, 0.0..=1.0);
    put(&mut all.options.fallback.no_speech_threshold, threshold)
}

/// Silence around improbable text that is left out.
pub fn hallucination_silence_threshold(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    let threshold = bound(text, 0.0..=3_600.0)?.map(f64::from);
    put(
        &mut all.options.hallucination_silence_threshold_s,
        Ok(threshold),
    )
}

/// Where to begin.
pub fn offset(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.options.clip.offset, seconds(text, 0.0..=LONGEST_S))
}

/// How much to transcribe.
pub fn duration(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    let duration = seconds(text, 0.1..=LONGEST_S).map(Some);
    put(&mut all.options.clip.duration, duration)
}

/// Whether channels are mixed or kept apart.
pub fn channels(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    let channels = match text.trim() {
        "mix" => Ok(Channels::Mix),
        "split" => Ok(Channels::Split),
        _ => Err(Expected::new("mix or split")),
    };
    put(&mut all.options.channels, channels)
}

/// Whether words have times.
pub fn word_timestamps(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.word_timestamps, switch(text))
}

/// The longest line.
pub fn max_line_width(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut all.subtitles.max_line_width,
        count(text, 1_000).map(Some),
    )
}

/// The most lines.
pub fn max_line_count(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut all.subtitles.max_line_count,
        count(text, 100).map(Some),
    )
}
