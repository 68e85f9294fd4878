//! Reads a list of an upstream, page by page and within bounds. It makes no request: its caller
//! sends one for each cursor, and hands over the result.

use std::collections::HashSet;

use serde::de::DeserializeOwned;

use super::entry::{Entry, EntryError};

/// The bounds of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkLimits {
    /// Most pages.
    pub pages_max: usize,
    /// Most entries.
    pub entries_max: usize,
    /// Most bytes of all pages.
    pub bytes_max: usize,
}

impl Default for WalkLimits {
    fn default() -> WalkLimits {
        WalkLimits {
            pages_max: 64,
            entries_max: 10_000,
            bytes_max: 16 << 20,
        }
    }
}

/// The kinds of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
}

impl ListKind {
    /// All kinds, in their order.
    pub const ALL: [ListKind; 4] = [
        ListKind::Tools,
        ListKind::Prompts,
        ListKind::Resources,
        ListKind::Templates,
    ];

    /// The method.
    pub fn method(self) -> &'static str {
        match self {
            ListKind::Tools => "tools/list",
            ListKind::Prompts => "prompts/list",
            ListKind::Resources => "resources/list",
            ListKind::Templates => "resources/templates/list",
        }
    }

    /// The member of a result with the entries.
    fn member(self) -> &'static str {
        match self {
            ListKind::Tools => "tools",
            ListKind::Prompts => "prompts",
            ListKind::Resources => "resources",
            ListKind::Templates => "resourceTemplates",
        }
    }

    /// The member of an entry that distinguishes it from the others.
    pub fn key(self) -> &'static str {
        match self {
            ListKind::Tools | ListKind::Prompts => "name",
            ListKind::Resources => "uri",
            ListKind::Templates => "uriTemplate",
        }
    }
}

/// The bound at which a walk ended early. The entries before it are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkBound {
    /// [`WalkLimits::pages_max`].
    Pages,
    /// [`WalkLimits::entries_max`].
    Entries,
    /// [`WalkLimits::bytes_max`].
    Bytes,
    /// A cursor came again.
    RepeatedCursor,
}

/// A page that is no result of a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the result of {method} is malformed: {fault}")]
pub struct PageError {
    method: &'static str,
    fault: String,
}

/// A walk through the pages of one list.
#[derive(Debug)]
pub struct Walk {
    kind: ListKind,
    limits: WalkLimits,
    /// The cursor of the next page; the first page has none.
    next: Option<Option<Box<str>>>,
    cursors: HashSet<Box<str>>,
    bytes: usize,
    pages: usize,
    list: UpstreamList,
}

/// The list of an upstream.
#[derive(Debug, Default)]
pub struct UpstreamList {
    /// In the order of the upstream.
    pub entries: Vec<Entry>,
    /// Entries that were left out.
    pub invalid: Vec<EntryError>,
    /// The bound at which the list was cut, if it was.
    pub bound: Option<WalkBound>,
    /// How long the list is fresh, in milliseconds: the least of all pages that have one.
    pub ttl_ms: Option<u64>,
    /// Whether a page is for one client only.
    pub is_private: bool,
}

/// The parts of a result.
struct Page {
    next_cursor: Option<Box<str>>,
    ttl_ms: Option<f64>,
    cache_scope: Option<Box<str>>,
    entries: Vec<Entry>,
}

impl Walk {
    /// A walk that begins with the first page.
    ///
    /// ```
    /// use corelane_gateway::catalog::{ListKind, Walk, WalkLimits};
    ///
    /// let mut walk = Walk::new(ListKind::Tools, WalkLimits::default());
    /// assert_eq!(walk.next_cursor(), Some(None), "the first request has no cursor");
    /// walk.handle_page(r#"{"tools": [{"name": "a"}], "nextCursor": "2"}"#)?;
    /// assert_eq!(walk.next_cursor(), Some(Some("2")));
    /// walk.handle_page(r#"{"tools": [{"name": "b"}]}"#)?;
    /// assert_eq!(walk.next_cursor(), None);
    /// assert_eq!(walk.finish().entries.len(), 2);
    /// # Ok::<(), corelane_gateway::catalog::PageError>(())
    /// ```
    pub fn new(kind: ListKind, limits: WalkLimits) -> Walk {
        Walk {
            kind,
            limits,
            next: Some(None),
            cursors: HashSet::new(),
            bytes: 0,
            pages: 0,
            list: UpstreamList::default(),
        }
    }

