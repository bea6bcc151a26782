//! Admits transcription requests, or refuses them before their bodies are read.

mod turnover;
mod returns;
mod shares;
mod permit;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderName, header};

use super::error::ApiError;
use super::{Context, Phase};
use crate::caller::Caller;
use crate::clock::now;
use crate::queue::ReturnTicket;
use crate::telemetry::{Metrics, RefusalLabels, RefusalReason};
use returns::{Attempt, ExpectedReturns, HASTY_WITHIN};
use shares::{ShareRefusal, Shares};
use turnover::Turnover;

/// Number of earlier attempts of the same request, as OpenAI's SDKs count them; 0 for the first attempt.
const RETRY_COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");

/// Bounds the concurrent requests: one permit each. While others send requests, one caller holds at most
/// half of the permits. A refusal names a time to return, and a permit is reserved for a request that
/// returns then.
#[derive(Debug)]
pub struct AdmissionControl(Mutex<AdmissionState>);

/// The state that admission is decided on.
#[derive(Debug)]
struct AdmissionState {
    shares: Shares,
    returns: ExpectedReturns,
    turnover: Turnover,
}

/// When a request of a connection was last refused; set as an extension of each of its requests.
#[derive(Clone, Debug, Default)]
pub struct LastRefusal(Arc<Mutex<Option<Instant>>>);

/// The permit of a request; dropping it frees the permit for the next request.
pub struct AdmissionPermit {
    control: Arc<AdmissionControl>,
    attempt: Attempt,
    last_refusal: LastRefusal,
    /// Whether the request was refused before and returned on time.
    is_return: bool,
    /// That of the refusal.
    ticket: Option<ReturnTicket>,
    entry: Instant,
    is_refused: bool,
    /// Set while the request is counted as in flight.
    in_flight: Option<Metrics>,
}

impl AdmissionControl {
    /// Creates an admission control with `limit` permits, of which one caller gets at most `caller_limit` at one time.
    #[must_use]
    pub fn new(limit: usize, caller_limit: Option<NonZeroUsize>) -> Self {
        Self(Mutex::new(AdmissionState {
            shares: Shares::new(limit, caller_limit),
            returns: ExpectedReturns::new(limit),
            turnover: Turnover::new(limit, now()),
        }))
    }

    /// The number of permits.
    pub fn limit(&self) -> usize {
        self.state().shares.limit()
    }

    /// Number of permits that are available to a caller now.
    pub fn free_for(&self, caller: Caller) -> usize {
        self.state().shares.free_for(caller, now())
    }

