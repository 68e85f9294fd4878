//! A first section in which every optional knob has a value.

use crate::profile::{Admin, Cluster, Server, Sessions};

/// The defaults `server` with them. No `..`, as in the other sections.
pub(super) fn server(server: Server) -> Server {
    Server {
        listen: server.listen,
        stdio: server.stdio,
        endpoint: server.endpoint,
        exact_endpoint: server.exact_endpoint,
        shards: Some(2),
        cores: Some("0-1".parse().expect("two cores")),
        pin: server.pin,
        behind_tls_proxy: server.behind_tls_proxy,
        public_without_auth: server.public_without_auth,
        allowed_hosts: vec!["mcp.example.com".to_owned()],
        allowed_origins: vec!["https://app.example.com".to_owned()],
        allow_credentials: server.allow_credentials,
        preflight_max_age_s: server.preflight_max_age_s,
        sse_endpoint: Some("/sse".to_owned()),
        probes: server.probes,
        access_file: Some("/etc/corelane/corelane.toml".into()),
        principal_header: Some("x-forwarded-user".to_owned()),
        state_key_files: vec!["/etc/corelane/state.key".into()],
        proxy_protocol_from: vec!["10.0.0.5".to_owned()],
        forwarded_from: vec!["10.0.0.0/8".to_owned()],
        drain_notice_ms: server.drain_notice_ms,
        drain_timeout_ms: server.drain_timeout_ms,
        backlog: server.backlog,
    }
}

/// The section of a node, in which every optional knob has a value.
pub(super) fn cluster() -> Cluster {
    Cluster {
        name: Some("test".to_owned()),
        node: 7,
        // `file` is in their place.
        servers: Vec::new(),
        file: Some("/var/lib/corelane/sessions".into()),
        file_bytes_max: 1 << 20,
        nkey_file: Some("node.nk".into()),
        ca_file: Some("ca.pem".into()),
        join_timeout_ms: 1,
    }
}

/// The section of sessions, as a node needs it.
pub(super) fn sessions() -> Sessions {
    Sessions {
        id_max_age_s: 60,
        ..Sessions::default()
    }
}

/// The section of the control socket.
pub(super) fn admin() -> Admin {
    Admin {
        socket: Some("/run/corelane/control.sock".into()),
        ..Admin::default()
    }
}
