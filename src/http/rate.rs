//! How many uploads a caller may send within a minute.
//!
//! The generic cell rate algorithm (ITU-T I.371, by the crate governor): a caller who was quiet may
//! send a minute's worth at once, and then one each time a place becomes free.

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

/// Callers who have been quiet for long enough are forgotten each time so many uploads were counted.
const FORGET_EVERY: usize = 1024;

/// The address at the other end of a connection; an extension of its requests.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

type Counts<C> =
    RateLimiter<Caller, HashMapStateStore<Caller>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Counts the uploads of every caller.
#[derive(Debug)]
pub struct RateLimit<C: Clock + Clone = DefaultClock> {
    per_minute: NonZeroU32,
    counts: Counts<C>,
    clock: C,
    checks: AtomicUsize,
}

/// A caller has sent too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Uploads a minute.
    pub per_minute: NonZeroU32,
    /// When the next one will be let in.
    pub wait: Duration,
}

impl Caller {
    /// The caller of a request without a key.
    pub fn without_key(extensions: &Extensions) -> Self {
        let address = extensions.get::<Peer>().map(|peer| peer.0);
        Self::of_address(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }

    /// The caller of a request that the keys' guard has let in.
    pub fn of(extensions: &Extensions) -> Self {
        let known = extensions.get().copied();
        known.unwrap_or_else(|| Self::without_key(extensions))
    }
}

impl RateLimit {
    /// A limit of so many uploads a minute for each caller.
    #[must_use]
    pub fn new(per_minute: NonZeroU32) -> Self {
        Self::with_clock(per_minute, DefaultClock::default())
    }
}

impl<C: Clock + Clone> RateLimit<C> {
    fn with_clock(per_minute: NonZeroU32, clock: C) -> Self {
        let quota = Quota::per_minute(per_minute);
        let counts = RateLimiter::new(quota, HashMapStateStore::default(), clock.clone());
        Self {
            per_minute,
            counts,
            clock,
            checks: AtomicUsize::new(0),
        }
    }

    /// Counts an upload.
    ///
    /// # Errors
    /// [`Exceeded`] when the caller has sent too many; this one is not counted.
    pub fn count(&self, caller: Caller) -> Result<(), Exceeded> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.counts.retain_recent();
        }
        self.counts.check_key(&caller).map_err(|until| Exceeded {
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
    fn a_minutes_worth_may_come_at_once_and_then_one_at_a_time() {
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
    fn callers_have_limits_of_their_own() {
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
    fn the_quiet_are_forgotten() {
        let (limit, clock) = limit(60);
        for number in 0..FORGET_EVERY - 1 {
            limit.count(Caller::Key(number)).unwrap();
        }
        clock.advance(Duration::from_secs(60));

        limit.count(Caller::Key(0)).unwrap();

        assert_eq!(limit.counts.len(), 1);
    }

    #[test]
    fn without_a_key_the_address_is_the_caller() {
        let address = "192.0.2.7".parse().unwrap();
        let mut extensions = Extensions::new();
        extensions.insert(Peer(address));
        assert_eq!(Caller::of(&extensions), Caller::Network(address));
    }

    #[test]
    fn a_key_goes_before_an_address() {
        let mut extensions = Extensions::new();
        extensions.insert(Caller::Key(3));
        assert_eq!(Caller::of(&extensions), Caller::Key(3));
    }
}
