//! A report for people, as text.
//!
//! Reasons not to use the figures come first. The rest is in the order of the
//! questions of a reader: the load, its outcome, the times, the cost.

use super::columns::Columns;
use super::model::{
    CallReport, Counts, Distribution, Errors, FanoutReport, Load, Outcome, Pace, ProcessUse,
    Report, Slope, SoakReport, SoakStep, SweepReport,
};
use super::quantity::{bytes, count, number, time};

/// Name of the time from sending a request to its whole answer.
pub(crate) const SERVICE_TIME: &str = "service time";
/// Name of the time by which the generator sent a request late.
pub(crate) const SEND_DELAY: &str = "send delay";
/// The times of a call explained, under their table.
const TIMES: &str = "\
latency: from the time a request was due to its whole answer
service time: from the time it was sent to its whole answer
send delay (open loop): from the time it was due and had a connection to the time it was sent
";

/// The whole report.
pub fn table(report: &Report) -> String {
    let mut text: String = warnings(report)
        .iter()
        .map(|warning| format!("{warning}\n"))
        .collect();
    text += &head(report);
    text + "\n" + &body(report)
}

/// The figures of the command.
pub(crate) fn body(report: &Report) -> String {
    match &report.outcome {
        Outcome::Call(call) => call_text(call),
        Outcome::Soak(soak) => soak_text(soak),
        Outcome::Fanout(fanout) => fanout_text(fanout),
        Outcome::Sweep(sweep) => sweep_text(sweep),
    }
}

/// The reasons not to use the figures, a line each.
pub(crate) fn warnings(report: &Report) -> Vec<String> {
    let invalid = report.invalid.iter();
    let mut lines: Vec<String> = invalid.map(|why| format!("INVALID: {why}")).collect();
    if report.interrupted {
        lines.push("INTERRUPTED: the run was ended early".to_owned());
    }
    lines
}

/// The server, the command line, the machine and the time of the run, a line each.
pub(crate) fn head(report: &Report) -> String {
    let profile = report.server_profile.as_deref().unwrap_or("not named");
    format!(
        "server     {}, revision {}, profile {profile}\narguments  {}\nmachine    {}\n\
         date       {}\n",
        report.url,
        report.revision,
        report.arguments.join(" "),
        report.environment.line(),
        report.environment.date(),
    )
}

fn call_text(call: &CallReport) -> String {
    let mut latencies = latency_columns();
    add_latency(&mut latencies, "latency", &call.latency);
    add_latency(&mut latencies, SERVICE_TIME, &call.service);
    if let Some(slip) = &call.schedule_slip {
        add_latency(&mut latencies, SEND_DELAY, slip);
    }
    let mut methods = Columns::with_head(&["method", "answered", "failed", "p50", "p99", "max"]);
    for method in &call.methods {
        methods.add(vec![
            method.name.clone(),
            count(method.answered),
            count(method.failed),
            time_or_dash(&method.latency, method.latency.p50_ns),
            time_or_dash(&method.latency, method.latency.p99_ns),
            time_or_dash(&method.latency, method.latency.max_ns),
        ]);
    }
    format!(
        "load       {}\nmeasured   {} s\nanswers    {}/s\n{}{}\n{}{TIMES}\n{}\n{}",
        load_text(&call.load),
        number(call.measured_s),
        number(call.answers_per_s),
        counts_text(&call.counts),
        errors_line(&call.counts.errors),
        latencies.text(),
        methods.text(),
        processes_text(&call.generator, call.server.as_ref()),
    )
}

fn load_text(load: &Load) -> String {
    format!(
        "{}; {} connections, {} in flight on each; {} threads; {} s of warm-up",
        pace_text(&load.pace),
        count(u64::from(load.connections)),
        load.in_flight,
        load.threads,
        number(load.warmup_s),
    )
}

