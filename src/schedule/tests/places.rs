//! Places in the queue.

use std::time::Duration;

use super::super::test_device::{TestDevice, cpu, limits, window};
use super::super::*;
use super::{INTERACTIVE, ids};

#[test]
fn a_full_queue_of_bulk_refuses_only_bulk() {
    let mut device = TestDevice::new(limits(cpu(1), 1, 16));
    let refused = (0..20).filter(|id| device.submit(window(*id, Lane::Bulk, 0)).is_err());
    assert_eq!(refused.count(), 12);
    let refused = (20..40).filter(|id| device.submit(window(*id, INTERACTIVE, 0)).is_err());
    assert_eq!(refused.count(), 14);
    let refused = (40..60).filter(|id| device.submit(window(*id, Lane::Live, 0)).is_err());
    assert_eq!(refused.count(), 18);
}

#[test]
fn an_admitted_request_holds_a_place_until_its_first_window() {
    let mut device = TestDevice::new(limits(cpu(1), 1, 2));
    let offer = |request| Offer {
        promise: None,
        request: RequestId(request),
        lane: INTERACTIVE,
        audio: OfferedAudio::Known(Duration::from_secs(4)),
        patience: Duration::from_secs(600),
    };
    let scheduler = &mut device.scheduler;
    let now = Duration::ZERO;
    assert_eq!(scheduler.offer(&offer(1), now), Ok(()));
    assert_eq!(scheduler.offer(&offer(2), now), Ok(()));
    assert!(matches!(
        scheduler.offer(&offer(3), now),
        Err(Refusal::QueueFull { .. })
    ));
    // Windows of others do not take the places.
    assert!(scheduler.submit(window(9, Lane::Live, 0), now).is_err());
    assert_eq!(scheduler.submit(window(1, INTERACTIVE, 0), now), Ok(()));
    // A request that ends without a window gives its place back.
    scheduler.close_request(RequestId(2));
    assert_eq!(scheduler.submit(window(9, Lane::Live, 0), now), Ok(()));
    assert!(scheduler.submit(window(10, Lane::Live, 0), now).is_err());
}

#[test]
fn callers_take_turns_for_the_places_of_a_full_queue() {
    let mut device = TestDevice::new(limits(cpu(1), 1, 4));
    let now = Duration::ZERO;
    let scheduler = &mut device.scheduler;
    // Half of the places are those of bulk.
    for id in 1..7 {
        scheduler.claim_place(window(id, Lane::Bulk, 1), now);
    }
    scheduler.claim_place(window(7, Lane::Bulk, 2), now);
    assert_eq!(scheduler.granted(), ids(&[1, 7]));
    assert!(scheduler.has_place(INTERACTIVE) && !scheduler.has_place(Lane::Bulk));
    scheduler.claim_place(window(8, Lane::Bulk, 2), now);
    scheduler.give_up_place(WindowId(7));
    assert_eq!(scheduler.granted(), ids(&[2]));
    // Those with a place arrive, and get a slot.
    for id in [1, 2] {
        scheduler.submit(window(id, Lane::Bulk, 1), now).unwrap();
        assert_eq!(scheduler.granted(), []);
    }
    assert!(scheduler.submit(window(9, Lane::Bulk, 3), now).is_err());
    assert_eq!(
        scheduler.next(Worker::Runner(0), now, 0),
        Work::Encode(ids(&[1]))
    );
    assert_eq!(scheduler.granted(), ids(&[8]));
    scheduler.give_up_place(WindowId(3));
    scheduler.cancel(WindowId(2));
    assert_eq!(scheduler.granted(), ids(&[4]));
}
