//! Tests of the scheduler on a device in virtual time.

mod places;

use std::time::Duration;

use super::test_device::{TestDevice, cpu, limits, window};
use super::*;

const INTERACTIVE: Lane = Lane::Interactive;

fn ids(ids: &[u64]) -> Vec<WindowId> {
    ids.iter().copied().map(WindowId).collect()
}

fn works(device: &TestDevice) -> Vec<Work> {
    device.log.iter().map(|(_, work, _)| work.clone()).collect()
}

#[test]
fn a_window_is_encoded_written_and_aligned() {
    let encode = Work::Encode(ids(&[3]));
    let step = Work::Step(ids(&[3]));
    let align = Work::Align(WindowId(3));
    let written = [step.clone(), step.clone(), step.clone(), step, align];
    for (layout, begin) in [
        (cpu(1), vec![encode.clone()]),
        (Layout::Overlapping, vec![encode, Work::Open(ids(&[3]))]),
    ] {
        let mut device = TestDevice::new(limits(layout, 4, 9));
        device.submit(window(3, INTERACTIVE, 0)).unwrap();
        device.run();
        assert_eq!(works(&device), [&begin, written.as_slice()].concat());
        assert_eq!(device.departures.len(), 1);
        assert_eq!(device.scheduler.slots_in_use(), 0);
        assert_eq!(device.scheduler.memory_in_use(), 0);
    }
}

#[test]
fn a_running_text_waits_for_one_item_between_two_steps() {
    let mut device = TestDevice::new(limits(cpu(1), 8, 99));
    for id in 0..30 {
        let audio = Duration::from_secs(30 + 7 * id % 13);
        device
            .submit(Window {
                audio,
                ..window(id, INTERACTIVE, id as usize)
            })
            .unwrap();
    }
    device.run();
    let works = works(&device);
    let steps: Vec<usize> = (0..works.len())
        .filter(|index| matches!(works[*index], Work::Step(_)))
        .collect();
    for pair in steps.windows(2) {
        let [before, after] = [pair[0], pair[1]].map(|index| works[index].windows());
        let continues = before.iter().any(|id| after.contains(id));
        assert!(
            !continues || pair[1] - pair[0] <= 2,
            "{:?}",
            &works[pair[0]..=pair[1]]
        );
    }
    // Slots are filled first, so most steps have nearly all of them.
    let full = steps
        .iter()
        .filter(|step| works[**step].windows().len() >= 7);
    assert!(full.count() > steps.len() / 2);
}

#[test]
fn runners_share_one_queue() {
    let mut device = TestDevice::new(limits(cpu(2), 4, 9));
    for id in 0..2 {
        device.submit(window(id, INTERACTIVE, 0)).unwrap();
    }
    device.turn(0);
    let [first, second] = &device.log[..2] else {
        panic!("{:?}", device.log);
    };
    assert_eq!(
        (first.0, &first.1),
        (Worker::Runner(0), &Work::Encode(ids(&[0])))
    );
    assert_eq!(
        (second.0, &second.1),
        (Worker::Runner(1), &Work::Encode(ids(&[1])))
    );
}

#[test]
fn encoder_calls_wait_for_company_that_is_coming() {
    let mut device = TestDevice::new(limits(Layout::Overlapping, 8, 9));
    device.submit(window(1, INTERACTIVE, 0)).unwrap();
    let until = Work::WaitUntil(Duration::from_millis(20));
    let scheduler = &mut device.scheduler;
    assert_eq!(scheduler.next(Worker::Encoder, Duration::ZERO, 1), until);
    for id in 2..6 {
        scheduler
            .submit(window(id, INTERACTIVE, 0), Duration::ZERO)
            .unwrap();
    }
    let full = Work::Encode(ids(&[1, 2, 3, 4]));
    assert_eq!(scheduler.next(Worker::Encoder, Duration::ZERO, 1), full);
    scheduler.done(Worker::Encoder, Duration::from_millis(1));
    let last = Work::Encode(ids(&[5]));
    assert_eq!(
        scheduler.next(Worker::Encoder, Duration::from_millis(2), 0),
        last
    );
}