/// When requests are sent, in words.
pub(crate) fn pace_text(pace: &Pace) -> String {
    match *pace {
        Pace::Closed => "closed loop".to_owned(),
        Pace::Open {
            from_per_s,
            to_per_s,
        } if from_per_s == to_per_s => format!("open loop of {}/s", number(from_per_s)),
        Pace::Open {
            from_per_s,
            to_per_s,
        } => format!(
            "open loop from {}/s to {}/s",
            number(from_per_s),
            number(to_per_s)
        ),
    }
}

/// Sent and answered, then each other count that is not 0.
fn counts_text(counts: &Counts) -> String {
    let rest = [
        ("allowed tool errors", counts.tool_errors),
        ("aborted", counts.aborted),
        ("connections opened", counts.connected),
        ("sessions opened", counts.sessions_opened),
        ("sessions deleted", counts.sessions_deleted),
        ("sessions abandoned", counts.sessions_abandoned),
    ];
    let mut text = format!(
        "requests   {} sent, {} answered",
        count(counts.sent),
        count(counts.answered)
    );
    for (name, amount) in rest.into_iter().filter(|(_, amount)| *amount > 0) {
        text += &format!(", {} {name}", count(amount));
    }
    text + "\n"
}

fn errors_line(errors: &Errors) -> String {
    format!("errors     {}\n", errors_text(errors))
}

/// Those that happened, by name.
fn errors_text(errors: &Errors) -> String {
    let kinds = [
        ("tool_error", errors.tool_error),
        ("protocol", errors.protocol),
        ("http", errors.http),
        ("wrong_answer", errors.wrong_answer),
        ("timeout", errors.timeout),
        ("reset", errors.reset),
        ("connect", errors.connect),
        ("unsent", errors.unsent),
    ];
    let happened: Vec<String> = kinds
        .into_iter()
        .filter(|(_, amount)| *amount > 0)
        .map(|(name, amount)| format!("{name} {}", count(amount)))
        .collect();
    if happened.is_empty() {
        "none".to_owned()
    } else {
        happened.join(", ")
    }
}

fn latency_columns() -> Columns {
    Columns::with_head(&["", "p50", "p90", "p99", "p99.9", "p99.99", "max", "count"])
}

fn add_latency(columns: &mut Columns, name: &str, times: &Distribution) {
    let percentiles = [
        times.p50_ns,
        times.p90_ns,
        times.p99_ns,
        times.p999_ns,
        times.p9999_ns,
        times.max_ns,
    ];
    let mut row = vec![name.to_owned()];
    row.extend(percentiles.map(|ns| time_or_dash(times, ns)));
    row.push(count(times.count));
    columns.add(row);
}

/// A percentile of nothing is no time.
fn time_or_dash(times: &Distribution, ns: u64) -> String {
    if times.count == 0 {
        "-".to_owned()
    } else {
        time(ns as f64)
    }
}

fn processes_text(generator: &ProcessUse, server: Option<&ProcessUse>) -> String {
    let head = [
        "process",
        "pid",
        "CPU",
        "CPU per answer",
        "busiest thread",
        "resident",
    ];
    let mut columns = Columns::with_head(&head);
    columns.add(process_row("generator", generator));
    match server {
        Some(server) => {
            columns.add(process_row("server", server));
            columns.text()
        }
        None => columns.text() + "server     not found on this machine\n",
    }
}

fn process_row(name: &str, process: &ProcessUse) -> Vec<String> {
    vec![
        name.to_owned(),
        process.pid.to_string(),
        format!("{:.2} s", process.cpu_s),
        format!("{:.2} us", process.cpu_us_per_answer),
        format!("{:.1} %", process.busiest_thread_percent),
        bytes(process.rss_bytes as f64),
    ]
}

