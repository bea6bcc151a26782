//! The goals of the scheduler, compared with the figures.

use super::Kind;
use super::costs::{Kind as MachineKind, Machine};
use super::load::Figures;

/// Goals with their figures.
#[derive(Debug, Default)]
pub struct Goals(Vec<Goal>);

#[derive(Debug)]
struct Goal {
    name: String,
    value: f64,
    limit: f64,
    is_minimum: bool,
}

impl Goals {
    pub fn at_most(&mut self, name: String, value: f64, limit: f64) {
        self.0.push(Goal {
            name,
            value,
            limit,
            is_minimum: false,
        });
    }

    pub fn at_least(&mut self, name: String, value: f64, limit: f64) {
        self.0.push(Goal {
            name,
            value,
            limit,
            is_minimum: true,
        });
    }

    /// The goals of a load, with a slowdown of 1.25 where there are two streams.
    pub fn add_load(
        &mut self,
        name: &str,
        (machine, lengths_s): (&Machine, (f64, f64)),
        kind: Kind,
        (today, slots, slowdown): (&Figures, &Figures, f64),
    ) {
        let rate = slots.rate / today.rate;
        if machine.is_gpu() {
            if slowdown != 1.25 {
                return;
            }
            match (machine.kind, kind) {
                (MachineKind::H100Turbo, Kind::Closed) => {
                    self.at_least(format!("{name}: capacity to today's"), rate, 1.25);
                }
                (MachineKind::H100LargeV3, Kind::Closed) if lengths_s.0 < 30.0 => {
                    self.at_least(format!("{name}: capacity to today's"), rate, 1.35);
                }
                (MachineKind::H100Turbo, Kind::FourFifths) if lengths_s.0 >= 30.0 => {
                    self.at_most(format!("{name}: p95 at 80 %, s"), slots.p95_s, 0.3);
                }
                (MachineKind::H100LargeV3, Kind::FourFifths) if lengths_s.0 < 30.0 => {
                    self.at_most(format!("{name}: p95 at 80 %, s"), slots.p95_s, 1.2);
                }
                _ => {}
            }
            return;
        }
        let is_short = lengths_s.0 < 20.0;
        match kind {
            Kind::Closed => {
                let least = if is_short { 1.08 } else { 1.06 };
                self.at_least(format!("{name}: capacity to today's"), rate, least);
            }
            Kind::EightSets if is_short => {
                self.at_least(format!("{name}: the same with eight sets"), rate, 1.2);
            }
            Kind::FourFifths => {
                let [p50, p95] = [slots.p50_s / today.p50_s, slots.p95_s / today.p95_s];
                self.at_most(format!("{name}: p50 at 80 % to today's"), p50, 0.85);
                self.at_most(format!("{name}: p95 at 80 % to today's"), p95, 1.0);
            }
            Kind::EightSets | Kind::Half => {}
        }
    }

    #[expect(clippy::print_stdout, reason = "a program that prints tables")]
    pub fn print(&self) {
        println!("\n### Goals\n\n| goal | figure | limit | |\n|---|---|---|---|");
        for goal in &self.0 {
            let is_met = if goal.is_minimum {
                goal.value >= goal.limit
            } else {
                goal.value <= goal.limit
            };
            let relation = if goal.is_minimum { "≥" } else { "≤" };
            let verdict = if is_met { "met" } else { "**missed**" };
            println!(
                "| {} | {:.3} | {relation} {:.3} | {verdict} |",
                goal.name, goal.value, goal.limit
            );
        }
    }
}