#[test]
fn live_does_not_wait_for_company_and_is_encoded_first() {
    let mut device = TestDevice::new(limits(Layout::Overlapping, 8, 9));
    device.submit(window(1, Lane::Bulk, 0)).unwrap();
    device.submit(window(2, INTERACTIVE, 0)).unwrap();
    device.submit(window(3, Lane::Live, 0)).unwrap();
    let first = device.scheduler.next(Worker::Encoder, Duration::ZERO, 5);
    assert_eq!(first, Work::Encode(ids(&[3])));
}

#[test]
fn bulk_skips_steps_while_an_urgent_text_is_open() {
    let mut device = TestDevice::new(limits(Layout::Overlapping, 8, 99));
    for id in 0..4 {
        let audio = Duration::from_secs(1000);
        let bulk = Window {
            audio,
            ..window(id, Lane::Bulk, 0)
        };
        device.submit(bulk).unwrap();
    }
    (0..200).for_each(|_| {
        device.turn(0);
    });
    let audio = Duration::from_secs(500);
    device
        .submit(Window {
            audio,
            ..window(10, INTERACTIVE, 1)
        })
        .unwrap();
    let begin = device.log.len();
    (0..400).for_each(|_| {
        device.turn(0);
    });
    let steps = device.log[begin..]
        .iter()
        .filter_map(|(_, work, _)| match work {
            Work::Step(ids) => Some(ids),
            _ => None,
        });
    let beside: Vec<_> = steps.filter(|ids| ids.contains(&WindowId(10))).collect();
    let with_bulk = beside.iter().filter(|ids| ids.len() > 1).count();
    // A step of all five takes 10 ms, of which bulk has 8; alone it takes 6 ms: about one step in nine.
    assert!(
        (25..60).contains(&with_bulk),
        "{with_bulk} of {}",
        beside.len()
    );
    assert!(beside.len() > 300);
}

#[test]
fn a_window_leaves_as_soon_as_its_stage_allows() {
    let mut device = TestDevice::new(limits(cpu(1), 1, 9));
    let scheduler = &mut device.scheduler;
    let now = Duration::ZERO;
    let runner = Worker::Runner(0);
    for id in 1..4 {
        scheduler.submit(window(id, INTERACTIVE, 0), now).unwrap();
    }
    // Waiting: at once.
    scheduler.cancel(WindowId(2));
    assert_eq!(scheduler.departures().len(), 1);
    // Being encoded: its slot is closed after the call.
    assert_eq!(scheduler.next(runner, now, 0), Work::Encode(ids(&[1])));
    scheduler.cancel(WindowId(1));
    scheduler.done(runner, now);
    assert_eq!(scheduler.departures(), []);
    assert_eq!(scheduler.next(runner, now, 0), Work::Close(ids(&[1])));
    scheduler.done(runner, now);
    assert_eq!(scheduler.departures().len(), 1);
    // Being written: its slot is closed after the running step.
    assert_eq!(scheduler.next(runner, now, 0), Work::Encode(ids(&[3])));
    scheduler.done(runner, now);
    assert_eq!(scheduler.next(runner, now, 0), Work::Step(ids(&[3])));
    scheduler.cancel(WindowId(3));
    scheduler.done(runner, now);
    assert_eq!(scheduler.departures(), []);
    assert_eq!(scheduler.next(runner, now, 0), Work::Close(ids(&[3])));
    scheduler.done(runner, now);
    let [departure] = scheduler.departures()[..] else {
        panic!("one window");
    };
    assert_eq!(departure.outcome, Outcome::Cancelled);
    assert_eq!(scheduler.next(runner, now, 0), Work::Wait);
}

