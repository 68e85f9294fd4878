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

    /// The start of the page named by `cursor`, or of the first page; none if no page ever had this
    /// name.
    pub(crate) fn find(&self, cursor: Option<&str>) -> Option<PageStart> {
        let Some(text) = cursor else {
            return Some(PageStart(0));
        };
        let number = read_cursor(self.name, text)?;
        let is_known = (1..self.numbers_end).contains(&number);
        let before = |entry: &Entry| entry.number < number;
        is_known.then(|| PageStart(self.entries.partition_point(before)))
    }

    /// Appends the members of the page that begins at `start`.
    pub(crate) fn write(&self, start: PageStart, out: &mut Vec<u8>) {
        let PageStart(start) = start;
        let end = self.entries.len().min(start + self.entries_max);
        let offset_of = |place: usize| match place {
            0 => 0,
            place => self.entries[place - 1].end,
        };
        out.push(b'"');
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(b"\":[");
        let page = &self.encoded[offset_of(start)..offset_of(end)];
        out.extend_from_slice(page.strip_suffix(b",").unwrap_or(page));
        out.push(b']');
        if let Some(next) = self.entries.get(end) {
            out.extend_from_slice(b",\"nextCursor\":\"");
            out.extend_from_slice(cursor(self.name, next.number).as_bytes());
            out.push(b'"');
        }
    }
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
