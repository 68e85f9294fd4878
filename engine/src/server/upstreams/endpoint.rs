//! From the configuration of an upstream to its address and the head of its requests.

use std::hash::BuildHasher as _;
use std::io;
use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::sync::Arc;

use corelane_gateway::config::{self, OnChange, Target, Upstream};
use corelane_protocol::binding::http_client::{
    ACCEPT_ENCODING, ACCEPT_GET, ACCEPT_POST, CONTENT_TYPE,
};
use corelane_protocol::framing::http1::{begin_request_head, write_field};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::era_probe::{EraChoice, EraProbe, Wire};
use foldhash::fast::FixedState;
use socket2::SockAddr;

use super::program::Program;
use super::secret::secret;
#[cfg(feature = "tls")]
use crate::profile::CertificateFiles;
use crate::profile::Gateway;
use crate::server::upstream_error::UpstreamError;
use crate::transport::OutgoingTls;
use crate::upstream::endpoint::{Carrier, Endpoint, EventHeads, Heads, Processes, Standing};

/// The path of a server on a Unix socket.
const UNIX_PATH: &str = "/mcp";

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) enum Place {
    /// A host and a port.
    Host(String, u16),
    /// A Unix socket.
    Unix(SockAddr),
    /// A program on this host.
    Program(Arc<Program>),
}

impl Place {
    /// How long it takes to open a link at most, in milliseconds.
    pub(super) fn open_ms(&self, settings: &Gateway) -> u64 {
        match self {
            Place::Program(_) => settings.start_ms,
            Place::Host(..) | Place::Unix(_) => settings.connect_ms,
        }
    }

    /// The address, which may take long to find; none of a program.
    pub(super) fn resolve(&self) -> io::Result<Option<SockAddr>> {
        match self {
            Place::Unix(address) => Ok(Some(address.clone())),
            Place::Program(_) => Ok(None),
            Place::Host(host, port) => {
                let mut addresses = (host.as_str(), *port).to_socket_addrs()?;
                let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                let address = addresses.next().map(SockAddr::from);
                address.map(Some).ok_or_else(none)
            }
        }
    }
}

/// The addresses of replicas, none where it cannot be found.
///
/// # Errors
/// None can be found.
pub(super) fn resolve_all(places: &[Place]) -> io::Result<Vec<Option<SockAddr>>> {
    let (mut addresses, mut fault) = (Vec::new(), None);
    for place in places {
        match place.resolve() {
            Ok(address) => addresses.push(address),
            Err(error) => {
                addresses.push(None);
                fault = Some(error);
            }
        }
    }
    match fault {
        Some(error) if addresses.iter().all(Option::is_none) => Err(error),
        _ => Ok(addresses),
    }
}

/// A replica of an upstream: its place, and the parts of it that shards need.
pub(in crate::server) type Served = (Place, Endpoint);

/// Checks that an upstream can be served, and gives its replicas.
///
/// # Errors
/// [`UpstreamError`], with the remedy.
pub(in crate::server) fn check(
    upstream: &Upstream,
) -> std::result::Result<Vec<Served>, UpstreamError> {
    if let Some((part, remedy)) = unsupported(upstream) {
        let name = upstream.name.to_string();
        return Err(UpstreamError::Unsupported { name, part, remedy });
    }
    let replicas = upstream.targets.iter();
    replicas.map(|target| replica(upstream, target)).collect()
}

fn replica(upstream: &Upstream, target: &Target) -> std::result::Result<Served, UpstreamError> {
    let carrier = carrier_of(target);
    let (place, heads) = match target {
        Target::Child(child) => {
            let program = Program::new(&upstream.name, child)?;
            (Place::Program(Arc::new(program)), Heads::default())
        }
        Target::Unix(path) => (Place::Unix(unix(upstream, path)?), Heads::default()),
        Target::Tcp(host, port) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            (Place::Host(host.to_owned(), *port), Heads::default())
        }
        Target::Http { .. } | Target::HttpOverUnix(_) => {
            let (place, host, path) = place_of(upstream, target)?;
            (
                place,
                heads_of((upstream, target), (host.as_str(), path.as_str()))?,
            )
        }
    };
    let endpoint = Endpoint {
        name: Arc::from(&*upstream.name),
        upstream: 0,
        replicas: Arc::default(),
        hash: FixedState::with_seed(0).hash_one(format!("{target:?}")),
        instance: 0,
        standing: Standing::Serves,
        address: None,
        carrier,
        tls: tls_of(upstream, target)?,
        heads,
        credential: None,
        exchanges: matches!(
            upstream.credential,
            Some(config::Credential::TokenExchange(..))
        ),
        forwarded: upstream.forwarded_headers.clone().into(),
        era: Era::Modern,
        sessions: upstream.sessions,
        has_updates: false,
        has_tasks: false,
        has_namespaced_uris: upstream.has_namespaced_uris,
        question_prefix: match upstream.questions.name_upstream {
            true => format!("[{}] ", upstream.name).into(),
            false => Box::default(),
        },
        parks_calls: upstream.questions.park,
        processes: processes_of(target),
    };
    Ok((place, endpoint))
}

