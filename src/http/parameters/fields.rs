//! The table of all fields but `file`: their names, allowed values and readers.
//!
//! A name that two servers spell differently has a row for each spelling, so that an error names
//! the field that was sent. Tests check that `docs/api.md` and the `OpenAPI` document equal the
//! table, and that each reader accepts what its row allows. The file is as long as the table.

use super::field::Field;
use super::field::ValueKind::{Boolean, DataUrl, Integer, Number, OneOf, OptionalNumber, Text};
use super::value::{LONGEST_S, names};
use super::{readers, speakers, vad};
use crate::format::ResponseFormat;
use crate::transcribe::MAX_SEED;
use halkspeech_audio::Channels;

impl Field {
    /// All fields.
    pub const ALL: &[Self] = &[
        // OpenAI's.
        Self::single("model", Text, readers::model)
            .described_default("the default model")
            .describe(
                "A model's id, or an alias. `whisper-1` and every name of OpenAI's that begins \
                 with `gpt-` and holds `transcribe` or `whisper` stand for the default model. \
                 Letter case does not matter.",
            ),
        Self::single("language", Text, readers::language)
            .described_default("detected")
            .describe(
                "The language spoken: ISO 639-1 or 639-3 (`tr`, `tur`), an English name \
                 (`turkish`) or a tag (`tr-TR`). `auto` is the same as none: the first window of \
                 speech decides for the whole recording. In a translation it is the language \
                 spoken too.",
            ),
        Self::list("languages", Text, readers::languages)
            .described_default("all")
            .describe("Detection chooses among these. No effect if `language` is given."),
        Self::list("keywords", Text, readers::keywords).describe(
            "Words to expect; they precede `hotwords`. At most 1,000 of at most 200 \
                 characters.",
        ),
        Self::single("prompt", Text, readers::prompt).describe(
            "Text that the audio continues, or names to expect, in the language of the audio. \
                 Of the hints and the prompt together, the last 223 tokens count, in every \
                 window.",
        ),
        Self::single(
            "response_format",
            OneOf(names!(ResponseFormat)),
            readers::response_format,
        )
        .default("json")
        .describe("The output format."),
        Self::single("temperature", Number(0.0, 1.0), readers::temperature)
            .default("0")
            .describe(
                "0 starts at 0 and falls back through 0.2, 0.4, 0.6, 0.8 and 1. A number above 0 \
                 is used alone.",
            ),
        Self::list("temperature", Number(0.0, 1.0), readers::more_temperatures).describe(
            "The first temperature and the fallback temperatures, 1 to 6 in all; `[0]` is 0 \
             without fallback.",
        ),
        Self::list("include", OneOf(&["logprobs", "dropped"]), readers::include).describe(
            "`logprobs`: every token of the text with its log probability. `dropped` (an \
             extension): the parts without text, and why.",
        ),
        Self::list(
            "timestamp_granularities",
            OneOf(&["word", "segment"]),
            readers::timestamp_granularities,
        )
        .default("segment")
        .describe("The units with times. `word` alone omits the segments."),
        Self::single("stream", Boolean, readers::stream)
            .default("false")
            .describe("Streams the text as server-sent events."),
        Self::object("chunking_strategy", &["auto"], vad::strategy).describe(
            "OpenAI's form: enables detection regardless of `vad_filter`. `auto` uses the \
             defaults of the parameters that begin with `vad_`.",
        ),
        Self::single(
            "chunking_strategy[type]",
            OneOf(&["server_vad", "auto"]),
            vad::strategy,
        )
        .described_default("server_vad")
        .describe("`server_vad` uses OpenAI's values for the others."),
        Self::single(
            "chunking_strategy[threshold]",
            Number(0.0, 1.0),
            vad::server_threshold,
        )
        .described_default("0.5")
        .describe("As `vad_threshold`."),
        Self::single(
            "chunking_strategy[prefix_padding_ms]",
            Integer(0, 10_000),
            vad::server_pad,
        )
        .described_default("300")
        .describe("As `vad_speech_pad_ms`."),
        Self::single(
            "chunking_strategy[silence_duration_ms]",
            Integer(0, 60_000),
            vad::server_min_silence,
        )
        .described_default("200")
        .describe("As `vad_min_silence_ms`."),
        Self::list("known_speaker_names", Text, speakers::names).describe(
            "Names of known speakers, at most 16 of at most 64 characters, which label their \
             voices. Others have letters.",
        ),
        Self::list("known_speaker_references", DataUrl, speakers::references).describe(
            "A recording of each of them, in the same order: 2 to 10 s of one voice in any \
             format, as `data:audio/wav;base64,…`, at most 1 MiB.",
        ),
        // Speakers.
        Self::single("diarize", Boolean, speakers::diarize)
            .default("false")
            .describe(
                "Adds `speaker` to the segments and words of `verbose_json`. `diarized_json` has \
                 it anyway.",
            ),
        Self::single("speaker_labels", Boolean, speakers::labels)
            .default("false")
            .describe("Writes the speakers into `srt` as `[A]`, into `vtt` as `<v A>`."),
        Self::single(
            "num_speakers",
            Integer(1, speakers::MAX_SPEAKERS as i64),
            speakers::num,
        )
        .described_default("found")
        .describe("The number of speakers, if it is known."),
        Self::single(
            "min_speakers",
            Integer(1, speakers::MAX_SPEAKERS as i64),
            speakers::min,
        )
        .described_default("1")
        .describe("Find at least this number of speakers."),
        Self::single(
            "max_speakers",
            Integer(1, speakers::MAX_SPEAKERS as i64),
            speakers::max,
        )
        .describe("Find at most this number of speakers."),
        // Voice activity detection.
        Self::single("vad_filter", Boolean, vad::filter)
            .described_default("the setting WHISPER__VAD_FILTER")
            .describe("Whether voice activity detection is enabled."),
        Self::single("vad", Boolean, vad::filter).alias_of("vad_filter"),
        Self::single("vad_threshold", Number(0.0, 1.0), vad::threshold)
            .described_default("0.5")
            .describe("Probability from which on a sound counts as speech."),
        Self::single("vad_min_speech_ms", Integer(0, 60_000), vad::min_speech)
            .described_default("0")
            .describe("Speech no longer than this is left out; 0 keeps all."),
        Self::single(
            "vad_min_speech_duration_ms",
            Integer(0, 60_000),
            vad::min_speech,
        )
        .alias_of("vad_min_speech_ms"),
        Self::single("vad_min_silence_ms", Integer(0, 60_000), vad::min_silence)
            .described_default("2000")
            .describe("Shorter silence does not end speech."),
        Self::single(
            "vad_min_silence_duration_ms",
            Integer(0, 60_000),
            vad::min_silence,
        )
        .alias_of("vad_min_silence_ms"),
        Self::single("vad_max_speech_s", Number(1.0, LONGEST_S), vad::max_speech)
            .described_default("30")
            .describe(
                "Longer speech is cut. Counts as 3 below 3 and as 30 above 30, the length of the \
                 model's window.",
            ),
        Self::single(
            "vad_max_speech_duration_s",
            Number(1.0, LONGEST_S),
            vad::max_speech,
        )
        .alias_of("vad_max_speech_s"),
        Self::single("vad_speech_pad_ms", Integer(0, 10_000), vad::pad)
            .described_default("400")
            .describe("Audio kept before and after speech."),
        Self::object("vad_parameters", &[], vad::no_object)
            .describe("faster-whisper's form of the same."),
        Self::single(
            "vad_parameters[threshold]",
            Number(0.0, 1.0),
            vad::threshold,
        )
        .described_default("0.5")
        .describe("As `vad_threshold`."),
        Self::single(
            "vad_parameters[min_speech_duration_ms]",
            Integer(0, 60_000),
            vad::min_speech,
        )
        .described_default("0")
        .describe("As `vad_min_speech_ms`."),
        Self::single(
            "vad_parameters[min_silence_duration_ms]",
            Integer(0, 60_000),
            vad::min_silence,
        )
        .described_default("2000")
        .describe("As `vad_min_silence_ms`."),
        Self::single(
            "vad_parameters[max_speech_duration_s]",
            Number(1.0, LONGEST_S),
            vad::max_speech,
        )
        .described_default("30")
        .describe("As `vad_max_speech_s`."),
        Self::single(
            "vad_parameters[speech_pad_ms]",
            Integer(0, 10_000),
            vad::pad,
        )
        .described_default("400")
        .describe("As `vad_speech_pad_ms`."),
        // Search options.
        Self::single("beam_size", Integer(1, 32), readers::beam_size)
            .described_default("the setting WHISPER__BEAM_SIZE")
            .describe("Hypotheses kept during the search at temperature 0; 1 is greedy."),
        Self::single("best_of", Integer(1, 32), readers::best_of)
            .default("5")
            .describe("Hypotheses sampled above temperature 0, of which the most likely is kept."),
        Self::single("seed", Integer(0, MAX_SEED as i64), readers::seed)
            .described_default("none")
            .describe(
                "With the same seed, options and audio the sampled text is the same every time; \
                 without one it depends on the audio. On a GPU a program of `make cuda` ignores it.",
            ),
        Self::single("patience", Number(0.01, 10.0), readers::patience)
            .default("1")
            .describe(
                "The search ends once `beam_size` × `patience` hypotheses are finished. The \
                 product is 0.5 to 64.",
            ),
        Self::single("length_penalty", Number(0.0, 10.0), readers::length_penalty)
            .default("1")
            .describe("Exponent of the length by which a hypothesis' score is divided."),
        Self::single(
            "repetition_penalty",
            Number(0.1, 10.0),
            readers::repetition_penalty,
        )
        .default("1")
        .describe("Above 1, tokens that were generated already become less likely; below 1, more."),
        Self::single(
            "no_repeat_ngram_size",
            Integer(0, 224),
            readers::no_repeat_ngram_size,
        )
        .default("0")
        .describe("No sequence of this many tokens is repeated; 0 allows repetitions."),
        Self::list(
            "suppress_tokens",
            Integer(-1, readers::MAX_TOKEN_ID as i64),
            readers::suppress_tokens,
        )
        .default("-1")
        .describe(
            "Ids of tokens that are never generated; -1 stands for the model's own list of \
                 symbols. `[]` suppresses none. At most 1,000.",
        ),
        Self::single("without_timestamps", Boolean, readers::without_timestamps)
            .default("false")
            .describe(
                "The model generates no time stamps, so a window is one segment. By default it \
                 generates them only where they are needed: in `srt`, `vtt`, `verbose_json` and \
                 `diarized_json`, with `channels=split`, and with \
                 `hallucination_silence_threshold`. `json` and `text` are generated without them, \
                 so their words may differ slightly from the other formats'.",
            ),
        Self::single("no_timestamps", Boolean, readers::without_timestamps)
            .alias_of("without_timestamps"),
        Self::single(
            "condition_on_previous_text",
            Boolean,
            readers::condition_on_previous_text,
        )
        .default("false")
        .describe(
            "Each window waits for the text of the previous one and continues it. The windows of \
             a recording then run one after the other.",
        ),
        Self::single("initial_prompt", Text, readers::prompt).alias_of("prompt"),
        Self::single("hotwords", Text, readers::hotwords)
            .describe("Words to expect; they precede the prompt."),
        // Rejection of doubtful text.
        Self::single(
            "compression_ratio_threshold",
            OptionalNumber(0.0, 100.0),
            readers::compression_ratio_threshold,
        )
        .default("2.4")
        .describe(
            "A text that compresses better repeats itself and is generated again. `none` or \
             `null` disables this.",
        ),
        Self::single(
            "logprob_threshold",
            OptionalNumber(-100.0, 0.0),
            readers::logprob_threshold,
        )
        .default("-1")
        .describe("A text whose tokens have a lower mean log probability is generated again."),
        Self::single(
            "log_prob_threshold",
            OptionalNumber(-100.0, 0.0),
            readers::logprob_threshold,
        )
        .alias_of("logprob_threshold"),
        Self::single(
            "logprob_thold",
            OptionalNumber(-100.0, 0.0),
            readers::logprob_threshold,
        )
        .alias_of("logprob_threshold"),
        Self::single(
            "no_speech_threshold",
            OptionalNumber(0.0, 1.0),
            readers::no_speech_threshold,
        )
        .default("0.6")
        .describe(
            "Above this probability of no speech, a text below `logprob_threshold` is treated as \
             silence and dropped.",
        ),
        Self::single(
            "no_speech_thold",
            OptionalNumber(0.0, 1.0),
            readers::no_speech_threshold,
        )
        .alias_of("no_speech_threshold"),
        Self::single(
            "hallucination_silence_threshold",
            OptionalNumber(0.0, 3_600.0),
            readers::hallucination_silence_threshold,
        )
        .default("none")
        .describe(
            "Improbable text between silences longer than this, in seconds, is dropped. This \
             computes word times, which takes time.",
        ),
        // The part of the recording, and the output.
        Self::single("offset", Number(0.0, LONGEST_S), readers::offset)
            .default("0")
            .describe(
                "Start of the part to transcribe, in seconds. Times in the response are those of \
                 the recording.",
            ),
        Self::single("duration", Number(0.1, LONGEST_S), readers::duration)
            .described_default("to the end")
            .describe("Length of the part to transcribe, in seconds."),
        Self::single("channels", OneOf(names!(Channels)), readers::channels)
            .default("mix")
            .describe(
                "`split` transcribes each channel separately, for calls with one speaker per \
                 channel; segments then have a `speaker`, `A` for the first channel.",
            ),
        Self::single("word_timestamps", Boolean, readers::word_timestamps)
            .default("false")
            .describe("Adds `word` to `timestamp_granularities[]`."),
        Self::single("max_line_width", Integer(1, 1_000), readers::max_line_width)
            .describe("Maximum number of characters in a line of a subtitle."),
        Self::single("max_line_count", Integer(1, 100), readers::max_line_count)
            .describe("Maximum number of lines in a subtitle."),
    ];
}