#[test]
fn deadlines_end_windows_in_any_stage() {
    let mut device = TestDevice::new(limits(cpu(1), 1, 9));
    for id in 0..3 {
        let deadline = Duration::from_millis(60);
        device
            .submit(Window {
                deadline,
                ..window(id, INTERACTIVE, 0)
            })
            .unwrap();
    }
    assert_eq!(
        device.scheduler.next_deadline(),
        Some(Duration::from_millis(60))
    );
    device.run();
    let expired = |departure: &Departure| departure.outcome == Outcome::Expired;
    assert_eq!(device.departures.len(), 3);
    assert!(
        device.departures.iter().all(expired),
        "{:?}",
        device.departures
    );
}

#[test]
fn shutting_down_cancels_all_and_refuses() {
    let mut device = TestDevice::new(limits(Layout::Overlapping, 2, 9));
    (0..5).for_each(|id| device.submit(window(id, Lane::Bulk, 0)).unwrap());
    (0..6).for_each(|_| {
        device.turn(0);
    });
    device.scheduler.shut_down();
    assert_eq!(
        device.submit(window(9, Lane::Live, 0)),
        Err(Refusal::ShuttingDown)
    );
    device.run();
    assert_eq!(device.departures.len(), 5);
    assert_eq!(device.scheduler.slots_in_use(), 0);
}

#[test]
fn slots_wait_rather_than_exceed_the_memory() {
    let limits = Limits {
        memory: MemoryLimit::Shared(10),
        ..limits(Layout::Overlapping, 8, 99)
    };
    let mut device = TestDevice::new(limits);
    for (id, bytes) in [(0, 6), (1, 6), (2, 1), (3, 50)] {
        device
            .submit(Window {
                bytes,
                ..window(id, INTERACTIVE, id as usize)
            })
            .unwrap();
    }
    let mut largest = 0;
    while device.turn(0) {
        let in_use = device.scheduler.memory_in_use();
        assert!(in_use <= 10 || device.scheduler.slots_in_use() == 1);
        largest = largest.max(in_use);
    }
    // The window above the memory was tried alone.
    assert_eq!(largest, 50);
    assert_eq!(device.departures.len(), 4);
}

#[test]
fn each_runner_has_its_own_memory() {
    let limits = Limits {
        memory: MemoryLimit::OfEachRunner(10),
        ..limits(cpu(2), 8, 99)
    };
    let mut device = TestDevice::new(limits);
    let runners = [0, 1].map(Worker::Runner);
    let now = Duration::ZERO;
    for (id, bytes) in [(0, 6), (1, 6), (2, 6)] {
        let window = Window {
            bytes,
            ..window(id, INTERACTIVE, 0)
        };
        device.submit(window).unwrap();
    }
    let scheduler = &mut device.scheduler;
    for (id, runner) in (0..).zip(runners) {
        assert_eq!(scheduler.next(runner, now, 0), Work::Encode(ids(&[id])));
        scheduler.done(runner, now);
    }
    // The third window fits into the memory of neither.
    for (id, runner) in [0, 1, 0, 1].into_iter().zip(runners.repeat(2)) {
        assert_eq!(scheduler.next(runner, now, 0), Work::Step(ids(&[id])));
        scheduler.done(runner, now);
    }
    // A lack of memory on one GPU is none on the other.
    scheduler.reduce_memory(runners[0]);
    for id in [0, 1] {
        scheduler.end(WindowId(id), now);
    }
    assert_eq!(scheduler.next(runners[1], now, 0), Work::Encode(ids(&[2])));
    for id in [3, 4] {
        let window = Window {
            bytes: 2,
            ..window(id, INTERACTIVE, 0)
        };
        scheduler.submit(window, now).unwrap();
    }
    scheduler.done(runners[1], now);
    assert_eq!(scheduler.next(runners[0], now, 0), Work::Encode(ids(&[3])));
    scheduler.done(runners[0], now);
    // Of three bytes one is left.
    for _ in 0..2 {
        assert_eq!(scheduler.next(runners[0], now, 0), Work::Step(ids(&[3])));
        scheduler.done(runners[0], now);
    }
    assert_eq!(scheduler.next(runners[1], now, 0), Work::Step(ids(&[2])));
    scheduler.done(runners[1], now);
    assert_eq!(scheduler.next(runners[1], now, 0), Work::Encode(ids(&[4])));
}

