//! The scheduler in virtual time on a fake engine with the times of real machines, beside batches as today:
//! `cargo bench --bench schedule`. All figures are computed.
#![expect(clippy::print_stdout, reason = "a program that prints tables")]

mod random;
mod costs;
mod load;
mod batches;
mod device;
mod slots;
mod beside;
mod usage;
mod large;
mod goals;

use halkspeech::schedule::Lane;

use beside::Others;
use costs::{MACHINES, Machine};
use goals::Goals;
use large::{Observed, Traffic};
use load::{Arrivals, Figures, Load, quantile};

const SEED: u64 = 3;

/// How much slower encoding and writing are assumed to be while both run on a GPU.
const SLOWDOWNS: [f64; 3] = [1.0, 1.25, 1.5];

fn main() {
    // `cargo test` builds and starts benchmarks without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut goals = Goals::default();
    for (machine, lengths_s) in [
        (0, (2.0, 12.0)),
        (0, (20.0, 30.0)),
        (1, (30.0, 30.0)),
        (1, (2.0, 30.0)),
        (2, (30.0, 30.0)),
        (2, (2.0, 30.0)),
    ] {
        print_loads(&MACHINES[machine], lengths_s, &mut goals);
    }
    print_beside(&MACHINES[0], &mut goals);
    let [_, turbo, large_v3] = &MACHINES;
    print_files(turbo);
    print_files(large_v3);
    for slowdown in SLOWDOWNS {
        print_large(turbo, 300, slowdown, &mut goals);
    }
    // The capacity of large-v3 is exceeded by 300 sessions alone.
    print_large(large_v3, 60, 1.25, &mut goals);
    goals.print();
}

/// Capacity and latencies of windows of these lengths.
fn print_loads(machine: &Machine, lengths_s: (f64, f64), goals: &mut Goals) {
    let (callers, count) = if machine.is_gpu() {
        (1024, 12_000)
    } else {
        (16, 20_000)
    };
    let load = |arrivals, option_sets| Load {
        lengths_s,
        arrivals,
        option_sets,
        count,
    };
    let closed = Arrivals::Callers(callers);
    let capacity = batches::simulate(machine, &load(closed, 1), SEED).rate;
    let name = format!("{}, {} to {} s", machine.name, lengths_s.0, lengths_s.1);
    println!("\n### {name}\n\nWindows a minute, p50 and p95 in seconds.\n");
    let slowdowns = if machine.is_gpu() {
        &SLOWDOWNS[..]
    } else {
        &SLOWDOWNS[..1]
    };
    let columns = slowdowns.iter().map(|slowdown| {
        if machine.is_gpu() {
            format!(" slots, slowdown {slowdown} |")
        } else {
            " slots |".to_owned()
        }
    });
    println!("| load | batches as today |{}", columns.collect::<String>());
    println!("|---|---|{}", "---|".repeat(slowdowns.len()));
    // Long enough that filling the pipeline is not noticed.
    let capacity_load = Load {
        count: 5 * count,
        ..load(closed, 1)
    };
    for (kind, load) in [
        (Kind::Closed, capacity_load),
        (Kind::EightSets, load(closed, 8)),
        (Kind::Half, load(Arrivals::PerSecond(capacity * 0.5), 1)),
        (
            Kind::FourFifths,
            load(Arrivals::PerSecond(capacity * 0.8), 1),
        ),
    ] {
        let today = batches::simulate(machine, &load, SEED);
        print!("| {} | {} |", kind.name(callers), show(&today));
        for &slowdown in slowdowns {
            let slots = slots::simulate(machine, &load, slowdown, SEED);
            print!(" {} |", show(&slots));
            goals.add_load(
                &name,
                (machine, lengths_s),
                kind,
                (&today, &slots, slowdown),
            );
        }
        println!();
    }
}

/// The loads of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Callers that send their next window when one is answered.
    Closed,
    /// The same with eight sets of options.
    EightSets,
    /// Arrivals at half of today's capacity.
    Half,
    /// Arrivals at 80 % of today's capacity.
    FourFifths,
}

impl Kind {
    fn name(self, callers: usize) -> String {
        match self {
            Self::Closed => format!("{callers} callers"),
            Self::EightSets => format!("{callers} callers, eight sets of options"),
            Self::Half => "arrivals at 50 % of today's capacity".to_owned(),
            Self::FourFifths => "arrivals at 80 % of today's capacity".to_owned(),
        }
    }
}

fn show(figures: &Figures) -> String {
    let Figures { rate, p50_s, p95_s } = figures;
    format!("{:.0}, {p50_s:.2}, {p95_s:.2}", rate * 60.0)
}

