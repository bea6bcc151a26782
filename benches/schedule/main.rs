//! The scheduler in virtual time.
mod random;
mod costs;
mod load;
mod batches;
mod device;
mod slots;

use costs::{MACHINES, Machine};
use load::{Arrivals, Figures, Load};

fn main() {
    for (machine, lengths, callers) in [(0,(2.0,12.0),16),(0,(20.0,30.0),16),(1,(30.0,30.0),1024),(1,(2.0,30.0),1024),(2,(30.0,30.0),1024),(2,(2.0,30.0),1024)] {
        let m = &MACHINES[machine];
        let count = if m.is_gpu() {6000} else {1200};
        println!("{} {:?}", m.name, lengths);
        let load = |arrivals, option_sets| Load{lengths_s: lengths, arrivals, option_sets, count};
        let cap = batches::simulate(m, &load(Arrivals::Callers(callers),1), 3).rate;
        for (name, l) in [("callers", load(Arrivals::Callers(callers),1)),("8 sets", load(Arrivals::Callers(callers),8)),("50", load(Arrivals::PerSecond(cap*0.5),1)),("80", load(Arrivals::PerSecond(cap*0.8),1))] {
            let show = |f: Figures| format!("{:6.0}/min {:5.2} {:5.2}", f.rate*60.0, f.p50_s, f.p95_s);
            print!("{name:8} {}", show(batches::simulate(m,&l,3)));
            for s in if m.is_gpu() {&[1.0,1.25,1.5][..]} else {&[1.0][..]} {
                print!("  |{s} {}", show(slots::simulate(m,&l,*s,3)));
            }
            println!();
        }
    }
    let _ = Machine::is_gpu;
}
