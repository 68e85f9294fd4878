//! Benches of pages of `tools/list`, among 1,000 tools with 100 to a page.
//!
//! An operation writes the first page: of all tools, by one copy, or of selected ones, as a policy
//! filters a list. Selected pages have 100 tools too: of `half`, every second one is left out, the
//! selection with the most copies; of `runs`, every eighth.

use std::sync::LazyLock;

use corelane::measure::ToolPlan;

use super::bench::Bench;
use super::bencher::Bencher;
use super::checksum::Checksum;

const TOOLS: usize = 1000;
const PAGE_ENTRIES: usize = 100;

/// The benches of this module.
pub(super) const BENCHES: &[Bench] = &[
    bench("lists/page_of_all", 1, |bencher| write(bencher, None)),
    bench("lists/page_of_half", 2, |bencher| {
        write(bencher, Some(0x5555_5555_5555_5555));
    }),
    bench("lists/page_of_runs", 8, |bencher| {
        write(bencher, Some(!0x0101_0101_0101_0101));
    }),
];

/// `step` names the selection to the reference.
const fn bench(name: &'static str, step: usize, perform: fn(&mut Bencher)) -> Bench {
    Bench {
        name,
        operations: 64,
        cores: 1,
        reference: match step {
            1 => |operations| reference(|_| true, operations),
            2 => |operations| reference(|place| place.is_multiple_of(2), operations),
            _ => |operations| reference(|place| !place.is_multiple_of(8), operations),
        },
        perform,
    }
}

/// The same tools, but for the length of their names.
fn name_of(place: usize) -> String {
    format!("service_{}_tool_{place}", "x".repeat(place % 16))
}

/// Each operation finds the length of the page, whose entries are formatted here.
fn reference(is_selected: fn(usize) -> bool, operations: u32) -> Checksum {
    let selected = (0..TOOLS).filter(|place| is_selected(*place));
    let entries: Vec<String> = selected
        .take(PAGE_ENTRIES)
        .map(|place| {
            let name = name_of(place);
            format!(
                r#"{{"name":"{name}","description":"Does nothing.","inputSchema":{}}}"#,
                r#"{"type":"object"}"#
            )
        })
        .collect();
    let page = format!(
        r#""tools":[{}],"nextCursor":"{:012}""#,
        entries.join(","),
        0
    );
    Checksum::repeated(page.len() as u64, operations)
}

static PLAN: LazyLock<ToolPlan> = LazyLock::new(|| {
    let names: Vec<String> = (0..TOOLS).map(name_of).collect();
    ToolPlan::new(names.iter().map(String::as_str))
});

fn write(bencher: &mut Bencher, selected: Option<u64>) {
    let catalog = PLAN.catalog();
    let selected = selected.map(|word| [word; TOOLS.div_ceil(64)]);
    let mut page = Vec::new();
    bencher.each(|| {
        page.clear();
        catalog.write_page(selected.as_ref().map(|it| it.as_slice()), &mut page);
        page.len() as u64
    });
}
