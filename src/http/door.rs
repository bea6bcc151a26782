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
use crate::telemetry::{Metrics, RefusalLabels, RefusalReason};
use returns::{Attempt, ExpectedReturns};
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
}

/// A permit; dropping it gives it back.
struct Permit {
    door: Arc<Door>,
    attempt: Attempt,
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
                returns.enter(attempt, now);
                turnover.enter(now);
                Ok(Permit {
                    door: Arc::clone(self),
                    attempt,
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

impl Attempt {
    /// A return has the path, the query and the length of the first attempt.
    fn of(request: &Request) -> Self {
        let headers = request.headers();
        let mut hasher = DefaultHasher::new();
        request.uri().hash(&mut hasher);
        headers.get(header::CONTENT_LENGTH).hash(&mut hasher);
        Self {
            caller: Caller::of(request.extensions()),
            request: hasher.finish(),
            is_first: headers.get(RETRY_COUNT).is_some_and(|count| count == "0"),
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
    let attempt = Attempt::of(request);
    let mut permit = context.door.take(attempt).map_err(|error| {
        let reason = match error {
            ApiError::ShareTaken { .. } => RefusalReason::CallerShare,
            _ => RefusalReason::Concurrency,
        };
        count_refusal(&context.metrics, reason);
        error
    })?;
    // After the permit, so that a request which is refused for others' sake is not counted.
    if let Some(limit) = &context.rate_limit
        && let Err(exceeded) = limit.count(attempt.caller)
    {
        permit.is_refused = true;
        count_refusal(&context.metrics, RefusalReason::RateLimit);
        return Err(ApiError::TooOften(exceeded));
    }
    context.metrics.requests_in_flight.inc();
    Ok(Admission {
        metrics: context.metrics.clone(),
        permit,
    })
}

/// Counts a request that met a bound.
pub fn count_refusal(metrics: &Metrics, reason: RefusalReason) {
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
    /// Ends a request for which something other than a permit is lacking: when it is to come back.
    pub fn refuse(mut self) -> Duration {
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
