//! The labels of HTTP requests, by the stable conventions of OpenTelemetry for HTTP.

use corelane_protocol::framing::http1::{Method, Status};

use super::label_key::LabelKey;
#[cfg(any(test, feature = "metrics"))]
use super::label_key::OVERFLOW;

/// The request of an answer, as far as it is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpRequest {
    /// When its turn began, in microseconds since the shard was started.
    pub(crate) started_us: u64,
    pub(crate) method: Method,
    pub(crate) is_tls: bool,
    /// 0 or 1, of HTTP/1.
    pub(crate) version_minor: u8,
}

/// The labels of a request and its answer.
#[cfg(any(test, feature = "metrics"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HttpLabels {
    pub(crate) method: &'static str,
    pub(crate) scheme: &'static str,
    pub(crate) version: &'static str,
    pub(crate) status: Status,
}

impl HttpRequest {
    /// The labels of an answer to it.
    #[inline]
    pub(crate) fn key(self, status: Status) -> LabelKey {
        LabelKey(
            status as u64
                | (self.method as u64) << 16
                | u64::from(self.is_tls) << 24
                | u64::from(self.version_minor) << 32
                | 1 << 63,
        )
    }
}

#[cfg(any(test, feature = "metrics"))]
impl HttpLabels {
    /// The labels of a word of a page; nothing of the set that stands for all others.
    pub(crate) fn unpack(word: u64) -> Option<HttpLabels> {
        const METHODS: [(Method, &str); 5] = [
            (Method::Get, "GET"),
            (Method::Post, "POST"),
            (Method::Delete, "DELETE"),
            (Method::Head, "HEAD"),
            (Method::Options, "OPTIONS"),
        ];
        if word == OVERFLOW {
            return None;
        }
        let number = (word >> 16) as u8;
        let method = METHODS.iter().find(|(method, _)| *method as u8 == number);
        let mut statuses = Status::ALL.iter();
        Some(HttpLabels {
            method: method.map_or("_OTHER", |(_, name)| name),
            scheme: if word >> 24 & 1 == 1 { "https" } else { "http" },
            version: if word >> 32 & 1 == 1 { "1.1" } else { "1.0" },
            status: *statuses.find(|status| **status as u16 == word as u16)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use corelane_protocol::framing::http1::{Method, Status};

    use super::{HttpLabels, HttpRequest};

    #[test]
    fn labels_survive_the_packing() {
        for &status in Status::ALL {
            for (method, name) in [(Method::Post, "POST"), (Method::Other, "_OTHER")] {
                for is_tls in [false, true] {
                    let request = HttpRequest {
                        started_us: 7,
                        method,
                        is_tls,
                        version_minor: u8::from(!is_tls),
                    };
                    let labels = HttpLabels {
                        method: name,
                        scheme: if is_tls { "https" } else { "http" },
                        version: if is_tls { "1.0" } else { "1.1" },
                        status,
                    };
                    assert_eq!(HttpLabels::unpack(request.key(status).0), Some(labels));
                }
            }
        }
    }
}