/// The heads of the requests of an upstream at this host and path.
fn heads_of(
    (upstream, target): (&Upstream, &Target),
    at: (&str, &str),
) -> std::result::Result<Heads, UpstreamError> {
    let post = head_of(upstream, "POST", at)?;
    let get = head_of(upstream, "GET", at)?;
    if let Target::Http { url, is_sse: true } = target {
        let events = EventHeads {
            url: url.as_str().into(),
            get,
            post,
        };
        return Ok(Heads {
            events: Some(Arc::new(events)),
            ..Heads::default()
        });
    }
    Ok(Heads {
        post,
        get,
        delete: head_of(upstream, "DELETE", at)?,
        ..Heads::default()
    })
}

/// How a target is reached.
fn carrier_of(target: &Target) -> Carrier {
    match target {
        Target::Http { is_sse: true, .. } => Carrier::Events,
        Target::Http { .. } | Target::HttpOverUnix(_) => Carrier::Http,
        Target::Child(_) => Carrier::Program,
        Target::Unix(_) | Target::Tcp(..) => Carrier::Lines,
    }
}

/// How many processes there are of a target that is a program.
fn processes_of(target: &Target) -> Processes {
    match target {
        Target::Child(child) => Processes {
            shared_max: child.processes,
            idle_stop_ms: child.idle_stop_ms,
        },
        Target::Http { .. } | Target::HttpOverUnix(_) | Target::Unix(_) | Target::Tcp(..) => {
            Processes {
                shared_max: 1,
                idle_stop_ms: 0,
            }
        }
    }
}

/// The address of a Unix socket.
fn unix(upstream: &Upstream, path: &Path) -> std::result::Result<SockAddr, UpstreamError> {
    SockAddr::unix(path).map_err(|_| UpstreamError::Unsupported {
        name: upstream.name.to_string(),
        part: "a path of more than 107 bytes",
        remedy: "correct its url",
    })
}

/// A probe of the era of an upstream.
pub(super) fn probe_of(upstream: &Upstream) -> EraProbe {
    let carrier = carrier_of(&upstream.targets[0]);
    let wire = match carrier {
        Carrier::Http | Carrier::Events => Wire::Http,
        Carrier::Program | Carrier::Lines => Wire::Lines,
    };
    let choice = match upstream.era {
        // It is a transport of that era.
        _ if carrier == Carrier::Events => EraChoice::Legacy,
        config::Era::Auto => EraChoice::Auto,
        config::Era::Modern => EraChoice::Modern,
        config::Era::Legacy => EraChoice::Legacy,
    };
    EraProbe::new(wire, choice)
}

/// The first part of a configuration that has no effect yet, and the way around.
fn unsupported(upstream: &Upstream) -> Option<(&'static str, &'static str)> {
    let of_target = match upstream.targets.as_slice() {
        [Target::Http { is_sse: true, .. }] if upstream.era == config::Era::Modern => {
            Some(("HTTP+SSE in the modern era", "leave era out"))
        }
        all if cfg!(not(feature = "tls")) && all.iter().any(Target::has_tls) => {
            Some(("https", "build with the feature tls"))
        }
        [_] => None,
        all if all.iter().all(|it| carrier_of(it) == Carrier::Http) => None,
        _ => Some((
            "urls of other servers than those of Streamable HTTP",
            "give one url",
        )),
    };
    let checks = [
        of_target,
        (upstream.pins != OnChange::Off && cfg!(not(feature = "auth")))
            .then_some(("pins", "build with the feature auth")),
    ];
    checks.into_iter().flatten().next()
}

/// The place, the field `Host` and the request target of a target that is supported.
fn place_of(
    upstream: &Upstream,
    target: &Target,
) -> std::result::Result<(Place, String, String), UpstreamError> {
    let unsupported = |part| UpstreamError::Unsupported {
        name: upstream.name.to_string(),
        part,
        remedy: "correct its url",
    };
    match target {
        Target::Http { url, .. } => {
            let host = url
                .host_str()
                .ok_or_else(|| unsupported("a url without host"))?;
            let port = url.port_or_known_default().unwrap_or(80);
            let field = match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            };
            let path = match url.query() {
                Some(query) => format!("{}?{query}", url.path()),
                None => url.path().to_owned(),
            };
            // An address of IPv6 has brackets in a URL.
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Ok((Place::Host(host.to_owned(), port), field, path))
        }
        Target::HttpOverUnix(path) => {
            let address = unix(upstream, path)?;
            let host = "localhost".to_owned();
            Ok((Place::Unix(address), host, UNIX_PATH.to_owned()))
        }
        _ => Err(unsupported("its address")),
    }
}

