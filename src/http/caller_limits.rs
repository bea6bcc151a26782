//! The limits of a caller per minute.

use std::sync::Arc;

use super::error::ApiError;
use super::rate_limit::RateLimit;
use crate::caller::{AudioQuota, Caller};
use crate::clock::now;
use crate::telemetry::RefusalReason;

/// The limits of every caller per minute; `None` for no limit.
#[derive(Debug, Default)]
pub struct CallerLimits {
    /// Limit on its requests.
    pub requests: Option<RateLimit>,
    /// Limit on its audio, which is counted when its length is known.
    pub audio: Option<Arc<AudioQuota>>,
}

impl CallerLimits {
    /// Counts a request, before it is read.
    ///
    /// # Errors
    /// The limit that the caller has reached; the request is not counted.
    pub fn check(&self, caller: Caller) -> Result<(), (RefusalReason, ApiError)> {
        if let Some(audio) = &self.audio {
            let checked = audio.check(caller, now());
            checked.map_err(|exceeded| {
                let error = ApiError::AudioLimitReached(exceeded);
                (RefusalReason::AudioLimit, error)
            })?;
        }
        if let Some(requests) = &self.requests {
            let counted = requests.count(caller);
            counted.map_err(|exceeded| {
                let error = ApiError::RateLimitReached(exceeded);
                (RefusalReason::RateLimit, error)
            })?;
        }
        Ok(())
    }
}
