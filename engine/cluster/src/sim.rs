//! Points where a simulator injects faults, and mutations that it must find.
//!
//! Without the feature `sim` both are constants, and the compiler removes them.

/// Marks a place that the simulator must reach; with a chance in 1,000, whether to inject here.
macro_rules! sim_point {
    ($name:literal) => {{
        #[cfg(feature = "sim")]
        crate::sim::reach($name);
    }};
    ($name:literal, $per_mille:expr) => {{
        #[cfg(feature = "sim")]
        {
            crate::sim::inject($name, $per_mille)
        }
        #[cfg(not(feature = "sim"))]
        {
            false
        }
    }};
}

/// Whether the core is broken in this way.
macro_rules! mutated {
    ($name:literal) => {{
        #[cfg(feature = "sim")]
        {
            crate::sim::is_mutated($name)
        }
        #[cfg(not(feature = "sim"))]
        {
            false
        }
    }};
}

pub(crate) use mutated;
pub(crate) use sim_point;

#[cfg(feature = "sim")]
pub use switches::{Switches, inject, install, is_mutated, reach, take};

#[cfg(feature = "sim")]
mod switches {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    /// The state of the points of this thread.
    #[derive(Default)]
    pub struct Switches {
        /// The mutation of this run.
        pub mutation: Option<&'static str>,
        /// The state of the generator that decides about injections.
        pub random: u64,
        /// Whether faults are injected now.
        pub is_injecting: bool,
        /// How often each point was reached, and injected.
        pub counts: BTreeMap<&'static str, (u64, u64)>,
    }

    thread_local! {
        static SWITCHES: RefCell<Switches> = RefCell::default();
    }

    /// Sets the state of this thread.
    pub fn install(switches: Switches) {
        SWITCHES.with_borrow_mut(|own| *own = switches);
    }

    /// Changes the state of this thread.
    pub fn take<T>(change: impl FnOnce(&mut Switches) -> T) -> T {
        SWITCHES.with_borrow_mut(change)
    }

    /// Counts a point.
    pub fn reach(name: &'static str) {
        SWITCHES.with_borrow_mut(|own| own.counts.entry(name).or_default().0 += 1);
    }

    /// Counts a point, and decides whether to inject there.
    pub fn inject(name: &'static str, per_mille: u64) -> bool {
        SWITCHES.with_borrow_mut(|own| {
            own.random ^= own.random << 13;
            own.random ^= own.random >> 7;
            own.random ^= own.random << 17;
            let is_injected = own.is_injecting && own.random % 1_000 < per_mille;
            let counts = own.counts.entry(name).or_default();
            counts.0 += 1;
            counts.1 += u64::from(is_injected);
            is_injected
        })
    }

    /// Whether the run has this mutation.
    #[must_use]
    pub fn is_mutated(name: &str) -> bool {
        SWITCHES.with_borrow(|own| own.mutation == Some(name))
    }
}
