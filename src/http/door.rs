//! Lets a transcription request in, or refuses it before anything was done for it.

use tokio::sync::OwnedSemaphorePermit;

use super::error::ApiError;
use super::rate::Caller;
use super::{Context, Phase};
use crate::telemetry::{Metrics, Refusal, RefusalLabels};

/// One of the requests being worked on; dropping it makes room for the next.
pub struct Admission {
    metrics: Metrics,
    _permit: OwnedSemaphorePermit,
}

/// Takes one of the permits at the door, without waiting.
///
/// # Errors
/// [`ApiError::Draining`] when the server is about to stop, [`ApiError::TooManyRequests`] when
/// all permits are taken, [`ApiError::TooOften`] when the caller has sent too many within a minute.
pub fn enter(context: &Context, caller: Caller) -> Result<Admission, ApiError> {
    // While models load a request is let in: it waits for the loading like any other.
    match *context.phase.borrow() {
        Phase::Starting | Phase::Ready => {}
        Phase::Draining | Phase::CutOff => return Err(ApiError::Draining),
    }
    let Ok(permit) = context.door.clone().try_acquire_owned() else {
        count_refusal(&context.metrics, Refusal::Concurrency);
        return Err(ApiError::TooManyRequests {
            limit: context.max_concurrent_requests,
        });
    };
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

impl Drop for Admission {
    fn drop(&mut self) {
        self.metrics.requests_in_flight.dec();
    }
}
