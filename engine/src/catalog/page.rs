//! Lists, encoded once and cut into pages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The pages of one list: the members of each page's result, ready to be copied into an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pages {
    pages: Vec<Page>,
}

#[derive(Debug, PartialEq, Eq)]
struct Page {
    /// Names the page to clients that saw the one before; the first has none.
    cursor: Option<String>,
    members: Vec<u8>,
}

impl Pages {
    /// Encodes `entries` under the member `name`, at most `entries_max` to a page.
    pub(crate) fn new<'a, T: 'a>(
        name: &str,
        entries_max: usize,
        entries: impl ExactSizeIterator<Item = &'a T>,
        write: impl Fn(&T, &mut Vec<u8>),
    ) -> Pages {
        assert!(
            entries_max > 0,
            "the profile's validation refuses pages without entries"
        );
        let count = entries.len().div_ceil(entries_max).max(1);
        let mut entries = entries.peekable();
        let pages = (0..count)
            .map(|number| {
                let mut members = format!("\"{name}\":[").into_bytes();
                for at in 0..entries_max {
                    let Some(entry) = entries.next() else { break };
                    if at > 0 {
                        members.push(b',');
                    }
                    write(entry, &mut members);
                }
                members.push(b']');
                if entries.peek().is_some() {
                    let next = cursor(name, number + 1);
                    members.extend_from_slice(format!(",\"nextCursor\":\"{next}\"").as_bytes());
                }
                Page {
                    cursor: (number > 0).then(|| cursor(name, number)),
                    members,
                }
            })
            .collect();
        Pages { pages }
    }

    /// The members of the page named by `cursor`, or of the first page.
    pub(crate) fn page(&self, cursor: Option<&str>) -> Option<&[u8]> {
        self.pages
            .iter()
            .find(|page| page.cursor.as_deref() == cursor)
            .map(|page| page.members.as_slice())
    }
}

/// Clients must not read anything into a cursor, so it does not look as if they could.
fn cursor(name: &str, number: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("{name}/{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(count: u32, entries_max: usize) -> Pages {
        let entries: Vec<u32> = (0..count).collect();
        Pages::new("n", entries_max, entries.iter(), |entry, out| {
            out.extend_from_slice(entry.to_string().as_bytes());
        })
    }

    #[test]
    fn following_the_cursors_gives_every_entry_once_in_order() {
        for (count, entries_max, expected_pages) in
            [(0, 3, 1), (1, 3, 1), (3, 3, 1), (4, 3, 2), (7, 3, 3)]
        {
            let pages = pages(count, entries_max);
            let (mut cursor, mut seen, mut page_count) = (None::<String>, Vec::new(), 0);
            loop {
                let members = pages.page(cursor.as_deref()).unwrap();
                let text = format!("{{{}}}", std::str::from_utf8(members).unwrap());
                let page: serde_json::Value = serde_json::from_str(&text).unwrap();
                seen.extend(
                    page["n"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|n| n.as_u64().unwrap()),
                );
                page_count += 1;
                match page.get("nextCursor") {
                    Some(next) => cursor = Some(next.as_str().unwrap().to_owned()),
                    None => break,
                }
            }
            assert_eq!(page_count, expected_pages);
            assert_eq!(seen, (0..u64::from(count)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_unknown_cursor_names_no_page() {
        let pages = pages(4, 3);
        for cursor in ["", "x", &cursor("n", 2), &cursor("m", 1)] {
            assert!(pages.page(Some(cursor)).is_none(), "{cursor}");
        }
    }
}
