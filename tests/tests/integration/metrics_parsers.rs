//! Metrics in the eyes of others: promtool of Prometheus, and the parsers of its Python client.

use std::io::Write;
use std::process::{Command, Stdio};

use corelane_tests::conformance;
use corelane_tests::scrape::page;

use crate::metrics::{cause_series, measured};

pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";

/// Parses standard input with the parser of the format, and prints how many samples there are.
const PARSE: &str = "
import sys
text = sys.stdin.read()
if sys.argv[1] == 'open':
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
else:
    from prometheus_client.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(text))
assert len({family.name for family in families}) == len(families), 'a family is there twice'
for family in families:
    assert family.type in ('counter', 'gauge', 'histogram'), family
    assert family.documentation, family
    for sample in family.samples:
        if sample.exemplar:
            assert sample.name.endswith('_bucket'), sample
            assert sample.exemplar.value <= float(sample.labels['le']), sample
            assert sample.exemplar.timestamp, sample
            tool = sample.labels.get('gen_ai_tool_name', '-')
            print(family.name, tool, *sample.exemplar.labels.values())
print(sum(len(family.samples) for family in families))
";

/// The exemplars of a text in OpenMetrics: the family, the tool, and the trace of each.
pub(crate) fn exemplars_of(text: &str) -> Vec<String> {
    let python = conformance::python("python");
    let (accepts, said) = checked(Command::new(python).args(["-c", PARSE, "open"]), text);
    assert!(accepts, "{said}");
    let lines = said.lines().filter(|line| line.contains(' '));
    lines.map(str::to_owned).collect()
}

/// What a program says about a text, and whether it accepts it.
fn checked(program: &mut Command, text: &str) -> (bool, String) {
    let program = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = program
        .spawn()
        .expect("perf-scripts/test.sh installs the program");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn others_parse_both_formats() {
    let server = measured(2).start();
    cause_series(&server);
    let address = server.metrics_address();
    let plain = page(address, "/metrics", "text/plain; version=0.0.4");
    let open = page(address, "/metrics", OPEN_METRICS);
    assert!(open.ends_with("# EOF\n") && !plain.contains("# EOF"));

    let (accepts, said) = checked(Command::new("promtool").args(["check", "metrics"]), &plain);
    assert!(accepts && said.is_empty(), "{said}");

    let python = conformance::python("python");
    for (format, text) in [("plain", &plain), ("open", &open)] {
        let (accepts, said) = checked(Command::new(&python).args(["-c", PARSE, format]), text);
        assert!(accepts, "{format}: {said}");
        let lines = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(said.trim(), lines.to_string(), "{format}");
    }
}

#[test]
fn a_query_selects_families() {
    let server = measured(1).start();
    let address = server.metrics_address();
    let some = page(
        address,
        "/metrics?names[]=corelane_shard_&names[]=process_",
        "",
    );
    let samples: Vec<&str> = some.lines().filter(|line| !line.starts_with('#')).collect();
    let is_selected =
        |line: &&&str| line.starts_with("corelane_shard_") || line.starts_with("process_");
    assert!(samples.len() > 5, "{some}");
    assert_eq!(
        samples.iter().filter(is_selected).count(),
        samples.len(),
        "{some}"
    );
}
