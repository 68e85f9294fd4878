//! A report as one page that needs nothing else: no script, no font, no other file.
//!
//! The figures are the text of [`table`](super::table::table), so that page and terminal never
//! differ; plots stand below. Invariant: every text that comes from the report is escaped.

use super::axis::Scale;
use super::model::{
    CallReport, Distribution, FanoutReport, Outcome, Report, SoakReport, SoakStep, SweepReport,
};
use super::plot::{AxisStyle, Plot, Series, colours};
use super::quantity::{number, time};
use super::table::{SEND_DELAY, SERVICE_TIME, body, head, warnings};
use plotters::style::RGBColor;

/// Plots stand in as many columns as fit; on a phone that is one, and tables scroll sideways.
const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:1040px;margin:1em auto;padding:0 1em}\
    h1,.head{overflow-wrap:anywhere}h1{font-size:1.4em}h2{font-size:1.1em;margin:0}\
    pre{background:#f4f4f4;padding:1em;font-size:13px;line-height:1.4;overflow-x:auto}\
    .head{white-space:pre-wrap}\
    .invalid{background:#b00020;color:#fff;padding:.6em 1em}\
    .plots{display:grid;gap:2em;grid-template-columns:repeat(auto-fit,minmax(min(100%,29em),1fr))}\
    figure{margin:0}svg{width:100%;height:auto}\
    .legend{margin:0;padding:0;list-style:none}.legend li{display:inline-block;margin-right:1.5em}\
    .legend svg{width:1.5em;height:.6em;margin-right:.4em}";

const PERCENTILE: AxisStyle = AxisStyle {
    title: "percentile",
    scale: Scale::Percentile,
    label: |percentile| percentile.to_string(),
};
const LATENCY: AxisStyle = AxisStyle {
    title: "time",
    scale: Scale::Logarithmic,
    label: time,
};
const SECONDS: AxisStyle = linear("seconds since measuring began", number);
const ANSWERS: AxisStyle = linear("answers per second", number);
const RATE: AxisStyle = linear("requests due per second", number);
const CONNECTIONS: AxisStyle = linear("connections held", number);
const MEMORY: AxisStyle = linear("memory in MiB", number);

const BYTES_PER_MIB: f64 = 1024.0 * 1024.0;

const fn linear(title: &'static str, label: fn(f64) -> String) -> AxisStyle {
    AxisStyle {
        title,
        scale: Scale::Linear,
        label,
    }
}

/// The whole page.
pub fn html(report: &Report) -> String {
    let (command, plots) = match &report.outcome {
        Outcome::Call(call) => ("call", call_plots(call)),
        Outcome::Soak(soak) => ("soak", soak_plots(soak)),
        Outcome::Fanout(fanout) => ("fanout", fanout_plots(fanout)),
        Outcome::Sweep(sweep) => ("sweep", sweep_plots(sweep)),
    };
    let url = escape(&report.url);
    let invalid: String = warnings(report)
        .iter()
        .map(|warning| format!("<p class=\"invalid\">{}</p>\n", escape(warning)))
        .collect();
    let figures: String = plots.iter().map(figure).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{command} {url}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{command} {url}</h1>\n{invalid}<pre class=\"head\">{}</pre>\n<pre>{}</pre>\n\
         <div class=\"plots\">\n{figures}</div>\n</body>\n</html>\n",
        escape(&head(report)),
        escape(&body(report)),
    )
}

fn figure(plot: &Plot) -> String {
    let drawn = match plot.svg() {
        Ok(Some(svg)) => legend(plot) + &svg,
        Ok(None) => "<p>Nothing was recorded.</p>".to_owned(),
        Err(fault) => format!("<p>Not drawn: {}.</p>", escape(&fault.to_string())),
    };
    let title = escape(plot.title);
    format!("<figure>\n<h2>{title}</h2>\n{drawn}\n</figure>\n")
}

/// The name of each series beside its colour, above the plot so that no data is covered.
fn legend(plot: &Plot) -> String {
    let names = plot.series.iter().zip(colours()).map(|(series, colour)| {
        let RGBColor(red, green, blue) = colour;
        let name = escape(series.name);
        format!(
            "<li><svg viewBox=\"0 0 1 1\" preserveAspectRatio=\"none\" \
             fill=\"rgb({red},{green},{blue})\"><rect width=\"1\" height=\"1\"/></svg>{name}</li>"
        )
    });
    format!("<ul class=\"legend\">{}</ul>\n", names.collect::<String>())
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
        curve(SERVICE_TIME, &call.service),
    ];
    if let Some(slip) = &call.schedule_slip {
        curves.push(curve(SEND_DELAY, slip));
    }
    let seconds = |name, value: fn(&super::model::Second) -> f64| Series {
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
            series: vec![seconds("correct answers", |at| at.answers_per_s)],
        },
        Plot {
            title: "Latency by time",
            x: SECONDS,
            y: LATENCY,
            series: vec![
                seconds("p50", |at| at.p50_ns as f64),
                seconds("p99", |at| at.p99_ns as f64),
                seconds("max", |at| at.max_ns as f64),
            ],
        },
    ]
}

