//! One plausible report of each command, for the tests of its readers.
//!
//! Invariant: the figures of one report fit together as those of a real run do.

use super::model::{
    ActiveReport, CallReport, Counts, CurvePoint, Distribution, Errors, FanoutReport, FanoutRound,
    Load, MethodReport, Outcome, Pace, ProcessUse, Report, SCHEMA_VERSION, Second, Slope,
    SoakReport, SoakStep, SweepReport, SweepStep,
};
use crate::environment::Environment;

/// A report of each command.
pub(crate) fn all() -> [Report; 4] {
    [call(), soak(), fanout(), sweep()]
}

/// The report of `call`: an open loop of 100,000 requests in 10 s.
pub(crate) fn call() -> Report {
    report(Outcome::Call(CallReport {
        load: Load {
            pace: Pace::Open {
                from_per_s: 10_000.0,
                to_per_s: 10_000.0,
            },
            connections: 64,
            in_flight: 1,
            threads: 1,
            warmup_s: 2.0,
        },
        measured_s: 10.0,
        counts: Counts {
            sent: 100_000,
            answered: 99_996,
            connected: 64,
            errors: errors(),
            ..Counts::default()
        },
        answers_per_s: 9_999.6,
        latency: distribution(99_996, 60_000),
        service: distribution(99_996, 55_000),
        schedule_slip: Some(distribution(100_000, 900)),
        methods: vec![MethodReport {
            name: "tools/call echo".to_owned(),
            answered: 99_996,
            failed: 4,
            latency: distribution(99_996, 60_000),
        }],
        timeline: (1..=10).map(second).collect(),
        generator: process(4_001, 6.0),
        server: Some(process(4_000, 4.5)),
    }))
}

/// The report of `soak`: 20,000 idle connections, of which some make calls.
pub(crate) fn soak() -> Report {
    report(Outcome::Soak(SoakReport {
        kind: "idle".to_owned(),
        asked: 20_000,
        held: 19_999,
        lost: 1,
        ramp_s: 0.5,
        connections_per_s: 40_000.0,
        errors: Errors::default(),
        connect: distribution(20_000, 80_000),
        steps: (1..=4).map(soak_step).collect(),
        slope: Some(Slope {
            rss_bytes_per_connection: 48.0,
            private_bytes_per_connection: 44.0,
            slab_bytes_per_connection: 7_400.0,
        }),
        active: Some(ActiveReport {
            rate_per_s: 200.0,
            measured_s: 5.0,
            answered: 1_000,
            errors: Errors::default(),
            latency: distribution(1_000, 70_000),
            schedule_slip: Some(distribution(1_000, 900)),
        }),
        generator: process(4_001, 1.0),
        server: Some(process(4_000, 0.5)),
    }))
}

/// The report of `fanout`: three changes broadcast to 1,000 streams.
pub(crate) fn fanout() -> Report {
    let round = |last_ns| FanoutRound {
        delivered: 1_000,
        lost: 0,
        duplicates: 0,
        p50_ns: 2_000_000,
        p99_ns: 4_000_000,
        last_ns,
    };
    report(Outcome::Fanout(FanoutReport {
        streams: 1_000,
        notification: "notifications/tools/list_changed".to_owned(),
        rounds: vec![round(4_500_000), round(9_000_000), round(5_000_000)],
        delay: distribution(3_000, 2_000_000),
        errors: Errors::default(),
        generator: process(4_001, 0.2),
        server: None,
    }))
}

/// The report of `sweep`: three rates kept, one broke.
pub(crate) fn sweep() -> Report {
    let step = |rate_per_s: f64, p50_ns, broke: Option<&str>| SweepStep {
        rate_per_s,
        answers_per_s: rate_per_s * 0.75,
        latency: distribution(10_000, p50_ns),
        errors: Errors {
            unsent: if broke.is_some() { 25 } else { 0 },
            ..Errors::default()
        },
        broke: broke.map(str::to_owned),
    };
    report(Outcome::Sweep(SweepReport {
        p99_limit_ns: 2_000_000,
        capacity_per_s: 150_000.0,
        steps: vec![
            step(50_000.0, 60_000, None),
            step(100_000.0, 70_000, None),
            step(200_000.0, 900_000, Some("p99 of 5.40 ms exceeds 2.00 ms")),
            step(150_000.0, 90_000, None),
        ],
    }))
}

fn report(outcome: Outcome) -> Report {
    Report {
        schema_version: SCHEMA_VERSION,
        environment: Environment {
            commit: "0123456789ab".to_owned(),
            cpu: "Example <9000> & Sons".to_owned(),
            cores: 2,
            governor: "unknown".to_owned(),
            kernel: "6.18.0".to_owned(),
            load_average: "0.25".to_owned(),
            is_release: true,
            unix_time_s: 1_790_000_000,
        },
        server_profile: Some("production".to_owned()),
        arguments: vec!["--label".to_owned(), "<b>a & 'b'</b>".to_owned()],
        url: "http://127.0.0.1:8080/mcp?a=1&b=<2>".to_owned(),
        revision: "2026-07-28".to_owned(),
        interrupted: false,
        invalid: Vec::new(),
        error_samples: Vec::new(),
        outcome,
    }
}

fn errors() -> Errors {
    Errors {
        timeout: 3,
        reset: 1,
        ..Errors::default()
    }
}

fn process(pid: u32, cpu_s: f64) -> ProcessUse {
    ProcessUse {
        pid,
        cpu_s,
        cpu_us_per_answer: cpu_s * 10.0,
        busiest_thread_percent: cpu_s * 10.0,
        rss_bytes: 12 << 20,
    }
}

fn second(at: u32) -> Second {
    Second {
        at_s: f64::from(at),
        answers_per_s: 10_000.0 - f64::from(at % 3),
        errors: u64::from(at == 4) * 4,
        p50_ns: 60_000 + u64::from(at) * 100,
        p99_ns: 300_000 + u64::from(at % 4) * 10_000,
        max_ns: 900_000 + u64::from(at % 5) * 100_000,
    }
}

fn soak_step(step: u64) -> SoakStep {
    let held = step * 5_000;
    SoakStep {
        held,
        at_s: step as f64 * 0.125,
        server_rss_bytes: (8 << 20) + held * 48,
        server_private_bytes: (5 << 20) + held * 44,
        server_cpu_s: step as f64 * 0.125,
        slab_bytes: (300 << 20) + held * 7_400,
    }
}

/// A distribution with that median and a tail six times as high at 99 %.
fn distribution(count: u64, p50_ns: u64) -> Distribution {
    let shares = [
        (0.0, 8),
        (50.0, 10),
        (75.0, 14),
        (90.0, 25),
        (99.0, 60),
        (99.9, 110),
        (99.99, 160),
        (100.0, 200),
    ];
    let times = shares.map(|(percentile, tenths)| CurvePoint {
        percentile,
        time_ns: p50_ns * tenths / 10,
        count: ((count as f64 * percentile / 100.0).round() as u64).max(1),
    });
    Distribution {
        count,
        min_ns: times[0].time_ns,
        mean_ns: (p50_ns + p50_ns / 4) as f64,
        p50_ns: times[1].time_ns,
        p90_ns: times[3].time_ns,
        p99_ns: times[4].time_ns,
        p999_ns: times[5].time_ns,
        p9999_ns: times[6].time_ns,
        max_ns: times[7].time_ns,
        curve: times.to_vec(),
    }
}
