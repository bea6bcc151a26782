//! What tells the series of a metric apart.

use std::fmt::{self, Write};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// Labels of a request that came in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's pattern, not the path that was asked for.
    pub route: String,
    /// The HTTP status code; 499 where the client left before the answer.
    pub status: u16,
    /// The model that was run; `unknown` for one that is not on disk; empty where none was.
    pub model: String,
}

/// What is running.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BuildLabels {
    /// The version of the program.
    pub version: &'static str,
}

/// Label of a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// The route's pattern.
    pub route: String,
}

/// Labels of a piece for which nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DropLabels {
    /// Why, as the answer says it.
    pub reason: &'static str,
}

/// Labels of what an encoder is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FrameLabels {
    /// `audio`, the `margin` of silence that the model wants behind it, or the `padding` up to the
    /// length that windows share.
    pub kind: &'static str,
}

/// Labels of a card's memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeviceLabels {
    /// The card, such as `cuda:0`.
    pub device: String,
    /// `used`, by whomever, or `total`.
    pub kind: &'static str,
}

/// Labels of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// Which bound was met.
    pub reason: RefusalReason,
}

/// The bound a refused request met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// `MAX_CONCURRENT_REQUESTS`.
    Concurrency,
    /// A caller's half of that, while others ask.
    CallerShare,
    /// `MAX_QUEUE_SIZE`.
    Queue,
    /// `RATE_LIMIT_PER_MINUTE`.
    RateLimit,
    /// `AUDIO__MAX_DECODED_MIB`.
    Memory,
}

impl RefusalReason {
    /// Every bound.
    pub const ALL: [Self; 5] = [
        Self::Concurrency,
        Self::CallerShare,
        Self::Queue,
        Self::RateLimit,
        Self::Memory,
    ];
}

impl EncodeLabelValue for RefusalReason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.write_str(match self {
            Self::Concurrency => "concurrency",
            Self::CallerShare => "caller_share",
            Self::Queue => "queue",
            Self::RateLimit => "rate_limit",
            Self::Memory => "memory",
        })
    }
}
