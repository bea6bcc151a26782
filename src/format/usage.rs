//! What a request is billed by: the length of its audio.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

/// OpenAI's usage object for models billed by duration.
#[derive(Serialize, ToSchema)]
#[schema(as = TranscriptionUsage)]
pub struct Usage {
    r#type: &'static str,
    /// Rounded up.
    seconds: u64,
}

impl Usage {
    pub(super) fn of(duration: Duration) -> Self {
        let begun = u64::from(duration.subsec_nanos() > 0);
        Self {
            r#type: "duration",
            seconds: duration.as_secs().saturating_add(begun),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_begun_second_counts_whole() {
        let seconds =
            [0, 1, 8_470, 9_000, 9_001].map(|ms| Usage::of(Duration::from_millis(ms)).seconds);
        assert_eq!(seconds, [0, 1, 9, 9, 10]);
    }
}