    /// The cursor of the next request, which the first one has none of; none after the last page.
    pub fn next_cursor(&self) -> Option<Option<&str>> {
        self.next.as_ref().map(Option::as_deref)
    }

    /// Handles the result of the next request, as JSON.
    ///
    /// # Errors
    /// It is no result of this list. The walk is over then, with the entries before.
    pub fn handle_page(&mut self, result: &str) -> Result<(), PageError> {
        self.next = None;
        self.pages += 1;
        self.bytes += result.len();
        if self.bytes > self.limits.bytes_max {
            self.list.bound = Some(WalkBound::Bytes);
            return Ok(());
        }
        let page = self.read(result)?;
        self.list.is_private |= page.cache_scope.as_deref() == Some("private");
        let ttl_ms = page.ttl_ms.filter(|ttl_ms| *ttl_ms >= 0.0);
        let ttl_ms = ttl_ms.map(|ttl_ms| ttl_ms as u64);
        self.list.ttl_ms = self.list.ttl_ms.into_iter().chain(ttl_ms).min();
        for entry in page.entries {
            if self.list.entries.len() >= self.limits.entries_max {
                self.list.bound = Some(WalkBound::Entries);
                return Ok(());
            }
            match entry.text(self.kind.key()) {
                Some(_) => self.list.entries.push(entry),
                None => self.list.invalid.push(EntryError::NoKey(self.kind.key())),
            }
        }
        let Some(cursor) = page.next_cursor else {
            return Ok(());
        };
        if self.pages >= self.limits.pages_max {
            self.list.bound = Some(WalkBound::Pages);
        } else if !self.cursors.insert(cursor.clone()) {
            self.list.bound = Some(WalkBound::RepeatedCursor);
        } else {
            self.next = Some(Some(cursor));
        }
        Ok(())
    }

    /// The list.
    pub fn finish(self) -> UpstreamList {
        self.list
    }

    fn read(&self, result: &str) -> Result<Page, PageError> {
        let error = |fault: String| PageError {
            method: self.kind.method(),
            fault,
        };
        let page: Entry = serde_json::from_str(result).map_err(|it| error(it.to_string()))?;
        let entries = member(&page, self.kind.member()).map_err(error)?;
        let missing = || error(format!("{:?} is missing", self.kind.member()));
        let entries = entries.ok_or_else(missing)?;
        // No other list is taken for this one.
        let mut others = ListKind::ALL.iter().filter(|kind| **kind != self.kind);
        if let Some(other) = others.find(|kind| page.raw(kind.member()).is_some()) {
            return Err(error(format!("{:?} does not belong to it", other.member())));
        }
        Ok(Page {
            next_cursor: member(&page, "nextCursor").map_err(error)?,
            ttl_ms: member(&page, "ttlMs").map_err(error)?,
            cache_scope: member(&page, "cacheScope").map_err(error)?,
            entries,
        })
    }
}

