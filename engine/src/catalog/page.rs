//! Lists, encoded once and cut into pages at request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::ordered_registry::OrderedRegistry;

/// The pages of one list, ready to be copied into answers.
///
/// A cursor names the entry its page begins with, by the number of its registration: entries that
/// come and go before it move nothing (MCP 2025-11-25 server/utilities/pagination, "stable
/// cursors").
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pages {
    name: &'static str,
    entries_max: usize,
    /// All entries, each with a comma behind it.
    encoded: Vec<u8>,
    entries: Vec<Entry>,
    /// Above the number of every entry there ever was.
    numbers_end: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    number: u64,
    /// The end of the entry among the encoded bytes, with its comma.
    end: usize,
}

impl Pages {
    /// Encodes `entries` for the member `name`, at most `entries_max` to a page.
    pub(crate) fn new<T>(
        name: &'static str,
        entries_max: usize,
        entries: &OrderedRegistry<T>,
        write: impl Fn(&T, &mut Vec<u8>),
    ) -> Pages {
        assert!(
            entries_max > 0,
            "the profile's validation refuses pages without entries"
        );
        let mut encoded = Vec::new();
        let places = entries.numbered().map(|(number, entry)| {
            write(entry, &mut encoded);
            encoded.push(b',');
            let end = encoded.len();
            Entry { number, end }
        });
        let places = places.collect();
        Pages {
            name,
            entries_max,
            encoded,
            entries: places,
            numbers_end: entries.numbers_end(),
        }
    }

    /// All entries as they are encoded.
    pub(super) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The start of the page named by `cursor`, or of the first page; none if no page ever had this
    /// name.
    pub(crate) fn find(&self, cursor: Option<&str>) -> Option<PageStart> {
        let Some(text) = cursor else {
            return Some(PageStart(0));
        };
        self.find_number(read_cursor(self.name, text)?)
    }

    /// The start of the page that begins with the entry of this number or, if it is gone, behind
    /// it.
    pub(crate) fn find_number(&self, number: u64) -> Option<PageStart> {
        let is_known = (1..self.numbers_end).contains(&number);
        let before = |entry: &Entry| entry.number < number;
        is_known.then(|| PageStart(self.entries.partition_point(before)))
    }

    /// Appends the members of the page that begins at `start`.
    pub(crate) fn write(&self, start: PageStart, out: &mut Vec<u8>) {
        let PageStart(start) = start;
        let end = self.entries.len().min(start + self.entries_max);
        self.begin(out);
        let page = &self.encoded[self.offset_of(start)..self.offset_of(end)];
        out.extend_from_slice(page.strip_suffix(b",").unwrap_or(page));
        self.finish(Some(end), cursor, out);
    }

    /// Where an entry begins among the encoded bytes.
    fn offset_of(&self, place: usize) -> usize {
        match place {
            0 => 0,
            place => self.entries[place - 1].end,
        }
    }

    fn begin(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(b"\":[");
    }

    /// Ends the page, with a cursor if there is an entry at the next place.
    fn finish(
        &self,
        next: Option<usize>,
        cursor_of: impl FnOnce(&str, u64) -> String,
        out: &mut Vec<u8>,
    ) {
        out.push(b']');
        if let Some(next) = next.and_then(|next| self.entries.get(next)) {
            out.extend_from_slice(b",\"nextCursor\":\"");
            out.extend_from_slice(cursor_of(self.name, next.number).as_bytes());
            out.push(b'"');
        }
    }
}

