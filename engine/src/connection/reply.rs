//! How a request is to be answered.

use corelane_protocol::binding::accept::Accept;
use corelane_protocol::framing::http1::Method;

use super::cors::Page;
use crate::meter::http::HttpRequest;

/// The properties of a request that decide the framing of its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    /// The connection goes on after the answer.
    pub(crate) keep_alive: bool,
    /// The method of the request.
    pub(crate) method: Method,
    /// It came through TLS.
    pub(crate) is_tls: bool,
    /// 0 or 1, of HTTP/1.
    pub(crate) version_minor: u8,
    /// The kinds of answer the client takes.
    pub(crate) accept: Accept,
    /// The page that sent it, if the answer must name its origin.
    pub(crate) page: Option<Page>,
    /// When the turn of the request began.
    pub(crate) started: StartTime,
}

/// Microseconds since the shard was started, or 0 without metrics, in six bytes: there are many
/// waiting requests, and these last for eight years.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StartTime([u16; 3]);

impl StartTime {
    /// The time `us`.
    pub(crate) fn of(us: u64) -> StartTime {
        StartTime([us as u16, (us >> 16) as u16, (us >> 32) as u16])
    }

    /// In microseconds.
    pub(crate) fn us(self) -> u64 {
        let [low, middle, high] = self.0.map(u64::from);
        low | middle << 16 | high << 32
    }
}

impl Reply {
    /// The answer has no body (RFC 9110 9.3.2).
    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::Head
    }

    /// The request as it is measured.
    pub(crate) fn measured(&self) -> HttpRequest {
        HttpRequest {
            started_us: self.started.us(),
            method: self.method,
            is_tls: self.is_tls,
            version_minor: self.version_minor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StartTime;

    #[test]
    fn a_time_of_eight_years_fits() {
        for us in [0, 1, 65_535, 65_536, 4_294_967_296, (1 << 48) - 1] {
            assert_eq!(StartTime::of(us).us(), us);
        }
    }
}
