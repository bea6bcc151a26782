//! How a session ends turns, and how early it commits words.

use std::time::Duration;

use halkspeech_audio::TurnOptions;

/// The options of a session's policy. Changes act from the next turn on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SessionOptions {
    /// How turns end.
    pub turn_detection: TurnDetection,
    /// How much new audio a partial waits for.
    pub delay: Delay,
}

/// How turns begin and end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TurnDetection {
    /// By the client's commits alone.
    Off,
    /// By silence.
    Silence {
        /// Speech starts at a frame of at least this probability.
        threshold: f32,
        /// Audio before the speech that belongs to the turn.
        prefix_padding: Duration,
        /// Silence that ends a turn.
        silence: Duration,
    },
    /// By silence whose length depends on whether the committed text ends a sentence.
    Semantic(Eagerness),
}

/// When a word of a partial text is certain. The newest word is not while speech goes on, and what decodes do not
/// agree on is committed from the newest one after three decodes or 3 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitRule {
    /// Once two decodes in a row agree on it.
    #[default]
    Agreement,
    /// Once its attended end lies 0.5 s before the end of the audio.
    AttendedEnd,
    /// Once one of both is the case.
    Either,
}

/// How long semantic turn detection waits for more speech.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eagerness {
    /// At most 8 s of silence.
    Low,
    /// At most 4 s of silence; `auto` is the same.
    #[default]
    Medium,
    /// At most 2 s of silence.
    High,
}

/// How much new audio the next partial waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delay {
    /// 0.3 s.
    Minimal,
    /// 0.6 s.
    Low,
    /// 1 s.
    #[default]
    Medium,
    /// 2 s.
    High,
    /// No partials: text at the end of each turn.
    XHigh,
}

impl Default for TurnDetection {
    fn default() -> Self {
        Self::Silence {
            threshold: 0.5,
            prefix_padding: Duration::from_millis(300),
            silence: Duration::from_millis(500),
        }
    }
}

impl TurnDetection {
    /// The options of the turn tracker. Without turn detection, no silence ends a turn.
    pub(super) fn tracker_options(&self) -> TurnOptions {
        let default = TurnOptions {
            threshold: 0.5,
            prefix_padding: Duration::from_millis(300),
            silence: Duration::MAX,
        };
        match *self {
            Self::Off => default,
            Self::Semantic(eagerness) => TurnOptions {
                silence: eagerness.max_silence(),
                ..default
            },
            Self::Silence {
                threshold,
                prefix_padding,
                silence,
            } => TurnOptions {
                threshold,
                prefix_padding,
                silence,
            },
        }
    }
}

impl Eagerness {
    /// The silence that ends a turn in any case.
    #[must_use]
    pub fn max_silence(self) -> Duration {
        match self {
            Self::Low => Duration::from_secs(8),
            Self::Medium => Duration::from_secs(4),
            Self::High => Duration::from_secs(2),
        }
    }
}

impl Delay {
    /// New audio between two partials; none: there are no partials.
    #[must_use]
    pub fn step(self) -> Option<Duration> {
        match self {
            Self::Minimal => Some(Duration::from_millis(300)),
            Self::Low => Some(Duration::from_millis(600)),
            Self::Medium => Some(Duration::from_secs(1)),
            Self::High => Some(Duration::from_secs(2)),
            Self::XHigh => None,
        }
    }
}
