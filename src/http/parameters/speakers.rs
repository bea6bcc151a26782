//! The fields of speakers who are told apart by their voices.

use std::num::NonZeroUsize;

use axum::body::Bytes;

use super::combinations::conflict;
use super::value::{Expected, parse_boolean, parse_count, parse_list, put};
use super::{Api, ApiError, Parameters, data_url};
use crate::format::AsrOutput;
use crate::transcribe::{KnownSpeaker, SpeakerOptions};
use halkspeech_audio::{Channels, SpeakerCount};

/// The highest number of speakers that may be asked for.
pub const MAX_SPEAKERS: usize = 32;
/// Most known speakers.
const MAX_KNOWN: usize = 16;
/// Longest name, in characters.
const MAX_NAME_CHARS: usize = 64;

/// The fields of speakers read so far.
#[derive(Default)]
pub struct SpeakerFields {
    /// Whether `verbose_json` has speakers.
    pub diarize: bool,
    /// Whether subtitles have speakers.
    pub labels: bool,
    num: Option<NonZeroUsize>,
    min: Option<NonZeroUsize>,
    max: Option<NonZeroUsize>,
    names: Vec<String>,
    references: Vec<Bytes>,
}

/// Without the references, which are biometric data.
impl std::fmt::Debug for SpeakerFields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpeakerFields")
            .field("diarize", &self.diarize)
            .field("labels", &self.labels)
            .field("count", &(self.num, self.min, self.max))
            .finish_non_exhaustive()
    }
}

impl SpeakerFields {
    /// The options that the fields form, which must have been checked.
    pub fn into_options(self) -> SpeakerOptions {
        let count = match self.num {
            Some(num) => SpeakerCount::exactly(num),
            None => SpeakerCount {
                min: self.min.map_or(0, NonZeroUsize::get),
                max: self.max,
            },
        };
        let known = self.names.into_iter().zip(self.references);
        let known = known.map(|(name, reference)| KnownSpeaker { name, reference });
        SpeakerOptions {
            count,
            known: known.collect(),
        }
    }

    /// Applies the output format of `/asr`, in which `diarize` stands for the labels of subtitles too. Its clients send
    /// `diarize` with every format; those without speakers ignore it.
    pub fn apply_output(&mut self, output: AsrOutput) {
        let is_subtitles = matches!(output, AsrOutput::Srt | AsrOutput::Vtt);
        self.labels |= self.diarize && is_subtitles;
        self.diarize &= output == AsrOutput::Json;
        if !self.diarize && !self.labels {
            *self = Self::default();
        }
    }

    /// Refuses fields that contradict each other.
    ///
    /// # Errors
    /// [`ApiError`], which names the field.
    pub fn check(&self) -> Result<(), ApiError> {
        for (other, is_sent) in [
            ("min_speakers", self.min.is_some()),
            ("max_speakers", self.max.is_some()),
        ] {
            if self.num.is_some() && is_sent {
                let message = format!("'num_speakers' is not supported with {other}");
                return Err(conflict("num_speakers", message));
            }
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            let message =
                format!("'min_speakers' must be at most max_speakers (got {min} and {max})");
            return Err(conflict("min_speakers", message));
        }
        let known = self.names.len();
        for (field, most) in [("num_speakers", self.num), ("max_speakers", self.max)] {
            if let Some(most) = most.filter(|most| known > most.get()) {
                let message = format!(
                    "'known_speaker_names' has more items than {field} allows ({known} and {most})"
                );
                return Err(conflict("known_speaker_names", message));
            }
        }
        let mut names: Vec<&String> = self.names.iter().collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            let message = "'known_speaker_names' has a name twice".to_owned();
            return Err(conflict("known_speaker_names", message));
        }
        if known != self.references.len() {
            let message = format!(
                "'known_speaker_references' needs one item for each of known_speaker_names (got {} and {known})",
                self.references.len()
            );
            return Err(conflict("known_speaker_references", message));
        }
        Ok(())
    }

    /// A field that has an effect on speakers and was sent.
    fn sent(&self) -> Option<&'static str> {
        let fields = [
            ("diarize", self.diarize),
            ("speaker_labels", self.labels),
            ("num_speakers", self.num.is_some()),
            ("min_speakers", self.min.is_some()),
            ("max_speakers", self.max.is_some()),
            ("known_speaker_names", !self.names.is_empty()),
            ("known_speaker_references", !self.references.is_empty()),
        ];
        let mut sent = fields.into_iter().filter(|(_, is_sent)| *is_sent);
        sent.next().map(|(name, _)| name)
    }
}

/// Refuses fields of speakers that cannot be combined with each other or with the rest of a transcription.
pub fn check(parameters: &Parameters) -> Result<(), ApiError> {
    let fields = &parameters.speakers;
    if let Some(sent) = fields.sent() {
        if parameters.options.channels == Channels::Split {
            let message = format!(
                "'{sent}' is not supported with channels=split, where a channel is a speaker"
            );
            return Err(conflict(sent, message));
        }
        if !parameters.finds_speakers() {
            // `/inference` ignores `diarize`.
            let diarize = match parameters.api {
                Api::Inference => "",
                _ => " diarize=true",
            };
            let message = format!(
                "'{sent}' requires response_format=diarized_json,{diarize} or speaker_labels=true"
            );
            return Err(conflict(sent, message));
        }
    }
    if parameters.stream && fields.diarize {
        let message = "'diarize' is not supported with stream=true; diarized_json can be streamed";
        return Err(conflict("diarize", message.to_owned()));
    }
    fields.check()
}

/// Reads whether `verbose_json` has speakers.
pub fn diarize(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut parameters.speakers.diarize, parse_boolean(text))
}

/// Reads whether subtitles have speakers.
pub fn labels(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut parameters.speakers.labels, parse_boolean(text))
}

/// Reads the number of speakers.
pub fn num(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut parameters.speakers.num, count(text))
}

/// Reads the lowest number of speakers.
pub fn min(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut parameters.speakers.min, count(text))
}

/// Reads the highest number of speakers.
pub fn max(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut parameters.speakers.max, count(text))
}

fn count(text: &str) -> Result<Option<NonZeroUsize>, Expected> {
    parse_count(text, MAX_SPEAKERS).map(Some)
}

/// Reads names of known speakers.
pub fn names(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let names = parse_list(text);
    let is_name = |name: &String| {
        name.chars().count() <= MAX_NAME_CHARS && !name.chars().any(char::is_control)
    };
    let all = &mut parameters.speakers.names;
    if all.len() + names.len() > MAX_KNOWN || !names.iter().all(is_name) {
        return Err(Expected(format!(
            "at most {MAX_KNOWN} names of at most {MAX_NAME_CHARS} characters without control characters"
        )));
    }
    all.extend(names);
    Ok(())
}

/// Reads references of known speakers: one URL, which contains a comma, or a JSON list.
pub fn references(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    let urls = match serde_json::from_str::<Vec<String>>(text) {
        Ok(urls) => urls,
        Err(_) => vec![text.to_owned()],
    };
    for url in urls {
        if parameters.speakers.references.len() == MAX_KNOWN {
            return Err(Expected(format!("at most {MAX_KNOWN} references")));
        }
        parameters.speakers.references.push(data_url::parse(&url)?);
    }
    Ok(())
}
