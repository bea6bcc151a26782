//! `turn_detection` of a session, as its client sees it.

use std::time::Duration;

use serde_json::{Value, json};

use super::field_reader::{Change, FieldReader, InvalidField};
use crate::live::{Eagerness, TurnDetection};

/// How turns end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TurnDetectionField {
    /// By the client's commits.
    Off,
    /// `server_vad`.
    Silence(SilenceFields),
    /// `semantic_vad`, with its eagerness.
    Semantic(&'static str),
}

/// The fields of `server_vad`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SilenceFields {
    threshold: f64,
    prefix_padding_ms: u64,
    silence_duration_ms: u64,
    /// Without effect.
    idle_timeout_ms: Option<u64>,
}

impl Default for SilenceFields {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            prefix_padding_ms: 300,
            silence_duration_ms: 500,
            idle_timeout_ms: None,
        }
    }
}

impl Default for TurnDetectionField {
    fn default() -> Self {
        Self::Silence(SilenceFields::default())
    }
}

impl TurnDetectionField {
    /// Changes the fields that the object has; a type that is not named stays.
    pub fn read(self, fields: &FieldReader<'_>) -> Result<Self, InvalidField> {
        let kind = match (fields.word("type", &["server_vad", "semantic_vad"])?, self) {
            (Change::Set(kind), _) => kind,
            (Change::Keep | Change::Clear, Self::Semantic(_)) => "semantic_vad",
            (Change::Keep | Change::Clear, Self::Off | Self::Silence(_)) => "server_vad",
        };
        if kind == "semantic_vad" {
            let mut eagerness = match self {
                Self::Semantic(eagerness) => eagerness,
                Self::Off | Self::Silence(_) => "auto",
            };
            let words = ["low", "medium", "high", "auto"];
            let change = fields.word("eagerness", &words)?;
            change.apply_or(&mut eagerness, "auto");
            return Ok(Self::Semantic(eagerness));
        }
        let defaults = SilenceFields::default();
        let mut silence = match self {
            Self::Silence(silence) => silence,
            Self::Off | Self::Semantic(_) => defaults,
        };
        let threshold = fields.number("threshold", 0.0..=1.0)?;
        threshold.apply_or(&mut silence.threshold, defaults.threshold);
        let padding = fields.integer("prefix_padding_ms", 0..=10_000)?;
        padding.apply_or(&mut silence.prefix_padding_ms, defaults.prefix_padding_ms);
        let duration = fields.integer("silence_duration_ms", 0..=60_000)?;
        duration.apply_or(
            &mut silence.silence_duration_ms,
            defaults.silence_duration_ms,
        );
        let idle = fields.integer("idle_timeout_ms", 0..=3_600_000)?;
        idle.apply_to(&mut silence.idle_timeout_ms);
        Ok(Self::Silence(silence))
    }

    /// For the policy.
    pub fn policy(self) -> TurnDetection {
        match self {
            Self::Off => TurnDetection::Off,
            Self::Silence(silence) => TurnDetection::Silence {
                threshold: silence.threshold as f32,
                prefix_padding: Duration::from_millis(silence.prefix_padding_ms),
                silence: Duration::from_millis(silence.silence_duration_ms),
            },
            Self::Semantic("low") => TurnDetection::Semantic(Eagerness::Low),
            Self::Semantic("high") => TurnDetection::Semantic(Eagerness::High),
            Self::Semantic(_) => TurnDetection::Semantic(Eagerness::Medium),
        }
    }

    /// As the session shows it.
    pub fn to_json(self) -> Value {
        match self {
            Self::Off => Value::Null,
            Self::Silence(silence) => json!({
                "type": "server_vad",
                "threshold": silence.threshold,
                "prefix_padding_ms": silence.prefix_padding_ms,
                "silence_duration_ms": silence.silence_duration_ms,
                "idle_timeout_ms": silence.idle_timeout_ms,
            }),
            Self::Semantic(eagerness) => json!({
                "type": "semantic_vad",
                "eagerness": eagerness,
            }),
        }
    }
}
