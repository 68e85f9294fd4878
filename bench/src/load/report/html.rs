//! A report as one page that needs nothing else: no script, no font, no other file.
//!
//! The figures are the text of [`table`](super::table::table()), so that page and terminal never differ;
//! plots stand below. Invariant: every text that comes from the report is escaped.

use super::axis::Scale;
use super::model::{
    CallReport, Distribution, FanReport, HoldReport, HoldStep, Outcome, Report, SweepReport,
};
use super::plot::{Line, Plot, Side};
use super::quantity::{number, time};
use super::table::table;

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:960px;margin:2em auto;padding:0 1em}\
    pre{overflow-x:auto;background:#f4f4f4;padding:1em;font-size:13px}\
    .invalid{background:#b00020;color:#fff;padding:.6em 1em}svg{max-width:100%;height:auto}";

const PERCENTILE: Side = Side {
    title: "percentile",
    scale: Scale::Percentile,
    label: |percentile| format!("{percentile} %"),
};
const LATENCY: Side = Side {
    title: "latency",
    scale: Scale::Logarithmic,
    label: time,
};
const SECONDS: Side = linear("seconds since measuring began", number);
const ANSWERS: Side = linear("answers per second", number);
const RATE: Side = linear("requests due per second", number);
const CONNECTIONS: Side = linear("connections held", number);
const MEMORY: Side = linear("memory in MiB", number);

const BYTES_PER_MIB: f64 = 1024.0 * 1024.0;

const fn linear(title: &'static str, label: fn(f64) -> String) -> Side {
    Side {
        title,
        scale: Scale::Linear,
        label,
    }
}

/// The whole page.
pub fn html(report: &Report) -> String {
    let (command, plots) = match &report.outcome {
        Outcome::Call(call) => ("call", call_plots(call)),
        Outcome::Hold(hold) => ("hold", hold_plots(hold)),
        Outcome::Fan(fan) => ("fan", fan_plots(fan)),
        Outcome::Sweep(sweep) => ("sweep", sweep_plots(sweep)),
    };
    let url = escape(&report.url);
    let invalid: String = report
        .invalid
        .iter()
        .map(|reason| format!("<p class=\"invalid\">INVALID: {}</p>\n", escape(reason)))
        .collect();
    let figures: String = plots.iter().map(figure).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{command} {url}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{command} {url}</h1>\n{invalid}<pre>{}</pre>\n{figures}</body>\n</html>\n",
        escape(&table(report)),
    )
}

fn figure(plot: &Plot) -> String {
    let drawn = match plot.svg() {
        Ok(Some(svg)) => svg,
        Ok(None) => "<p>Nothing was recorded.</p>".to_owned(),
        Err(fault) => format!("<p>Not drawn: {}.</p>", escape(&fault.to_string())),
    };
    format!("<h2>{}</h2>\n{drawn}\n", escape(plot.title))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn call_plots(call: &CallReport) -> Vec<Plot> {
    let mut curves = vec![
        curve("latency", &call.latency),
        curve("service", &call.service),
    ];
    if let Some(slip) = &call.schedule_slip {
        curves.push(curve("schedule slip", slip));
    }
    let seconds = |name, value: fn(&super::model::Second) -> f64| Line {
        name,
        points: call
            .timeline
            .iter()
            .map(|at| (at.at_s, value(at)))
            .collect(),
    };
    vec![
        percentiles("Latency by percentile", curves),
        Plot {
            title: "Answers by time",
            x: SECONDS,
            y: ANSWERS,
            lines: vec![seconds("right answers", |at| at.answers_per_s)],
        },
        Plot {
            title: "Latency by time",
            x: SECONDS,
            y: LATENCY,
            lines: vec![
                seconds("p50", |at| at.p50_ns as f64),
                seconds("p99", |at| at.p99_ns as f64),
                seconds("max", |at| at.max_ns as f64),
            ],
        },
    ]
}

fn percentiles(title: &'static str, lines: Vec<Line>) -> Plot {
    Plot {
        title,
        x: PERCENTILE,
        y: LATENCY,
        lines,
    }
}

fn curve(name: &'static str, times: &Distribution) -> Line {
    let point = |at: &super::model::CurvePoint| (at.percentile, at.time_ns as f64);
    Line {
        name,
        points: times.curve.iter().map(point).collect(),
    }
}

fn hold_plots(hold: &HoldReport) -> Vec<Plot> {
    let steps = &hold.steps;
    let mut server = Vec::new();
    let mut slab = vec![memory("slab", steps, |step| step.slab_bytes)];
    // Memory of a server that was not found is 0 at each step, which is no memory to show.
    if steps.iter().any(|step| step.server_rss_bytes > 0) {
        server.push(memory("resident", steps, |step| step.server_rss_bytes));
        server.push(memory("private", steps, |step| step.server_private_bytes));
    }
    if let Some(slope) = &hold.slope {
        if let [resident, private] = &server[..] {
            let fits = [
                fit("resident, slope", resident, slope.rss_bytes_per_connection),
                fit(
                    "private, slope",
                    private,
                    slope.private_bytes_per_connection,
                ),
            ];
            server.extend(fits);
        }
        slab.push(fit(
            "slab, slope",
            &slab[0],
            slope.slab_bytes_per_connection,
        ));
    }
    let mut times = vec![curve("connect", &hold.connect)];
    if let Some(active) = &hold.active {
        times.push(curve("active calls", &active.latency));
    }
    let over_connections = |title, lines| Plot {
        title,
        x: CONNECTIONS,
        y: MEMORY,
        lines,
    };
    vec![
        over_connections("Memory of the server by connections", server),
        over_connections("Slab of the whole machine (both ends) by connections", slab),
        percentiles("Time by percentile", times),
    ]
}

fn memory(name: &'static str, steps: &[HoldStep], value: fn(&HoldStep) -> u64) -> Line {
    let point = |step: &HoldStep| (step.held as f64, value(step) as f64 / BYTES_PER_MIB);
    Line {
        name,
        points: steps.iter().map(point).collect(),
    }
}

/// The line of least squares: it has the slope and passes through the mean of the points.
fn fit(name: &'static str, line: &Line, slope_bytes: f64) -> Line {
    let held = line.points.iter().map(|point| point.0);
    let (from, to) = held.clone().fold((f64::INFINITY, 0.0), |(from, to), held| {
        (f64::min(from, held), f64::max(to, held))
    });
    let count = line.points.len() as f64;
    let mean_held = held.sum::<f64>() / count;
    let mean_mib = line.points.iter().map(|point| point.1).sum::<f64>() / count;
    let at = |held| {
        (
            held,
            mean_mib + slope_bytes / BYTES_PER_MIB * (held - mean_held),
        )
    };
    Line {
        name,
        points: vec![at(from), at(to)],
    }
}

fn fan_plots(fan: &FanReport) -> Vec<Plot> {
    let delays = vec![curve("delay", &fan.delay)];
    vec![percentiles("Delay by percentile of streams", delays)]
}

fn sweep_plots(sweep: &SweepReport) -> Vec<Plot> {
    let mut steps: Vec<&super::model::SweepStep> = sweep.steps.iter().collect();
    steps.sort_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s));
    let line = |name, value: fn(&super::model::SweepStep) -> f64| Line {
        name,
        points: steps.iter().map(|at| (at.rate_per_s, value(at))).collect(),
    };
    vec![
        Plot {
            title: "Latency by rate",
            x: RATE,
            y: LATENCY,
            lines: vec![
                line("p50", |step| step.latency.p50_ns as f64),
                line("p99", |step| step.latency.p99_ns as f64),
                Line {
                    name: "limit of p99",
                    points: steps
                        .iter()
                        .map(|step| (step.rate_per_s, sweep.p99_limit_ns as f64))
                        .collect(),
                },
            ],
        },
        Plot {
            title: "Answers by rate",
            x: RATE,
            y: ANSWERS,
            lines: vec![line("right answers", |step| step.answers_per_s)],
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, samples};
    use super::{BYTES_PER_MIB, Line, escape, fit, html};

    #[test]
    fn a_page_has_its_plots_and_needs_nothing_else() {
        let titles: [&[&str]; 4] = [
            &[
                "Latency by percentile",
                "Answers by time",
                "Latency by time",
            ],
            &[
                "Memory of the server by connections",
                "Slab of the whole machine",
            ],
            &["Delay by percentile of streams"],
            &["Latency by rate", "Answers by rate"],
        ];
        for (report, titles) in samples::all().iter().zip(titles) {
            let page = html(report);
            for title in titles {
                assert!(page.contains(title), "{title}");
            }
            assert_eq!(page.matches("<svg ").count(), page.matches("<h2>").count());
            for outside in [
                "<script", "<link", "<img", "src=", "href=", "@import", "url(",
            ] {
                assert!(!page.contains(outside), "{outside}");
            }
        }
        let page = html(&samples::call());
        for label in ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"] {
            assert!(page.contains(&format!("\n{label}\n")), "{label}");
        }
    }

    #[test]
    fn texts_of_the_report_are_escaped() {
        let mut report = samples::call();
        report.invalid = vec!["<script>alert('1')</script>".to_owned()];
        let page = html(&report);
        for raw in ["<b>", "<2>", "<9000>", "<script"] {
            assert!(!page.contains(raw), "{raw}");
        }
        let banner = "<p class=\"invalid\">INVALID: &lt;script&gt;alert(&#39;1&#39;)";
        assert!(page.contains(banner));
        assert!(page.contains("mcp?a=1&amp;b=&lt;2&gt;"));
        assert_eq!(escape("a\"&lt;'"), "a&quot;&amp;lt;&#39;");
    }

    #[test]
    fn a_run_in_which_nothing_happened_is_a_page_too() {
        let mut report = samples::hold();
        if let Outcome::Hold(hold) = &mut report.outcome {
            hold.steps.clear();
            hold.connect = Default::default();
            hold.active = None;
        }
        let page = html(&report);
        assert_eq!(page.matches("Nothing was recorded.").count(), 3);
    }

    #[test]
    fn the_fit_passes_through_the_mean() {
        let line = Line {
            name: "",
            points: vec![(10.0, 100.0), (20.0, 340.0), (30.0, 460.0)],
        };
        assert_eq!(
            fit("", &line, 18.0 * BYTES_PER_MIB).points,
            [(10.0, 120.0), (30.0, 480.0)]
        );
    }
}