/// A clip of 5 s beside the requests of another caller.
fn print_beside(machine: &Machine, goals: &mut Goals) {
    println!(
        "\n### {}: a clip of 5 s beside another caller\n",
        machine.name
    );
    println!("| the other caller's requests | p50, s | p95, s | maximum, s |\n|---|---|---|---|");
    let mut alone_s = 0.0;
    for (clips, files) in [(0, 0), (0, 1), (0, 16), (0, 64), (64, 0)] {
        let latencies = beside::simulate(machine, Others { clips, files }, 300);
        let [p50, p95, most] = [0.5, 0.95, 1.0].map(|part| quantile(&latencies, part));
        println!(
            "| {clips} clips, {files} files of many windows | {p50:.2} | {p95:.2} | {most:.2} |"
        );
        if clips + files == 0 {
            alone_s = p50;
        } else {
            let encodings = if files == 1 { 1.0 } else { 2.0 };
            let limit = 1.5 * alone_s + encodings * machine.encode_s(30.0);
            let name = format!(
                "{}: clip of 5 s beside {clips} clips, {files} files, p95",
                machine.name
            );
            goals.at_most(name, p95, limit);
        }
    }
}

/// What long files lose to a light load, and clips to long files.
fn print_files(machine: &Machine) {
    println!(
        "\n### {}, slowdown 1.25: long files beside a few callers\n",
        machine.name
    );
    println!(
        "| callers | files | share of bulk | windows of files a minute | clips a minute | clip p50, s | clip p95, s |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (callers, files, bulk_min) in [
        (0, 32, 0.125),
        (4, 0, 0.125),
        (4, 32, 0.125),
        (4, 32, 0.25),
        (4, 32, 0.5),
        (32, 0, 0.125),
        (32, 32, 0.125),
        (32, 32, 0.25),
        (32, 32, 0.5),
    ] {
        let traffic = Traffic {
            callers,
            patience_s: 600.0,
            live_sessions: 0,
            files,
            windows_of_file: 16,
            bulk_min,
            seconds: 90.0,
        };
        let mut seen = large::simulate(machine, traffic, 1.25);
        seen.clip_latencies_s.sort_by(f64::total_cmp);
        let [p50, p95] = [0.5, 0.95].map(|part| quantile(&seen.clip_latencies_s, part));
        let clips = seen.clip_latencies_s.len();
        let windows = seen.bulk_windows;
        println!(
            "| {callers} | {files} | {bulk_min} | {windows} | {clips} | {p50:.2} | {p95:.2} |"
        );
    }
}

/// 10,000 callers, live sessions and long files.
fn print_large(machine: &Machine, live_sessions: usize, slowdown: f64, goals: &mut Goals) {
    let traffic = Traffic {
        callers: 10_000,
        patience_s: 600.0,
        live_sessions,
        files: 32,
        windows_of_file: 16,
        bulk_min: 0.125,
        // Refused callers of large-v3 return after about three minutes.
        seconds: if live_sessions < 300 { 600.0 } else { 180.0 },
    };
    let mut seen = large::simulate(machine, traffic, slowdown);
    let name = format!(
        "{}, slowdown {slowdown}, {live_sessions} live sessions",
        machine.name
    );
    println!("\n### {name}, 10,000 callers, 32 long files\n\n| | p50 | p95 |\n|---|---|---|");
    let Observed {
        live_waits_s,
        live_latencies_s,
        clip_latencies_s,
        clip_totals_s,
        steps_s,
        calls_s,
        retry_after_s,
        ..
    } = &mut seen;
    let mut p95s = Vec::new();
    for (row, values) in [
        ("wait of a live window, s", live_waits_s),
        ("latency of a live window, s", live_latencies_s),
        ("clip, from its admission, s", clip_latencies_s),
        ("clip, from its first attempt, s", clip_totals_s),
        ("step, s", steps_s),
        ("encoder call of other lanes, s", calls_s),
        ("`Retry-After`, s", retry_after_s),
    ] {
        values.sort_by(f64::total_cmp);
        let [p50, p95] = [0.5, 0.95].map(|part| quantile(values, part));
        println!("| {row} | {p50:.3} | {p95:.3} |");
        p95s.push((p50, p95));
    }
    let kept = seen
        .returns
        .iter()
        .filter(|part| (1.0..=1.5).contains(*part));
    let kept = kept.count() as f64 / seen.returns.len().max(1) as f64;
    println!(
        "\n{} clips, {} bulk windows, {} refusals, {} expired; admitted between t and 1.5 t: {:.1} % of {}.",
        seen.clip_latencies_s.len(),
        seen.bulk_windows,
        seen.refusals,
        seen.expired,
        100.0 * kept,
        seen.returns.len(),
    );
    goals.at_most(
        format!("{name}: live wait p95"),
        p95s[0].1,
        2.0 * p95s[4].1 + p95s[5].1,
    );
    let spread = |row: usize| p95s[row].1 / p95s[row].0;
    goals.at_most(
        format!("{name}: clips, p95 to p50 from admission"),
        spread(2),
        1.5,
    );
    goals.at_most(
        format!("{name}: clips, p95 to p50 from the first attempt"),
        spread(3),
        1.5,
    );
    goals.at_least(format!("{name}: admitted between t and 1.5 t"), kept, 0.9);
    for (lane, least) in [
        (Lane::Live, 0.5),
        (Lane::Interactive, 0.375),
        (Lane::Bulk, 0.125),
    ] {
        if let Some(share) = seen.usage.least_share(lane) {
            println!(
                "Least share of {lane:?} in ten seconds in which it waits: {:.1} %.",
                100.0 * share
            );
            goals.at_least(format!("{name}: least share of {lane:?}"), share, least);
        }
    }
}
