//! The address and the name of a target.

use url::Url;

use crate::client::failure::Failure;

/// The host and the port of a target that has them.
///
/// # Errors
/// It is a URL without a host.
pub(super) fn of(target: &str) -> Result<Option<String>, Failure> {
    if let Some(address) = target.strip_prefix("tcp:") {
        return Ok(Some(address.trim_start_matches('/').to_owned()));
    }
    if !target.starts_with("http://") && !target.starts_with("https://") {
        return Ok(None);
    }
    let invalid = || Failure::Usage(format!("invalid target {:?}", shown(target)));
    let url = Url::parse(target).map_err(|_| invalid())?;
    let host = url.host_str().ok_or_else(invalid)?;
    let port = url.port_or_known_default().ok_or_else(invalid)?;
    Ok(Some(format!("{host}:{port}")))
}

/// A target as it is shown and kept: without user, query and fragment, which may be credentials,
/// and without the arguments of a program.
pub(super) fn shown(target: &str) -> String {
    if let Ok(mut url) = Url::parse(target)
        && url.has_host()
    {
        url.set_query(None);
        url.set_fragment(None);
        // A URL with a host can do without a user.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        return url.to_string();
    }
    let word = target.split([' ', '?', '#']).next();
    word.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{of, shown};

    #[test]
    fn a_target_has_an_address_and_a_name_without_secrets() {
        for (target, address, name) in [
            (
                "http://a.example/mcp?key=s3cret#s3cret",
                Some("a.example:80"),
                "http://a.example/mcp",
            ),
            (
                "https://u:s3cret@[::1]/mcp",
                Some("[::1]:443"),
                "https://[::1]/mcp",
            ),
            (
                "http://127.0.0.1:8080",
                Some("127.0.0.1:8080"),
                "http://127.0.0.1:8080/",
            ),
            (
                "tcp:localhost:9000",
                Some("localhost:9000"),
                "tcp:localhost:9000",
            ),
            ("unix:/run/x.sock", None, "unix:/run/x.sock"),
            ("stdio:server --key s3cret", None, "stdio:server"),
            ("@files", None, "@files"),
        ] {
            let found = of(target).expect("a target");
            assert_eq!(found.as_deref(), address, "{target}");
            assert_eq!(shown(target), name);
        }
        assert!(of("http://").is_err());
    }
}
