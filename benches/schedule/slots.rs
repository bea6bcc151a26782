//! The project's scheduler under the traffic of the small tables.

use std::time::Duration;

use halkspeech::caller::Caller;
use halkspeech::schedule::{Lane, RequestId, Window, WindowId};

use super::costs::{Machine, seconds};
use super::device::Device;
use super::load::{Figures, Load};
use super::random::Random;

/// The figures of the scheduler, with interactive windows of one request each.
pub fn simulate(machine: &Machine, load: &Load, slowdown: f64, seed: u64) -> Figures {
    let mut random = Random::new(seed);
    let mut arrivals = load.first_arrivals(&mut random);
    arrivals.sort_by(|a, b| b.total_cmp(a));
    let mut device = Device::new(*machine, slowdown, 1 << 20);
    let mut latencies = Vec::new();
    let mut arrived: Vec<f64> = Vec::new();
    let mut now = Duration::ZERO;
    while latencies.len() < load.count {
        while let Some(at) = arrivals.pop_if(|at| seconds(*at) <= now) {
            let text = load.text(machine, &mut random, at);
            let id = WindowId(arrived.len() as u64);
            let window = Window {
                id,
                request: RequestId(id.0),
                caller: Caller::Key(arrived.len()),
                lane: Lane::Interactive,
                audio: seconds(text.audio_s),
                deadline: now + Duration::from_secs(3600),
                bytes: 0,
            };
            arrived.push(at);
            device.expect(id, text.audio_s, text.tokens);
            if device.scheduler.submit(window, now).is_err() {
                break;
            }
        }
        device.start(now);
        let arrival = arrivals.last().map(|at| seconds(*at).max(now));
        let Some(next) = device.next_event(now).into_iter().chain(arrival).min() else {
            break;
        };
        for (id, _) in device.advance(now, next) {
            latencies.push(next.as_secs_f64() - arrived[id.0 as usize]);
            if load.is_closed() {
                let at = next.as_secs_f64() + 0.001;
                let index = arrivals.partition_point(|other| *other > at);
                arrivals.insert(index, at);
            }
        }
        device.done.clear();
        device.scheduler.departures();
        now = next;
    }
    Figures::new(&latencies, now.as_secs_f64())
}
