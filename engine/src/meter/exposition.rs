//! Metrics as text: version 0.0.4 of Prometheus, and OpenMetrics 1.0.0.
//!
//! The catalogue decides what is written and in which order. The text is bounded: a family that
//! does not fit is left out with all that follow it, and that is counted.

use std::fmt::{self, Write};

use super::catalogue::{Family, FamilyType};
use super::exemplars::Exemplar;

/// The most bytes of a text, in bytes; the family about overflow comes on top.
pub(crate) const TEXT_BYTES_MAX: usize = 4 << 20;

/// A format of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Version 0.0.4 of Prometheus.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The one that a client prefers, by its header `Accept`.
    pub(crate) fn accepted(accept: &str) -> Format {
        let quality_of = |kind: &str| {
            let mut ranges = accept.split(',').map(str::trim);
            let range = ranges.find(|range| range.split(';').next() == Some(kind))?;
            let mut parameters = range.split(';').map(str::trim);
            let quality = parameters.find_map(|parameter| parameter.strip_prefix("q="));
            Some(quality.map_or(1.0, |quality| quality.parse::<f64>().unwrap_or_default()))
        };
        let open = quality_of("application/openmetrics-text").unwrap_or_default();
        let plain = quality_of("text/plain").unwrap_or_default();
        match open > 0.0 && open >= plain {
            true => Format::OpenMetrics,
            false => Format::Prometheus,
        }
    }

    /// Its `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A label of a sample.
pub(crate) type Label<'a> = (&'static str, &'a str);

/// The value of the label with this name.
pub(crate) fn value_of<'a>(labels: &[Label<'a>], name: &str) -> Option<&'a str> {
    let label = labels.iter().find(|label| label.0 == name)?;
    Some(label.1)
}

/// A text that is being written, family by family.
pub(crate) struct Exposition {
    text: String,
    format: Format,
    /// Where the present family begins, and whether its description was written.
    family: (usize, bool),
    /// Whether a family was left out.
    is_cut: bool,
}

impl Exposition {
    /// An empty text.
    pub(crate) fn new(format: Format) -> Exposition {
        Exposition {
            text: String::with_capacity(64 << 10),
            format,
            family: (0, false),
            is_cut: false,
        }
    }

    /// Whether a family was left out: then only the one about that may follow.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Begins a family. Its description is written with its first sample, if there is any.
    pub(crate) fn begin(&mut self) {
        self.family = (self.text.len(), false);
    }

    /// Ends a family; leaves it out if the text is too long with it.
    pub(crate) fn end(&mut self) {
        if self.text.len() > TEXT_BYTES_MAX {
            self.text.truncate(self.family.0);
            self.is_cut = true;
        }
    }

    /// Writes a sample of a counter or a gauge.
    pub(crate) fn sample(
        &mut self,
        family: &Family,
        labels: &[Label<'_>],
        value: impl fmt::Display,
    ) {
        self.describe(family);
        let suffix = match family.kind {
            FamilyType::Counter => "_total",
            FamilyType::Gauge | FamilyType::Histogram => "",
        };
        self.line((family.name, suffix), labels, None, value);
        self.text.push('\n');
    }

    /// Writes a histogram: the counts of its buckets, the sum in microseconds, and exemplars of
    /// buckets in a format that has them.
    pub(crate) fn histogram(
        &mut self,
        family: &Family,
        labels: &[Label<'_>],
        (bounds_us, words): (&[u64], &[u64]),
        exemplars: &[Option<Exemplar>],
    ) {
        self.describe(family);
        let (counts, sum_us) = words.split_at(bounds_us.len() + 1);
        let mut count = 0;
        let mut bounds = bounds_us.iter();
        for (at, own) in counts.iter().enumerate() {
            count += own;
            let bound = bounds.next().map_or(Bound::Infinite, |us| Bound::Us(*us));
            self.line((family.name, "_bucket"), labels, Some(bound), count);
            // A shard publishes its counts later than the record of a request is read.
            let exemplar = exemplars.get(at).copied().flatten();
            if let Some(exemplar) = exemplar.filter(|_| *own > 0) {
                self.exemplar(exemplar);
            }
            self.text.push('\n');
        }
        self.line((family.name, "_count"), labels, None, count);
        self.text.push('\n');
        let sum_s = sum_us[0] as f64 / 1e6;
        self.line((family.name, "_sum"), labels, None, sum_s);
        self.text.push('\n');
    }

    fn exemplar(&mut self, exemplar: Exemplar) {
        if self.format == Format::OpenMetrics {
            let (trace_id, ended) = (exemplar.trace_id, exemplar.ended);
            let duration_s = exemplar.duration_us as f64 / 1e6;
            let (ended_s, ended_ms) = (ended.as_secs(), ended.subsec_millis());
            let labels = format_args!("{{trace_id=\"{trace_id:032x}\"}}");
            let _ = write!(
                self.text,
                " # {labels} {duration_s} {ended_s}.{ended_ms:03}"
            );
        }
    }

    /// The whole text.
    pub(crate) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn describe(&mut self, family: &Family) {
        if std::mem::replace(&mut self.family.1, true) {
            return;
        }
        let (kind, help) = (family.kind.as_str(), family.help);
        let suffix = match (self.format, family.kind) {
            (Format::Prometheus, FamilyType::Counter) => "_total",
            _ => "",
        };
        let name = family.name;
        let _ = writeln!(self.text, "# HELP {name}{suffix} {help}");
        let _ = writeln!(self.text, "# TYPE {name}{suffix} {kind}");
        if self.format == Format::OpenMetrics && !family.unit.is_empty() {
            let _ = writeln!(self.text, "# UNIT {name} {}", family.unit);
        }
    }

    /// A line without its end.
    fn line(
        &mut self,
        (name, suffix): (&str, &str),
        labels: &[Label<'_>],
        bound: Option<Bound>,
        value: impl fmt::Display,
    ) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (label, value) in labels {
            self.text.push(separator);
            let _ = write!(self.text, "{label}=\"{}\"", Escaped(value));
            separator = ',';
        }
        if let Some(bound) = bound {
            let _ = write!(self.text, "{separator}le=\"{bound}\"");
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        let _ = write!(self.text, " {value}");
    }
}

/// The upper bound of a bucket, written in seconds.
#[derive(Clone, Copy)]
enum Bound {
    Us(u64),
    Infinite,
}

/// As a float of OpenMetrics, which is never written as an integer.
impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Bound::Infinite => formatter.write_str("+Inf"),
            Bound::Us(us) if us % 1_000_000 == 0 => write!(formatter, "{}.0", us / 1_000_000),
            Bound::Us(us) => write!(formatter, "{}", us as f64 / 1e6),
        }
    }
}

