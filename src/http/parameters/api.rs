//! The API of a request: OpenAI's with extensions, or that of another Whisper server.

use std::time::Duration;

use super::field::Field;
use super::value::{Expected, LONGEST_S, names, parse_boolean, parse_integer, parse_number, put};
use super::{FieldShape, Parameters, ValueKind, readers, vad};
use crate::format::{AsrOutput, ResponseFormat};
use crate::transcribe::TranscriptionOptions;
use halkspeech_whisper::Task;

/// The APIs that accept a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// OpenAI's transcriptions.
    Transcription,
    /// OpenAI's translations.
    Translation,
    /// `/asr` of whisper-asr-webservice.
    Asr,
    /// `/detect-language` of the same.
    Language,
    /// `/inference` of whisper.cpp's server.
    Inference,
    /// `/v1/audio/language`.
    SpokenLanguage,
    /// `/v1/audio/diarization` of speaches.
    Diarization,
    /// `/v1/audio/speech/timestamps` of speaches.
    SpeechTimestamps,
}

/// The kind of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// The format that `response_format` names.
    Format,
    /// An output format of `/asr`.
    Asr(AsrOutput),
    /// The detected language.
    Language,
    /// A JSON object with the text alone.
    BareText,
    /// The languages spoken.
    SpokenLanguages,
}

/// The fields read so far that only other APIs have.
#[derive(Debug)]
pub struct CompatibilityFields {
    /// Whether the audio is in a file format rather than raw samples.
    is_encoded: bool,
    output: AsrOutput,
    /// Whether a diarization is in the RTTM format.
    is_rttm: bool,
    /// Increment from one temperature to the next.
    temperature_step: Option<f32>,
}

/// The part of a recording in which `/detect-language` detects the language, as in the original server.
const DETECTION: Duration = Duration::from_secs(30);
/// The longest recording that any setting allows, in milliseconds: a week.
const LONGEST_MS: i64 = 604_800_000;
/// Length of the reference's own list.
const MAX_TEMPERATURES: usize = 6;

/// Fields of the transcription API that `/asr` does not have.
const NOT_OF_ASR: [&str; 5] = [
    "response_format",
    "timestamp_granularities",
    "include",
    "stream",
    "channels",
];

/// Fields of the transcription API that `/v1/audio/diarization` has.
const OF_DIARIZATION: [&str; 5] = [
    "known_speaker_names",
    "known_speaker_references",
    "num_speakers",
    "min_speakers",
    "max_speakers",
];

impl Api {
    /// The default task.
    pub fn task(self) -> Task {
        match self {
            Self::Translation => Task::Translate,
            Self::Transcription
            | Self::Asr
            | Self::Language
            | Self::Inference
            | Self::SpokenLanguage
            | Self::Diarization
            | Self::SpeechTimestamps => Task::Transcribe,
        }
    }

    /// The form field that holds the recording.
    pub fn file(self) -> &'static str {
        match self {
            Self::Asr | Self::Language => "audio_file",
            Self::Transcription
            | Self::Translation
            | Self::Inference
            | Self::SpokenLanguage
            | Self::Diarization
            | Self::SpeechTimestamps => "file",
        }
    }

    /// The fields that only this API has, or that have another meaning in it.
    pub fn own(self) -> &'static [Field] {
        match self {
            Self::Transcription | Self::Translation | Self::SpokenLanguage => &[],
            Self::Diarization => DIARIZATION,
            Self::SpeechTimestamps => SPEECH,
            Self::Asr => &[ENCODE, TASK, OUTPUT],
            Self::Language => &[ENCODE],
            Self::Inference => INFERENCE,
        }
    }

    /// All its fields.
    pub fn fields(self) -> impl Iterator<Item = &'static Field> {
        let own = self.own();
        let is_shared = move |field: &&Field| {
            let is_in_api = match self {
                Self::Transcription | Self::Translation | Self::Inference => true,
                Self::Asr => !NOT_OF_ASR.contains(&field.name),
                Self::Language | Self::SpokenLanguage => field.name == "model",
                Self::Diarization => OF_DIARIZATION.contains(&field.name),
                Self::SpeechTimestamps => false,
            };
            is_in_api && own.iter().all(|other| other.name != field.name)
        };
        own.iter().chain(Field::ALL.iter().filter(is_shared))
    }
}

