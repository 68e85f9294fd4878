//! The table of upstreams, as shards see them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use corelane_gateway::config::Sessions;
use corelane_gateway::relay::RelayedPart;
use corelane_gateway::uris;
use corelane_protocol::mcp::era::Era;
use socket2::SockAddr;

use crate::transport::OutgoingTls;

/// One upstream, as shards see it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// Its name in the configuration.
    pub(crate) name: Arc<str>,
    /// The number of the upstream that it is, or that it is a further replica of.
    pub(crate) upstream: u16,
    /// The numbers of the further replicas of the upstream; none of such a replica.
    pub(crate) replicas: Arc<[u16]>,
    /// The hash of its address in the configuration.
    pub(crate) hash: u64,
    /// Its number, which no other one ever has; its place in the table may be used again.
    pub(crate) instance: u64,
    /// Whether it is to stay.
    pub(crate) standing: Standing,
    /// Where it is; none while that is not known, and of a program.
    pub(crate) address: Option<SockAddr>,
    /// How it is reached.
    pub(crate) carrier: Carrier,
    /// How links to it are secured, if they are.
    pub(crate) tls: Option<OutgoingTls>,
    /// The starts of the heads of its requests.
    pub(crate) heads: Heads,
    /// Fields of clients that are passed on to it, in lower case.
    pub(crate) forwarded: Arc<[Box<str>]>,
    /// The credential in them, if there is to be one; that of this server itself, if tokens of
    /// clients are exchanged.
    pub(crate) credential: Option<EndpointCredential>,
    /// Whether the tokens of clients are exchanged: then no credential is in the heads.
    pub(crate) exchanges: bool,
    /// The era that it speaks, as far as that is known.
    pub(crate) era: Era,
    /// The clients that share one of its sessions, in the legacy era.
    pub(crate) sessions: Sessions,
    /// Whether it reports updates of resources.
    pub(crate) has_updates: bool,
    /// Whether calls of its tools can become tasks.
    pub(crate) has_tasks: bool,
    /// Whether its URIs have its name in them, where clients see them.
    pub(crate) has_namespaced_uris: bool,
    /// The start of the messages of its elicitations, which names it; may be empty.
    pub(crate) question_prefix: Box<str>,
    /// Whether calls of modern clients stay open while the clients answer.
    pub(crate) parks_calls: bool,
    /// Of a program.
    pub(crate) processes: Processes,
}

/// How many processes of a program there are, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Processes {
    /// Most processes that share the calls of all clients on a shard.
    pub(crate) shared_max: u16,
    /// A process without a call for so many milliseconds is stopped; 0 if none is.
    pub(crate) idle_stop_ms: u64,
}

impl Processes {
    /// One, which is not stopped.
    pub(crate) const ONE: Processes = Processes {
        shared_max: 1,
        idle_stop_ms: 0,
    };
}

impl Endpoint {
    /// A number of the table that is free, and whose last upstream was this instance.
    pub(crate) fn free(number: u16, instance: u64) -> Endpoint {
        Endpoint {
            name: "".into(),
            upstream: number,
            replicas: Arc::default(),
            hash: 0,
            instance,
            standing: Standing::Ends,
            address: None,
            carrier: Carrier::Lines,
            tls: None,
            heads: Heads::default(),
            forwarded: Arc::default(),
            credential: None,
            exchanges: false,
            era: Era::Modern,
            sessions: Sessions::Client,
            has_updates: false,
            has_tasks: false,
            has_namespaced_uris: false,
            question_prefix: Box::default(),
            parks_calls: false,
            processes: Processes::ONE,
        }
    }

    /// Whether what may change of an upstream is as in `other`.
    pub(crate) fn is_as(&self, other: &Endpoint) -> bool {
        self.instance == other.instance
            && self.standing == other.standing
            && self.address == other.address
            && self.era == other.era
            && self.has_updates == other.has_updates
            && self.has_tasks == other.has_tasks
            && (self.upstream, &self.replicas) == (other.upstream, &other.replicas)
            && self.question_prefix == other.question_prefix
            && self.parks_calls == other.parks_calls
            && self.credential == other.credential
    }

    /// The URI that it has for one of a client; none if that is of another upstream.
    pub(crate) fn original_uri<'u>(&self, uri: &'u str) -> Option<Cow<'u, str>> {
        match self.has_namespaced_uris {
            true => uris::original(uri, &self.name).map(Cow::Owned),
            false => Some(Cow::Borrowed(uri)),
        }
    }

    /// The URI that clients have for one of it.
    pub(crate) fn exposed_uri<'u>(&self, uri: &'u str) -> Cow<'u, str> {
        let named = uris::namespaced(uri, &self.name).filter(|_| self.has_namespaced_uris);
        named.map_or(Cow::Borrowed(uri), Cow::Owned)
    }

    /// An answer of it with the URIs that clients have.
    pub(crate) fn exposed(&self, mut part: RelayedPart) -> RelayedPart {
        if self.has_namespaced_uris {
            part.namespace(&self.name);
        }
        part
    }

    /// The head of messages of this server itself.
    pub(crate) fn head_of_server(&self) -> Cow<'_, [u8]> {
        match self.heads.service.is_empty() {
            true => Cow::Borrowed(self.heads.of_messages()),
            false => Cow::Owned([self.heads.of_messages(), &self.heads.service].concat()),
        }
    }

    /// Whether requests of this server need a credential that is not there.
    pub(crate) fn lacks_credential(&self) -> bool {
        let credential = self.credential.as_ref();
        credential.is_some_and(|credential| !credential.is_there)
    }
}

