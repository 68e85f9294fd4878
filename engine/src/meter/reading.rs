//! Reading the pages of all shards, and writing them as the catalogue has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use corelane_protocol::mcp::method::Method;
use corelane_protocol::mcp::revision::Revision;

use super::Counter;
use super::catalogue::{Family, FamilyType, ProcessFact, ShardHistogram, Source, families};
use super::conditions::{ServerState, conditions};
use super::exemplars::{Exemplars, Histogram};
use super::exposition::{Exposition, Format, Label};
use super::histogram::{HTTP_BOUNDS_US, OPERATION_BOUNDS_US};
use super::http::HttpLabels;
use super::names::Names;
use super::operations::{CODES, Labels};
use super::page::{HTTP_AT, HTTP_OVERFLOWED, HTTP_SETS_MAX, SET_WORDS, SETS_AT, SETS_OVERFLOWED};
use super::shard_reading::ShardReading;

/// The conventions that names of MCP and their labels follow.
const CONVENTIONS: &str = "genai-0.1";

/// All that one scrape shows.
pub(crate) struct Reading<'a> {
    /// By number.
    pub(crate) shards: &'a [ShardReading],
    pub(crate) names: &'a Names,
    /// A fact about the process, if it can be read here.
    pub(crate) process: &'a dyn Fn(ProcessFact) -> Option<f64>,
    /// Whether each shard has series of its own.
    pub(crate) per_shard: bool,
    /// Scrapes that were cut.
    pub(crate) cut: u64,
    /// Whether new clients should go to another server.
    pub(crate) of_server: ServerState,
    /// The last sampled calls of buckets.
    pub(crate) exemplars: &'a Exemplars,
}