const ENCODE: Field = Field::single("encode", ValueKind::Boolean, |parameters, text| {
    put(
        &mut parameters.compatibility.is_encoded,
        parse_boolean(text),
    )
})
.default("true")
.describe(
    "`false`: the file holds raw samples: 16 bits, little endian, one channel, 16 kHz. Sent in \
     the query string.",
);

const TASK: Field = Field::single(
    "task",
    ValueKind::OneOf(names!(Task)),
    |parameters, text| {
        let task = Task::parse(&text.trim().to_ascii_lowercase());
        let expected = || Expected(names!(Task).join(" or "));
        put(&mut parameters.task, task.ok_or_else(expected))
    },
)
.default("transcribe")
.describe("Whether the text is in the language spoken or in English.");

const OUTPUT: Field = Field::single(
    "output",
    ValueKind::OneOf(names!(AsrOutput)),
    |parameters, text| {
        let output = AsrOutput::parse(&text.trim().to_ascii_lowercase());
        let expected = || Expected(names!(AsrOutput).join(" or "));
        put(
            &mut parameters.compatibility.output,
            output.ok_or_else(expected),
        )
    },
)
.default("txt")
.describe("The output format.");

const INFERENCE: &[Field] = &[
    Field::single("diarize", ValueKind::Boolean, |_, text| {
        parse_boolean(text).map(|_has_no_effect| ())
    })
    .default("false")
    .describe(
        "Has no effect: that of whisper.cpp compares the channels, which `channels=split` \
         transcribes separately. `diarized_json` and `speaker_labels` have speakers.",
    ),
    Field::single("translate", ValueKind::Boolean, |parameters, text| {
        let task = parse_boolean(text).map(|translates| {
            if translates {
                Task::Translate
            } else {
                Task::Transcribe
            }
        });
        put(&mut parameters.task, task)
    })
    .default("false")
    .describe("Whether the text is in English, whatever is spoken."),
    Field::single(
        "temperature_inc",
        ValueKind::Number(0.0, 1.0),
        |parameters, text| {
            let step = parse_number(text, 0.0..=1.0).map(Some);
            put(&mut parameters.compatibility.temperature_step, step)
        },
    )
    .described_default("0.2")
    .describe("Increment of the temperature when a text is rejected; 0 uses the first alone."),
    Field::single(
        "offset_t",
        ValueKind::Integer(0, LONGEST_MS),
        |parameters, text| put(&mut parameters.options.clip.offset, milliseconds(text)),
    )
    .default("0")
    .describe("Start of the part to transcribe, in milliseconds."),
    Field::single(
        "duration",
        ValueKind::Integer(0, LONGEST_MS),
        |parameters, text| {
            let duration = milliseconds(text)?;
            let duration = (!duration.is_zero()).then_some(duration);
            put(&mut parameters.options.clip.duration, Ok(duration))
        },
    )
    .default("0")
    .describe("Length of the part to transcribe, in milliseconds; 0 is all."),
];

const DIARIZATION: &[Field] = &[
    Field::single("model", ValueKind::Text, readers::model)
        .described_default("the installed one")
        .describe(
            "A model that finds speakers; every name that contains `diariz` stands for the \
             installed one.",
        ),
    Field::single(
        "response_format",
        ValueKind::OneOf(&["json", "rttm"]),
        |parameters, text| {
            let is_rttm = match text.trim().to_ascii_lowercase().as_str() {
                "json" => Ok(false),
                "rttm" => Ok(true),
                _ => Err(Expected::new("json or rttm")),
            };
            put(&mut parameters.compatibility.is_rttm, is_rttm)
        },
    )
    .default("json")
    .describe("The output format."),
];

