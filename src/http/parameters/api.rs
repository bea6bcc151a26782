//! Whose API a request speaks: ours, which is OpenAI's with more, or that of another server of Whisper.

use std::time::Duration;

use super::field::Field;
use super::fields::put;
use super::value::{Expected, real, switch, whole};
use super::{ApiError, Asked, ParameterDefaults, Parameters, Shape, Takes};
use crate::format::{AsrOutput, ResponseFormat};
use crate::tokens::Task;
use crate::transcribe::Wishes;

/// The APIs that a recording may be sent by.
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
}

/// What an answer is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As `response_format` says.
    Format,
    /// One of the forms of `/asr`.
    Asr(AsrOutput),
    /// The language alone.
    Language,
    /// An object with the text alone.
    BareText,
}

/// What the fields that only other APIs have said so far.
#[derive(Debug)]
pub struct OfOthers {
    /// Whether the audio is in a file format, and not bare samples.
    is_encoded: bool,
    output: AsrOutput,
    /// From one temperature to the next.
    temperature_step: Option<f32>,
}

/// The part of a recording that `/detect-language` listens to, as its original does.
const DETECTION: Duration = Duration::from_secs(30);
/// The longest recording that any setting allows, in milliseconds: a week.
const LONGEST_MS: i64 = 604_800_000;
/// As many as the reference's own list has.
const MAX_TEMPERATURES: usize = 6;

/// Fields of ours by which the forms of `/asr` are not chosen.
const NOT_OF_ASR: [&str; 5] = [
    "response_format",
    "timestamp_granularities",
    "include",
    "stream",
    "channels",
];

impl Api {
    /// What is done where no field says it.
    pub fn task(self) -> Task {
        match self {
            Self::Translation => Task::Translate,
            Self::Transcription | Self::Asr | Self::Language | Self::Inference => Task::Transcribe,
        }
    }

    /// The field of a form that holds the recording.
    pub fn file(self) -> &'static str {
        match self {
            Self::Asr | Self::Language => "audio_file",
            Self::Transcription | Self::Translation | Self::Inference => "file",
        }
    }

    /// The fields that only this API has, or that mean something else in it.
    pub fn own(self) -> &'static [Field] {
        match self {
            Self::Transcription | Self::Translation => &[],
            Self::Asr => &[ENCODE, TASK, OUTPUT],
            Self::Language => &[ENCODE],
            Self::Inference => INFERENCE,
        }
    }

    /// All its fields.
    pub fn fields(self) -> impl Iterator<Item = &'static Field> {
        let own = self.own();
        let is_shared = move |field: &&Field| {
            let is_taken = match self {
                Self::Transcription | Self::Translation | Self::Inference => true,
                Self::Asr => !NOT_OF_ASR.contains(&field.name),
                Self::Language => field.name == "model",
            };
            is_taken && own.iter().all(|other| other.name != field.name)
        };
        own.iter().chain(Field::ALL.iter().filter(is_shared))
    }
}

const ENCODE: Field = Field::one("encode", Takes::Switch, |all, text| {
    put(&mut all.of_others.is_encoded, switch(text))
})
.default("true")
.does(
    "`false` says that the file is bare samples: 16 bits, little endian, one channel, 16 kHz. It \
     stands in the query string.",
);

const TASK: Field = Field::one(
    "task",
    Takes::OneOf(&["transcribe", "translate"]),
    |all, text| {
        let task = match text.trim().to_ascii_lowercase().as_str() {
            "transcribe" => Ok(Task::Transcribe),
            "translate" => Ok(Task::Translate),
            _ => Err(Expected::new("transcribe or translate")),
        };
        put(&mut all.task, task)
    },
)
.default("transcribe")
.does("Whether the text is in the language spoken or in English.");

const OUTPUT: Field = Field::one("output", Takes::OneOf(&AsrOutput::NAMES), |all, text| {
    let output = AsrOutput::parse(&text.trim().to_ascii_lowercase());
    let expected = || Expected(AsrOutput::NAMES.join(" or "));
    put(&mut all.of_others.output, output.ok_or_else(expected))
})
.default("txt")
.does("The form of the answer.");

