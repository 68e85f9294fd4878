//! The events of the control thread, which the server passes on to its shards and its audit log.

use std::sync::Arc;

use corelane_guard::access::Access;
use corelane_guard::token::keys::IssuerKeys;

use crate::issuer::IssuerState;

/// An event of the control thread.
#[derive(Clone, Debug)]
pub enum ControlEvent<'a> {
    /// There is another snapshot.
    Snapshot(Arc<Access>),
    /// The last snapshot is the first one with a policy that was read.
    PolicyLoaded {
        /// Its [`digest`](corelane_guard::policy::Policy::digest).
        policy: [u8; 8],
    },
    /// The configuration was read again and has faults.
    PolicyRefused {
        /// The digest of the policy that stays in use.
        policy: [u8; 8],
    },
    /// The last snapshot is the first one with these keys of an issuer.
    KeysChanged {
        /// The alias of the issuer.
        issuer: &'a str,
        /// Whether it has keys; otherwise those of before were too old.
        has_keys: bool,
    },
}

/// The keys of issuers in the last snapshot, by the aliases.
#[derive(Debug, Default)]
pub(crate) struct PublishedKeys(Vec<(Box<str>, Option<Arc<IssuerKeys>>)>);

impl PublishedKeys {
    /// Takes the keys of another snapshot, and reports the issuers whose keys are others. One that
    /// is not configured any more is no such issuer.
    pub(crate) fn update(&mut self, issuers: &[IssuerState], report: impl Fn(ControlEvent<'_>)) {
        let before = std::mem::take(&mut self.0);
        for issuer in issuers {
            let (alias, keys) = (&issuer.config.issuer.alias, issuer.keys());
            let mut before = before.iter();
            let old = before
                .find(|(other, _)| other == alias)
                .and_then(|(_, keys)| keys.as_ref());
            let is_same = match (old, &keys) {
                (None, None) => true,
                (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old.has_same_keys(new),
                _ => false,
            };
            if !is_same {
                let has_keys = keys.is_some();
                report(ControlEvent::KeysChanged {
                    issuer: alias,
                    has_keys,
                });
            }
            self.0.push((alias.clone(), keys));
        }
    }
}