const SPEECH: &[Field] = &[
    Field::single("model", ValueKind::Text, readers::model)
        .described_default("the built-in one")
        .describe("Ignored: there is one detector."),
    Field::single("threshold", ValueKind::Number(0.0, 1.0), vad::threshold)
        .default("0.75")
        .describe("Probability from which on a sound counts as speech."),
    Field::single(
        "neg_threshold",
        ValueKind::Number(0.0, 1.0),
        vad::neg_threshold,
    )
    .described_default("0.15 less than `threshold`")
    .describe("Speech ends once the probability is below this."),
    Field::single(
        "min_speech_duration_ms",
        ValueKind::Integer(0, 60_000),
        vad::min_speech,
    )
    .default("0")
    .describe("Speech no longer than this is left out; 0 keeps all."),
    Field::single(
        "max_speech_duration_s",
        ValueKind::Number(1.0, LONGEST_S),
        vad::max_speech,
    )
    .described_default("no limit")
    .describe("Longer speech is cut, in a silence of 0.1 s if there is one."),
    Field::single(
        "min_silence_duration_ms",
        ValueKind::Integer(0, 60_000),
        vad::min_silence,
    )
    .default("1000")
    .describe("Shorter silence does not end speech."),
    Field::single("speech_pad_ms", ValueKind::Integer(0, 10_000), vad::pad)
        .default("0")
        .describe("Audio added before and after speech."),
];

fn milliseconds(text: &str) -> Result<Duration, Expected> {
    let maximum = usize::try_from(LONGEST_MS).unwrap_or(usize::MAX);
    let number = parse_integer(text, 0..=maximum)?;
    Ok(Duration::from_millis(number as u64))
}

impl Default for CompatibilityFields {
    fn default() -> Self {
        Self {
            is_encoded: true,
            output: AsrOutput::default(),
            is_rttm: false,
            temperature_step: None,
        }
    }
}

impl CompatibilityFields {
    /// Whether the audio is in a file format rather than raw samples.
    pub fn is_encoded(&self) -> bool {
        self.is_encoded
    }

    /// Whether a diarization is in the RTTM format.
    pub fn is_rttm(&self) -> bool {
        self.is_rttm
    }
}

/// Sets what the API of the request prescribes, and returns the kind of its response.
pub fn apply(parameters: &mut Parameters) -> ResponseKind {
    match parameters.api {
        Api::Transcription | Api::Translation | Api::Diarization | Api::SpeechTimestamps => {
            ResponseKind::Format
        }
        Api::Asr => {
            let output = parameters.compatibility.output;
            parameters.format = output.format();
            // Its clients send this field with every output format.
            parameters.word_timestamps &= output == AsrOutput::Json;
            parameters.speakers.apply_output(output);
            ResponseKind::Asr(output)
        }
        Api::Language | Api::SpokenLanguage => {
            parameters.options = TranscriptionOptions::default();
            parameters.options.clip.duration = Some(DETECTION);
            parameters.vad.filter = Some(false);
            match parameters.api {
                Api::SpokenLanguage => ResponseKind::SpokenLanguages,
                _ => ResponseKind::Language,
            }
        }
        Api::Inference => {
            if let Some(step) = parameters.compatibility.temperature_step
                && parameters.temperatures.is_empty()
            {
                parameters.temperatures = steps(parameters.options.search.temperature, step);
            }
            let is_bare = parameters.format == ResponseFormat::Json && !parameters.options.logprobs;
            if is_bare {
                ResponseKind::BareText
            } else {
                ResponseKind::Format
            }
        }
    }
}

/// The first temperature and the fallback temperatures, up to 1.
fn steps(first: f32, step: f32) -> Vec<f32> {
    if step == 0.0 {
        return vec![first];
    }
    let temperatures = (0..MAX_TEMPERATURES).map(|count| step.mul_add(count as f32, first));
    // The last of them may lie a little beyond 1 by the rounding of the step.
    let in_range = temperatures.take_while(|temperature| *temperature < 1.0 + f32::EPSILON * 8.0);
    in_range.map(|temperature| temperature.min(1.0)).collect()
}

impl Field {
    /// Finds a field of the API by its name in the request.
    pub fn find(api: Api, name: &str) -> Option<Self> {
        let has_name = |field: &&Self| match field.shape {
            FieldShape::List => list_name(name) == field.name,
            FieldShape::Single | FieldShape::Object => name == field.name,
        };
        api.fields().find(has_name).copied()
    }
}

/// The name of a list without the brackets after it, which some clients number: `x[]`, `x[0]`.
fn list_name(name: &str) -> &str {
    let start = name.rsplit_once('[');
    let start = start.filter(|(_, rest)| {
        let number = rest.strip_suffix(']');
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    start.map_or(name, |(start, _)| start)
}