/// A member of a result; null is as if it were absent.
fn member<T: DeserializeOwned>(page: &Entry, name: &str) -> Result<Option<T>, String> {
    let Some(raw) = page.raw(name) else {
        return Ok(None);
    };
    serde_json::from_str(raw.get()).map_err(|error| format!("{name:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ListKind, Walk, WalkBound, WalkLimits};
    use corelane_io::rng::Rng;

    const LIMITS: WalkLimits = WalkLimits {
        pages_max: 4,
        entries_max: 10,
        bytes_max: 10_000,
    };

    /// Walks through pages that the function gives for each cursor.
    fn walk(
        limits: WalkLimits,
        page: impl Fn(Option<&str>) -> serde_json::Value,
    ) -> (Vec<String>, Option<WalkBound>) {
        let mut walk = Walk::new(ListKind::Tools, limits);
        while let Some(cursor) = walk.next_cursor() {
            let result = page(cursor).to_string();
            walk.handle_page(&result).expect("a page");
        }
        let list = walk.finish();
        let names = list.entries.iter().filter_map(|entry| entry.text("name"));
        (names.collect(), list.bound)
    }

    #[test]
    fn pages_of_any_size_give_the_whole_list_in_order() {
        let mut rng = Rng::printed();
        for _ in 0..200 {
            let count = rng.below(40);
            let sizes: Vec<u64> = (0..=count).map(|_| rng.below(7)).collect();
            let (names, bound) = walk(WalkLimits::default(), |cursor| {
                let start: u64 = cursor.map_or(0, |cursor| cursor.parse().expect("a number"));
                let end = (start + sizes[start as usize].max(1)).min(count);
                let tools: Vec<_> = (start..end)
                    .map(|it| json!({"name": it.to_string()}))
                    .collect();
                match end < count {
                    true => json!({"tools": tools, "nextCursor": end.to_string()}),
                    false => json!({"tools": tools}),
                }
            });
            let expected: Vec<String> = (0..count).map(|it| it.to_string()).collect();
            assert_eq!((names, bound), (expected, None));
        }
    }

    #[test]
    fn a_walk_ends_at_each_bound_with_the_entries_before() {
        let tool = json!({"name": "t"});
        let endless = |cursor: Option<&str>| {
            let next = cursor.map_or(1, |cursor| cursor.parse::<u64>().expect("a number") + 1);
            json!({"tools": [tool], "nextCursor": next.to_string()})
        };
        let (names, bound) = walk(LIMITS, endless);
        assert_eq!((names.len(), bound), (4, Some(WalkBound::Pages)));
        let (names, bound) = walk(LIMITS, |_| json!({"tools": [tool], "nextCursor": "same"}));
        assert_eq!((names.len(), bound), (2, Some(WalkBound::RepeatedCursor)));
        let (names, bound) = walk(LIMITS, |_| json!({"tools": vec![&tool; 11]}));
        assert_eq!((names.len(), bound), (10, Some(WalkBound::Entries)));
        let large = json!({"tools": [{"name": "x".repeat(6000)}], "nextCursor": "2"});
        let (names, bound) = walk(LIMITS, |_| large.clone());
        assert_eq!((names.len(), bound), (1, Some(WalkBound::Bytes)));
    }

    #[test]
    fn the_hints_of_all_pages_count() {
        let mut walk = Walk::new(ListKind::Resources, LIMITS);
        for page in [
            r#"{"resources": [], "nextCursor": "1", "ttlMs": 900}"#,
            r#"{"resources": [], "nextCursor": "2", "ttlMs": 100.5, "cacheScope": "private"}"#,
            r#"{"resources": [{"name": "no uri"}], "ttlMs": -1, "cacheScope": "public"}"#,
        ] {
            walk.handle_page(page).expect("a page");
        }
        let list = walk.finish();
        assert_eq!((list.ttl_ms, list.is_private), (Some(100), true));
        assert_eq!((list.entries.len(), list.invalid.len()), (0, 1));
    }

    #[test]
    fn other_results_are_no_pages() {
        for (result, expected) in [
            ("", "EOF"),
            ("[]", "expected an object"),
            ("{}", "\"tools\" is missing"),
            (r#"{"prompts": []}"#, "\"tools\" is missing"),
            (
                r#"{"tools": [], "prompts": []}"#,
                "\"prompts\" does not belong",
            ),
            (r#"{"tools": [], "tools": []}"#, "twice"),
            (r#"{"tools": [{"name": "a", "name": "b"}]}"#, "twice"),
            (r#"{"tools": [{"name": "a", "n\u0061me": "b"}]}"#, "twice"),
            (r#"{"tools": {}}"#, "invalid type"),
            (r#"{"tools": [1]}"#, "an object"),
            (r#"{"tools": [], "nextCursor": 1}"#, "invalid type"),
        ] {
            let mut walk = Walk::new(ListKind::Tools, LIMITS);
            let error = walk.handle_page(result).expect_err(result).to_string();
            assert!(error.contains(expected), "{result}: {error}");
            assert_eq!(walk.next_cursor(), None);
        }
    }
}