/// Pages of the entries that a policy lets an identity see.
impl Pages {
    /// Appends the members of the page that begins at `start` or behind it, of the entries whose
    /// bits are in `selected`: one bit for each place, the lowest first. A missing bit selects
    /// nothing. The cursor is the text of `cursor_of` for the name of the list and the number of
    /// the next selected entry, so it can be sealed: no number of another entry is in it.
    pub(crate) fn write_selected(
        &self,
        PageStart(start): PageStart,
        selected: &[u64],
        cursor_of: impl FnOnce(&str, u64) -> String,
        out: &mut Vec<u8>,
    ) {
        self.begin(out);
        let entries_end = self.entries.len();
        let next = |at| next_bit(selected, at, true).filter(|place| *place < entries_end);
        let content = out.len();
        let mut left = self.entries_max;
        let mut run = next(start);
        while let Some(first) = run.filter(|_| left > 0) {
            let end = next_bit(selected, first, false).unwrap_or(entries_end);
            let end = end.min(first + left).min(entries_end);
            out.extend_from_slice(&self.encoded[self.offset_of(first)..self.offset_of(end)]);
            left -= end - first;
            run = next(end);
        }
        if out.len() > content {
            let comma = out.pop();
            debug_assert_eq!(comma, Some(b','));
        }
        self.finish(run, cursor_of, out);
    }
}

