//! The collector of a server: from its profile and the variables of OpenTelemetry.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// The path of traces below `OTEL_EXPORTER_OTLP_ENDPOINT`.
const PATH: &str = "v1/traces";
/// Most pairs of one variable.
const PAIRS_MAX: usize = 64;

/// Where spans go, and their queue.
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// Attributes of the process.
    pub(super) resource: Vec<(String, String)>,
    /// Spans that wait at most.
    pub(super) queue_max: usize,
}

/// A setting that cannot be used. Its value is not repeated: it may have a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// No URL of HTTP.
    #[error("{0} must be a URL such as http://127.0.0.1:4318/v1/traces")]
    Endpoint(&'static str),
    /// Another protocol.
    #[error(
        "{0} must be http/protobuf, on port 4318 of most collectors: gRPC and JSON are not \
         supported"
    )]
    Protocol(&'static str),
    /// No list of pairs.
    #[error("{0} must be pairs such as key=value,key=value, escaped as in a URL")]
    Pairs(&'static str),
}

impl OtlpSettings {
    /// The settings with the endpoint of the profile, or else with that of the environment, whose
    /// variables `variable` reads; nothing without an endpoint, or with `OTEL_SDK_DISABLED=true`.
    ///
    /// # Errors
    /// A setting cannot be used.
    ///
    /// ```
    /// use corelane_control::otlp::OtlpSettings;
    /// assert!(OtlpSettings::of(None, 4096, |_| None)?.is_none());
    /// # Ok::<(), corelane_control::otlp::OtlpError>(())
    /// ```
    pub fn of(
        endpoint: Option<&str>,
        queue_max: usize,
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Option<OtlpSettings>, OtlpError> {
        // An empty variable is an unset one (OpenTelemetry, "Environment Variable Specification").
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let first = |names: [&'static str; 2]| {
            let mut names = names.into_iter();
            names.find_map(|name| Some((name, variable(name)?)))
        };
        if variable("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        const ENDPOINTS: [&str; 2] = [
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ];
        let (name, url) = match (endpoint, first(ENDPOINTS)) {
            (Some(url), _) => ("trace.endpoint", url.to_owned()),
            (None, Some((name, base))) if name == ENDPOINTS[1] => {
                (name, format!("{}/{PATH}", base.trim_end_matches('/')))
            }
            (None, Some(found)) => found,
            (None, None) => return Ok(None),
        };
        let url = Url::parse(&url).ok().filter(is_http);
        let url = url.ok_or(OtlpError::Endpoint(name))?;
        if endpoint.is_none()
            && let Some((name, protocol)) = first([
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
                "OTEL_EXPORTER_OTLP_PROTOCOL",
            ])
            && protocol != "http/protobuf"
        {
            return Err(OtlpError::Protocol(name));
        }
        let headers = first([
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ]);
        let headers = headers.map_or(Ok(HeaderMap::new()), |(name, text)| headers_of(name, &text));
        Ok(Some(OtlpSettings {
            url,
            headers: headers?,
            resource: resource(variable)?,
            queue_max,
        }))
    }
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

/// The attributes of the process: the name of the service wins over that among other attributes.
fn resource(
    variable: impl Fn(&'static str) -> Option<String>,
) -> Result<Vec<(String, String)>, OtlpError> {
    const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let text = variable(ATTRIBUTES).unwrap_or_default();
    let mut resource = pairs(ATTRIBUTES, &text)?;
    let mut set = |key: &str, value: String| {
        resource.retain(|(other, _)| other != key);
        resource.push((key.to_owned(), value));
    };
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        set("service.name", name);
    }
    set("process.pid", std::process::id().to_string());
    for (key, value) in [
        ("service.name", "corelane"),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ] {
        if !resource.iter().any(|(other, _)| other == key) {
            resource.push((key.to_owned(), value.to_owned()));
        }
    }
    Ok(resource)
}

fn headers_of(variable: &'static str, text: &str) -> Result<HeaderMap, OtlpError> {
    let mut headers = HeaderMap::new();
    for (key, value) in pairs(variable, text)? {
        let name = HeaderName::from_bytes(key.as_bytes());
        let value = HeaderValue::from_str(&value);
        let (Ok(name), Ok(mut value)) = (name, value) else {
            return Err(OtlpError::Pairs(variable));
        };
        // It is most likely a credential.
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Pairs as in W3C Baggage, which the variables of OpenTelemetry are written in.
fn pairs(variable: &'static str, text: &str) -> Result<Vec<(String, String)>, OtlpError> {
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    let pairs = parts.map(|part| {
        let (key, value) = part.split_once('=')?;
        let value = percent_encoding::percent_decode_str(value.trim());
        let value = value.decode_utf8().ok()?.into_owned();
        Some((key.trim().to_owned(), value)).filter(|(key, _)| !key.is_empty())
    });
    let pairs: Option<Vec<_>> = pairs.collect();
    let fitting = pairs.filter(|pairs| pairs.len() <= PAIRS_MAX);
    fitting.ok_or(OtlpError::Pairs(variable))
}

#[cfg(test)]
mod tests {
    use super::{OtlpError, OtlpSettings, PAIRS_MAX};

    fn settings(
        endpoint: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Option<OtlpSettings>, OtlpError> {
        OtlpSettings::of(endpoint, 7, |name| {
            let mut variables = variables.iter();
            let found = variables.find(|(key, _)| *key == name)?;
            Some(found.1.to_owned())
        })
    }

    #[test]
    fn the_profile_wins_over_the_environment_and_nothing_is_on_by_itself() {
        const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318/");
        const TRACES: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:4318/x");
        const PROFILE: Option<&str> = Some("https://c/v1/traces");
        for (endpoint, variables, expected) in [
            (None, &[][..], None),
            (None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")][..], None),
            (None, &[BASE][..], Some("http://a:4318/v1/traces")),
            (None, &[BASE, TRACES][..], Some("http://b:4318/x")),
            (PROFILE, &[BASE, TRACES][..], PROFILE),
            (PROFILE, &[("OTEL_SDK_DISABLED", "True")][..], None),
            (PROFILE, &[("OTEL_SDK_DISABLED", "false")][..], PROFILE),
        ] {
            let found = settings(endpoint, variables).expect("they are right");
            let url = found.map(|it| it.url.to_string());
            assert_eq!(url.as_deref(), expected, "{variables:?}");
        }
    }

    #[test]
    fn headers_and_attributes_are_pairs() {
        let variables = [
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Bearer%20t%3D, x-a = b ,",
            ),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=other,host.name=h%2C1",
            ),
            ("OTEL_SERVICE_NAME", "tools"),
        ];
        let found = settings(Some("http://c"), &variables);
        let found = found.expect("they are right").expect("it is on");
        assert_eq!(found.headers["authorization"], "Bearer t=");
        assert_eq!(found.headers["x-a"], "b");
        assert!(!format!("{found:?}").contains("Bearer"), "{found:?}");
        let resource = |key: &str| {
            let mut all = found.resource.iter().filter(|(other, _)| other == key);
            let value = all.next().map(|(_, value)| value.clone());
            assert!(all.next().is_none(), "{key}");
            value.unwrap_or_default()
        };
        assert_eq!(resource("service.name"), "tools");
        assert_eq!(resource("host.name"), "h,1");
        assert_eq!(resource("service.version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(resource("process.pid"), std::process::id().to_string());
    }

    #[test]
    fn wrong_settings_are_named_and_their_values_are_not_repeated() {
        const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
        const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let many = "a=b,".repeat(PAIRS_MAX + 1);
        for (endpoint, variable, value, expected) in [
            (Some("secret"), "", "", "trace.endpoint"),
            (Some("file:///secret"), "", "", "trace.endpoint"),
            (None, ENDPOINT, "secret:4317", ENDPOINT),
            (Some("http://c"), HEADERS, "secret", HEADERS),
            (Some("http://c"), HEADERS, "=secret", HEADERS),
            (Some("http://c"), HEADERS, "a=secret%0Ab", HEADERS),
            (Some("http://c"), HEADERS, "a=secret%FF", HEADERS),
            (Some("http://c"), HEADERS, &many, HEADERS),
        ] {
            let error = settings(endpoint, &[(variable, value)]).expect_err(value);
            let text = error.to_string();
            assert!(
                text.starts_with(expected) && !text.contains("secret"),
                "{text}"
            );
        }
        let grpc = [
            (ENDPOINT, "http://a"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ];
        let error = settings(None, &grpc).expect_err("it is not supported");
        assert_eq!(error, OtlpError::Protocol("OTEL_EXPORTER_OTLP_PROTOCOL"));
    }
}
