//! Lets a transcription request in, or refuses it before anything was done for it.

mod turnover;
mod returns;
mod shares;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderName, header};

use super::error::ApiError;
use super::{Context, Phase};
use crate::caller::Caller;
use crate::queue::WhenFull;
use crate::telemetry::{Metrics, Refusal, RefusalLabels};
use returns::{Attempt, ExpectedReturns, HASTE};
use shares::{Refused, Shares};
use turnover::Turnover;

/// How often OpenAI's SDKs have sent a request before; 0 for the first time.
const RETRY_COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");

/// Bounds the requests inside, one permit each. While others ask, one caller holds half of the
/// permits at most. A refusal tells when to come back, and a permit is kept for a request that does.
#[derive(Debug)]
pub struct Door(Mutex<Permits>);

/// What the decisions know.
#[derive(Debug)]
struct Permits {
    shares: Shares,
    returns: ExpectedReturns,
    turnover: Turnover,
}

/// One of the requests being worked on; dropping it makes room for the next.
pub struct Admission {
    metrics: Metrics,
    permit: Permit,
    last_refusal: LastRefusal,
}

/// When a request of a connection was last refused; an extension of its requests.
#[derive(Clone, Debug, Default)]
pub struct LastRefusal(Arc<Mutex<Option<Instant>>>);

/// A permit; dropping it gives it back.
struct Permit {
    door: Arc<Door>,
    attempt: Attempt,
    /// Whether the request was refused before and returned at the time that it was told.
    is_return: bool,
    entry: Instant,
    is_refused: bool,
}

impl Door {
    /// A door with `limit` permits.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Mutex::new(Permits {
            shares: Shares::new(limit),
            returns: ExpectedReturns::new(limit),
            turnover: Turnover::new(limit, now()),
        }))
    }

    /// The number of permits.
    pub fn limit(&self) -> usize {
        self.permits().shares.limit()
    }

    /// How many more permits a caller would get at this moment.
    pub fn free_for(&self, caller: Caller) -> usize {
        self.permits().shares.free_for(caller, now())
    }

    fn take(self: &Arc<Self>, attempt: Attempt) -> Result<Permit, ApiError> {
        let now = now();
        let mut permits = self.permits();
        let Permits {
            shares,
            returns,
            turnover,
        } = &mut *permits;
        let open_to = |caller| shares.open_to(caller);
        let reserved = returns.reserved(attempt, turnover, now, open_to);
        match shares.enter(attempt.caller, reserved, now) {
            Ok(()) => {
                turnover.enter(now);
                Ok(Permit {
                    door: Arc::clone(self),
                    attempt,
                    is_return: returns.enter(attempt, now),
                    entry: now,
                    is_refused: false,
                })
            }
            Err(Refused::Full) => Err(ApiError::TooManyRequests {
                limit: shares.limit(),
                wait: returns.refuse(attempt, turnover, now),
            }),
            Err(Refused::Share) => Err(ApiError::ShareTaken {
                share: shares.share(),
                wait: returns.pause(turnover, now),
            }),
        }
    }

    fn permits(&self) -> MutexGuard<'_, Permits> {
        // What the lock guards is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The runtime's clock, which tests may stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl LastRefusal {
    /// That of the request's connection.
    fn of(request: &Request) -> Self {
        let connection = request.extensions().get::<Self>();
        connection.cloned().unwrap_or_default()
    }

    fn get(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, now: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}

impl Attempt {
    /// A return has the path, the query and the length of the first attempt.
    fn of(request: &Request, last_refusal: &LastRefusal, now: Instant) -> Self {
        let headers = request.headers();
        let mut hasher = DefaultHasher::new();
        request.uri().hash(&mut hasher);
        headers.get(header::CONTENT_LENGTH).hash(&mut hasher);
        let retry_count = headers.get(RETRY_COUNT);
        Self {
            caller: Caller::of(request.extensions()),
            request: hasher.finish(),
            is_first: retry_count.is_some_and(|count| count == "0"),
            // Clients that count their attempts obey, and share few connections among many requests.
            is_hasty: retry_count.is_none()
                && last_refusal
                    .get()
                    .is_some_and(|refusal| now < refusal + HASTE),
        }
    }
}

