//! The sums of quotas of all shards, for the thread that writes them to a file.

use std::sync::{Mutex, PoisonError};

use super::quota::snapshot_head;

/// The sums of quotas. A shard publishes its own, and no other touches them.
#[derive(Debug)]
pub struct QuotaBoard {
    /// The text of the process before.
    restored: String,
    sums: Box<[Mutex<Sums>]>,
}

#[derive(Debug, Default)]
struct Sums {
    /// Days since 1970.
    day: u64,
    lines: String,
}

impl QuotaBoard {
    /// A board of so many shards, with the text of the process before.
    ///
    /// ```
    /// use corelane_guard::limit::board::QuotaBoard;
    ///
    /// let board = QuotaBoard::new(2, String::new());
    /// board.publish(1, 20_000, "3 4000 jwt:corp:alice\n".to_owned());
    /// let expected = "corelane quotas 1 day 20000\n3 4000 jwt:corp:alice\n";
    /// assert_eq!(board.text().as_deref(), Some(expected));
    /// ```
    pub fn new(shards: usize, restored: String) -> QuotaBoard {
        QuotaBoard {
            restored,
            sums: (0..shards).map(|_| Mutex::default()).collect(),
        }
    }

    /// The text of the process before.
    pub fn restored(&self) -> &str {
        &self.restored
    }

    /// Publishes the sums of a shard: the days since 1970, and lines of
    /// [`Quotas::snapshot`](super::quota::Quotas::snapshot).
    pub fn publish(&self, shard: u16, day: u64, lines: String) {
        let sums = &self.sums[usize::from(shard)];
        *sums.lock().unwrap_or_else(PoisonError::into_inner) = Sums { day, lines };
    }

    /// The text of the last day that a shard has published; none before any has.
    pub fn text(&self) -> Option<String> {
        let sums = self.sums.iter();
        let sums: Vec<_> = sums
            .map(|sums| sums.lock().unwrap_or_else(PoisonError::into_inner))
            .collect();
        let day = sums.iter().map(|sums| sums.day).max().unwrap_or_default();
        let of_day = sums.iter().filter(|sums| sums.day == day);
        let lines = of_day.map(|sums| sums.lines.as_str());
        (day > 0).then(|| lines.fold(snapshot_head(day), |text, lines| text + lines))
    }
}

#[cfg(test)]
mod tests {
    use super::QuotaBoard;

    #[test]
    fn the_text_has_the_sums_of_the_last_day() {
        let board = QuotaBoard::new(3, String::new());
        assert_eq!(board.text(), None);
        board.publish(0, 7, "1 2 a\n".to_owned());
        board.publish(1, 8, "3 4 b\n".to_owned());
        board.publish(2, 8, "5 6 c\n".to_owned());
        let expected = "corelane quotas 1 day 8\n3 4 b\n5 6 c\n";
        assert_eq!(board.text().as_deref(), Some(expected));
    }
}
