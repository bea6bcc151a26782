//! A short clip beside the requests of another caller.

use std::time::Duration;

use halkspeech::caller::Caller;
use halkspeech::schedule::{Lane, RequestId, Window, WindowId};

use super::costs::{Machine, seconds};
use super::device::Device;
use super::random::Random;

/// The requests of the other caller.
#[derive(Clone, Copy, Debug)]
pub struct Others {
    /// Clips of 2 to 12 s, each followed by the next one.
    pub clips: usize,
    /// Long files, of which 16 windows of 30 s are in the queue or in slots at a time.
    pub files: usize,
}

/// Length of the clip, in seconds.
const CLIP_S: f64 = 5.0;

/// Latencies of a clip of 5 s, sent `tries` times at random times, in order of length.
pub fn simulate(machine: &Machine, others: Others, tries: usize) -> Vec<f64> {
    let mut random = Random::new(5);
    let mut device = Device::new(*machine, 1.25, 1 << 20);
    let (mut now, mut latencies, mut number) = (Duration::ZERO, Vec::new(), 0);
    // The request of each window; 0 is the clip.
    let mut requests: Vec<usize> = Vec::new();
    let mut due: Vec<usize> = (1..=others.clips).collect();
    due.extend((0..others.files * 16).map(|window| 1 + others.clips + window / 16));
    let mut clip_at = Some(seconds(20.0));
    let mut clip_began = Duration::ZERO;
    while latencies.len() < tries {
        if clip_at.is_some_and(|at| at <= now) {
            (clip_at, clip_began) = (None, now);
            due.push(0);
        }
        for request in due.drain(..) {
            let (lane, audio_s, caller) = match request {
                0 => (Lane::Interactive, CLIP_S, 0),
                _ if request <= others.clips => (Lane::Interactive, random.uniform((2.0, 12.0)), 1),
                _ => (Lane::Bulk, 30.0, 1),
            };
            let window = Window {
                id: WindowId(requests.len() as u64),
                request: RequestId(
                    if request == 0 {
                        1 << 20
                    } else {
                        request as u64
                    } + number,
                ),
                caller: Caller::Key(caller),
                lane,
                audio: seconds(audio_s),
                deadline: now + Duration::from_secs(3600),
                bytes: 0,
            };
            number += if lane == Lane::Bulk { 0 } else { 1 << 10 };
            requests.push(request);
            let mean = machine.tokens_per_s * audio_s;
            let tokens = random.normal(mean, 0.15 * mean).max(4.0) as u32;
            device.expect(window.id, audio_s, tokens);
            if device.scheduler.submit(window, now).is_err() {
                return latencies;
            }
        }
        device.start(now);
        let Some(next) = device.next_event(now).into_iter().chain(clip_at).min() else {
            break;
        };
        for (id, _) in device.advance(now, next) {
            let request = requests[id.0 as usize];
            if request == 0 {
                latencies.push((next - clip_began).as_secs_f64());
                clip_at = Some(next + seconds(random.uniform((1.0, 3.0))));
            } else {
                due.push(request);
            }
        }
        device.done.clear();
        device.scheduler.departures();
        now = next;
    }
    latencies.sort_by(f64::total_cmp);
    latencies
}
