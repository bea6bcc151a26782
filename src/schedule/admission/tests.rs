//! Tests of admission.

use std::num::NonZeroUsize;

use super::super::limits::Layout;
use super::super::memory::MemoryLimit;
use super::super::shares::ShareLimits;
use super::super::window::WindowId;
use super::*;
use crate::caller::Caller;

const LIMITS: Limits = Limits {
    layout: Layout::Overlapping,
    max_slots: NonZeroUsize::new(8).unwrap(),
    max_waiting: NonZeroUsize::new(800).unwrap(),
    max_encode: NonZeroUsize::MIN,
    max_open: NonZeroUsize::MIN,
    batch_window: Duration::ZERO,
    memory: MemoryLimit::Shared(u64::MAX),
    shares: ShareLimits {
        live_max: 0.5,
        bulk_min: 0.125,
    },
};

/// The speed is 10 s of audio a second; windows take a second.
fn admission() -> Admission {
    let mut admission = Admission::default();
    for tenth in 0..200 {
        let now = Duration::from_millis(100 * tenth);
        admission.ended(&window(0), Duration::from_secs(1), now);
        admission.observe(true, now);
    }
    admission
}

const NOW: Duration = Duration::from_secs(20);

fn window(request: u64) -> Window {
    Window {
        id: WindowId(request),
        request: RequestId(request),
        caller: Caller::Key(0),
        lane: Lane::Interactive,
        audio: Duration::from_secs(1),
        deadline: Duration::MAX,
        bytes: 0,
    }
}

fn offer(request: u64, patience_s: u64) -> Offer {
    Offer {
        promise: None,
        request: RequestId(request),
        lane: Lane::Interactive,
        audio: OfferedAudio::Known(Duration::from_secs(10)),
        patience: Duration::from_secs(patience_s),
    }
}

/// Windows of 10 s that wait in interactive.
fn waiting(windows: usize) -> PerLane<WaitingWindows> {
    PerLane::from_fn(|lane| match lane {
        Lane::Interactive => WaitingWindows {
            windows,
            held: 0,
            audio: Duration::from_secs(10 * windows as u64),
        },
        Lane::Live | Lane::Bulk => WaitingWindows::default(),
    })
}

/// The same request after a refusal.
fn again(offer: Offer, refusal: Result<(), Refusal>) -> Offer {
    let Err(Refusal::TooLate { promise, .. }) = refusal else {
        panic!("{refusal:?}");
    };
    assert!(promise.is_some());
    Offer { promise, ..offer }
}

#[test]
fn refuses_when_the_wait_passes_the_deadline() {
    // 30 windows are 30 s of work, and 31 s with its own; a fifth of the limit is kept for returns.
    for (windows, patience_s, is_admitted) in [
        (30, 60, true),
        (30, 41, true),
        (30, 38, false),
        (30, 20, false),
        (19, 1, true),
        (20, 1, false),
    ] {
        let result = admission().offer(&offer(1, patience_s), &LIMITS, &waiting(windows), NOW);
        assert_eq!(
            result.is_ok(),
            is_admitted,
            "{windows} {patience_s} {result:?}"
        );
    }
}

#[test]
fn says_when_to_return_and_admits_then() {
    let mut admission = admission();
    let refusal = admission.offer(&offer(1, 21), &LIMITS, &waiting(30), NOW);
    let Err(Refusal::TooLate {
        retry_after,
        estimate,
        ..
    }) = refusal
    else {
        panic!("{refusal:?}");
    };
    // From 310 s of audio to 80 % of 20 s of work.
    assert_eq!(estimate.as_secs_f64().round(), 32.0);
    assert_eq!(retry_after.as_secs_f64().round(), 15.0);
    // An attempt that comes early gets the remaining time, and loses nothing by it.
    let own = again(offer(1, 21), refusal);
    let early = admission.offer(&own, &LIMITS, &waiting(25), NOW + retry_after / 2);
    let Err(Refusal::TooLate {
        retry_after: rest, ..
    }) = early
    else {
        panic!("{early:?}");
    };
    assert_eq!(rest, retry_after - retry_after / 2);
    // A newcomer does not get its place.
    let returned = NOW + retry_after;
    assert!(
        admission
            .offer(&offer(2, 21), &LIMITS, &waiting(19), returned)
            .is_err()
    );
    let on_time = admission.offer(&own, &LIMITS, &waiting(19), returned);
    assert_eq!(on_time, Ok(()));
}

