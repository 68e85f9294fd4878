//! Changes that are reported together.

use std::collections::BTreeSet;

/// The most names kept; when more files changed at once, their names have no use.
const MODIFIED_MAX: usize = 1024;

/// A change that a reader or lister can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A read of each of these names, relative to the directory, gives another result than before:
    /// the file was written, created, removed or replaced.
    Modified(Vec<String>),
    /// Something was created, removed or renamed.
    Listed,
    /// An unknown change: both of the above for every name.
    Everything,
}

/// Changes that were not reported yet, each once.
#[derive(Debug, Default)]
pub(super) struct Burst {
    modified: BTreeSet<String>,
    is_listed: bool,
    is_everything: bool,
}

impl Burst {
    pub(super) fn note_modified(&mut self, relative: String) {
        if self.is_everything {
            return;
        }
        if self.modified.len() >= MODIFIED_MAX && !self.modified.contains(&relative) {
            self.note_everything();
            return;
        }
        self.modified.insert(relative);
    }

    pub(super) fn note_listed(&mut self) {
        self.is_listed = true;
    }

    /// Everything includes all earlier and later changes of the burst.
    pub(super) fn note_everything(&mut self) {
        self.is_everything = true;
        self.modified.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.modified.is_empty() && !self.is_listed && !self.is_everything
    }

    /// Reports the recorded changes, listings first, and clears them.
    pub(super) fn report(&mut self, on_change: impl Fn(Change)) {
        let burst = std::mem::take(self);
        if burst.is_everything {
            on_change(Change::Everything);
            return;
        }
        if burst.is_listed {
            on_change(Change::Listed);
        }
        if !burst.modified.is_empty() {
            on_change(Change::Modified(burst.modified.into_iter().collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{Burst, Change, MODIFIED_MAX};

    fn modified(names: &[&str]) -> Change {
        Change::Modified(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[track_caller]
    fn check(burst: &mut Burst, expected: &[Change]) {
        assert_eq!(burst.is_empty(), expected.is_empty());
        let reported = RefCell::new(Vec::new());
        burst.report(|change| reported.borrow_mut().push(change));
        assert_eq!(reported.into_inner(), expected);
        assert!(burst.is_empty());
    }

    #[test]
    fn reports_each_change_once() {
        let mut burst = Burst::default();
        check(&mut burst, &[]);
        for name in ["b", "a", "b"] {
            burst.note_modified(name.to_owned());
        }
        check(&mut burst, &[modified(&["a", "b"])]);
        burst.note_modified("a".to_owned());
        burst.note_listed();
        burst.note_listed();
        check(&mut burst, &[Change::Listed, modified(&["a"])]);
    }

    #[test]
    fn everything_includes_the_rest() {
        let mut burst = Burst::default();
        burst.note_modified("a".to_owned());
        burst.note_listed();
        burst.note_everything();
        burst.note_modified("b".to_owned());
        check(&mut burst, &[Change::Everything]);
    }

    #[test]
    fn too_many_names_are_everything() {
        let mut burst = Burst::default();
        for number in 0..MODIFIED_MAX {
            burst.note_modified(number.to_string());
        }
        burst.note_modified("0".to_owned());
        assert_eq!(burst.modified.len(), MODIFIED_MAX);
        burst.note_modified("one more".to_owned());
        check(&mut burst, &[Change::Everything]);
    }
}
