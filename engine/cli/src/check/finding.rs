//! A probe of the host, and the faults that it finds.

use std::fmt;

use super::host::Host;
use super::plan::Plan;

/// One thing about the host that is examined.
pub(crate) struct Probe {
    /// Its name in the output and in docs/tuning.md.
    pub(crate) name: &'static str,
    /// The faults of a host for a plan; nothing if a text that is needed is missing.
    pub(crate) examine: fn(&Host, &Plan) -> Option<Vec<Fault>>,
    /// Why a fault matters: the end of the line that reports it.
    pub(crate) reason: &'static str,
}

/// The outcome of one probe.
pub(crate) struct Outcome {
    pub(crate) probe: &'static Probe,
    /// Nothing if a text that the probe needs is missing.
    pub(crate) faults: Option<Vec<Fault>>,
}

/// A property of the host that does not suit the plan.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The value found and the value needed.
    pub(crate) found: String,
    pub(crate) fix: Fix,
    /// A fact worth knowing, which is no reason for a failed check.
    pub(crate) is_note: bool,
}

/// The way to correct a fault.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fix {
    /// A command for the shell of root, which may run twice.
    Run(String),
    /// A change that no command makes.
    Change(String),
}

impl Fault {
    fn new(found: impl Into<String>, fix: Fix) -> Fault {
        Fault {
            found: found.into(),
            fix,
            is_note: false,
        }
    }

    /// A fault that a command corrects.
    pub(crate) fn run(found: impl Into<String>, command: impl Into<String>) -> Fault {
        Fault::new(found, Fix::Run(command.into()))
    }

    /// A fault that no command corrects.
    pub(crate) fn change(found: impl Into<String>, change: impl Into<String>) -> Fault {
        Fault::new(found, Fix::Change(change.into()))
    }

    /// A kernel setting that is to be `value`; `found` says why the present one does not suit.
    pub(crate) fn sysctl(found: impl Into<String>, name: &str, value: impl fmt::Display) -> Fault {
        let value = value.to_string();
        let quote = if value.contains(' ') { "'" } else { "" };
        Fault::run(found, format!("sysctl -w {name}={quote}{value}{quote}"))
    }

    /// The same, as a note.
    pub(crate) fn noted(mut self) -> Fault {
        self.is_note = true;
        self
    }
}

/// A number with its noun, such as `1 shard` or `2 shards`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// A fault if the kernel setting is below `wanted`; `needed` says the purpose.
pub(crate) fn at_least(host: &Host, name: &str, wanted: u64, needed: &str) -> Option<Vec<Fault>> {
    let value = host.number(&format!("proc/sys/{}", name.replace('.', "/")))?;
    only_if(value < wanted, || {
        let found = format!("{name} is {value}, and {needed} {wanted}");
        Fault::sysctl(found, name, wanted)
    })
}

/// A fault if the kernel setting is not `wanted`.
pub(crate) fn exactly(host: &Host, name: &str, wanted: u64) -> Option<Vec<Fault>> {
    let value = host.number(&format!("proc/sys/{}", name.replace('.', "/")))?;
    let found = || format!("{name} is {value}");
    only_if(value != wanted, || Fault::sysctl(found(), name, wanted))
}

/// The fault if there is one, for a probe that had all of its texts.
pub(crate) fn only_if(is_fault: bool, fault: impl FnOnce() -> Fault) -> Option<Vec<Fault>> {
    Some(is_fault.then(fault).into_iter().collect())
}

/// Declares the probes of a file, `PROBES`: each is a function with the name of the probe,
/// and the reason.
macro_rules! probes {
    ($($examine:ident: $reason:literal;)*) => {
        pub(super) const PROBES: &[$crate::check::finding::Probe] = &[
            $($crate::check::finding::Probe {
                name: stringify!($examine),
                examine: $examine,
                reason: $reason,
            },)*
        ];
    };
}

pub(crate) use probes;