/// The credential of an upstream, which is in its heads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointCredential {
    /// Rises with each other one.
    pub(crate) number: u64,
    /// The name of its field, in lower case.
    pub(crate) field: Arc<str>,
    /// Rises with each try to get another one that failed.
    pub(crate) failures: u64,
    /// Whether it is there.
    pub(crate) is_there: bool,
}

/// Whether an upstream is to stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is.
    #[default]
    Serves,
    /// A reload has removed it or put another one in its place: its calls go on to their ends.
    Drains,
    /// The time for these calls is over.
    Ends,
}

/// How an upstream is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Over HTTP: a link carries one call at a time.
    Http,
    /// Lines on the standard input and output of a process, which each owner of a session has.
    Program,
    /// Lines on a connection, which each owner of a session has.
    Lines,
    /// HTTP+SSE: each owner of a session has a stream, and messages to the upstream are requests.
    Events,
}

/// The starts of the heads of requests: the request line, and fields that are always the same. They
/// may have a credential. Messages of lines and of HTTP+SSE have no heads: these are empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Heads {
    /// Of messages.
    pub(crate) post: Arc<[u8]>,
    /// Of the stream of a session.
    pub(crate) get: Arc<[u8]>,
    /// Of the end of a session.
    pub(crate) delete: Arc<[u8]>,
    /// Of HTTP+SSE.
    pub(crate) events: Option<Arc<EventHeads>>,
    /// The line with the credential of this server itself, if it is not in the other ones.
    pub(crate) service: Arc<[u8]>,
}

impl Heads {
    /// Of messages, which are requests of HTTP+SSE too.
    pub(crate) fn of_messages(&self) -> &[u8] {
        let events = self.events.as_ref().filter(|_| self.post.is_empty());
        events.map_or(&self.post, |events| &events.post)
    }
}

/// Shows no field: any may be a secret of the configuration.
impl fmt::Debug for Heads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Heads").finish_non_exhaustive()
    }
}

/// The starts of the heads of HTTP+SSE.
#[derive(PartialEq, Eq)]
pub(crate) struct EventHeads {
    /// The URL of the stream, to which that for messages may be relative.
    pub(crate) url: Box<str>,
    /// Of the stream.
    pub(crate) get: Arc<[u8]>,
    /// Of messages, but with the request target of the stream.
    pub(crate) post: Arc<[u8]>,
}

/// The replicas of all upstreams.
#[derive(Debug)]
pub(crate) struct UpstreamTable {
    /// The name and version of this server, as a JSON object.
    pub(crate) client_info: Box<str>,
    /// By number, with those that are free.
    pub(crate) endpoints: Vec<Endpoint>,
    /// What their lists lack.
    pub(crate) notice: ListNotice,
}

/// What clients learn about lists that upstreams have not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListNotice {
    /// The upstreams whose lists are not as they are now, as a JSON array; none if all are.
    pub(crate) outcomes: Option<Arc<str>>,
    /// Whether an upstream that is required has given none, so that all lists fail.
    pub(crate) lacks_required: bool,
}

impl UpstreamTable {
    /// Whether an upstream has several replicas.
    pub(crate) fn has_replicas(&self, upstream: u16) -> bool {
        !self.endpoints[usize::from(upstream)].replicas.is_empty()
    }

    /// The numbers of the replicas of an upstream.
    pub(crate) fn replicas(&self, upstream: u16) -> impl Iterator<Item = u16> + use<> {
        let further = Arc::clone(&self.endpoints[usize::from(upstream)].replicas);
        let further = (0..further.len()).map(move |place| further[place]);
        std::iter::once(upstream).chain(further)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{EventHeads, Heads};

    #[test]
    fn heads_are_shown_without_their_fields() {
        let line: Arc<[u8]> = Arc::from(&b"X-Key: secret\r\n"[..]);
        let heads = Heads {
            post: Arc::clone(&line),
            get: Arc::clone(&line),
            delete: Arc::clone(&line),
            events: Some(Arc::new(EventHeads {
                url: "http://h/sse".into(),
                get: Arc::clone(&line),
                post: Arc::clone(&line),
            })),
            service: line,
        };
        assert_eq!(format!("{heads:?}"), "Heads { .. }");
    }
}
