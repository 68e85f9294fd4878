//! The dashboard: a page for browsers, which reads `/metrics` of the listener that serves it.
//!
//! Its files are part of the program, and it uses nothing of other hosts. It deliberately lacks
//! figures of its own: all are computed in the browser from two scrapes.

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use http_body_util::Full;

/// Scripts, styles and figures of this listener, and nothing else; no page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DashboardFile {
    /// The path that it is served at, such as "/app.js".
    pub path: &'static str,
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The files of the page.
///
/// ```
/// use corelane_control::dashboard::FILES;
///
/// assert!(FILES.iter().any(|file| file.path == "/"));
/// ```
pub const FILES: &[DashboardFile] = &[
    file("/", HTML, include_str!("dashboard/index.html")),
    file(
        "/app.css",
        "text/css; charset=utf-8",
        include_str!("dashboard/app.css"),
    ),
    file("/app.js", SCRIPT, include_str!("dashboard/app.js")),
    file("/charts.js", SCRIPT, include_str!("dashboard/charts.js")),
    file("/cores.js", SCRIPT, include_str!("dashboard/cores.js")),
    file("/formats.js", SCRIPT, include_str!("dashboard/formats.js")),
    file("/history.js", SCRIPT, include_str!("dashboard/history.js")),
    file(
        "/icon.svg",
        "image/svg+xml",
        include_str!("dashboard/icon.svg"),
    ),
    file("/metrics.js", SCRIPT, include_str!("dashboard/metrics.js")),
    file("/tables.js", SCRIPT, include_str!("dashboard/tables.js")),
];

const fn file(path: &'static str, content_type: &'static str, text: &'static str) -> DashboardFile {
    DashboardFile {
        path,
        content_type,
        text,
    }
}

/// The answer to a request for a file of the page, if there is one at the path.
pub(crate) fn answer(path: &str) -> Option<Response<Full<Bytes>>> {
    let file = FILES.iter().find(|file| file.path == path)?;
    let mut answer = Response::new(Full::from(Bytes::from_static(file.text.as_bytes())));
    let headers = [
        (CONTENT_TYPE, file.content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (CACHE_CONTROL, "no-cache"),
        // The connections are few, and a page needs one only for its figures.
        (CONNECTION, "close"),
    ];
    for (name, value) in headers {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::FILES;

    /// Most bytes of all files together, without compression.
    const BYTES_MAX: usize = 64 << 10;

    #[test]
    fn the_page_is_small() {
        let bytes: usize = FILES.iter().map(|file| file.text.len()).sum();
        assert!(bytes <= BYTES_MAX, "{bytes} bytes, at most {BYTES_MAX}");
    }

    #[test]
    fn scripts_never_make_markup_or_code_of_text() {
        for file in FILES {
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "<style",
                " style=",
                " onclick=",
                "http://",
                "https://",
            ] {
                // The namespace of SVG is a name, and nothing is fetched from there.
                let text = file.text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(word), "{word} in {}", file.path);
            }
        }
    }

    #[test]
    fn each_file_that_one_imports_is_served() {
        let is_served = |name: &str| FILES.iter().any(|file| file.path == format!("/{name}"));
        for file in FILES {
            for (_, rest) in file
                .text
                .match_indices("from \"./")
                .map(|(at, found)| file.text.split_at(at + found.len()))
            {
                let name = rest.split('"').next().unwrap_or_default();
                assert!(is_served(name), "{name}, imported by {}", file.path);
            }
        }
        assert!(is_served("app.js") && is_served("app.css"));
    }
}
