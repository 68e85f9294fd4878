//! How many requests to an upstream may be repeats: an upstream that fails must not get more work
//! than one that does not.

/// Milliseconds in which requests and repeats are compared.
const WINDOW_MS: u64 = 10_000;
/// Repeats that are possible in such a time with any number of requests.
const REPEATS_MIN: u32 = 3;
/// Requests for each further repeat.
const REQUESTS_PER_REPEAT: u32 = 10;

/// The repeats of requests to one upstream.
#[derive(Debug, Default)]
pub struct RepeatBudget {
    until_ms: u64,
    requests: u32,
    /// Requests of the window before.
    requests_before: u32,
    repeats: u32,
}

impl RepeatBudget {
    /// Counts a request.
    pub fn count_request(&mut self, now_ms: u64) {
        self.renew(now_ms);
        self.requests = self.requests.saturating_add(1);
    }

    /// Takes one repeat at `now_ms`. Returns whether there was one.
    ///
    /// ```
    /// use corelane_gateway::link::RepeatBudget;
    /// let mut budget = RepeatBudget::default();
    /// let taken = (0..10).filter(|_| budget.take(0)).count();
    /// assert_eq!(taken, 3);
    /// ```
    pub fn take(&mut self, now_ms: u64) -> bool {
        self.renew(now_ms);
        let requests = self.requests.max(self.requests_before);
        let has_one = self.repeats < REPEATS_MIN.max(requests / REQUESTS_PER_REPEAT);
        self.repeats += u32::from(has_one);
        has_one
    }

    fn renew(&mut self, now_ms: u64) {
        if now_ms < self.until_ms {
            return;
        }
        let is_next = now_ms < self.until_ms + WINDOW_MS;
        *self = RepeatBudget {
            until_ms: now_ms + WINDOW_MS,
            requests_before: if is_next { self.requests } else { 0 },
            ..RepeatBudget::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{RepeatBudget, WINDOW_MS};

    fn takes(budget: &mut RepeatBudget, now_ms: u64) -> usize {
        (0..100).take_while(|_| budget.take(now_ms)).count()
    }

    #[test]
    fn a_tenth_of_the_requests_may_be_repeats_and_three_of_few() {
        for (requests, expected) in [(0, 3), (39, 3), (40, 4), (200, 20)] {
            let mut budget = RepeatBudget::default();
            (0..requests).for_each(|_| budget.count_request(0));
            assert_eq!(takes(&mut budget, 0), expected, "{requests}");
            assert_eq!(takes(&mut budget, WINDOW_MS - 1), 0, "{requests}");
            assert_eq!(takes(&mut budget, WINDOW_MS), expected, "of those before");
            assert_eq!(takes(&mut budget, 4 * WINDOW_MS), 3, "they are long ago");
        }
    }
}