fn percentiles(title: &'static str, lines: Vec<Series>) -> Plot {
    Plot {
        title,
        x: PERCENTILE,
        y: LATENCY,
        series: lines,
    }
}

fn curve(name: &'static str, times: &Distribution) -> Series {
    let point = |at: &super::model::CurvePoint| (at.percentile, at.time_ns as f64);
    Series {
        name,
        points: times.curve.iter().map(point).collect(),
    }
}

fn soak_plots(soak: &SoakReport) -> Vec<Plot> {
    let steps = &soak.steps;
    let mut server = Vec::new();
    // Memory of a server that was not found is 0 at each step, which is no memory to show.
    if steps.iter().any(|step| step.server_rss_bytes > 0) {
        server.push(memory("resident", steps, |step| step.server_rss_bytes));
        server.push(memory("private", steps, |step| step.server_private_bytes));
    }
    let slab = vec![memory("slab", steps, |step| step.slab_bytes)];
    let mut times = vec![curve("connect", &soak.connect)];
    if let Some(active) = &soak.active {
        times.push(curve("active calls", &active.latency));
    }
    let over_connections = |title, lines| Plot {
        title,
        x: CONNECTIONS,
        y: MEMORY,
        series: lines,
    };
    vec![
        over_connections("Memory of the server by connections", server),
        over_connections("Slab of the whole machine (both ends) by connections", slab),
        percentiles("Time by percentile", times),
    ]
}

fn memory(name: &'static str, steps: &[SoakStep], value: fn(&SoakStep) -> u64) -> Series {
    let point = |step: &SoakStep| (step.held as f64, value(step) as f64 / BYTES_PER_MIB);
    Series {
        name,
        points: steps.iter().map(point).collect(),
    }
}

fn fanout_plots(fanout: &FanoutReport) -> Vec<Plot> {
    let delays = vec![curve("delay", &fanout.delay)];
    vec![percentiles("Delay by percentile of streams", delays)]
}

fn sweep_plots(sweep: &SweepReport) -> Vec<Plot> {
    let mut steps: Vec<&super::model::SweepStep> = sweep.steps.iter().collect();
    steps.sort_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s));
    let line = |name, value: fn(&super::model::SweepStep) -> f64| Series {
        name,
        points: steps.iter().map(|at| (at.rate_per_s, value(at))).collect(),
    };
    vec![
        Plot {
            title: "Latency by rate",
            x: RATE,
            y: LATENCY,
            series: vec![
                line("p50", |step| step.latency.p50_ns as f64),
                line("p99", |step| step.latency.p99_ns as f64),
                Series {
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
            series: vec![line("correct answers", |step| step.answers_per_s)],
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, samples};
    use super::{escape, html};

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
            assert_eq!(
                page.matches("<svg width").count(),
                page.matches("<h2>").count()
            );
            for outside in [
                "<script", "<link", "<img", "src=", "href=", "@import", "url(",
            ] {
                assert!(!page.contains(outside), "{outside}");
            }
        }
        let page = html(&samples::call());
        for label in ["50", "90", "99", "99.9", "99.99"] {
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
        let mut report = samples::soak();
        if let Outcome::Soak(soak) = &mut report.outcome {
            soak.steps.clear();
            soak.connect = Default::default();
            soak.active = None;
        }
        let page = html(&report);
        assert_eq!(page.matches("Nothing was recorded.").count(), 3);
    }
}