fn soak_text(soak: &SoakReport) -> String {
    let mut latencies = latency_columns();
    add_latency(&mut latencies, "connect", &soak.connect);
    let mut active_text = String::new();
    if let Some(active) = &soak.active {
        add_latency(&mut latencies, "active", &active.latency);
        if let Some(slip) = &active.schedule_slip {
            add_latency(&mut latencies, SEND_DELAY, slip);
        }
        active_text = format!(
            "active     {}/s for {} s: {} answered, errors: {}\n",
            number(active.rate_per_s),
            number(active.measured_s),
            count(active.answered),
            errors_text(&active.errors),
        );
    }
    format!(
        "held       {} of {} {} connections, {} lost\n\
         ramp       {} s, {} connections/s\n{}{active_text}\n{}\n{}{}\n{}",
        count(soak.held),
        count(soak.asked),
        soak.kind,
        count(soak.lost),
        number(soak.ramp_s),
        number(soak.connections_per_s),
        errors_line(&soak.errors),
        latencies.text(),
        steps_text(&soak.steps),
        slope_text(soak.slope.as_ref()),
        processes_text(&soak.generator, soak.server.as_ref()),
    )
}

fn steps_text(steps: &[SoakStep]) -> String {
    let head = ["held", "at", "resident", "private", "server CPU", "slab"];
    let mut columns = Columns::with_head(&head);
    for step in steps {
        // Nothing runs without resident memory: 0 says that the server was not found.
        let of_server = |text: String| match step.server_rss_bytes {
            0 => "-".to_owned(),
            _ => text,
        };
        columns.add(vec![
            count(step.held),
            format!("{:.2} s", step.at_s),
            of_server(bytes(step.server_rss_bytes as f64)),
            of_server(bytes(step.server_private_bytes as f64)),
            of_server(format!("{:.2} s", step.server_cpu_s)),
            bytes(step.slab_bytes as f64),
        ]);
    }
    columns.text()
}

fn slope_text(slope: Option<&Slope>) -> String {
    let amounts = match slope {
        Some(slope) => format!(
            "resident {}, private {}, slab {}",
            bytes(slope.rss_bytes_per_connection),
            bytes(slope.private_bytes_per_connection),
            bytes(slope.slab_bytes_per_connection),
        ),
        None => "unknown: a slope needs two --steps".to_owned(),
    };
    format!("each connection: {amounts}\n(slab is of the whole machine: both ends)\n")
}

fn fanout_text(fanout: &FanoutReport) -> String {
    let head = [
        "round",
        "delivered",
        "lost",
        "duplicates",
        "p50",
        "p99",
        "last",
    ];
    let mut rounds = Columns::with_head(&head);
    for (at, round) in fanout.rounds.iter().enumerate() {
        rounds.add(vec![
            (at + 1).to_string(),
            count(round.delivered),
            count(round.lost),
            count(round.duplicates),
            time(round.p50_ns as f64),
            time(round.p99_ns as f64),
            time(round.last_ns as f64),
        ]);
    }
    let mut delays = latency_columns();
    add_latency(&mut delays, "delay", &fanout.delay);
    format!(
        "streams    {}, waiting for {}\n{}\n{}\n{}\n{}",
        count(fanout.streams),
        fanout.notification,
        errors_line(&fanout.errors),
        rounds.text(),
        delays.text(),
        processes_text(&fanout.generator, fanout.server.as_ref()),
    )
}

fn sweep_text(sweep: &SweepReport) -> String {
    let head = [
        "rate/s",
        "answers/s",
        "p50",
        "p99",
        "p99.9",
        "max",
        "errors",
        "broke",
    ];
    let mut steps = Columns::with_head(&head);
    for step in &sweep.steps {
        let times = &step.latency;
        let mut row = vec![number(step.rate_per_s), number(step.answers_per_s)];
        let percentiles = [times.p50_ns, times.p99_ns, times.p999_ns, times.max_ns];
        row.extend(percentiles.map(|ns| time_or_dash(times, ns)));
        row.push(errors_text(&step.errors));
        row.push(step.broke.clone().unwrap_or_else(|| "no".to_owned()));
        steps.add(row);
    }
    let limit = time(sweep.p99_limit_ns as f64);
    let capacity = if sweep.capacity_per_s > 0.0 {
        format!("{}/s", number(sweep.capacity_per_s))
    } else {
        "none: no rate kept the limit".to_owned()
    };
    format!(
        "limit      p99 of {limit}\ncapacity   {capacity}\n\n{}",
        steps.text()
    )
}

#[cfg(test)]
mod tests;
