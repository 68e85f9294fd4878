//! The links to one endpoint, and the calls that wait for one.
//!
//! A link carries one call at a time (RFC 9112 9.3.2: answers in order, and a tool may run for
//! minutes). The link that was idle for the shortest time is used first, so that the others grow
//! old and close. A call that finds none waits in order while a link opens for it.
//!
//! Invariants: no more than [`PoolLimits::links_max`] links, [`PoolLimits::idle_max`] idle ones,
//! [`PoolLimits::connects_max`] that open, and [`PoolLimits::waiting_max`] calls that wait. It
//! deliberately lacks links that open ahead of calls.

use std::collections::VecDeque;

/// The time that an idle link is kept when its endpoint advertises none, in milliseconds. Usual
/// servers close after 5 s (Node.js, gunicorn, uvicorn): a request that is written into a link that
/// closes may have been executed, and nobody knows.
pub const IDLE_MS: u64 = 4_000;
/// The longest time that an idle link is kept, in milliseconds.
pub const IDLE_MS_MAX: u64 = 60_000;

/// The bounds of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Most links, those that open included.
    pub links_max: usize,
    /// Most links that are kept idle.
    pub idle_max: usize,
    /// Most links that open at once.
    pub connects_max: usize,
    /// Most calls that wait for a link.
    pub waiting_max: usize,
}

/// How a call gets its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigned<L> {
    /// It has this one now.
    Link(L),
    /// It waits, and the caller opens a link: [`Pool::opened`] or [`Pool::open_failed`] follows.
    Opens,
    /// It waits for a link that becomes free.
    Waits,
    /// Too many wait: it is refused.
    Full,
}

/// The use of a link that has become free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released<C> {
    /// It carries this call, which waited.
    Carries(C),
    /// It is idle.
    Idle,
    /// It is of no use: the caller closes it. The pool has forgotten it.
    Closes,
}

/// An idle link.
#[derive(Clone, Copy, Debug)]
struct Idle<L> {
    link: L,
    /// When it is closed.
    until_ms: u64,
    /// Whether the caller has looked for its end since it is idle.
    is_checked: bool,
}

/// The links `L` to one endpoint and the calls `C` that wait.
#[derive(Debug)]
pub struct Pool<L, C> {
    limits: PoolLimits,
    /// The link that was used last is the last.
    idle: Vec<Idle<L>>,
    /// All links, those that open included.
    links: usize,
    opening: usize,
    waiting: VecDeque<C>,
}