    fn take(
        self: &Arc<Self>,
        attempt: Attempt,
        last_refusal: &LastRefusal,
    ) -> Result<AdmissionPermit, ApiError> {
        let now = now();
        let mut state = self.state();
        let AdmissionState {
            shares,
            returns,
            turnover,
        } = &mut *state;
        let open_to = |caller| shares.open_to(caller, now);
        let reserved = returns.reserved(attempt, turnover, now, open_to);
        match shares.enter(attempt.caller, reserved, now) {
            Ok(()) => {
                turnover.enter(now);
                Ok(AdmissionPermit {
                    control: Arc::clone(self),
                    attempt,
                    last_refusal: last_refusal.clone(),
                    ticket: returns.ticket(attempt, now),
                    is_return: returns.enter(attempt, now),
                    entry: now,
                    is_refused: false,
                    in_flight: None,
                })
            }
            Err(ShareRefusal::Full) => Err(ApiError::TooManyRequests {
                limit: shares.limit(),
                wait: returns.refuse(attempt, turnover, now),
            }),
            Err(ShareRefusal::CallerLimit(limit)) => Err(ApiError::CallerLimitReached {
                limit,
                wait: returns.spread_wait(turnover, now),
            }),
            Err(ShareRefusal::Share) => Err(ApiError::CallerShareExceeded {
                share: shares.share(),
                wait: returns.spread_wait(turnover, now),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, AdmissionState> {
        // Usable also after a panic: the state is consistent between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LastRefusal {
    /// The last refusal on the request's connection.
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
    /// Identifies a request by its path, query and length, which are the same when it returns.
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
            // Clients that count their attempts wait as demanded, and send many requests on few connections.
            is_hasty: retry_count.is_none()
                && last_refusal
                    .get()
                    .is_some_and(|refusal| now < refusal + HASTY_WITHIN),
        }
    }
}

/// Takes a permit for a request, without waiting.
///
/// # Errors
/// [`ApiError::Draining`] when the server is shutting down, [`ApiError::TooManyRequests`] when all permits
/// are taken or reserved, [`ApiError::CallerShareExceeded`] when the caller holds half of them and others
/// send requests, [`ApiError::CallerLimitReached`] when it holds as many as a caller may,
/// [`ApiError::RateLimitReached`] and [`ApiError::AudioLimitReached`] when the caller has sent too many, or too
/// much audio, within a minute.
pub fn admit(context: &Context, request: &Request) -> Result<AdmissionPermit, ApiError> {
    // Requests are admitted while models load: they wait for the model.
    match *context.phase.borrow() {
        Phase::Starting | Phase::Ready => {}
        Phase::Draining | Phase::CutOff => return Err(ApiError::Draining),
    }
    let last_refusal = LastRefusal::of(request);
    let attempt = Attempt::of(request, &last_refusal, now());
    let taken = context.admission.take(attempt, &last_refusal);
    let mut permit = taken.map_err(|error| {
        last_refusal.set(now());
        let reason = match error {
            ApiError::CallerShareExceeded { .. } => RefusalReason::CallerShare,
            ApiError::CallerLimitReached { .. } => RefusalReason::CallerLimit,
            _ => RefusalReason::Concurrency,
        };
        count_refusal(&context.metrics, reason);
        error
    })?;
    // After the permit, so that a request without a permit does not count towards the rate.
    if let Err((reason, error)) = context.caller_limits.check(attempt.caller) {
        permit.refuse_for_limit();
        count_refusal(&context.metrics, reason);
        return Err(error);
    }
    context.metrics.requests_in_flight.inc();
    permit.in_flight = Some(context.metrics.clone());
    Ok(permit)
}

/// Counts a refused request.
pub fn count_refusal(metrics: &Metrics, reason: RefusalReason) {
    metrics
        .refused
        .get_or_create(&RefusalLabels { reason })
        .inc();
}

/// Runs `work`, unless the requests that still run are aborted first.
///
/// # Errors
/// [`ApiError::CutOff`] when they are.
pub async fn unless_cut_off<T>(
    context: &Context,
    work: impl Future<Output = T>,
) -> Result<T, ApiError> {
    tokio::select! {
        result = work => Ok(result),
        () = cut_off(context) => Err(ApiError::CutOff),
    }
}

/// Completes when the requests that still run are to be aborted.
pub async fn cut_off(context: &Context) {
    wait_for_phase(context, |phase| phase == Phase::CutOff).await;
}

/// Completes when the server begins to shut down: for long operations that can be requested again.
pub async fn draining(context: &Context) {
    wait_for_phase(context, |phase| {
        matches!(phase, Phase::Draining | Phase::CutOff)
    })
    .await;
}

async fn wait_for_phase(context: &Context, is_reached: impl Fn(Phase) -> bool) {
    let mut phase = context.phase.clone();
    if phase.wait_for(|phase| is_reached(*phase)).await.is_err() {
        // The sender is gone, so the phase will not change any more.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;

    use super::*;
    use crate::queue::{Retry, WhenFull};

    fn attempt(request: u64) -> Attempt {
        Attempt {
            caller: Caller::Key(0),
            request,
            is_first: false,
            is_hasty: false,
        }
    }

    fn take(control: &Arc<AdmissionControl>, request: u64) -> Result<AdmissionPermit, ApiError> {
        control.take(attempt(request), &LastRefusal::default())
    }

    #[track_caller]
    fn wait_of_refusal(control: &Arc<AdmissionControl>, request: u64) -> Duration {
        match take(control, request) {
            Err(ApiError::TooManyRequests { wait, .. }) => wait,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("got a permit"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_client_that_does_not_count_its_attempts_is_hasty() {
        let last_refusal = LastRefusal::default();
        let request = |attempt: Option<&str>| {
            let mut request = Request::new(Body::empty());
            request.extensions_mut().insert(last_refusal.clone());
            if let Some(attempt) = attempt {
                let attempt = attempt.parse().unwrap();
                request.headers_mut().insert(RETRY_COUNT, attempt);
            }
            request
        };
        let is_hasty = |attempt| {
            let request = request(attempt);
            Attempt::of(&request, &LastRefusal::of(&request), now()).is_hasty
        };
        assert!(!is_hasty(None));

        last_refusal.set(now());

        assert!(is_hasty(None));
        assert!(!is_hasty(Some("1")));
        tokio::time::advance(HASTY_WITHIN).await;
        assert!(!is_hasty(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_is_reserved_for_a_request_that_returns_on_time() {
        let control = Arc::new(AdmissionControl::new(1, None));
        let first = take(&control, 1).unwrap();
        let wait = wait_of_refusal(&control, 2);
        tokio::time::advance(wait).await;
        drop(first);

        wait_of_refusal(&control, 3);
        let returned = take(&control, 2).unwrap();

        drop(returned);
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_is_reserved_for_a_caller_that_holds_all_of_them() {
        let control = Arc::new(AdmissionControl::new(2, None));
        let held = [1, 2].map(|request| take(&control, request).unwrap());
        let wait = wait_of_refusal(&control, 3);
        tokio::time::advance(wait).await;
        let [first, _second] = held;
        drop(first);

        wait_of_refusal(&control, 4);
        take(&control, 3).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_the_queue_has_refused_returns_at_its_time_with_its_ticket() {
        let control = Arc::new(AdmissionControl::new(1, None));
        let permit = take(&control, 1).unwrap();
        assert_eq!(permit.arrival().when_full, WhenFull::Refuse);
        let retry = Retry {
            after: Duration::from_secs(30),
            ticket: Some(ReturnTicket::OF_NO_QUEUE),
        };
        assert_eq!(permit.refuse_until(retry), retry.after);

        tokio::time::advance(retry.after).await;
        wait_of_refusal(&control, 2);
        let returned = take(&control, 1).unwrap().arrival();

        assert_eq!(returned.when_full, WhenFull::Wait);
        assert_eq!(returned.ticket, retry.ticket);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_refused_after_admission_returns_first_and_is_not_counted_in_the_turnover() {
        let control = Arc::new(AdmissionControl::new(1, None));
        let hold = || control.state().turnover.hold(now());
        let before = hold();
        let permit = take(&control, 1).unwrap();
        let wait = permit.refuse();
        assert_eq!(hold(), before);

        tokio::time::advance(wait).await;
        wait_of_refusal(&control, 2);
        let returned = take(&control, 1).unwrap();

        tokio::time::advance(before * 3).await;
        drop(returned);
        assert!(hold() > before);
    }
}