/// The first place from `at` whose bit is `value`; none if no word has it.
fn next_bit(words: &[u64], at: usize, value: bool) -> Option<usize> {
    let invert = if value { 0 } else { u64::MAX };
    let mut ignored = !(u64::MAX << (at % 64));
    for (number, word) in words.iter().enumerate().skip(at / 64) {
        let found = (word ^ invert) & !ignored;
        if found != 0 {
            return Some(number * 64 + found.trailing_zeros() as usize);
        }
        ignored = 0;
    }
    (!value).then_some(words.len() * 64).filter(|end| *end > at)
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageStart(usize);

/// Clients must not interpret a cursor, so it does not look readable.
fn cursor(name: &str, number: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{name}/{number}"))
}

/// Reads the output of [`cursor`], and no other spelling of it.
fn read_cursor(name: &str, text: &str) -> Option<u64> {
    let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (list, number) = str::from_utf8(&decoded).ok()?.split_once('/')?;
    let number = number.parse().ok().filter(|_| list == name)?;
    (cursor(name, number) == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn entries(count: u32) -> OrderedRegistry<u32> {
        (0..count).map(Arc::new).collect()
    }

    fn pages(entries: &OrderedRegistry<u32>, entries_max: usize) -> Pages {
        Pages::new("n", entries_max, entries, |entry, out| {
            out.extend_from_slice(entry.to_string().as_bytes());
        })
    }

    /// The entries of a page and the cursor of the next one.
    fn read(pages: &Pages, cursor: Option<&str>) -> (Vec<u64>, Option<String>) {
        let mut members = b"{".to_vec();
        pages.write(pages.find(cursor).unwrap(), &mut members);
        members.push(b'}');
        let page: serde_json::Value = serde_json::from_slice(&members).unwrap();
        let entries = page["n"].as_array().unwrap();
        let entries = entries.iter().map(|entry| entry.as_u64().unwrap());
        let next = page.get("nextCursor").map(|it| it.as_str().unwrap());
        (entries.collect(), next.map(str::to_owned))
    }

    /// The pages from `cursor` to the end.
    fn walk(pages: &Pages, mut cursor: Option<String>) -> Vec<Vec<u64>> {
        let mut found = Vec::new();
        loop {
            let (entries, next) = read(pages, cursor.as_deref());
            found.push(entries);
            match next {
                None => return found,
                Some(next) => cursor = Some(next),
            }
        }
    }

    #[test]
    fn following_the_cursors_gives_every_entry_once_in_order() {
        for (count, entries_max, expected_pages) in
            [(0, 3, 1), (1, 3, 1), (3, 3, 1), (4, 3, 2), (7, 3, 3)]
        {
            let found = walk(&pages(&entries(count), entries_max), None);
            assert_eq!(found.len(), expected_pages);
            assert_eq!(found.concat(), (0..u64::from(count)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_cursor_outlives_changes_of_the_list() {
        let mut list = entries(7);
        let (_, second) = read(&pages(&list, 3), None);
        for (gone, expected) in [
            (0, vec![vec![3, 4, 5], vec![6]]),
            (4, vec![vec![3, 5, 6]]),
            (3, vec![vec![5, 6]]),
        ] {
            assert!(list.remove(|entry| *entry == gone));
            assert_eq!(walk(&pages(&list, 3), second.clone()), expected, "{gone}");
        }
        list.put(|entry| *entry == 7, Arc::new(7));
        list.put(|entry| *entry == 5, Arc::new(55));
        let expected = [vec![55, 6, 7]];
        assert_eq!(walk(&pages(&list, 3), second.clone()), expected);
        for gone in [55, 6, 7] {
            assert!(list.remove(|entry| *entry == gone));
        }
        assert_eq!(walk(&pages(&list, 3), second), [[0_u64; 0]]);
    }

    /// The pages of selected entries, by the numbers in their cursors.
    fn walk_selected(pages: &Pages, selected: &[u64]) -> Vec<Vec<u64>> {
        let mut start = PageStart(0);
        let mut found = Vec::new();
        loop {
            let mut next = None;
            let mut members = b"{".to_vec();
            let cursor_of = |name: &str, number| {
                assert_eq!(name, "n");
                next = Some(number);
                "sealed".to_owned()
            };
            pages.write_selected(start, selected, cursor_of, &mut members);
            members.push(b'}');
            let page: serde_json::Value = serde_json::from_slice(&members).unwrap();
            assert_eq!(page.get("nextCursor").is_some(), next.is_some());
            let entries = page["n"].as_array().unwrap();
            found.push(entries.iter().map(|it| it.as_u64().unwrap()).collect());
            match next {
                None => return found,
                Some(next) => start = pages.find_number(next).unwrap(),
            }
        }
    }

    #[test]
    fn selected_entries_fill_their_pages_in_order() {
        let pages = pages(&entries(150), 20);
        let every = |step: usize| -> Vec<u64> {
            let mut words = vec![0_u64; 3];
            (0..150)
                .step_by(step)
                .for_each(|it| words[it / 64] |= 1 << (it % 64));
            words
        };
        let runs = vec![0xffff_0000_00ff_ff01, 0x8000_0000_0000_0001, 0x3f];
        let beyond = vec![u64::MAX; 4];
        for selected in [
            every(1),
            every(2),
            every(7),
            every(149),
            runs,
            beyond,
            vec![5],
            vec![],
        ] {
            let is_selected = |place: &u64| {
                let word = selected.get(*place as usize / 64);
                word.is_some_and(|word| word & 1 << (place % 64) != 0)
            };
            let expected: Vec<u64> = (0..150).filter(is_selected).collect();
            let found = walk_selected(&pages, &selected);
            assert_eq!(found.concat(), expected, "{selected:x?}");
            let (last, full) = found.split_last().unwrap();
            assert!(full.iter().all(|page| page.len() == 20), "{selected:x?}");
            assert!(!last.is_empty() || expected.is_empty(), "{selected:x?}");
        }
    }

    #[test]
    fn a_selection_of_all_is_the_page_of_all() {
        let pages = pages(&entries(130), 50);
        for number in [1, 51, 129] {
            let start = pages.find_number(number).unwrap();
            let (mut all, mut selected) = (Vec::new(), Vec::new());
            pages.write(start, &mut all);
            pages.write_selected(start, &[u64::MAX; 3], cursor, &mut selected);
            assert_eq!(all, selected);
        }
        assert!(pages.find_number(0).is_none() && pages.find_number(130).is_none());
    }

    #[test]
    fn an_unknown_cursor_names_no_page() {
        let pages = pages(&entries(4), 3);
        let given = cursor("n", 3);
        assert!(pages.find(Some(&given)).is_some());
        for unknown in [
            "",
            "x",
            &cursor("n", 0),
            &cursor("n", 4),
            &cursor("m", 3),
            &URL_SAFE_NO_PAD.encode("n/03"),
            &URL_SAFE_NO_PAD.encode("n/+3"),
            &format!("{given}="),
        ] {
            assert!(pages.find(Some(unknown)).is_none(), "{unknown}");
        }
    }
}