const INFERENCE: &[Field] = &[
    Field::one("translate", Takes::Switch, |all, text| {
        let task = switch(text).map(|is_wanted| {
            if is_wanted {
                Task::Translate
            } else {
                Task::Transcribe
            }
        });
        put(&mut all.task, task)
    })
    .default("false")
    .does("Whether the text is in English, whatever is spoken."),
    Field::one("temperature_inc", Takes::Real(0.0, 1.0), |all, text| {
        let step = real(text, 0.0..=1.0).map(Some);
        put(&mut all.of_others.temperature_step, step)
    })
    .without("0.2")
    .does("From one temperature to the next where a text looks wrong; 0 tries the first alone."),
    Field::one("offset_t", Takes::Whole(0, LONGEST_MS), |all, text| {
        put(&mut all.wishes.clip.offset, milliseconds(text))
    })
    .default("0")
    .does("Where to begin, in milliseconds."),
    Field::one("duration", Takes::Whole(0, LONGEST_MS), |all, text| {
        let duration = milliseconds(text)?;
        let duration = (!duration.is_zero()).then_some(duration);
        put(&mut all.wishes.clip.duration, Ok(duration))
    })
    .default("0")
    .does("How much to transcribe, in milliseconds; 0 is all."),
];

fn milliseconds(text: &str) -> Result<Duration, Expected> {
    let most = usize::try_from(LONGEST_MS).unwrap_or(usize::MAX);
    let number = whole(text, 0..=most)?;
    Ok(Duration::from_millis(number as u64))
}

impl Default for OfOthers {
    fn default() -> Self {
        Self {
            is_encoded: true,
            output: AsrOutput::default(),
            temperature_step: None,
        }
    }
}

impl OfOthers {
    /// Whether the audio is in a file format, and not bare samples.
    pub fn is_encoded(&self) -> bool {
        self.is_encoded
    }
}

/// As [`Parameters::finish`], in the terms of the API.
///
/// # Errors
/// The same.
pub fn finish(mut all: Parameters, defaults: ParameterDefaults) -> Result<Asked, ApiError> {
    let answer = match all.api {
        Api::Transcription | Api::Translation => Answer::Format,
        Api::Asr => {
            let output = all.of_others.output;
            all.format = output.format();
            // Its clients send it whatever the form of the answer is.
            all.word_timestamps &= output == AsrOutput::Json;
            Answer::Asr(output)
        }
        Api::Language => {
            all.wishes = Wishes::default();
            all.wishes.clip.duration = Some(DETECTION);
            all.speech.filter = Some(false);
            Answer::Language
        }
        Api::Inference => {
            if let Some(step) = all.of_others.temperature_step
                && all.temperatures.is_empty()
            {
                all.temperatures = steps(all.wishes.options.temperature, step);
            }
            let is_bare = all.format == ResponseFormat::Json && !all.wishes.logprobs;
            if is_bare {
                Answer::BareText
            } else {
                Answer::Format
            }
        }
    };
    let asked = all.finish_fields(defaults)?;
    Ok(Asked { answer, ..asked })
}

/// The first temperature and those to fall back to, up to 1.
fn steps(first: f32, step: f32) -> Vec<f32> {
    if step == 0.0 {
        return vec![first];
    }
    let temperatures = (0..MAX_TEMPERATURES).map(|count| step.mul_add(count as f32, first));
    // The last of them may lie a little beyond 1 by the rounding of the step.
    let within = temperatures.take_while(|temperature| *temperature < 1.0 + f32::EPSILON * 8.0);
    within.map(|temperature| temperature.min(1.0)).collect()
}

impl Field {
    /// Finds a field of the API by its name as it was sent.
    pub fn find(api: Api, name: &str) -> Option<Self> {
        let is_called = |field: &&Self| match field.shape {
            Shape::Many => list_name(name) == field.name,
            Shape::One | Shape::Object => name == field.name,
        };
        api.fields().find(is_called).copied()
    }
}

/// The name of a list without the brackets behind it, which some clients number: `x[]`, `x[0]`.
fn list_name(name: &str) -> &str {
    let start = name.rsplit_once('[');
    let start = start.filter(|(_, rest)| {
        let number = rest.strip_suffix(']');
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    start.map_or(name, |(start, _)| start)
}