/// How links to an upstream are secured, if its URL says so.
#[cfg(feature = "tls")]
fn tls_of(
    upstream: &Upstream,
    target: &Target,
) -> std::result::Result<Option<OutgoingTls>, UpstreamError> {
    let url = match target {
        Target::Http { url, .. } if url.scheme() == "https" => url,
        _ => return Ok(None),
    };
    // An address of IPv6 has no brackets in a certificate.
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let certificate = upstream.client_certificate.as_ref();
    let certificate = certificate.map(|files| CertificateFiles {
        certificate_file: files.certificate_file.clone(),
        key_file: files.key_file.clone(),
    });
    let tls = OutgoingTls::read(host, &upstream.ca_files, certificate.as_ref());
    tls.map(Some).map_err(|error| UpstreamError::Tls {
        name: upstream.name.to_string(),
        error: Box::new(error),
    })
}

/// There is no TLS in this library: `https` was refused before.
#[cfg(not(feature = "tls"))]
fn tls_of(_: &Upstream, _: &Target) -> std::result::Result<Option<OutgoingTls>, UpstreamError> {
    Ok(None)
}

/// The request line of this method, and the fields that each such request has.
fn head_of(
    upstream: &Upstream,
    method: &str,
    (host, path): (&str, &str),
) -> std::result::Result<Arc<[u8]>, UpstreamError> {
    let name = || upstream.name.to_string();
    let wrong = |error| UpstreamError::Head {
        name: name(),
        error,
    };
    let mut head = Vec::new();
    begin_request_head(&mut head, method, path, host).map_err(wrong)?;
    let (accept, content_type) = match method {
        "POST" => (ACCEPT_POST, Some(CONTENT_TYPE)),
        _ => (ACCEPT_GET, None),
    };
    let fields = [("Accept", accept), ("Accept-Encoding", ACCEPT_ENCODING)];
    let content_type = content_type.map(|value| ("Content-Type", value));
    for (field, value) in fields.into_iter().chain(content_type) {
        write_field(&mut head, field, value.as_bytes()).map_err(wrong)?;
    }
    for (field, value) in &upstream.headers {
        let value = secret(value).map_err(|error| UpstreamError::Secret {
            name: name(),
            header: field.to_string(),
            error,
        })?;
        write_field(&mut head, field, value.as_bytes()).map_err(wrong)?;
    }
    Ok(Arc::from(head))
}

#[cfg(test)]
mod tests {
    use super::{Place, UpstreamError, check};
    use corelane_gateway::config;

    fn checked(lines: &str) -> Result<(Place, String), String> {
        let text = format!("[[upstream]]\nname = \"up\"\n{lines}\n");
        let upstreams = config::parse(&text).expect("valid");
        match check(&upstreams[0]) {
            Ok(mut replicas) => {
                let (place, endpoint) = replicas.remove(0);
                let head = String::from_utf8(endpoint.heads.post.to_vec()).expect("text");
                Ok((place, head))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_url_becomes_a_place_and_the_head_of_requests() {
        let (place, head) = checked("url = \"http://127.0.0.1:81/a/b?c=d\"").expect("supported");
        assert!(matches!(place, Place::Host(host, 81) if host == "127.0.0.1"));
        let start = "POST /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:81\r\nAccept: application/json";
        assert!(head.starts_with(start), "{head}");
        let (place, head) = checked("url = \"http://[::1]/mcp\"").expect("supported");
        assert!(matches!(place, Place::Host(host, 80) if host == "::1"));
        assert!(head.contains("\r\nHost: [::1]\r\n"), "{head}");
        let (place, _) = checked("url = \"http+unix:/run/up\"").expect("supported");
        assert!(matches!(place, Place::Unix(_)));
    }

    #[test]
    fn headers_come_from_the_configuration_and_from_files() {
        let file = tempfile::NamedTempFile::new().expect("a file can be made");
        std::fs::write(file.path(), "s3cret\n").expect("a file can be written");
        let lines = format!(
            "url = \"http://127.0.0.1/\"\n\
             headers = {{ \"X-Key\" = \"file:{}\", \"X-Plain\" = \"p\" }}",
            file.path().display()
        );
        let (_, head) = checked(&lines).expect("supported");
        assert!(head.contains("x-key: s3cret\r\n"), "{head}");
        assert!(head.contains("x-plain: p\r\n"), "{head}");
        let lines = "url = \"http://127.0.0.1/\"\nheaders = { \"X-Key\" = \"file:/none\" }";
        let error = checked(lines).expect_err("there is no file");
        assert!(error.starts_with("upstream \"up\": the value of the header \"x-key\": No such"));
    }

    #[test]
    fn parts_without_effect_are_refused_with_a_remedy() {
        for (lines, part) in [
            (
                "url = \"sse+https://h/sse\"\nera = \"modern\"",
                "HTTP+SSE in the modern era",
            ),
            (
                "urls = [\"http://127.0.0.1:1/\", \"tcp://127.0.0.1:2\"]",
                "urls of other servers than those of Streamable HTTP",
            ),
        ] {
            let error = checked(lines).expect_err(lines);
            let start = format!("upstream \"up\": {part} is not supported yet: ");
            assert!(error.starts_with(&start), "{error}");
        }
        let _ = |error: UpstreamError| error.to_string();
    }
}
