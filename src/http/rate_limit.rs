//! Limits the uploads of a caller per minute.
//!
//! The generic cell rate algorithm (ITU-T I.371, by the crate governor): after a quiet minute a caller
//! may send the whole minute's quota at once, and then one upload per replenished cell.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Extensions;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::caller::Caller;

/// Number of counted uploads between two removals of callers without recent uploads.
const UPLOADS_PER_CLEANUP: usize = 1024;

/// Request extension: the client's address.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

type UploadLimiter<C> =
    RateLimiter<Caller, HashMapStateStore<Caller>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Counts the uploads of every caller.
#[derive(Debug)]
pub struct RateLimit<C: Clock + Clone = DefaultClock> {
    per_minute: NonZeroU32,
    limiter: UploadLimiter<C>,
    clock: C,
    counted: AtomicUsize,
}

/// The caller's limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitExceeded {
    /// Limit, in uploads per minute.
    pub per_minute: NonZeroU32,
    /// Time until the next upload is accepted.
    pub wait: Duration,
}

impl Caller {
    /// The caller of a request without a key.
    pub fn without_key(extensions: &Extensions) -> Self {
        let address = extensions.get::<ClientAddress>().map(|client| client.0);
        Self::of_address(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }

    /// The caller of a request that has passed the check of its API key.
    pub fn of(extensions: &Extensions) -> Self {
        let authenticated = extensions.get().copied();
        authenticated.unwrap_or_else(|| Self::without_key(extensions))
    }
}

impl RateLimit {
    /// A limit of `per_minute` uploads per caller.
    #[must_use]
    pub fn new(per_minute: NonZeroU32) -> Self {
        Self::with_clock(per_minute, DefaultClock::default())
    }
}

impl<C: Clock + Clone> RateLimit<C> {
    fn with_clock(per_minute: NonZeroU32, clock: C) -> Self {
        let quota = Quota::per_minute(per_minute);
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), clock.clone());
        Self {
            per_minute,
            limiter,
            clock,
            counted: AtomicUsize::new(0),
        }
    }

    /// Counts an upload.
    ///
    /// # Errors
    /// [`RateLimitExceeded`] when the caller's limit is reached; this upload is not counted.
    pub fn count(&self, caller: Caller) -> Result<(), RateLimitExceeded> {
        let counted = self.counted.fetch_add(1, Ordering::Relaxed);
        if counted % UPLOADS_PER_CLEANUP == UPLOADS_PER_CLEANUP - 1 {
            self.limiter.retain_recent();
        }
        let checked = self.limiter.check_key(&caller);
        checked.map_err(|until| RateLimitExceeded {
            per_minute: self.per_minute,
            wait: until.wait_time_from(self.clock.now()),
        })
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limit(per_minute: u32) -> (RateLimit<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let limit = RateLimit::with_clock(NonZeroU32::new(per_minute).unwrap(), clock.clone());
        (limit, clock)
    }

    #[test]
    fn accepts_a_whole_minutes_quota_at_once_and_then_one_at_a_time() {
        let (limit, clock) = limit(3);
        let caller = Caller::Key(0);
        for _ in 0..3 {
            limit.count(caller).unwrap();
        }
        for (passed_s, wait_s) in [(0, 20), (15, 5), (4, 1)] {
            clock.advance(Duration::from_secs(passed_s));
            let exceeded = limit.count(caller).unwrap_err();
            assert_eq!(exceeded.wait, Duration::from_secs(wait_s));
        }

        clock.advance(Duration::from_secs(1));
        limit.count(caller).unwrap();
        limit.count(caller).unwrap_err();
    }

    #[test]
    fn each_caller_has_its_own_limit() {
        let (limit, _clock) = limit(1);
        let network = |address: &str| Caller::Network(address.parse().unwrap());
        for caller in [
            Caller::Key(0),
            Caller::Key(1),
            network("192.0.2.1"),
            network("192.0.2.2"),
        ] {
            limit.count(caller).unwrap();
            limit.count(caller).unwrap_err();
        }
    }

    #[test]
    fn removes_callers_without_recent_uploads() {
        let (limit, clock) = limit(60);
        for number in 0..UPLOADS_PER_CLEANUP - 1 {
            limit.count(Caller::Key(number)).unwrap();
        }
        clock.advance(Duration::from_secs(60));

        limit.count(Caller::Key(0)).unwrap();

        assert_eq!(limit.limiter.len(), 1);
    }

    #[test]
    fn a_request_without_a_key_is_identified_by_its_address() {
        let address = "192.0.2.7".parse().unwrap();
        let mut extensions = Extensions::new();
        extensions.insert(ClientAddress(address));
        assert_eq!(Caller::of(&extensions), Caller::Network(address));
    }

    #[test]
    fn a_key_takes_precedence_over_the_address() {
        let mut extensions = Extensions::new();
        extensions.insert(Caller::Key(3));
        assert_eq!(Caller::of(&extensions), Caller::Key(3));
    }
}
