//! `corelane-sim`: runs seeds of the simulated cluster.

use corelane_sim::options::Options;
use corelane_sim::world::run;

fn main() {
    let mut args = std::env::args().skip(1);
    let from: u64 = args.next().and_then(|it| it.parse().ok()).unwrap_or(1);
    let count: u64 = args.next().and_then(|it| it.parse().ok()).unwrap_or(1);
    let trace = args.next().is_some();
    for seed in from..from + count {
        let report = run(
            seed,
            &Options {
                is_traced: trace,
                ..Options::default()
            },
        );
        println!(
            "{seed} {:x} {} {:?} {:?}",
            report.hash, report.events, report.answers, report.finding
        );
    }
}
