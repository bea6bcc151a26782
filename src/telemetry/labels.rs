//! The labels of the metrics.

use std::fmt::{self, Write};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// Labels of a received request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's pattern, not the path of the request.
    pub route: String,
    /// The HTTP status code; 499 if the client disconnected before the response.
    pub status: u16,
    /// The model that was run; `unknown` if it is not on disk; empty if the request ran none.
    pub model: String,
}

/// Label of the build.
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

/// Labels of audio without text in the transcript.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DropLabels {
    /// The reason, as in the response.
    pub reason: &'static str,
}

/// Labels of an encoder's input frames.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FrameLabels {
    /// `audio`, the `margin` of silence that the model needs after it, or the `padding` up to the
    /// common length of the windows.
    pub kind: &'static str,
}

/// Labels of a GPU's memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeviceLabels {
    /// The GPU, such as `cuda:0`.
    pub device: String,
    /// `used`, by any process, or `total`.
    pub kind: &'static str,
}

/// Label of open live sessions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LiveLabels {
    /// `realtime` or `stream`.
    pub protocol: &'static str,
}

/// Label of closed live sessions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CloseLabels {
    /// The code of the close frame that was sent; `client` if the client closed the connection, or it broke.
    pub code: &'static str,
}

/// Label of partial texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartialLabels {
    /// `shown`; `empty`, without speech; `rejected` as improbable; or `failed`.
    pub outcome: &'static str,
}

/// Labels of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// The limit that was reached.
    pub reason: RefusalReason,
}

/// The limit that a refused request exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// `MAX_CONCURRENT_REQUESTS`.
    Concurrency,
    /// Half of `MAX_CONCURRENT_REQUESTS` for one caller, while others send requests.
    CallerShare,
    /// `SERVER__CONCURRENT_LIMIT`.
    CallerLimit,
    /// `MAX_QUEUE_SIZE`.
    Queue,
    /// The request timeout: the windows that wait would take longer.
    Deadline,
    /// `RATE_LIMIT_PER_MINUTE`.
    RateLimit,
    /// `SERVER__AUDIO_LIMIT_PER_MINUTE_S`.
    AudioLimit,
    /// `AUDIO__MAX_DECODED_MIB`.
    Memory,
    /// `LIVE__MAX_SESSIONS`.
    LiveSessions,
    /// Half of `LIVE__MAX_SESSIONS` for one caller.
    LiveShare,
}

impl RefusalReason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Concurrency,
        Self::CallerShare,
        Self::CallerLimit,
        Self::Queue,
        Self::Deadline,
        Self::RateLimit,
        Self::AudioLimit,
        Self::Memory,
        Self::LiveSessions,
        Self::LiveShare,
    ];

    /// Its name in the metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::CallerShare => "caller_share",
            Self::CallerLimit => "caller_limit",
            Self::Queue => "queue",
            Self::Deadline => "deadline",
            Self::RateLimit => "rate_limit",
            Self::AudioLimit => "audio_limit",
            Self::Memory => "memory",
            Self::LiveSessions => "live_sessions",
            Self::LiveShare => "live_share",
        }
    }
}

impl EncodeLabelValue for RefusalReason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.write_str(self.name())
    }
}
