//! The names that may be labels: those of the entries of the catalog, each with a number.
//!
//! Invariant: a name comes from a catalog, never from a request, so that no client decides how many
//! there are. There are no more than [`NAMES_MAX`]; later ones have none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most names of a process, for catalogs that change for ever.
pub(crate) const NAMES_MAX: usize = 4096;

/// The names of a server, shared by its shards. It is locked when a catalog is made, and when
/// metrics are read.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// By number, from 1.
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u16>,
}

impl Names {
    /// The number of a name of the catalog; 0 if there are too many names.
    pub(crate) fn number_of(&self, name: &str) -> u16 {
        let mut table = self.table();
        if let Some(number) = table.numbers.get(name) {
            return *number;
        }
        if table.names.len() == NAMES_MAX {
            return 0;
        }
        let name: Arc<str> = name.into();
        table.names.push(Arc::clone(&name));
        let number = table.names.len() as u16;
        table.numbers.insert(name, number);
        number
    }

    #[cfg(any(test, feature = "metrics"))]
    /// All names, by number from 1.
    pub(crate) fn all(&self) -> Vec<Arc<str>> {
        self.table().names.clone()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{NAMES_MAX, Names};

    #[test]
    fn each_name_keeps_its_number_and_later_ones_have_none() {
        let names = Names::default();
        for at in 0..NAMES_MAX {
            assert_eq!(usize::from(names.number_of(&format!("tool{at}"))), at + 1);
        }
        assert_eq!(names.number_of("one more"), 0);
        assert_eq!(names.number_of("tool0"), 1);
        assert_eq!((names.all().len(), &*names.all()[1]), (NAMES_MAX, "tool1"));
    }
}
