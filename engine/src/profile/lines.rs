//! The lines of keys in the text of a profile.

use toml::de::{DeTable, DeValue};

/// The lines that set a key and another one, in this order; without those that are not set. A key
/// is `section.knob`, `core ID section.knob` or `core ID id`; words after a knob do not count.
pub(super) fn lines_of(text: &str, key: &str, other: Option<&str>) -> Vec<usize> {
    let Ok(document) = DeTable::parse(text) else {
        return Vec::new();
    };
    let document = document.get_ref();
    let core = key
        .strip_prefix("core ")
        .and_then(|rest| rest.split_once(' '));
    let tuned = core.and_then(|(id, _)| core_section(document, id));
    let key = core.map_or(key, |(_, key)| key);
    // A section of the core wins over the shared one.
    let of_core = |key: &str| offset_of(tuned?, key);
    let offset = |key: &str| of_core(key).or_else(|| offset_of(document, key));
    let offsets = [Some(key), other].into_iter().flatten().filter_map(offset);
    let lines = offsets.map(|offset| text[..offset].matches('\n').count() + 1);
    lines.collect()
}

/// The last `[[core]]` section with this id: if there are two, the second one is the fault.
fn core_section<'a>(document: &'a DeTable<'a>, id: &str) -> Option<&'a DeTable<'a>> {
    let cores = value(document, "core")?.1.as_array()?;
    let mut cores = cores
        .iter()
        .rev()
        .filter_map(|core| core.get_ref().as_table());
    cores.find(|core| {
        let own = value(core, "id").and_then(|(_, value)| value.as_integer());
        own.is_some_and(|own| own.as_str() == id)
    })
}

/// Where a key stands, in bytes.
fn offset_of(table: &DeTable, key: &str) -> Option<usize> {
    let key = key.split(' ').next()?;
    let (table, knob) = match key.split_once('.') {
        Some((section, knob)) => (value(table, section)?.1.as_table()?, knob),
        None => (table, key),
    };
    Some(value(table, knob)?.0)
}

/// Where the key of a table stands, and its value.
fn value<'a>(table: &'a DeTable<'a>, name: &str) -> Option<(usize, &'a DeValue<'a>)> {
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    Some((key.span().start, value.get_ref()))
}

#[cfg(test)]
mod tests {
    use crate::profile::Profile;

    #[test]
    fn errors_have_the_lines_of_the_keys_that_the_text_sets() {
        for (text, start) in [
            ("[server]\n\nbacklog = 0", "line 3: server.backlog = 0 is"),
            ("server.backlog = 0", "line 1: server.backlog = 0 is"),
            ("server = { backlog = 0 }", "line 1: server.backlog = 0 is"),
            (
                "[lanes]\nreply = 1\n# x\nrequest = 2",
                "lines 4 and 2: lanes.request = 2 must",
            ),
            (
                "[lanes]\nreply = 1\n",
                "line 2: lanes.request = 4096 must be",
            ),
            (
                "\n[server]\nallowed_hosts = [\"\"]",
                "line 3: server.allowed_hosts = \"\" is not",
            ),
            (
                "[[core]]\nid = 1\n[[core]]\nid = 3\n[core.ring]\nbuffer_count = 3",
                "line 6: core 3 ring.buffer_count = 3 is",
            ),
            (
                "[ring]\ncompletion_entries = 4096\n[[core]]\nid = 3\n\
                 ring.completion_entries = 256\nring.submission_entries = 256",
                "line 5: core 3 budget.completions_per_turn = 512 must",
            ),
            (
                "[[core]]\nid = 1\n[[core]]\nid = 1",
                "line 4: core 1 has two",
            ),
            (
                "[server]\ncores = \"0\"\n[[core]]\nid = 1",
                "lines 4 and 2: core 1 has a",
            ),
            ("[[core]]\nid = 2000", "core.id = 2000 is"),
        ] {
            let error = Profile::from_toml(text).expect_err(text).to_string();
            assert!(error.starts_with(start), "{text}\n{error}");
        }
    }
}
