//! OpenAI's `verbose_json` format.

use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use super::numbers::{finite, seconds};
use super::usage::Usage;
use super::{Granularities, OutputOptions};
use crate::transcript::{self, DropReason, Speaker, Transcript};
use halkspeech_whisper::{Language, Task};

/// The language of a recording without speech. OpenAI's SDK requires a string here, and no language
/// has this name.
pub(super) const UNKNOWN_LANGUAGE: &str = "unknown";

/// The text with all data of its segments, and of its words if requested.
#[derive(Serialize, ToSchema)]
pub struct TranscriptionVerbose<'a> {
    /// `transcript.text.done`; only as the last event of a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    /// `transcribe` or `translate`.
    task: &'static str,
    /// The English name of the text's language in lower case; `unknown` for a silence.
    language: &'static str,
    /// Seconds of the recording.
    duration: f64,
    /// The text.
    text: &'a str,
    /// Its segments, unless `timestamp_granularities[]` is `word` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<Segment<'a>>>,
    /// Its words; only with `timestamp_granularities[]=word`.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<Word<'a>>>,
    /// The parts without text; only with `include[]=dropped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<Vec<DroppedSpan<'a>>>,
    usage: Usage,
}

/// A segment of the text with its times.
#[derive(Serialize, ToSchema)]
#[schema(as = TranscriptionSegment)]
pub struct Segment<'a> {
    /// Its number, from 0.
    id: usize,
    /// Where its window begins, in frames of 10 ms.
    seek: usize,
    /// Where it begins, in seconds.
    start: f64,
    /// Where it ends, in seconds.
    end: f64,
    /// Its text.
    text: &'a str,
    /// The ids of its tokens.
    tokens: &'a [u32],
    /// The temperature at which it was generated.
    temperature: f32,
    /// The mean log probability of its tokens.
    avg_logprob: f32,
    /// Above 2.4 it repeats itself.
    compression_ratio: f32,
    /// The probability of no speech.
    no_speech_prob: f32,
    /// The speaker, who speaks most of it; only with `channels=split` or `diarize=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<&'a str>,
    /// Its words; only in the answers of `/asr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<Word<'a>>>,
}

/// A word with its times.
#[derive(Serialize, ToSchema)]
#[schema(as = TranscriptionWord)]
pub struct Word<'a> {
    /// The word, with its punctuation.
    word: &'a str,
    /// Where it begins, in seconds.
    start: f64,
    /// Where it ends, in seconds.
    end: f64,
    /// The mean probability of its tokens.
    probability: f32,
    /// The speaker; only with `diarize=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<&'a str>,
}

/// A part of the recording without text.
#[derive(Serialize, ToSchema)]
#[schema(as = TranscriptionDropped)]
pub struct DroppedSpan<'a> {
    /// Where it begins, in seconds.
    start: f64,
    /// Where it ends, in seconds.
    end: f64,
    /// `no_voice`, `no_speech`, `hallucination`, `repetition` or `damaged`.
    reason: &'static str,
    /// The text that the model generated for it.
    text: &'a str,
}

/// Renders segments and words according to the granularities, and dropped parts if requested.
pub(super) fn render(transcript: &Transcript, options: &OutputOptions) -> String {
    json::write(&whole(transcript, options, None))
}

/// The same as an object, with the type of the event if it is one.
pub(super) fn whole<'a>(
    transcript: &'a Transcript,
    options: &OutputOptions,
    event: Option<&'static str>,
) -> TranscriptionVerbose<'a> {
    let Granularities { segments, words } = options.granularities;
    TranscriptionVerbose {
        r#type: event,
        task: transcript.task.name(),
        language: language(transcript),
        duration: seconds(transcript.duration.as_secs_f64()),
        text: &transcript.text,
        segments: segments.then(|| self::segments(transcript, false)),
        words: words.then(|| self::words(&transcript.segments)),
        dropped: options.dropped.then(|| dropped(transcript, |_| true)),
        usage: Usage::of(transcript.duration),
    }
}

/// The language of the text, which is English for a translation.
fn language(transcript: &Transcript) -> &'static str {
    match (transcript.task, transcript.language) {
        (Task::Translate, _) => Language::ENGLISH.name(),
        (Task::Transcribe, Some(language)) => language.name(),
        (Task::Transcribe, None) => UNKNOWN_LANGUAGE,
    }
}

/// The segments, each with its words if requested.
pub(super) fn segments<'a>(transcript: &'a Transcript, words: bool) -> Vec<Segment<'a>> {
    let segments = transcript.segments.iter().enumerate();
    let segment = |(id, segment): (usize, &'a transcript::Segment)| Segment {
        id,
        seek: segment.seek,
        start: seconds(segment.start_s),
        end: seconds(segment.end_s),
        text: &segment.text,
        tokens: &segment.tokens,
        temperature: finite(segment.temperature),
        avg_logprob: finite(segment.avg_logprob),
        compression_ratio: finite(segment.compression_ratio),
        no_speech_prob: finite(segment.no_speech_prob),
        speaker: segment.speaker.as_ref().map(Speaker::label),
        words: words.then(|| self::words(std::slice::from_ref(segment))),
    };
    segments.map(segment).collect()
}

