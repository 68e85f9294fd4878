//! The listener that a connection came from, in one byte.

use crate::profile::{Binding, LISTENERS_MAX};

/// The number of a listener, the binding of its connections, and the kind of their peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source(u8);

const NUMBER_BITS: u32 = 4;
const NUMBER_MASK: u8 = (1 << NUMBER_BITS) - 1;
const BINDING_MASK: u8 = 0b11;
/// In place of a binding: the lines of standard input and output.
const STDIO: u8 = 0b11;
const UNIX: u8 = 1 << 6;
const TLS: u8 = 1 << 7;

impl Source {
    /// Standard input and output.
    pub(crate) const STDIO: Source = Source(STDIO << NUMBER_BITS);

    /// Of the listener of TCP with this number.
    ///
    /// # Panics
    /// If the number is not below [`LISTENERS_MAX`].
    pub(crate) const fn new(number: u8, binding: Binding) -> Source {
        const { assert!(LISTENERS_MAX == 1 << NUMBER_BITS) }
        assert!(number <= NUMBER_MASK);
        Source(number | (binding as u8) << NUMBER_BITS)
    }

    /// The same, with or without TLS.
    pub(crate) const fn with_tls(self, is_tls: bool) -> Source {
        match is_tls {
            true => Source(self.0 | TLS),
            false => Source(self.0 & !TLS),
        }
    }

    /// Whether TLS comes first.
    pub(crate) const fn is_tls(self) -> bool {
        self.0 & TLS != 0
    }

    /// The same of a Unix socket.
    pub(crate) const fn on_unix(self) -> Source {
        Source(self.0 | UNIX)
    }

    /// The number of the listener.
    pub(crate) const fn listener(self) -> u8 {
        self.0 & NUMBER_MASK
    }

    /// The protocol of the connection.
    pub(crate) const fn binding(self) -> Binding {
        const HTTP: u8 = Binding::Http as u8;
        const LINES: u8 = Binding::Lines as u8;
        match self.0 >> NUMBER_BITS & BINDING_MASK {
            HTTP => Binding::Http,
            LINES | STDIO => Binding::Lines,
            _ => Binding::WebSocket,
        }
    }

    /// Whether it is standard input and output.
    pub(crate) const fn is_stdio(self) -> bool {
        self.0 == Source::STDIO.0
    }

    /// Whether its peer is a process of this host, on a Unix socket.
    pub(crate) const fn is_unix(self) -> bool {
        self.0 & UNIX != 0
    }

    /// Whether the peer is looked up before anything is read: all messages of a connection of lines
    /// take places in its name, and a user is the principal of each request.
    pub(crate) const fn names_peer_first(self) -> bool {
        self.is_unix() || matches!(self.binding(), Binding::Lines) && !self.is_stdio()
    }
}

impl Default for Source {
    /// The first listener, with HTTP.
    fn default() -> Source {
        Source::new(0, Binding::Http)
    }
}

#[cfg(test)]
mod tests {
    use super::Source;
    use crate::profile::{Binding, LISTENERS_MAX};

    #[test]
    fn a_source_has_the_properties_that_it_was_made_with() {
        for number in 0..LISTENERS_MAX as u8 {
            for binding in [Binding::Http, Binding::Lines, Binding::WebSocket] {
                let source = Source::new(number, binding);
                for (source, is_unix) in [(source, false), (source.on_unix(), true)] {
                    for is_tls in [false, true, false] {
                        let source = source.with_tls(is_tls);
                        let found = (source.listener(), source.binding(), source.is_unix());
                        assert_eq!(found, (number, binding, is_unix));
                        assert_eq!(source.is_tls(), is_tls);
                    }
                }
            }
        }
        assert_eq!(Source::default(), Source::new(0, Binding::Http));
        assert_eq!(Source::STDIO.binding(), Binding::Lines);
        assert_ne!(Source::STDIO, Source::new(0, Binding::Lines));
    }
}
