//! The table of all fields but `file`: their names, what they may hold, and where that goes.
//!
//! A name that two servers spell differently has a row for each spelling, so that an error names
//! the field that was sent. `docs/api.md` and the `OpenAPI` document say the same; tests hold the
//! three equal, and what a row allows equal to what its reader takes. Its length is that of the
//! table.

use super::field::Field;
use super::field::Takes::{Bound, Nothing, OneOf, Real, Switch, Text, Whole};
use super::value::Expected;
use super::{readers, speech};
use crate::format::ResponseFormat;

/// The longest recording that any setting allows, in seconds: a week.
pub const LONGEST_S: f64 = 604_800.0;

impl Field {
    /// All fields.
    pub const ALL: &[Self] = &[
        // OpenAI's.
        Self::one("model", Text, readers::model)
            .without("the default model")
            .does(
                "A model's id, or an alias. `whisper-1` and every name of OpenAI's that begins \
                 with `gpt-` and holds `transcribe` or `whisper` stand for the default model. \
                 Letter case does not matter.",
            ),
        Self::one("language", Text, readers::language)
            .without("detected")
            .does(
                "The language spoken: ISO 639-1 or 639-3 (`tr`, `tur`), an English name \
                 (`turkish`) or a tag (`tr-TR`). `auto` is the same as none: the first window of \
                 speech decides for the whole recording. In a translation it is the language \
                 spoken too.",
            ),
        Self::many("languages", Text, readers::languages)
            .without("all")
            .does("Detection chooses among these. No effect where `language` is given."),
        Self::many("keywords", Text, readers::keywords).does(
            "Words to expect; they stand in front of `hotwords`. At most 1,000 of at most 200 \
                 characters.",
        ),
        Self::one("prompt", Text, readers::prompt).does(
            "Text that the audio continues, or names to expect, in the language of the audio. \
                 Of the hints and the prompt together, the last 223 tokens count, in every \
                 window.",
        ),
        Self::one(
            "response_format",
            OneOf(&ResponseFormat::NAMES),
            readers::response_format,
        )
        .default("json")
        .does("The form of the answer."),
        Self::one("temperature", Real(0.0, 1.0), readers::temperature)
            .default("0")
            .does(
                "0 starts at 0 and falls back through 0.2, 0.4, 0.6, 0.8 and 1. A number above 0 \
                 is used alone.",
            ),
        Self::many("temperature", Real(0.0, 1.0), readers::more_temperatures).does(
            "The first temperature and those to fall back to, 1 to 6 in all; `[0]` is 0 \
                 without falling back.",
        ),
        Self::many("include", OneOf(&["logprobs", "dropped"]), readers::include).does(
            "`logprobs`: every token of the text with its log probability. `dropped` (ours): \
                 what nothing was written for, and why.",
        ),
        Self::many(
            "timestamp_granularities",
            OneOf(&["word", "segment"]),
            readers::timestamp_granularities,
        )
        .default("segment")
        .does("What has times. `word` alone leaves the segments out."),
        Self::one("stream", Switch, readers::stream)
            .default("false")
            .does("Sends the text piece by piece, as server-sent events."),
        Self::object("chunking_strategy", &["auto"], speech::strategy).does(
            "OpenAI's form: either switches detection on, whatever `vad_filter` says. `auto` \
                 takes the defaults of the parameters that begin with `vad_`.",
        ),
        Self::one(
            "chunking_strategy[type]",
            OneOf(&["server_vad", "auto"]),
            speech::strategy,
        )
        .without("server_vad")
        .does("`server_vad` takes OpenAI's values for the others."),
        Self::one(
            "chunking_strategy[threshold]",
            Real(0.0, 1.0),
            speech::server_threshold,
        )
        .without("0.5")
        .does("As `vad_threshold`."),
        Self::one(
            "chunking_strategy[prefix_padding_ms]",
            Whole(0, 10_000),
            speech::server_pad,
        )
        .without("300")
        .does("As `vad_speech_pad_ms`."),
        Self::one(
            "chunking_strategy[silence_duration_ms]",
            Whole(0, 60_000),
            speech::server_min_silence,
        )
        .without("200")
        .does("As `vad_min_silence_ms`."),
        Self::many("known_speaker_names", Nothing, readers::no_diarization)
            .does("They tell speakers apart by their voices, which this server does not do."),
        Self::many("known_speaker_references", Nothing, readers::no_diarization)
            .same_as("known_speaker_names"),
        // How speech is told from silence.
        Self::one("vad_filter", Switch, speech::filter)
            .without("the setting WHISPER__VAD_FILTER")
            .does("Whether speech is told from silence."),
        Self::one("vad", Switch, speech::filter).same_as("vad_filter"),
        Self::one("vad_threshold", Real(0.0, 1.0), speech::threshold)
            .without("0.5")
            .does("From this probability a sound is speech."),
        Self::one("vad_min_speech_ms", Whole(0, 60_000), speech::min_speech)
            .without("0")
            .does("Speech no longer than this is left out; 0 keeps all."),
        Self::one(
            "vad_min_speech_duration_ms",
            Whole(0, 60_000),
            speech::min_speech,
        )
        .same_as("vad_min_speech_ms"),
        Self::one("vad_min_silence_ms", Whole(0, 60_000), speech::min_silence)
            .without("2000")
            .does("Shorter silence does not end speech."),
        Self::one(
            "vad_min_silence_duration_ms",
            Whole(0, 60_000),
            speech::min_silence,
        )
        .same_as("vad_min_silence_ms"),
        Self::one("vad_max_speech_s", Real(1.0, LONGEST_S), speech::max_speech)
            .without("30")
            .does(
                "Longer speech is cut. Counts as 3 below 3 and as 30 above 30, the length of the \
                 model's window.",
            ),
        Self::one(
            "vad_max_speech_duration_s",
            Real(1.0, LONGEST_S),
            speech::max_speech,
        )
        .same_as("vad_max_speech_s"),
        Self::one("vad_speech_pad_ms", Whole(0, 10_000), speech::pad)
            .without("400")
            .does("What is kept on either side of speech."),
        Self::object("vad_parameters", &[], speech::no_object)
            .does("faster-whisper's form of the same."),
        Self::one(
            "vad_parameters[threshold]",
            Real(0.0, 1.0),
            speech::threshold,
        )
        .without("0.5")
        .does("As `vad_threshold`."),
        Self::one(
            "vad_parameters[min_speech_duration_ms]",
            Whole(0, 60_000),
            speech::min_speech,
        )
        .without("0")
        .does("As `vad_min_speech_ms`."),
        Self::one(
            "vad_parameters[min_silence_duration_ms]",
            Whole(0, 60_000),
            speech::min_silence,
        )
        .without("2000")
        .does("As `vad_min_silence_ms`."),
        Self::one(
            "vad_parameters[max_speech_duration_s]",
            Real(1.0, LONGEST_S),
            speech::max_speech,
        )
        .without("30")
        .does("As `vad_max_speech_s`."),
        Self::one(
            "vad_parameters[speech_pad_ms]",
            Whole(0, 10_000),
            speech::pad,
        )
        .without("400")
        .does("As `vad_speech_pad_ms`."),
        // How tokens are chosen.
        Self::one("beam_size", Whole(1, 32), readers::beam_size)
            .without("the setting WHISPER__BEAM_SIZE")
            .does("Texts kept during the search at temperature 0; 1 is greedy."),
        Self::one("best_of", Whole(1, 32), readers::best_of)
            .default("5")
            .does("Texts sampled above temperature 0, of which the most likely is kept."),
        Self::one("patience", Real(0.01, 10.0), readers::patience)
            .default("1")
            .does(
                "The search ends once `beam_size` × `patience` texts are finished. The product is \
                 0.5 to 64.",
            ),
        Self::one("length_penalty", Real(0.0, 10.0), readers::length_penalty)
            .default("1")
            .does("Exponent of the length by which a text's score is divided."),
        Self::one(
            "repetition_penalty",
            Real(0.1, 10.0),
            readers::repetition_penalty,
        )
        .default("1")
        .does("Above 1, tokens that were written become less likely; below 1, more."),
        Self::one(
            "no_repeat_ngram_size",
            Whole(0, 224),
            readers::no_repeat_ngram_size,
        )
        .default("0")
        .does("No sequence of so many tokens comes twice; 0 allows it."),
        Self::many(
            "suppress_tokens",
            Whole(-1, readers::HIGHEST_TOKEN as i64),
            readers::suppress_tokens,
        )
        .default("-1")
        .does(
            "Ids of tokens that are never written; -1 stands for the model's own list of \
                 symbols. `[]` suppresses none. At most 1,000.",
        ),
        Self::one("without_timestamps", Switch, readers::without_timestamps)
            .default("false")
            .does(
                "The model writes no time stamps, so a window is one segment. By default it \
                 writes them only where they are of use: in `srt`, `vtt`, `verbose_json` and \
                 `diarized_json`, with `channels=split`, and with \
                 `hallucination_silence_threshold`. `json` and `text` are written without them, \
                 so their words may differ a little from the other formats'.",
            ),
        Self::one("no_timestamps", Switch, readers::without_timestamps)
            .same_as("without_timestamps"),
        Self::one(
            "condition_on_previous_text",
            Switch,
            readers::condition_on_previous_text,
        )
        .default("false")
        .does(
            "Each window waits for the text of the one before and continues it. The windows \
                 of a recording then run one after the other.",
        ),
        Self::one("initial_prompt", Text, readers::prompt).same_as("prompt"),
        Self::one("hotwords", Text, readers::hotwords)
            .does("Words to expect; they stand in front of the prompt."),
        // When a text is not believed.
        Self::one(
            "compression_ratio_threshold",
            Bound(0.0, 100.0),
            readers::compression_ratio_threshold,
        )
        .default("2.4")
        .does(
            "A text that compresses better repeats itself and is made again. `none` switches \
                 this off, as `null` does.",
        ),
        Self::one(
            "logprob_threshold",
            Bound(-100.0, 0.0),
            readers::logprob_threshold,
        )
        .default("-1")
        .does("A text whose tokens have a lower mean log probability is made again."),
        Self::one(
            "log_prob_threshold",
            Bound(-100.0, 0.0),
            readers::logprob_threshold,
        )
        .same_as("logprob_threshold"),
        Self::one(
            "logprob_thold",
            Bound(-100.0, 0.0),
            readers::logprob_threshold,
        )
        .same_as("logprob_threshold"),
        Self::one(
            "no_speech_threshold",
            Bound(0.0, 1.0),
            readers::no_speech_threshold,
        )
        .default("0.6")
        .does(
            "Above this probability of no speech, a text below `logprob_threshold` is taken \
                 for silence and left out.",
        ),
        Self::one(
            "no_speech_thold",
            Bound(0.0, 1.0),
            readers::no_speech_threshold,
        )
        .same_as("no_speech_threshold"),
        Self::one(
            "hallucination_silence_threshold",
            Bound(0.0, 3_600.0),
            readers::hallucination_silence_threshold,
        )
        .default("none")
        .does(
            "Improbable text between silences longer than this, in seconds, is left out. It \
                 takes the times of words, which cost time.",
        ),
        // Which part of the recording, and in which form.
        Self::one("offset", Real(0.0, LONGEST_S), readers::offset)
            .default("0")
            .does("Where to begin, in seconds. Times in the answer stay those of the recording."),
        Self::one("duration", Real(0.1, LONGEST_S), readers::duration)
            .without("to the end")
            .does("How much to transcribe, in seconds."),
        Self::one("channels", OneOf(&["mix", "split"]), readers::channels)
            .default("mix")
            .does(
                "`split` transcribes each channel for itself, for calls with a speaker on each; \
                 segments then have a `speaker`, `A` for the first channel.",
            ),
        Self::one("word_timestamps", Switch, readers::word_timestamps)
            .default("false")
            .does("The same as `word` next to whatever else is asked for."),
        Self::one("max_line_width", Whole(1, 1_000), readers::max_line_width)
            .does("The most characters in a line of a subtitle."),
        Self::one("max_line_count", Whole(1, 100), readers::max_line_count)
            .does("The most lines in a subtitle."),
    ];
}

/// Puts a value in its place, if it is one.
pub fn put<T>(place: &mut T, value: Result<T, Expected>) -> Result<(), Expected> {
    *place = value?;
    Ok(())
}
