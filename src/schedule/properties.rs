//! Properties of the scheduler under random traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::test_device::{TestDevice, cpu, limits, window};
use super::*;

/// What happens between two calls of the device.
#[derive(Clone, Copy, Debug)]
enum Action {
    Submit {
        lane: Lane,
        caller: usize,
        request: u64,
        audio_s: u64,
        patience_s: u64,
    },
    Cancel(usize),
    Fail(usize),
    FailWithRetries(usize),
    ReduceMemory,
    Turn,
}

fn lane() -> impl Strategy<Value = Lane> {
    prop::sample::select(Lane::ALL.to_vec())
}

fn action() -> impl Strategy<Value = Action> {
    let submit = (lane(), 0_usize..4, 0_u64..3, 1_u64..30, 1_u64..200).prop_map(
        |(lane, caller, request, audio_s, patience_s)| Action::Submit {
            lane,
            caller,
            request,
            audio_s,
            patience_s,
        },
    );
    prop_oneof![
        20 => submit,
        2 => (0_usize..50).prop_map(Action::Cancel),
        2 => (0_usize..3).prop_map(Action::Fail),
        2 => (0_usize..3).prop_map(Action::FailWithRetries),
        1 => Just(Action::ReduceMemory),
        30 => Just(Action::Turn),
    ]
}

fn layout() -> impl Strategy<Value = Layout> {
    prop_oneof![Just(Layout::Overlapping), (1_usize..4).prop_map(cpu)]
}

proptest! {
    /// Each window that was accepted leaves exactly once, whatever happens; the bounds of slots, queue and
    /// memory hold at every time. The test device checks each work that is handed out.
    #[test]
    fn every_window_leaves_exactly_once(
        layout in layout(),
        has_own_memory in any::<bool>(),
        max_slots in 1_usize..12,
        max_waiting in 1_usize..30,
        actions in prop::collection::vec(action(), 1..150),
    ) {
        let bytes = 1 << 37;
        let runners = match layout {
            Layout::Alternating { runners } if has_own_memory => runners.get(),
            _ => 1,
        };
        let memory = if has_own_memory {
            MemoryLimit::OfEachRunner(bytes)
        } else {
            MemoryLimit::Shared(bytes)
        };
        let mut device = TestDevice::new(Limits { memory, ..limits(layout, max_slots, max_waiting) });
        let mut accepted: BTreeSet<u64> = BTreeSet::new();
        // Windows of failed encoder calls wait again, above the bound.
        let mut put_back = 0;
        for (id, action) in (0..).zip(actions) {
            match action {
                Action::Submit { lane, caller, request, audio_s, patience_s } => {
                    let window = Window {
                        request: RequestId(request + 10 * caller as u64),
                        audio: Duration::from_secs(audio_s),
                        deadline: device.now + Duration::from_millis(100 * patience_s),
                        bytes: 1 << 36,
                        ..window(id, lane, caller)
                    };
                    if device.submit(window).is_ok() {
                        accepted.insert(id);
                    }
                    let waiting: usize = Lane::ALL.iter().map(|l| device.scheduler.waiting(*l)).sum();
                    prop_assert!(waiting <= max_waiting + put_back);
                }
                Action::Cancel(index) => {
                    if let Some(id) = accepted.iter().nth(index) {
                        device.scheduler.cancel(WindowId(*id));
                    }
                }
                Action::Fail(index) => {
                    device.fail(index);
                    put_back += 4;
                }
                Action::FailWithRetries(index) => device.fail_with_retries(index),
                Action::ReduceMemory => device.scheduler.reduce_memory(device.worker(id as usize)),
                Action::Turn => {
                    device.turn(id as usize % 2);
                }
            }
            prop_assert!(device.scheduler.memory_in_use() <= bytes * runners as u64);
        }
        device.run();
        let mut left: BTreeMap<u64, usize> = BTreeMap::new();
        for departure in &device.departures {
            *left.entry(departure.window.id.0).or_default() += 1;
        }
        prop_assert!(left.values().all(|times| *times == 1), "{left:?}");
        prop_assert_eq!(left.keys().copied().collect::<BTreeSet<_>>(), accepted);
        prop_assert_eq!(device.scheduler.slots_in_use(), 0);
        prop_assert_eq!(device.scheduler.memory_in_use(), 0);
        prop_assert_eq!(device.scheduler.next_deadline(), None);
    }

    /// However many windows of other lanes and callers keep coming, each window ends.
    #[test]
    fn no_lane_and_no_caller_starves(
        layout in layout(),
        max_slots in 1_usize..12,
        starved in lane(),
        rivals in lane(),
    ) {
        let mut device = TestDevice::new(limits(layout, max_slots, 64));
        let mut id = 0;
        let mut refill = |device: &mut TestDevice| {
            // The rivals are another caller's, and always have an earlier deadline.
            while device.scheduler.waiting(rivals) < 24 {
                id += 1;
                let deadline = Duration::from_secs(900_000);
                device.submit(Window { deadline, ..window(id, rivals, 1) }).unwrap();
            }
        };
        refill(&mut device);
        for _ in 0..200 {
            device.turn(0);
            refill(&mut device);
        }
        device.submit(window(1 << 20, starved, 2)).unwrap();
        let arrived = device.now;
        let has_ended = |device: &TestDevice| {
            device.departures.iter().any(|d| d.window.id.0 == 1 << 20)
        };
        while !has_ended(&device) {
            prop_assert!(device.turn(0), "no worker has work");
            refill(&mut device);
            prop_assert!(device.now < arrived + Duration::from_secs(10), "it starves");
        }
    }
}