#[test]
fn one_slot_is_one_window_at_a_time() {
    let mut device = TestDevice::new(limits(cpu(1), 1, 99));
    for (id, lane) in (0..).zip([Lane::Bulk, INTERACTIVE, Lane::Live, Lane::Bulk, INTERACTIVE]) {
        device.submit(window(id, lane, 0)).unwrap();
    }
    while device.turn(0) {
        assert!(device.scheduler.slots_in_use() <= 1);
    }
    let order: Vec<u64> = device.departures.iter().map(|d| d.window.id.0).collect();
    assert_eq!(order, [2, 1, 4, 0, 3]);
}

#[test]
fn a_window_of_a_failed_encoder_call_is_encoded_again() {
    let mut device = TestDevice::new(limits(cpu(1), 2, 9));
    device.submit(window(1, INTERACTIVE, 0)).unwrap();
    let runner = Worker::Runner(0);
    let now = Duration::ZERO;
    let scheduler = &mut device.scheduler;
    assert_eq!(scheduler.next(runner, now, 0), Work::Encode(ids(&[1])));
    scheduler.failed(runner, now);
    assert_eq!(
        (scheduler.slots_in_use(), scheduler.waiting(INTERACTIVE)),
        (0, 1)
    );
    assert_eq!(scheduler.next(runner, now, 0), Work::Encode(ids(&[1])));
    scheduler.cancel(WindowId(1));
    scheduler.failed(runner, now);
    assert_eq!(scheduler.departures().len(), 1);
    assert_eq!(scheduler.next(runner, now, 0), Work::Wait);
}

#[test]
fn windows_of_a_failed_call_are_tried_one_by_one_before_those_that_wait() {
    let mut device = TestDevice::new(limits(cpu(1), 3, 9));
    (1..6).for_each(|id| device.submit(window(id, INTERACTIVE, id as usize)).unwrap());
    while works(&device).last() != Some(&Work::Step(ids(&[1, 2, 3]))) {
        device.turn(0);
    }
    device.begin();
    let failed = works(&device).len();
    device.scheduler.cancel(WindowId(2));
    device.fail_with_retries(0);
    device.run();
    let later = works(&device).split_off(failed);
    // Of the four tokens of a text one is left for the first, and three for the third.
    let [first, third] = [1, 3].map(|id| (Work::Encode(ids(&[id])), Work::Step(ids(&[id]))));
    let third = [third.0, third.1.clone(), third.1.clone(), third.1];
    let align = Work::Align(WindowId(3));
    let expected = [[first.0, first.1].as_slice(), &third, &[align]].concat();
    assert_eq!(later[..expected.len()], expected);
    assert_eq!(device.departures.len(), 5);
}

#[test]
fn memory_is_halved_from_what_is_in_use() {
    let mut device = TestDevice::new(limits(cpu(1), 8, 99));
    (0..4).for_each(|id| device.submit(window(id, INTERACTIVE, id as usize)).unwrap());
    while device.scheduler.slots_in_use() < 4 {
        device.turn(0);
    }
    device.scheduler.reduce_memory(Worker::Runner(0));
    device.run();
    (10..20).for_each(|id| device.submit(window(id, INTERACTIVE, id as usize)).unwrap());
    while device.turn(0) {
        assert!(device.scheduler.memory_in_use() <= 2);
    }
    assert_eq!(device.departures.len(), 14);
}
