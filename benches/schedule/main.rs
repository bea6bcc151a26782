//! The scheduler in virtual time.
mod random;
mod costs;
mod load;
mod batches;
mod device;
mod slots;
mod large;
mod usage;
mod beside;

use costs::MACHINES;
use halkspeech::schedule::Lane;
use load::{Arrivals, Figures, Load, quantile};

fn main() {
    if std::env::args().any(|a| a == "small") {
        for (machine, lengths, callers) in [
            (0, (2.0, 12.0), 16),
            (0, (20.0, 30.0), 16),
            (1, (30.0, 30.0), 1024),
            (1, (2.0, 30.0), 1024),
            (2, (30.0, 30.0), 1024),
            (2, (2.0, 30.0), 1024),
        ] {
            let m = &MACHINES[machine];
            let count = if m.is_gpu() { 20000 } else { 20000 };
            println!("{} {:?}", m.name, lengths);
            let load = |arrivals, option_sets| Load {
                lengths_s: lengths,
                arrivals,
                option_sets,
                count,
            };
            let cap = batches::simulate(m, &load(Arrivals::Callers(callers), 1), 3).rate;
            for (name, l) in [
                ("callers", load(Arrivals::Callers(callers), 1)),
                ("8 sets", load(Arrivals::Callers(callers), 8)),
                ("50", load(Arrivals::PerSecond(cap * 0.5), 1)),
                ("80", load(Arrivals::PerSecond(cap * 0.8), 1)),
            ] {
                let show = |f: Figures| {
                    format!("{:6.0}/min {:5.2} {:5.2}", f.rate * 60.0, f.p50_s, f.p95_s)
                };
                print!("{name:8} {}", show(batches::simulate(m, &l, 3)));
                for s in if m.is_gpu() {
                    &[1.0, 1.25, 1.5][..]
                } else {
                    &[1.0][..]
                } {
                    print!("  |{s} {}", show(slots::simulate(m, &l, *s, 3)));
                }
                println!();
            }
        }
    }
    if std::env::args().any(|a| a == "beside") {
        for m in [0, 1, 2] {
            for (clips, files) in [(0, 0), (0, 1), (0, 4), (0, 16), (0, 64), (64, 0)] {
                let l = beside::simulate(&MACHINES[m], beside::Others { clips, files }, 300);
                println!(
                    "{} clips {clips} files {files}: p50 {:.2} p95 {:.2} max {:.2} one encoding of 30 s {:.2}",
                    MACHINES[m].name,
                    quantile(&l, 0.5),
                    quantile(&l, 0.95),
                    quantile(&l, 1.0),
                    MACHINES[m].encode_s(30.0)
                );
            }
        }
    }
    for (m, patience, files) in [(1, 600.0, 32), (1, 4.0, 32), (2, 600.0, 32), (2, 30.0, 32)] {
        let sessions = if m == 2 { 60 } else { 300 };
        let t = large::Traffic {
            callers: 10000,
            patience_s: patience,
            live_sessions: sessions,
            files,
            windows_of_file: 16,
            seconds: 180.0,
        };
        let o = large::simulate(&MACHINES[m], t, 1.25);
        let q = |v: &Vec<f64>| {
            let mut v = v.clone();
            v.sort_by(f64::total_cmp);
            format!(
                "p50 {:.3} p95 {:.3} n {}",
                quantile(&v, 0.5),
                quantile(&v, 0.95),
                v.len()
            )
        };
        println!("{} patience {patience} files {files}", MACHINES[m].name);
        println!(
            "  live waits {}  latency {}",
            q(&o.live_waits_s),
            q(&o.live_latencies_s)
        );
        println!("  steps {}  calls {}", q(&o.steps_s), q(&o.calls_s));
        println!(
            "  clips {}  totals {}",
            q(&o.clip_latencies_s),
            q(&o.clip_totals_s)
        );
        let kept = o
            .returns
            .iter()
            .filter(|r| (1.0..=1.5).contains(*r))
            .count();
        println!(
            "  refusals {} retry {} returns {} kept {:.3} expired {} bulk {}",
            o.refusals,
            q(&o.retry_after_s),
            q(&o.returns),
            kept as f64 / o.returns.len().max(1) as f64,
            o.expired,
            o.bulk_windows
        );
        for lane in Lane::ALL {
            println!("  {lane:?} {:?}", o.usage.least_share(lane));
        }
    }
}