#[test]
fn a_newcomer_does_not_take_the_places_of_those_that_return() {
    // 40 s of work are the limit, of which 32 are open to newcomers: 31 wait, one second is free.
    let newcomer =
        |admission: &mut Admission| admission.offer(&offer(9, 41), &LIMITS, &waiting(31), NOW);
    assert_eq!(newcomer(&mut admission()), Ok(()));
    let mut admission = admission();
    let before = NOW - Duration::from_secs(14);
    let refusal = admission.offer(&offer(1, 41), &LIMITS, &waiting(45), before);
    assert!(newcomer(&mut admission).is_err());
    let own = again(offer(1, 41), refusal);
    assert_eq!(admission.offer(&own, &LIMITS, &waiting(31), NOW), Ok(()));
}

#[test]
fn the_bound_of_the_queue_holds_whatever_the_estimate() {
    let full = LIMITS.places(Lane::Interactive);
    let refusal = admission().offer(&offer(1, 1_000_000), &LIMITS, &waiting(full), NOW);
    assert!(
        matches!(refusal, Err(Refusal::QueueFull { .. })),
        "{refusal:?}"
    );
    let mut unmeasured = Admission::default();
    assert!(
        unmeasured
            .offer(&offer(1, 1), &LIMITS, &waiting(100), NOW)
            .is_ok()
    );
    let refusal = unmeasured.offer(&offer(2, 1), &LIMITS, &waiting(full), NOW);
    assert!(
        matches!(refusal, Err(Refusal::QueueFull { .. })),
        "{refusal:?}"
    );
}

#[test]
fn audio_that_was_announced_counts_until_it_arrives_or_its_request_ends() {
    let mut admission = admission();
    let long = Offer {
        audio: OfferedAudio::Known(Duration::from_secs(1000)),
        ..offer(1, 10_000)
    };
    assert_eq!(admission.offer(&long, &LIMITS, &waiting(0), NOW), Ok(()));
    assert_eq!(admission.reserved(Lane::Interactive), 1);
    assert!(
        admission
            .offer(&offer(2, 60), &LIMITS, &waiting(20), NOW)
            .is_err()
    );
    admission.arrived(&window(1));
    admission.take_place(RequestId(1));
    assert_eq!(admission.reserved(Lane::Interactive), 0);
    assert!(!admission.holds_place(RequestId(1)));
    admission.close(RequestId(1));
    assert_eq!(admission.announced, PerLane::default());
    assert!(
        admission
            .offer(&offer(3, 60), &LIMITS, &waiting(20), NOW)
            .is_ok()
    );
}

#[test]
fn a_request_whose_length_becomes_known_later_keeps_its_place_and_its_promise() {
    let mut admission = admission();
    let unknown = Offer {
        audio: OfferedAudio::Unknown,
        ..offer(1, 21)
    };
    // 20 s of work are the limit: a backlog of 19 s is below it, but not with 20 s of its own.
    let announced = |seconds, own: Offer| Offer {
        audio: OfferedAudio::Announced(Duration::from_secs(seconds)),
        ..own
    };
    assert!(
        admission
            .offer(&unknown, &LIMITS, &waiting(30), NOW)
            .is_err()
    );
    assert_eq!(
        admission.offer(&unknown, &LIMITS, &waiting(10), NOW),
        Ok(())
    );
    assert_eq!(admission.reserved(Lane::Interactive), 1);
    let refusal = admission.offer(&announced(200, unknown), &LIMITS, &waiting(30), NOW);
    let own = again(announced(200, unknown), refusal);
    admission.close(RequestId(1));
    assert_eq!(admission.reserved(Lane::Interactive), 0);

    let later = NOW + Duration::from_secs(35);
    let Offer { promise, .. } = own;
    let returned = Offer { promise, ..unknown };
    assert_eq!(
        admission.offer(&returned, &LIMITS, &waiting(0), later),
        Ok(())
    );
    assert_eq!(admission.offer(&own, &LIMITS, &waiting(0), later), Ok(()));
    assert_eq!(admission.reserved(Lane::Interactive), 1);
    assert_eq!(
        admission.announced[Lane::Interactive],
        Duration::from_secs(200)
    );
    admission.close(RequestId(1));
    assert_eq!(admission.announced, PerLane::default());
    assert_eq!(admission.reserved(Lane::Interactive), 0);
}