/// The value of a label, with what the formats escape.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '\\' => formatter.write_str("\\\\")?,
                '"' => formatter.write_str("\\\"")?,
                '\n' => formatter.write_str("\\n")?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;
    use std::time::Duration;

    use super::{Exemplar, Exposition, Format, TEXT_BYTES_MAX};
    use crate::meter::catalogue::{Family, FamilyType, families};

    fn family(name: &str) -> &'static Family {
        let mut all = families();
        all.find(|family| family.name == name).expect("a family")
    }

    #[test]
    fn a_client_gets_the_format_that_it_prefers() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.2,\
            */*;q=0.1";
        for (accept, expected) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/plain; version=0.0.4", Format::Prometheus),
            ("application/openmetrics-text", Format::OpenMetrics),
            (prometheus, Format::OpenMetrics),
            (
                "text/plain, application/openmetrics-text; q=0.5",
                Format::Prometheus,
            ),
            ("application/openmetrics-text; q=0", Format::Prometheus),
            ("application/openmetrics-text; q=x", Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn a_counter_differs_in_its_description_and_a_label_is_escaped() {
        let counter = family("corelane_calls");
        assert_eq!(counter.kind, FamilyType::Counter);
        let text = |format| {
            let mut text = Exposition::new(format);
            text.begin();
            text.sample(counter, &[("shard", "0"), ("outcome", "a\"b\\c\nd")], 7);
            text.end();
            text.finish()
        };
        let sample = "corelane_calls_total{shard=\"0\",outcome=\"a\\\"b\\\\c\\nd\"} 7\n";
        let plain = format!(
            "# HELP corelane_calls_total Calls that ended.\n\
             # TYPE corelane_calls_total counter\n{sample}"
        );
        assert_eq!(text(Format::Prometheus), plain);
        let open = plain
            .replace("_total Calls", " Calls")
            .replace("_total counter", " counter");
        assert_eq!(text(Format::OpenMetrics), format!("{open}# EOF\n"));
    }

    #[test]
    fn buckets_add_up_and_their_bounds_are_floats() {
        let mut text = Exposition::new(Format::OpenMetrics);
        text.begin();
        let turns = family("corelane_turn_duration_seconds");
        let words = ([10, 1_000_000], [1, 0, 2, 3_000_010]);
        let exemplar = Exemplar {
            trace_id: NonZero::new(0xab).expect("not 0"),
            duration_us: 2_000_000,
            ended: Duration::from_millis(1_700_000_000_012),
        };
        // There is none in a bucket whose count is not published yet.
        let exemplars = [None, Some(exemplar), Some(exemplar)];
        let labels = [("shard", "1")];
        text.histogram(turns, &labels, (&words.0, &words.1), &exemplars);
        text.end();
        let text = text.finish();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "# UNIT corelane_turn_duration_seconds seconds",
                "corelane_turn_duration_seconds_bucket{shard=\"1\",le=\"0.00001\"} 1",
                "corelane_turn_duration_seconds_bucket{shard=\"1\",le=\"1.0\"} 1",
                "corelane_turn_duration_seconds_bucket{shard=\"1\",le=\"+Inf\"} 3 \
                 # {trace_id=\"000000000000000000000000000000ab\"} 2 1700000000.012",
                "corelane_turn_duration_seconds_count{shard=\"1\"} 3",
                "corelane_turn_duration_seconds_sum{shard=\"1\"} 3.00001",
                "# EOF",
            ]
        );
    }

    #[test]
    fn a_text_that_is_too_long_ends_with_a_whole_family() {
        let mut text = Exposition::new(Format::Prometheus);
        let sessions = family("corelane_sessions");
        text.begin();
        text.sample(sessions, &[], 1);
        text.end();
        let whole = text.text.clone();
        text.begin();
        let long = "x".repeat(TEXT_BYTES_MAX);
        text.sample(family("corelane_tasks"), &[("shard", &long)], 1);
        text.end();
        assert!(text.is_cut());
        assert_eq!(text.finish(), whole);
    }
}
