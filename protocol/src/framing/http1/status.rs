//! The status codes that this server sends: RFC 9110 section 15, RFC 6585.
//!
//! One table; a code that is not in it cannot be sent.

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal,)+) => {
        /// A status code with its reason phrase.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Status {
            $($(#[$doc])* $name = $code,)+
        }

        impl Status {
            /// Every status there is, in ascending order.
            pub const ALL: &'static [Status] = &[$(Status::$name,)+];

            /// The reason phrase, which carries no meaning beyond the code (RFC 9112 4).
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Status::$name => $reason,)+
                }
            }

            /// The whole status line with its CRLF.
            pub(super) const fn line(self) -> &'static str {
                match self {
                    $(Status::$name => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n"),)+
                }
            }
        }
    };
}

statuses! {
    /// 100: the client shall send the body it announced.
    Continue = 100 "Continue",
    /// 101: the connection speaks another protocol from here on.
    SwitchingProtocols = 101 "Switching Protocols",
    /// 200: the content is the answer.
    Ok = 200 "OK",
    /// 202: a notification or response was taken; there is no answer.
    Accepted = 202 "Accepted",
    /// 204: done, and there is no content.
    NoContent = 204 "No Content",
    /// 400: the request is malformed.
    BadRequest = 400 "Bad Request",
    /// 401: credentials are missing or invalid.
    Unauthorized = 401 "Unauthorized",
    /// 403: the credentials or the origin do not suffice.
    Forbidden = 403 "Forbidden",
    /// 404: no such path or session.
    NotFound = 404 "Not Found",
    /// 405: the path has no such method.
    MethodNotAllowed = 405 "Method Not Allowed",
    /// 406: the client accepts nothing that could be sent.
    NotAcceptable = 406 "Not Acceptable",
    /// 408: the request was not whole in time.
    RequestTimeout = 408 "Request Timeout",
    /// 409: the request conflicts with one in progress.
    Conflict = 409 "Conflict",
    /// 413: the body exceeds its limit.
    ContentTooLarge = 413 "Content Too Large",
    /// 414: the request target exceeds its limit.
    UriTooLong = 414 "URI Too Long",
    /// 415: the body has a media type that is not served.
    UnsupportedMediaType = 415 "Unsupported Media Type",
    /// 417: the expectation is not known.
    ExpectationFailed = 417 "Expectation Failed",
    /// 426: the path is served over another protocol only.
    UpgradeRequired = 426 "Upgrade Required",
    /// 429: this client sends too much.
    TooManyRequests = 429 "Too Many Requests",
    /// 431: the head exceeds its limit.
    RequestHeaderFieldsTooLarge = 431 "Request Header Fields Too Large",
    /// 500: the fault is ours.
    InternalServerError = 500 "Internal Server Error",
    /// 501: the method or transfer coding is not known.
    NotImplemented = 501 "Not Implemented",
    /// 503: overloaded or shutting down.
    ServiceUnavailable = 503 "Service Unavailable",
    /// 505: not HTTP/1.0 or HTTP/1.1.
    HttpVersionNotSupported = 505 "HTTP Version Not Supported",
}

impl Status {
    /// The code, 100 to 505.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// Whether a response with this status ends with its head, for any field in the head (RFC 9112
    /// 6.3, rule 1). Such a response has no `Content-Length` either (RFC 9110 8.6).
    pub const fn has_no_content(self) -> bool {
        self.code() < 200 || self.code() == 204
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn lines_agree_with_codes_and_reasons_and_ascend() {
        for status in Status::ALL {
            let expected = format!("HTTP/1.1 {} {}\r\n", status.code(), status.reason());
            assert_eq!(status.line(), expected);
        }
        assert!(Status::ALL.is_sorted_by_key(|status| status.code()));
    }
}