impl<L: Copy + PartialEq, C: Copy + PartialEq> Pool<L, C> {
    /// A pool without links.
    ///
    /// ```
    /// use corelane_gateway::link::{Assigned, Pool, PoolLimits, Released};
    ///
    /// let limits = PoolLimits { links_max: 2, idle_max: 1, connects_max: 1, waiting_max: 8 };
    /// let mut pool: Pool<&str, u32> = Pool::new(limits);
    /// assert_eq!(pool.assign(7), Assigned::Opens);
    /// assert_eq!(pool.opened("a", None, 0), Released::Carries(7));
    /// assert_eq!(pool.release("a", None, 10), Released::Idle);
    /// assert_eq!(pool.assign(8), Assigned::Link("a"));
    /// ```
    pub fn new(limits: PoolLimits) -> Pool<L, C> {
        Pool {
            limits,
            idle: Vec::new(),
            links: 0,
            opening: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Finds a link for a call, or lets it wait.
    pub fn assign(&mut self, call: C) -> Assigned<L> {
        if let Some(idle) = self.idle.pop() {
            return Assigned::Link(idle.link);
        }
        if self.waiting.len() >= self.limits.waiting_max {
            return Assigned::Full;
        }
        self.waiting.push_back(call);
        match self.begin_opening() {
            true => Assigned::Opens,
            false => Assigned::Waits,
        }
    }

    /// Counts a link that opens, if a call waits for one and the bounds allow it. The caller opens
    /// one for each `true`.
    pub fn begin_opening(&mut self) -> bool {
        let opens = self.opening < self.waiting.len()
            && self.opening < self.limits.connects_max
            && self.links < self.limits.links_max;
        self.opening += usize::from(opens);
        self.links += usize::from(opens);
        opens
    }

    /// A link is open.
    pub fn opened(&mut self, link: L, keep_alive_s: Option<u16>, now_ms: u64) -> Released<C> {
        self.opening -= 1;
        self.release(link, keep_alive_s, now_ms)
    }

    /// A link did not open. Returns the calls that have no prospect of another one, which fail: all
    /// of them, unless links are open or open now, which become free.
    pub fn open_failed(&mut self) -> Vec<C> {
        self.opening -= 1;
        self.links -= 1;
        match self.links {
            0 => self.waiting.drain(..).collect(),
            _ => Vec::new(),
        }
    }

    /// The call of a link is over, and the link can carry another one. `keep_alive_s` is the time
    /// that its endpoint advertises to keep it, in seconds.
    pub fn release(&mut self, link: L, keep_alive_s: Option<u16>, now_ms: u64) -> Released<C> {
        if let Some(call) = self.waiting.pop_front() {
            return Released::Carries(call);
        }
        let idle_ms = idle_ms(keep_alive_s);
        if self.idle.len() >= self.limits.idle_max || idle_ms == 0 {
            self.links -= 1;
            return Released::Closes;
        }
        self.idle.push(Idle {
            link,
            until_ms: now_ms + idle_ms,
            is_checked: false,
        });
        Released::Idle
    }

    /// A link is gone that carried a call or was idle.
    pub fn closed(&mut self, link: L) {
        self.links -= 1;
        if let Some(place) = self.idle.iter().position(|it| it.link == link) {
            self.idle.remove(place);
        }
    }

    /// The call of a link waits for its client: the link does not count until
    /// [`Pool::take_back`], so that clients that do not answer leave other calls their links. The
    /// caller bounds such calls.
    pub fn lend(&mut self) {
        self.links -= 1;
    }

    /// A link that was lent counts again: its call is over.
    pub fn take_back(&mut self) {
        self.links += 1;
    }

    /// Removes a call that waits. Returns whether it did.
    pub fn withdraw(&mut self, call: C) -> bool {
        let place = self.waiting.iter().position(|it| *it == call);
        place.and_then(|place| self.waiting.remove(place)).is_some()
    }

    /// Takes out an idle link whose time is over: the caller closes it.
    pub fn next_expired(&mut self, now_ms: u64) -> Option<L> {
        let place = self.idle.iter().position(|it| it.until_ms <= now_ms)?;
        self.links -= 1;
        Some(self.idle.remove(place).link)
    }

    /// An idle link that was not checked since it is idle. The end of a connection can be lost when
    /// it comes with the last bytes, so the caller looks for it once.
    pub fn next_unchecked(&mut self) -> Option<L> {
        let mut idle = self.idle.iter_mut();
        let found = idle.find(|it| !it.is_checked)?;
        found.is_checked = true;
        Some(found.link)
    }

    /// Takes out all idle links: the caller closes them.
    pub fn take_idle(&mut self) -> Vec<L> {
        self.links -= self.idle.len();
        self.idle.drain(..).map(|it| it.link).collect()
    }

    /// Links, those that open included.
    pub fn links(&self) -> usize {
        self.links
    }

    /// Calls that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Idle links.
    pub fn idle(&self) -> usize {
        self.idle.len()
    }
}

/// How long a link is kept idle, in milliseconds: a second less than its endpoint keeps it.
fn idle_ms(keep_alive_s: Option<u16>) -> u64 {
    let advertised = keep_alive_s.map(|seconds| u64::from(seconds).saturating_sub(1) * 1000);
    advertised.unwrap_or(IDLE_MS).min(IDLE_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::{Assigned, IDLE_MS, IDLE_MS_MAX, Pool, PoolLimits, Released};
    use corelane_io::rng::Rng;
    use std::collections::HashSet;

    const LIMITS: PoolLimits = PoolLimits {
        links_max: 3,
        idle_max: 2,
        connects_max: 2,
        waiting_max: 4,
    };

    fn pool() -> Pool<u32, u32> {
        Pool::new(LIMITS)
    }

    /// A pool with so many links that carry calls.
    fn busy(links: u32) -> Pool<u32, u32> {
        let mut pool = pool();
        for link in 0..links {
            assert_eq!(pool.assign(link), Assigned::Opens);
            assert_eq!(pool.opened(link, None, 0), Released::Carries(link));
        }
        pool
    }

    #[test]
    fn a_link_whose_call_waits_for_its_client_leaves_room_for_another_one() {
        let mut pool = busy(3);
        assert_eq!(pool.assign(7), Assigned::Waits);
        pool.lend();
        assert!(pool.begin_opening());
        assert_eq!(pool.opened(3, None, 0), Released::Carries(7));
        assert_eq!(pool.assign(8), Assigned::Waits, "all are in use");
        pool.take_back();
        assert_eq!(pool.links(), 4);
        pool.closed(0);
        assert!(!pool.begin_opening(), "there are as many as allowed");
        assert_eq!(pool.release(1, None, 0), Released::Carries(8));
    }

    #[test]
    fn the_link_that_was_used_last_is_used_first() {
        let mut pool = busy(2);
        for link in [1, 0] {
            assert_eq!(pool.release(link, None, 0), Released::Idle);
        }
        assert_eq!(pool.assign(9), Assigned::Link(0));
        assert_eq!(pool.assign(9), Assigned::Link(1));
        assert_eq!(pool.assign(9), Assigned::Opens);
    }

    #[test]
    fn calls_wait_in_order_and_each_bound_holds() {
        let mut pool = pool();
        let assigned: Vec<_> = (0..5).map(|call| pool.assign(call)).collect();
        let waits = Assigned::Waits;
        let opens = Assigned::Opens;
        assert_eq!(assigned, [opens, opens, waits, waits, Assigned::Full]);
        assert_eq!(pool.opened(10, None, 0), Released::Carries(0));
        assert!(pool.begin_opening(), "one more link may open");
        assert!(!pool.begin_opening());
        assert_eq!(pool.release(10, None, 0), Released::Carries(1));
        assert_eq!(pool.opened(11, None, 0), Released::Carries(2));
        assert_eq!(pool.opened(12, None, 0), Released::Carries(3));
        assert_eq!((pool.links(), pool.waiting()), (3, 0));
        assert_eq!(pool.release(10, None, 0), Released::Idle);
        assert_eq!(pool.release(11, None, 0), Released::Idle);
        assert_eq!(pool.release(12, None, 0), Released::Closes);
        assert_eq!((pool.links(), pool.idle()), (2, 2));
    }

    #[test]
    fn an_idle_link_ends_before_its_server_ends_it() {
        for (keep_alive_s, expected_ms) in [
            (None, IDLE_MS),
            (Some(5), 4_000),
            (Some(2), 1_000),
            (Some(600), IDLE_MS_MAX),
        ] {
            let mut pool = busy(1);
            assert_eq!(pool.release(0, keep_alive_s, 100), Released::Idle);
            assert_eq!(pool.next_expired(100 + expected_ms - 1), None);
            assert_eq!(pool.next_expired(100 + expected_ms), Some(0));
            assert_eq!((pool.links(), pool.idle()), (0, 0));
        }
        for keep_alive_s in [0, 1] {
            let mut pool = busy(1);
            let released = pool.release(0, Some(keep_alive_s), 0);
            assert_eq!(released, Released::Closes, "it would end at once");
        }
    }

    #[test]
    fn an_idle_link_is_checked_once() {
        let mut pool = busy(1);
        assert_eq!(pool.release(0, None, 0), Released::Idle);
        assert_eq!(pool.next_unchecked(), Some(0));
        assert_eq!(pool.next_unchecked(), None);
        pool.closed(0);
        assert_eq!((pool.links(), pool.idle()), (0, 0));
    }

    #[test]
    fn calls_fail_with_the_last_link_that_could_have_carried_them() {
        let mut pool = pool();
        for call in 0..3 {
            pool.assign(call);
        }
        assert_eq!(pool.open_failed(), [0_u32; 0], "another one still opens");
        assert_eq!(pool.open_failed(), [0, 1, 2]);
        let mut pool = busy(1);
        assert_eq!(pool.assign(5), Assigned::Opens);
        assert_eq!(pool.open_failed(), [0_u32; 0], "a link is open");
        assert!(pool.withdraw(5));
        assert!(!pool.withdraw(5));
        assert_eq!(pool.release(0, None, 0), Released::Idle);
    }

    #[test]
    fn no_link_and_no_call_is_lost_in_any_order_of_events() {
        let mut rng = Rng::printed();
        let mut pool = pool();
        let (mut opening, mut carrying, mut waiting) = (0, Vec::new(), HashSet::new());
        let mut next = 0;
        for now_ms in 0..20_000 {
            next += 1;
            match rng.below(7) {
                0 | 1 => match pool.assign(next) {
                    Assigned::Link(link) => carrying.push(link),
                    Assigned::Opens => {
                        opening += 1;
                        waiting.insert(next);
                    }
                    Assigned::Waits => assert!(waiting.insert(next)),
                    Assigned::Full => assert_eq!(waiting.len(), LIMITS.waiting_max),
                },
                2 if opening > 0 => {
                    opening -= 1;
                    match pool.opened(next, None, now_ms) {
                        Released::Carries(call) => {
                            assert!(waiting.remove(&call));
                            carrying.push(next);
                        }
                        Released::Idle | Released::Closes => assert!(waiting.is_empty()),
                    }
                }
                3 if opening > 0 => {
                    opening -= 1;
                    for call in pool.open_failed() {
                        assert!(waiting.remove(&call));
                    }
                }
                4 if !carrying.is_empty() => {
                    let link = carrying.swap_remove(rng.below(carrying.len() as u64) as usize);
                    if let Released::Carries(call) = pool.release(link, None, now_ms) {
                        assert!(waiting.remove(&call));
                        carrying.push(link);
                    }
                }
                5 if !carrying.is_empty() => pool.closed(carrying.remove(0)),
                _ => while pool.next_expired(now_ms).is_some() {},
            }
            opening += u32::from(pool.begin_opening());
            assert_eq!(pool.waiting(), waiting.len());
            assert_eq!(
                pool.links(),
                opening as usize + carrying.len() + pool.idle()
            );
            assert!(pool.links() <= LIMITS.links_max && pool.idle() <= LIMITS.idle_max);
            let has_prospect = opening > 0 || !carrying.is_empty() || waiting.is_empty();
            assert!(has_prospect, "calls wait for nothing");
        }
    }
}