/// Takes one of the permits at the door, without waiting.
///
/// # Errors
/// [`ApiError::Draining`] when the server is about to stop, [`ApiError::TooManyRequests`] when
/// all permits are taken, [`ApiError::ShareTaken`] when the caller holds half of them and others ask,
/// [`ApiError::TooOften`] when the caller has sent too many within a minute.
pub fn enter(context: &Context, request: &Request) -> Result<Admission, ApiError> {
    // While models load a request is let in: it waits for the loading like any other.
    match *context.phase.borrow() {
        Phase::Starting | Phase::Ready => {}
        Phase::Draining | Phase::CutOff => return Err(ApiError::Draining),
    }
    let last_refusal = LastRefusal::of(request);
    let attempt = Attempt::of(request, &last_refusal, now());
    let mut permit = context.door.take(attempt).map_err(|error| {
        last_refusal.set(now());
        let reason = match error {
            ApiError::ShareTaken { .. } => Refusal::CallerShare,
            _ => Refusal::Concurrency,
        };
        count_refusal(&context.metrics, reason);
        error
    })?;
    // After the permit, so that a request which is refused for others' sake is not counted.
    if let Some(limit) = &context.rate_limit
        && let Err(exceeded) = limit.count(attempt.caller)
    {
        permit.is_refused = true;
        last_refusal.set(now());
        count_refusal(&context.metrics, Refusal::RateLimit);
        return Err(ApiError::TooOften(exceeded));
    }
    context.metrics.requests_in_flight.inc();
    Ok(Admission {
        metrics: context.metrics.clone(),
        permit,
        last_refusal,
    })
}

/// Counts a request that met a bound.
pub fn count_refusal(metrics: &Metrics, reason: Refusal) {
    metrics
        .refused
        .get_or_create(&RefusalLabels { reason })
        .inc();
}

/// Completes when what still runs is to end.
pub async fn cut_off(context: &Context) {
    reached(context, |phase| phase == Phase::CutOff).await;
}

/// Completes when the server is about to stop: for what may take long and can be asked for again.
pub async fn draining(context: &Context) {
    reached(context, |phase| {
        matches!(phase, Phase::Draining | Phase::CutOff)
    })
    .await;
}

async fn reached(context: &Context, is_reached: impl Fn(Phase) -> bool) {
    let mut phase = context.phase.clone();
    if phase.wait_for(|phase| is_reached(*phase)).await.is_err() {
        // Whoever could say so is gone, so it will not be said.
        std::future::pending::<()>().await;
    }
}

impl Admission {
    /// A request that returned on time waits for its place in a full queue, instead of being refused
    /// once more: the permits bound how many wait.
    pub fn when_full(&self) -> WhenFull {
        if self.permit.is_return {
            WhenFull::Wait
        } else {
            WhenFull::Refuse
        }
    }

    /// Ends a request for which something other than a permit is lacking: when it is to come back.
    pub fn refuse(mut self) -> Duration {
        self.last_refusal.set(now());
        self.permit.refuse()
    }
}

impl Permit {
    fn refuse(&mut self) -> Duration {
        self.is_refused = true;
        let mut permits = self.door.permits();
        let Permits {
            returns, turnover, ..
        } = &mut *permits;
        returns.put_first(self.attempt, turnover, now())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = now();
        let mut permits = self.door.permits();
        permits.shares.leave(self.attempt.caller);
        if self.is_refused {
            permits.turnover.leave_refused(now);
        } else {
            permits.turnover.leave(self.entry, now);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.metrics.requests_in_flight.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(request: u64) -> Attempt {
        Attempt {
            caller: Caller::Key(0),
            request,
            is_first: false,
            is_hasty: false,
        }
    }

    #[track_caller]
    fn refused(taken: Result<Permit, ApiError>) -> Duration {
        match taken {
            Err(ApiError::TooManyRequests { wait, .. }) => wait,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("a permit"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_is_kept_for_a_request_that_returns_on_time() {
        let door = Arc::new(Door::new(1));
        let inside = door.take(attempt(1)).unwrap();
        let wait = refused(door.take(attempt(2)));
        tokio::time::advance(wait).await;
        drop(inside);

        refused(door.take(attempt(3)));
        let returned = door.take(attempt(2)).unwrap();

        drop(returned);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_refused_after_its_permit_goes_first_and_does_not_count_as_turnover() {
        let door = Arc::new(Door::new(1));
        let hold = || door.permits().turnover.hold(now());
        let before = hold();
        let mut permit = door.take(attempt(1)).unwrap();
        let wait = permit.refuse();
        drop(permit);
        assert_eq!(hold(), before);

        tokio::time::advance(wait).await;
        refused(door.take(attempt(2)));
        let returned = door.take(attempt(1)).unwrap();

        tokio::time::advance(before * 3).await;
        drop(returned);
        assert!(hold() > before);
    }
}