impl Reading<'_> {
    /// The text in this format, with the families whose names begin with one of `prefixes`, or
    /// all without any; and whether it was cut.
    pub(crate) fn write(&self, format: Format, prefixes: &[String]) -> (String, bool) {
        let mut text = Exposition::new(format);
        let is_wanted = |family: &&Family| {
            let mut prefixes = prefixes.iter();
            prefixes.len() == 0 || prefixes.any(|it| family.name.starts_with(&**it))
        };
        for family in families().filter(is_wanted) {
            let is_about_text = matches!(family.source, Source::Process(ProcessFact::Overflows));
            if text.is_cut() && !is_about_text {
                continue;
            }
            text.begin();
            self.write_family(&mut text, family);
            if !is_about_text {
                text.end();
            }
        }
        let is_cut = text.is_cut();
        (text.finish(), is_cut)
    }

    fn write_family(&self, text: &mut Exposition, family: &Family) {
        match family.source {
            Source::Counters(counters) => self.write_counters(text, family, counters),
            Source::OfShard(of) => match self.per_shard {
                true => {
                    for (number, shard) in self.numbered() {
                        if let Some(histogram) = shard.histogram(of) {
                            text.histogram(family, &[("shard", &number)], histogram, &[]);
                        }
                    }
                }
                false => self.write_merged(text, family, of),
            },
            Source::Merged(of) => self.write_merged(text, family, of),
            Source::Operations => self.write_operations(text, family),
            Source::Sessions => self.write_sessions(text, family),
            Source::Http => self.write_http(text, family),
            // These find a shard in trouble even where counters are merged.
            Source::Shard(fact) => {
                for (number, shard) in self.numbered() {
                    if let Some(value) = shard.fact(fact) {
                        text.sample(family, &[("shard", &number)], value);
                    }
                }
            }
            Source::Process(fact) => self.write_process(text, family, fact),
        }
    }

    fn numbered(&self) -> impl Iterator<Item = (String, &ShardReading)> {
        let numbers = (0..self.shards.len()).map(|number| number.to_string());
        numbers.zip(self.shards)
    }

    fn write_counters(
        &self,
        text: &mut Exposition,
        family: &Family,
        counters: &[(Counter, &'static str)],
    ) {
        // A series of a reason that never came up is left out.
        let is_shown =
            |value: u64| value > 0 || family.labels.is_empty() || family.kind == FamilyType::Gauge;
        let label = family.labels.first();
        let mut write = |shard: Option<&str>, counter: (Counter, &'static str), value: u64| {
            if is_shown(value) {
                let shard = shard.map(|shard| ("shard", shard));
                let own = label.map(|label| (*label, counter.1));
                let labels: Vec<Label<'_>> = shard.into_iter().chain(own).collect();
                text.sample(family, &labels, value);
            }
        };
        if self.per_shard {
            for (number, shard) in self.numbered().filter(|(_, it)| !it.words.is_empty()) {
                for &counter in counters {
                    write(Some(&number), counter, shard.counter(counter.0));
                }
            }
            return;
        }
        for &counter in counters {
            let values = self.shards.iter().map(|shard| shard.counter(counter.0));
            write(None, counter, values.sum());
        }
    }

    fn write_merged(&self, text: &mut Exposition, family: &Family, of: ShardHistogram) {
        if let Some((bounds, sum)) = self.merged(of) {
            let histogram = match of {
                ShardHistogram::Queue => Some(Histogram::Queue),
                ShardHistogram::Handler => Some(Histogram::Handler),
                _ => None,
            };
            let exemplars = histogram.map(|it| self.exemplars.of(it));
            let exemplars = exemplars.as_ref().map_or(&[][..], |it| it);
            text.histogram(family, &[], (bounds, &sum), exemplars);
        }
    }

    /// The histogram of all shards together, with its bounds.
    fn merged(&self, of: ShardHistogram) -> Option<(&'static [u64], Vec<u64>)> {
        let mut all = self.shards.iter().filter_map(|shard| shard.histogram(of));
        let (bounds, first) = all.next()?;
        let mut sum = first.to_vec();
        for (_, words) in all {
            add(&mut sum, words);
        }
        Some((bounds, sum))
    }

    fn write_sessions(&self, text: &mut Exposition, family: &Family) {
        for &revision in Revision::LEGACY {
            let merged = self.merged(ShardHistogram::Session(revision));
            if let Some((bounds, sum)) = merged.filter(|(_, sum)| is_used(sum)) {
                let labels = [("mcp_protocol_version", revision.as_str())];
                text.histogram(family, &labels, (bounds, &sum), &[]);
            }
        }
    }

    /// The histograms of all shards together by their labels, from these words of each page.
    fn merged_sets(&self, words: impl Fn(&ShardReading) -> Option<&[u64]>) -> Sets {
        let mut merged = Sets::new();
        for shard in self.shards {
            for set in words(shard).unwrap_or_default().chunks_exact(SET_WORDS) {
                let sum = merged
                    .entry(set[0])
                    .or_insert_with(|| vec![0; SET_WORDS - 1]);
                add(sum, &set[1..]);
            }
        }
        merged.retain(|_, words| is_used(words));
        merged
    }

    fn write_operations(&self, text: &mut Exposition, family: &Family) {
        let names = self.names.all();
        for (key, words) in &self.merged_sets(|shard| shard.words.get(SETS_AT..)) {
            let labels = labels_of(Labels::unpack(*key), &names);
            let exemplars = self.exemplars.of(Histogram::Operation(*key));
            text.histogram(family, &labels, (&OPERATION_BOUNDS_US, words), &exemplars);
        }
    }

    fn write_http(&self, text: &mut Exposition, family: &Family) {
        const WORDS: std::ops::Range<usize> = HTTP_AT..HTTP_AT + HTTP_SETS_MAX * SET_WORDS;
        for (key, words) in &self.merged_sets(|shard| shard.words.get(WORDS)) {
            let code = HttpLabels::unpack(*key).map(|labels| (labels.status as u16).to_string());
            let labels = http_labels_of(HttpLabels::unpack(*key), code.as_deref());
            text.histogram(family, &labels, (&HTTP_BOUNDS_US, words), &[]);
        }
    }

    fn write_process(&self, text: &mut Exposition, family: &Family, fact: ProcessFact) {
        match fact {
            ProcessFact::BuildInfo => {
                let labels = [
                    ("version", env!("CARGO_PKG_VERSION")),
                    ("semconv", CONVENTIONS),
                ];
                text.sample(family, &labels, 1);
            }
            ProcessFact::Conditions => {
                for (name, holds) in conditions(self.shards, self.of_server) {
                    text.sample(family, &[("condition", name)], u64::from(holds));
                }
            }
            ProcessFact::Overflows => {
                let of_shard = |shard: &ShardReading| {
                    shard.word(SETS_OVERFLOWED) + shard.word(HTTP_OVERFLOWED)
                };
                let sets = self.shards.iter().map(of_shard);
                text.sample(family, &[("reason", "label_sets")], sets.sum::<u64>());
                let cut = self.cut + u64::from(text.is_cut());
                text.sample(family, &[("reason", "bytes")], cut);
            }
            ProcessFact::Spans => {
                for (outcome, fact) in [
                    ("sent", ProcessFact::SpansSent),
                    ("failed", ProcessFact::SpansFailed),
                    ("dropped", ProcessFact::SpansDropped),
                ] {
                    if let Some(value) = (self.process)(fact) {
                        text.sample(family, &[("outcome", outcome)], value);
                    }
                }
            }
            fact => {
                if let Some(value) = (self.process)(fact) {
                    text.sample(family, &[], value);
                }
            }
        }
    }
}

fn add(sum: &mut [u64], words: &[u64]) {
    for (sum, word) in sum.iter_mut().zip(words) {
        *sum = sum.wrapping_add(*word);
    }
}

/// Histograms by their packed labels.
type Sets = BTreeMap<u64, Vec<u64>>;

/// Whether a histogram has counted anything.
fn is_used(words: &[u64]) -> bool {
    words[..words.len() - 1].iter().any(|count| *count > 0)
}

/// The labels of an HTTP request, as the OpenTelemetry conventions for HTTP name them, with the
/// text of its status.
fn http_labels_of(labels: Option<HttpLabels>, code: Option<&str>) -> Vec<Label<'_>> {
    let (Some(labels), Some(code)) = (labels, code) else {
        return vec![
            ("http_request_method", "_OTHER"),
            ("otel_metric_overflow", "true"),
        ];
    };
    let mut all = vec![
        ("http_request_method", labels.method),
        ("url_scheme", labels.scheme),
        ("network_protocol_version", labels.version),
        ("http_response_status_code", code),
    ];
    if labels.status as u16 >= 500 {
        all.push(("error_type", code));
    }
    all
}

