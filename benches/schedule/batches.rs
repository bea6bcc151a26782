//! Batches as today: windows with equal options are encoded, written to the last text, and answered together.

use super::costs::Machine;
use super::load::{Figures, Load, Text};
use super::random::Random;

/// The figures of batches.
pub fn simulate(machine: &Machine, load: &Load, seed: u64) -> Figures {
    let mut random = Random::new(seed);
    let mut arrivals = load.first_arrivals(&mut random);
    arrivals.sort_by(|a, b| b.total_cmp(a));
    let mut queue: Vec<Text> = Vec::new();
    let mut free_at = vec![0.0_f64; machine.runners];
    let mut latencies = Vec::new();
    while latencies.len() < load.count {
        let Some(engine) = free_at.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)) else {
            break;
        };
        let (engine, now) = (engine.0, *engine.1);
        while let Some(at) = arrivals.pop_if(|at| *at <= now) {
            queue.push(load.text(machine, &mut random, at));
        }
        let Some(options) = queue.first().map(|text| text.options) else {
            // Until a window arrives, or another engine's answers make their callers send again.
            let others = free_at.iter().copied().filter(|at| *at > now);
            let wake = others
                .chain(arrivals.last().copied())
                .fold(f64::MAX, f64::min);
            free_at[engine] = wake.max(now) + 1e-5;
            continue;
        };
        let mut batch = Vec::new();
        queue.retain(|text| {
            let joins = text.options == options && batch.len() < machine.slots;
            if joins {
                batch.push(*text);
            }
            !joins
        });
        let mut end = now + machine.call_s(batch.iter().map(|text| text.audio_s));
        batch.sort_by_key(|text| text.tokens);
        let mut written = 0;
        for (done, text) in batch.iter().enumerate() {
            end += f64::from(text.tokens - written) * machine.step_s(batch.len() - done);
            written = text.tokens;
        }
        free_at[engine] = end;
        for text in &batch {
            latencies.push(end - text.arrived_s);
            if load.is_closed() {
                let at = end + 0.001;
                let index = arrivals.partition_point(|other| *other > at);
                arrivals.insert(index, at);
            }
        }
    }
    let ended = free_at.iter().copied().fold(0.0, f64::max);
    Figures::new(&latencies, ended)
}
