//! Readers of the fields, except those of `vad`.

use super::Parameters;
use super::value::{
    self, Expected, LONGEST_S, is_none, names, parse_boolean, parse_count, parse_integer,
    parse_list, parse_number, parse_optional_number, parse_seconds, put,
};
use crate::format::ResponseFormat;
use crate::transcribe::MAX_SEED;
use halkspeech_audio::Channels;
use halkspeech_whisper::Task;

/// The highest token id of the smallest of OpenAI's vocabularies, which has 51,864 tokens.
pub const MAX_TOKEN_ID: i32 = 51_863;
/// Maximum length of a list.
const MAX_ITEMS: usize = 1_000;
/// Maximum length of a keyword, in characters.
const MAX_KEYWORD_CHARS: usize = 200;
/// Length of the reference's own list.
const MAX_TEMPERATURES: usize = 6;

/// The model's name.
pub fn model(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut parameters.model, Ok(Some(text.trim().to_owned())))
}

/// The language; none for what clients send if no language was chosen: `auto`, `None` or `null`, the
/// code of an undetermined language, and an empty text in quotes.
pub fn language(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let text = text.trim().trim_matches('"');
    let is_unset = |word: &&str| text.eq_ignore_ascii_case(word);
    if is_none(text) || ["auto", "und", ""].iter().any(is_unset) {
        return put(&mut parameters.options.language, Ok(None));
    }
    put(
        &mut parameters.options.language,
        value::parse_language(text).map(Some),
    )
}

/// Text that the audio continues.
pub fn prompt(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut parameters.options.prompt, Ok(Some(text.to_owned())))
}

/// Candidates for detection, each once.
pub fn languages(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    for item in parse_list(text) {
        let language = value::parse_language(&item)?;
        if !parameters.options.candidates.contains(&language) {
            parameters.options.candidates.push(language);
        }
    }
    Ok(())
}

/// Words to expect.
pub fn keywords(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let keywords = parse_list(text);
    let are_short = keywords
        .iter()
        .all(|keyword| keyword.chars().count() <= MAX_KEYWORD_CHARS);
    if !are_short || parameters.keywords.len() + keywords.len() > MAX_ITEMS {
        return Err(Expected(format!(
            "at most {MAX_ITEMS} keywords of at most {MAX_KEYWORD_CHARS} characters"
        )));
    }
    parameters.keywords.extend(keywords);
    Ok(())
}

/// A format that the endpoint offers, whatever other fields say.
pub fn response_format(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let is_offered = |format: &ResponseFormat| {
        parameters.api.task() == Task::Transcribe || *format != ResponseFormat::DiarizedJson
    };
    let format = ResponseFormat::parse(&text.trim().to_ascii_lowercase()).filter(is_offered);
    let format = format.ok_or_else(|| {
        let offered = ResponseFormat::ALL.into_iter().filter(is_offered);
        let names: Vec<_> = offered.map(ResponseFormat::name).collect();
        Expected(names.join(" or "))
    });
    put(&mut parameters.format, format)
}

/// One temperature, or a list of the first temperature and the fallback temperatures.
pub fn temperature(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    parameters.temperatures.clear();
    if text.contains(['[', ',']) {
        return more_temperatures(parameters, text);
    }
    let temperature = parse_number(text, 0.0..=1.0);
    put(&mut parameters.options.search.temperature, temperature)
}

/// Items of the list of temperatures.
pub fn more_temperatures(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let expected = || {
        let words = format!("1 to {MAX_TEMPERATURES} numbers from 0 to 1");
        Expected(words)
    };
    for item in parse_list(text) {
        let temperature = parse_number(&item, 0.0..=1.0).map_err(|_| expected())?;
        parameters.temperatures.push(temperature);
    }
    if (1..=MAX_TEMPERATURES).contains(&parameters.temperatures.len()) {
        Ok(())
    } else {
        Err(expected())
    }
}

/// Additional parts of the response.
pub fn include(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    for item in parse_list(text) {
        match item.as_str() {
            "logprobs" => parameters.options.logprobs = true,
            "dropped" => parameters.dropped = true,
            _ => return Err(Expected::new("logprobs or dropped")),
        }
    }
    Ok(())
}

/// The units with time stamps.
pub fn timestamp_granularities(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    for item in parse_list(text) {
        match item.as_str() {
            "segment" => parameters.granularities.segments = true,
            "word" => parameters.granularities.words = true,
            _ => return Err(Expected::new("word or segment")),
        }
    }
    Ok(())
}

/// Whether the text is streamed.
pub fn stream(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut parameters.stream, parse_boolean(text))
}

/// The beam size of the search.
pub fn beam_size(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut parameters.beam_size, parse_count(text, 32).map(Some))
}

