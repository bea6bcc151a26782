//! Lets a transcription request in, or refuses it before anything was done for it.

mod shares;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::error::ApiError;
use super::rate::Caller;
use super::{Context, Phase};
use crate::telemetry::{Metrics, Refusal, RefusalLabels};
use shares::{Refused, Shares};

/// Bounds the requests inside, one permit each. While others ask, one caller holds half of the
/// permits at most.
#[derive(Debug)]
pub struct Door(Mutex<Shares>);

/// One of the requests being worked on; dropping it makes room for the next.
pub struct Admission {
    metrics: Metrics,
    _permit: Permit,
}

/// A permit; dropping it gives it back.
struct Permit {
    door: Arc<Door>,
    caller: Caller,
}

impl Door {
    /// A door with `limit` permits.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Mutex::new(Shares::new(limit)))
    }

    /// The number of permits.
    pub fn limit(&self) -> usize {
        self.shares().limit()
    }

    /// How many more permits a caller would get at this moment.
    pub fn free_for(&self, caller: Caller) -> usize {
        self.shares().free_for(caller, Instant::now().into_std())
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        // What the lock guards is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes one of the permits at the door, without waiting.
///
/// # Errors
/// [`ApiError::Draining`] when the server is about to stop, [`ApiError::TooManyRequests`] when
/// all permits are taken, [`ApiError::ShareTaken`] when the caller holds half of them and others ask,
/// [`ApiError::TooOften`] when the caller has sent too many within a minute.
pub fn enter(context: &Context, caller: Caller) -> Result<Admission, ApiError> {
    // While models load a request is let in: it waits for the loading like any other.
    match *context.phase.borrow() {
        Phase::Starting | Phase::Ready => {}
        Phase::Draining | Phase::CutOff => return Err(ApiError::Draining),
    }
    let permit = take_permit(context, caller)?;
    // After the permit, so that a request which is refused for others' sake is not counted.
    if let Some(limit) = &context.rate_limit
        && let Err(exceeded) = limit.count(caller)
    {
        count_refusal(&context.metrics, Refusal::RateLimit);
        return Err(ApiError::TooOften(exceeded));
    }
    context.metrics.requests_in_flight.inc();
    Ok(Admission {
        metrics: context.metrics.clone(),
        _permit: permit,
    })
}

fn take_permit(context: &Context, caller: Caller) -> Result<Permit, ApiError> {
    let mut shares = context.door.shares();
    let entered = shares.enter(caller, Instant::now().into_std());
    let (limit, share) = (shares.limit(), shares.share());
    drop(shares);
    match entered {
        Ok(()) => Ok(Permit {
            door: Arc::clone(&context.door),
            caller,
        }),
        Err(Refused::Full) => {
            count_refusal(&context.metrics, Refusal::Concurrency);
            Err(ApiError::TooManyRequests { limit })
        }
        Err(Refused::Share) => {
            count_refusal(&context.metrics, Refusal::CallerShare);
            Err(ApiError::ShareTaken { share })
        }
    }
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

impl Drop for Permit {
    fn drop(&mut self) {
        self.door.shares().leave(self.caller);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.metrics.requests_in_flight.dec();
    }
}