/// The labels of an operation, as the OpenTelemetry conventions for MCP name them.
pub(crate) fn labels_of(labels: Option<Labels>, names: &[Arc<str>]) -> Vec<Label<'_>> {
    let Some(labels) = labels else {
        return vec![
            ("mcp_method_name", "_OTHER"),
            ("otel_metric_overflow", "true"),
        ];
    };
    let method = Method::by_number(labels.method);
    let mut all = vec![("mcp_method_name", method.map_or("_OTHER", Method::name))];
    if let Some(revision) = Revision::ALL.get(usize::from(labels.revision)) {
        all.push(("mcp_protocol_version", revision.as_str()));
    }
    let name = usize::from(labels.name).checked_sub(1);
    let name = name.and_then(|at| names.get(at)).map(|name| &**name);
    if method == Some(Method::ToolsCall) {
        all.push(("gen_ai_operation_name", "execute_tool"));
        all.extend(name.map(|name| ("gen_ai_tool_name", name)));
    } else if method == Some(Method::PromptsGet) {
        all.extend(name.map(|name| ("gen_ai_prompt_name", name)));
    }
    let code = usize::from(labels.code).checked_sub(1);
    let code = code.map(|at| CODE_TEXTS.get(at).copied().unwrap_or("_OTHER"));
    let error = labels.failure.text().or(code);
    all.extend(error.map(|error| ("error_type", error)));
    all.extend(code.map(|code| ("rpc_response_status_code", code)));
    all
}

/// The texts of [`CODES`].
const CODE_TEXTS: [&str; CODES.len()] = [
    "-32700", "-32600", "-32601", "-32602", "-32603", "-32000", "-32001", "-32002", "-32020",
    "-32021", "-32022", "-32042",
];

#[cfg(test)]
mod tests {
    use super::{CODE_TEXTS, CODES, Exemplars, Format, Names, Reading, ShardReading};
    use crate::meter::Counter;
    use crate::meter::page::{COUNTERS_AT, SETS_AT};

    fn shard(open: u64, refused: u64) -> ShardReading {
        let mut words = vec![0; SETS_AT];
        words[COUNTERS_AT + Counter::ConnectionsOpen as usize] = open;
        words[COUNTERS_AT + Counter::RefusedRate as usize] = refused;
        ShardReading {
            words,
            is_up: true,
            ..ShardReading::default()
        }
    }

    fn lines(shards: &[ShardReading], per_shard: bool, prefix: &str) -> Vec<String> {
        let names = Names::default();
        let reading = Reading {
            shards,
            names: &names,
            process: &|_| None,
            per_shard,
            cut: 0,
            exemplars: &Exemplars::default(),
            of_server: super::ServerState::default(),
        };
        let (text, _) = reading.write(Format::Prometheus, &[prefix.to_owned()]);
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(str::to_owned).collect()
    }

    #[test]
    fn the_texts_of_codes_are_their_numbers() {
        assert_eq!(CODES.map(|code| code.to_string()), CODE_TEXTS);
    }

    #[test]
    fn shards_have_series_of_their_own_or_are_merged() {
        let shards = [shard(3, 0), shard(4, 2), ShardReading::default()];
        let open = "corelane_connections{shard=\"0\"} 3";
        let other = "corelane_connections{shard=\"1\"} 4";
        let found = lines(&shards, true, "corelane_connections");
        assert_eq!(found[..2], [open, other], "the third one has no page yet");
        let found = lines(&shards, false, "corelane_connections");
        assert_eq!(found[0], "corelane_connections 7");
        let refused = lines(&shards, true, "corelane_requests_refused");
        let rate = "corelane_requests_refused_total{shard=\"1\",reason=\"rate\"} 2";
        assert_eq!(refused, [rate], "reasons that never came up are left out");
        assert_eq!(lines(&shards, true, "corelane_shard_up").len(), 3);
    }
}