/// The seed of the random numbers.
pub fn seed(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let seed = text.trim().parse().ok();
    let seed = seed.filter(|seed| *seed <= MAX_SEED);
    let expected = || Expected(format!("a whole number from 0 to {MAX_SEED}"));
    put(
        &mut parameters.options.seed,
        seed.map(Some).ok_or_else(expected),
    )
}

/// The number of samples.
pub fn best_of(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.options.search.best_of,
        parse_count(text, 32),
    )
}

/// The number of finished hypotheses that ends the search, relative to the beam size.
pub fn patience(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.options.search.patience,
        parse_number(text, 0.01..=10.0),
    )
}

/// Exponent of a hypothesis' length.
pub fn length_penalty(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.options.search.length_penalty,
        parse_number(text, 0.0..=10.0),
    )
}

/// Penalty of tokens that were generated already.
pub fn repetition_penalty(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let penalty = parse_number(text, 0.1..=10.0);
    put(&mut parameters.options.search.repetition_penalty, penalty)
}

/// Length of token sequences that are not repeated.
pub fn no_repeat_ngram_size(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let size = parse_integer(text, 0..=224);
    put(&mut parameters.options.search.no_repeat_ngram_size, size)
}

/// Tokens that are never generated; an empty JSON list suppresses none.
pub fn suppress_tokens(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let tokens = parse_list(text).into_iter().map(|item| {
        let token = item.parse().ok();
        token.filter(|token| (-1..=MAX_TOKEN_ID).contains(token))
    });
    let tokens = tokens.collect::<Option<Vec<i32>>>();
    let all_tokens = parameters.suppress_tokens.get_or_insert_default();
    match tokens {
        Some(tokens) if all_tokens.len() + tokens.len() <= MAX_ITEMS => {
            all_tokens.extend(tokens);
            Ok(())
        }
        _ => Err(Expected(format!(
            "at most {MAX_ITEMS} whole numbers from -1 to {MAX_TOKEN_ID}"
        ))),
    }
}

/// Whether the model generates no time stamps.
pub fn without_timestamps(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut parameters.without_timestamps, parse_boolean(text))
}

/// Whether a window continues the text of the previous one.
pub fn condition_on_previous_text(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.options.condition_on_previous_text,
        parse_boolean(text),
    )
}

/// Words to expect, as one text.
pub fn hotwords(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.options.hotwords,
        Ok(Some(text.trim().to_owned())),
    )
}

/// Maximum compression ratio of a text.
pub fn compression_ratio_threshold(
    parameters: &mut Parameters,
    text: &str,
) -> Result<(), Expected> {
    let threshold = parse_optional_number(text, 0.0..=100.0);
    put(
        &mut parameters.options.fallback.compression_ratio_threshold,
        threshold,
    )
}

/// Minimum mean log probability of the tokens.
pub fn logprob_threshold(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let threshold = parse_optional_number(text, -100.0..=0.0);
    put(
        &mut parameters.options.fallback.logprob_threshold,
        threshold,
    )
}

/// Maximum probability of no speech.
pub fn no_speech_threshold(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let threshold = parse_optional_number(text, 0.0..=1.0);
    put(
        &mut parameters.options.fallback.no_speech_threshold,
        threshold,
    )
}

/// Length of the silence around improbable text that is dropped.
pub fn hallucination_silence_threshold(
    parameters: &mut Parameters,
    text: &str,
) -> Result<(), Expected> {
    let threshold = parse_optional_number(text, 0.0..=3_600.0)?.map(f64::from);
    put(
        &mut parameters.options.hallucination_silence_threshold_s,
        Ok(threshold),
    )
}

/// Start of the part to transcribe.
pub fn offset(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.options.clip.offset,
        parse_seconds(text, 0.0..=LONGEST_S),
    )
}

/// Length of the part to transcribe.
pub fn duration(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let duration = parse_seconds(text, 0.1..=LONGEST_S).map(Some);
    put(&mut parameters.options.clip.duration, duration)
}

/// Whether channels are mixed or kept apart.
pub fn channels(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let channels = Channels::parse(text.trim());
    let expected = || Expected(names!(Channels).join(" or "));
    put(
        &mut parameters.options.channels,
        channels.ok_or_else(expected),
    )
}

/// Whether words have times.
pub fn word_timestamps(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut parameters.word_timestamps, parse_boolean(text))
}

/// Maximum length of a subtitle line.
pub fn max_line_width(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.subtitles.max_line_width,
        parse_count(text, 1_000).map(Some),
    )
}

/// Maximum number of lines of a subtitle.
pub fn max_line_count(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.subtitles.max_line_count,
        parse_count(text, 100).map(Some),
    )
}
