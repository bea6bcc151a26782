//! The `[live]` settings: sessions that transcribe while a person speaks.

use serde::{Deserialize, Serialize};

/// Live sessions. Environment: `LIVE__…`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// The most live sessions at a time; a further one gets 429, and so does
    /// a caller with half of them.
    ///
    /// Default 0 (by the cores and the size of the default model, at least
    /// 1), 0 to 1,000,000; environment `LIVE__MAX_SESSIONS`. More sessions than the
    /// engine can do get their partial texts more rarely.
    pub max_sessions: usize,
}