/// The words of these segments, without the spaces between them.
pub(super) fn words<'a>(segments: &'a [transcript::Segment]) -> Vec<Word<'a>> {
    let word = |word: &'a halkspeech_whisper::Word, speaker: Option<&'a Speaker>| Word {
        word: word.text.trim(),
        start: seconds(word.start_s),
        end: seconds(word.end_s),
        probability: finite(word.probability),
        speaker: speaker.map(Speaker::label),
    };
    let words = segments.iter().flat_map(|segment| {
        let words = segment.words.iter().enumerate();
        words.map(move |(index, spoken)| word(spoken, segment.word_speakers.get(index)))
    });
    words.filter(|word| !word.word.is_empty()).collect()
}

/// The parts without text that have one of these reasons.
pub(super) fn dropped<'a>(
    transcript: &'a Transcript,
    has_reason: impl Fn(DropReason) -> bool,
) -> Vec<DroppedSpan<'a>> {
    let span = |dropped: &'a transcript::DroppedSpan| DroppedSpan {
        start: seconds(dropped.start_s),
        end: seconds(dropped.end_s),
        reason: dropped.reason.name(),
        text: &dropped.text,
    };
    let spans = transcript.dropped.iter();
    spans
        .filter(|span| has_reason(span.reason))
        .map(span)
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::format::tests::{
        call, one_object_a_line, transcript, two_sentences, two_voices, with_words,
    };
    use crate::format::{Granularities, OutputOptions, ResponseFormat, render};
    use crate::transcript::{DropReason, DroppedSpan, Transcript};
    use halkspeech_whisper::{Language, Task};

    const OPTIONS: OutputOptions = OutputOptions {
        format: ResponseFormat::VerboseJson,
        granularities: Granularities {
            segments: true,
            words: false,
        },
        logprobs: false,
        dropped: false,
        subtitles: crate::format::SubtitleShape {
            max_line_width: None,
            max_line_count: None,
        },
    };

    #[test]
    fn renders_all_fields_of_a_segment() {
        insta::assert_snapshot!(one_object_a_line(&render(&two_sentences(), &OPTIONS)));
    }

    #[test]
    fn lists_words_and_segments() {
        let granularities = Granularities {
            segments: true,
            words: true,
        };
        let options = OutputOptions {
            granularities,
            ..OPTIONS
        };
        insta::assert_snapshot!(one_object_a_line(&render(&with_words(), &options)));
    }

    #[test]
    fn lists_words_alone() {
        let granularities = Granularities {
            segments: false,
            words: true,
        };
        let options = OutputOptions {
            granularities,
            ..OPTIONS
        };
        insta::assert_snapshot!(one_object_a_line(&render(&with_words(), &options)));
    }

    #[test]
    fn names_the_speakers() {
        insta::assert_snapshot!(one_object_a_line(&render(&call(), &OPTIONS)));
    }

    #[test]
    fn names_the_speaker_of_each_word() {
        let options = OutputOptions {
            granularities: Granularities {
                segments: true,
                words: true,
            },
            ..OPTIONS
        };
        insta::assert_snapshot!(one_object_a_line(&render(&two_voices(), &options)));
    }

    #[test]
    fn lists_dropped_parts_if_requested() {
        let dropped = |reason, text: &str| DroppedSpan {
            start_s: 1.0,
            end_s: 30.004,
            reason,
            text: text.to_owned(),
        };
        let transcript = Transcript {
            dropped: vec![
                dropped(DropReason::NoVoice, ""),
                dropped(DropReason::NoSpeech, " you"),
                dropped(DropReason::Hallucination, " \"Thanks\" for watching!"),
            ],
            ..transcript(vec![])
        };
        let with_dropped = OutputOptions {
            dropped: true,
            ..OPTIONS
        };
        insta::assert_snapshot!(one_object_a_line(&render(&transcript, &with_dropped)));
        assert!(!render(&transcript, &OPTIONS).contains("dropped"));
    }

    #[test]
    fn names_the_language_of_the_text() {
        let german = Language::parse("de");
        for (task, language, expected) in [
            (Task::Transcribe, german, "german"),
            (Task::Translate, german, "english"),
            (Task::Translate, None, "english"),
            (Task::Transcribe, None, "unknown"),
        ] {
            let transcript = Transcript {
                task,
                language,
                ..transcript(vec![])
            };
            let start = format!(r#"{{"task":"{}","language":"{expected}","#, task.name());
            let json = render(&transcript, &OPTIONS);
            assert!(json.starts_with(&start), "{json}");
        }
    }
}
