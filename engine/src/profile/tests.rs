//! The schema, its validation, and the profiles under `tuning/profiles`.

mod complete_server;
mod contradictions;
mod core_sections;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use corelane_protocol::jsonrpc::JsonLimits;
use corelane_protocol::limits::HttpLimits;

use super::{BudgetOverride, CoreProfile, CoreRole, ExecutorOverride, FILE_BYTES_MAX};
use super::{LogFormat, LogLevel, Offload, Profile, ProfileError, Ring, RingOverride};
use super::{Metrics, Tls, Tools, Trace, Unix};

fn tuning(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tuning/profiles")).join(name)
}

/// A valid profile in which every optional knob has a value. No `..`: a knob that is added to one
/// of these sections and forgotten here does not compile.
fn complete() -> Profile {
    let Profile {
        server, unix, ring, ..
    } = Profile::default();
    Profile {
        server: complete_server::server(server),
        unix: Unix {
            mode: unix.mode,
            owner: Some("corelane".to_owned()),
            group: Some("1000".to_owned()),
            user_is_principal: unix.user_is_principal,
        },
        ring: Ring {
            submission_entries: ring.submission_entries,
            completion_entries: ring.completion_entries,
            buffer_count: ring.buffer_count,
            buffer_bytes: ring.buffer_bytes,
            descriptors: Some(1000),
            busy_poll_us: ring.busy_poll_us,
        },
        offload: Offload {
            threads: Some(2),
            queue_max: 1024,
        },
        tools: Tools {
            in_flight_max: Some(1000),
            ..Tools::default()
        },
        tls: Tls::complete(),
        metrics: Metrics {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
            ..Metrics::default()
        },
        cluster: complete_server::cluster(),
        sessions: complete_server::sessions(),
        admin: complete_server::admin(),
        trace: Trace {
            endpoint: Some("http://127.0.0.1:4318/v1/traces".to_owned()),
            ..Trace::default()
        },
        core: vec![CoreProfile {
            id: 0,
            role: CoreRole::Shard,
            ring: RingOverride {
                submission_entries: Some(1024),
                completion_entries: Some(8192),
                buffer_count: Some(2048),
                buffer_bytes: Some(4096),
                descriptors: Some(Some(500)),
                busy_poll_us: Some(50),
            },
            executor: ExecutorOverride {
                ring_depth: Some(64),
                io_memory_bytes: Some(131_072),
                yield_interval_us: Some(500),
                idle_wait_us: Some(0),
                spin_us: Some(20),
            },
            budget: BudgetOverride {
                completions_per_turn: Some(128),
                request_time_us: Some(100),
                requests_per_connection_per_turn: Some(4),
                lane_batch: Some(64),
            },
        }],
        ..Profile::default()
    }
}

/// Every knob of the schema as (section, key), without those of `[[core]]`.
fn schema() -> Vec<(String, String)> {
    let mut knobs = Vec::new();
    for (section, keys) in toml::Table::try_from(complete()).expect("a profile is a table") {
        let Some(keys) = keys.as_table() else {
            assert_eq!(section, "core", "only [[core]] is not a plain section");
            continue;
        };
        knobs.extend(keys.keys().map(|key| (section.clone(), key.clone())));
    }
    knobs
}

/// `tuning/reference.toml` as it is in the repository.
const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tuning/reference.toml");

#[test]
fn the_reference_profile_is_the_one_that_the_declarations_make() {
    let text = Profile::reference();
    if std::env::var_os("CORELANE_WRITE_REFERENCE").is_some() {
        std::fs::write(REFERENCE, &text).expect("the reference can be written");
    }
    let kept = std::fs::read_to_string(REFERENCE).expect("the reference is there");
    assert!(
        kept == text,
        "tuning/reference.toml differs from the declarations of engine/src/profile: write it with \
         CORELANE_WRITE_REFERENCE=1 cargo test -p corelane --lib reference_profile"
    );
}

#[test]
fn the_reference_profile_names_every_knob_and_changes_none() {
    let text = Profile::reference();
    assert_eq!(
        Profile::from_toml(&text).expect("valid"),
        Profile::default()
    );
    let mut section = "";
    let mut named = BTreeSet::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" =") {
            named.insert((section.to_owned(), key.to_owned()));
        }
    }
    assert_eq!(named, schema().into_iter().collect());
}

/// A default in a profile would be written twice.
#[test]
fn profiles_contain_only_their_changes() {
    let defaults = toml::Table::try_from(Profile::default()).expect("a profile is a table");
    for name in ["development", "staging", "production", "load-test"] {
        let path = tuning(&format!("{name}.toml"));
        let profile = Profile::from_file(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_ne!(profile, Profile::default(), "{name}");
        let text = std::fs::read_to_string(&path).expect("it was just read");
        let sections: toml::Table = text.parse().expect("it was just read");
        for (section, knobs) in &sections {
            for (key, value) in knobs.as_table().expect("a section is a table") {
                let default = defaults[section].get(key);
                assert_ne!(Some(value), default, "{name}.toml: {section}.{key}");
            }
        }
        for (above, line) in text.lines().zip(text.lines().skip(1)) {
            let is_knob = line.contains(" = ") && !line.starts_with('#');
            let has_reason = above.starts_with('#') || line.contains(" # ");
            assert!(
                !is_knob || has_reason,
                "{name}.toml has no reason for {line:?}"
            );
        }
    }
}

#[test]
fn limits_of_the_protocol_are_the_defaults_of_the_profile() {
    let Profile { http, json, .. } = Profile::default();
    let of_http = HttpLimits {
        head_bytes_max: http.head_bytes_max,
        headers_max: http.headers_max,
        target_bytes_max: http.target_bytes_max,
        body_bytes_max: http.body_bytes_max,
    };
    assert_eq!(of_http, HttpLimits::default());
    let of_json = JsonLimits {
        depth_max: json.depth_max,
        nodes_max: json.nodes_max,
        id_bytes_max: json.id_bytes_max,
        method_bytes_max: json.method_bytes_max,
    };
    assert_eq!(of_json, JsonLimits::default());
}

#[test]
fn schema_has_the_sections_and_optional_knobs() {
    let knobs = schema();
    let has = |section: &str, key: &str| knobs.contains(&(section.to_owned(), key.to_owned()));
    assert!(has("server", "cores") && has("server", "shards") && has("ring", "descriptors"));
    assert!(has("offload", "threads") && has("log", "format") && has("lanes", "bulk"));
}

#[test]
fn an_empty_file_is_the_default_profile() {
    assert_eq!(
        Profile::from_toml("").expect("defaults are valid"),
        Profile::default()
    );
}

#[test]
fn a_profile_survives_being_written_and_read() {
    let profile = complete();
    profile.validate().expect("the complete profile is valid");
    let text = toml::to_string(&profile).expect("a profile is a table");
    assert_eq!(Profile::from_toml(&text).expect("as written"), profile);
}

#[test]
fn every_number_has_a_range() {
    for (section, key) in schema() {
        let mut table = toml::Table::try_from(complete()).expect("a profile is a table");
        table.remove("core");
        let value = &mut table[section.as_str()][key.as_str()];
        if !value.is_integer() {
            continue;
        }
        // Above every range, and still of the type of the smallest knobs.
        *value = toml::Value::Integer(i64::from(u32::MAX));
        let profile: Profile = table.try_into().expect("the type is right");
        let error = profile.validate().expect_err("no range is that wide");
        match error {
            ProfileError::OutOfRange { key: named, .. } => {
                assert_eq!(named, format!("{section}.{key}"));
            }
            other => panic!("{section}.{key}: {other}"),
        }
    }
}

/// The message is expected, without the lines of the keys.
fn check(text: &str, expected: &str) {
    let error = Profile::from_toml(text).expect_err(text);
    let message = match &error {
        ProfileError::AtLines { source, .. } => source.to_string(),
        error => error.to_string(),
    };
    assert_eq!(message, expected, "{text}");
}

/// The start of the parser's message is expected; the rest is its own.
fn check_start(text: &str, start: &str) {
    let error = Profile::from_toml(text).expect_err(text).to_string();
    assert!(error.starts_with(start), "{text}: {error}");
}

#[test]
fn a_secret_in_a_url_of_nats_is_refused_and_not_shown() {
    for url in ["nats://user:pa@ss@host:4222", "token@host:4222"] {
        check(
            &format!("[cluster]\nservers = [\"nats://other:4222\", \"{url}\"]"),
            "cluster.servers = \"***@host:4222\" is not a URL without user information: use \
             cluster.nkey_file",
        );
    }
}

#[test]
fn paths_that_lead_to_two_things_are_refused() {
    let sse = "a path that, like \"messages\" beside it, is no other of these two, no path of \
               server.endpoint and none of a probe";
    for path in ["/mcp", "/messages", "/ready"] {
        let text = format!("[server]\nsse_endpoint = \"{path}\"");
        check(
            &text,
            &format!("server.sse_endpoint = \"{path}\" is not {sse}"),
        );
    }
    let text = "[server]\nendpoint = \"/messages\"\nsse_endpoint = \"/sse\"";
    check(
        text,
        &format!("server.sse_endpoint = \"/sse\" is not {sse}"),
    );
    for path in [
        "/live",
        "/liveness",
        "/healthz",
        "/ready",
        "/readiness",
        "/health",
    ] {
        let text = format!("[server]\nendpoint = [\"/mcp\", \"{path}\"]");
        let expected = "is not a path other than those of probes (server.probes)";
        check(&text, &format!("server.endpoint = \"{path}\" {expected}"));
        assert!(Profile::from_toml(&format!("{text}\nprobes = false")).is_ok());
    }
}

#[test]
fn refuses_unknown_keys_with_line_and_key() {
    check_start(
        "[server]\nlisten = \"127.0.0.1:1\"\n  backlogs = 5\n",
        "line 3, column 3, `backlogs = 5`: unknown field `backlogs`",
    );
    check_start(
        "[offload]\nthreads = 2\n[[core]]\nid = 0\n[core.budget]\nlane = 1\n",
        "line 6, column 1, `lane = 1`: unknown field `lane`",
    );
    check_start(
        "[server]\ncores = true\n",
        "line 2, column 9, `cores = true`: server.cores: invalid type: boolean `true`, expected a \
         list of cores",
    );
    check(
        "[server]\ncores = \"3-0\"\n",
        "line 2, column 9, `cores = \"3-0\"`: server.cores: core range 3-0 runs backwards; write \
         0-3",
    );
    check_start(
        "[log]\nlevel = \"loud\"\n",
        "line 2, column 9, `level = \"loud\"`: log.level: unknown variant `loud`",
    );
}

#[test]
fn names_the_section_of_a_key_that_stands_in_the_wrong_place() {
    let error = Profile::from_toml("# a comment\nbacklog = 5\n").expect_err("not a section");
    let message = error.to_string();
    let start =
        "line 2, column 1, `backlog = 5`: unknown field `backlog`, expected one of `server`";
    assert!(message.starts_with(start), "{message}");
}

#[test]
fn refuses_values_out_of_range_with_key_value_and_range() {
    check(
        "[server]\nbacklog = 0",
        "server.backlog = 0 is outside the allowed range 1 to 65535",
    );
    check(
        "[ring]\nbuffer_count = 5000",
        "ring.buffer_count = 5000 is not a power of two; the nearest below is 4096",
    );
    check(
        "[executor]\nio_memory_bytes = 70000",
        "executor.io_memory_bytes = 70000 is not a multiple of 4096",
    );
    let endpoint = "is not a path of 1 to 256 visible ASCII characters that starts with / and has \
                    no ? or #";
    for path in ["", "mcp", "/mcp?x", "/m#", "/m p", "/m\u{e9}"] {
        check(
            &format!("[server]\nendpoint = \"{path}\""),
            &format!("server.endpoint = {path:?} {endpoint}"),
        );
    }
    let name = "is not a header name: 1 to 64 letters, digits and !#$%&'*+-.^_`|~";
    for header in ["", "x user", "x:", "x-\u{fc}", &"x".repeat(65)] {
        check(
            &format!("[server]\nprincipal_header = \"{header}\""),
            &format!("server.principal_header = {header:?} {name}"),
        );
    }
    check(
        "[sessions]\nper_principal_max = 0",
        "sessions.per_principal_max = 0 is outside the allowed range 1 to 10000000",
    );
    let hosts = vec!["a"; 65];
    check(
        &format!("[server]\nallowed_hosts = {hosts:?}"),
        "server.allowed_hosts entries = 65 is outside the allowed range 0 to 64",
    );
}

#[test]
fn refuses_values_of_another_type_with_key_value_and_range() {
    check(
        "[http]\nbody_bytes_max = \"1s\"",
        "line 2, column 18, `body_bytes_max = \"1s\"`: http.body_bytes_max: invalid type: string \
         \"1s\"; allowed: 1024 to 1_073_741_824",
    );
    check(
        "[ring]\nbuffer_count = -1",
        "line 2, column 16, `buffer_count = -1`: ring.buffer_count: invalid value: integer `-1`; \
         allowed: powers of two, 16 to 32_768",
    );
    check(
        "[[core]]\nid = 0\nring.buffer_count = 5_000_000_000",
        "line 3, column 21, `ring.buffer_count = 5_000_000_000`: core[0].ring.buffer_count: \
         invalid value: integer `5000000000`; allowed: powers of two, 16 to 32_768",
    );
    check(
        "[[core]]\nid = \"0\"",
        "line 2, column 6, `id = \"0\"`: core[0].id: invalid type: string \"0\"; allowed: 0 to \
         1023",
    );
    check(
        "[core]\nid = 0",
        "line 1, column 1, `[core]`: core: write [[core]], in two brackets, once for each core",
    );
    check_start(
        "[server]\nstdio = 1",
        "line 2, column 9, `stdio = 1`: server.stdio: invalid type: integer `1`, expected a \
         boolean",
    );
}

#[test]
fn names_the_file_that_is_to_blame() {
    let path = tuning("missing.toml");
    let error = Profile::from_file(&path).expect_err("no such file");
    let start = format!("profile {}: cannot be read: ", path.display());
    assert!(error.to_string().starts_with(&start), "{error}");
    // Endless and without a newline: only the limit ends the reading.
    let error = Profile::from_file("/dev/zero").expect_err("endless");
    let expected = format!("profile /dev/zero: file exceeds limit of {FILE_BYTES_MAX} bytes");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn spells_levels_and_formats_as_the_file_does() {
    for level in ["off", "error", "warn", "info", "debug", "trace"] {
        let profile = Profile::from_toml(&format!("[log]\nlevel = \"{level}\"")).expect(level);
        assert_eq!(profile.log.level.as_str(), level);
    }
    let profile = Profile::from_toml("[log]\nformat = \"json\"").expect("json is a format");
    assert_eq!(profile.log.format, LogFormat::Json);
    assert_eq!(Profile::default().log.level, LogLevel::Info);
}

#[test]
fn offload_has_a_thread_for_each_core_and_at_least_two() {
    let mut offload = Offload::default();
    let found = [1, 2, 8].map(|cores| offload.threads_for(cores));
    assert_eq!(found, [2, 2, 8]);
    offload.threads = Some(1);
    assert_eq!(offload.threads_for(8), 1);
}

#[test]
fn a_shard_of_one_connection_has_small_rings_whose_sizes_are_allowed() {
    let mut large = Profile::default();
    large.executor.io_memory_bytes = 1 << 20;
    large.ring.descriptors = Some(1000);
    let shard = large.for_core(0).for_one_connection();
    let ring = shard.ring;
    let sizes = [
        ring.submission_entries,
        ring.completion_entries,
        ring.buffer_count,
    ];
    assert_eq!(sizes, [64, 128, 256]);
    assert_eq!(shard.executor.ring_depth, 64);
    assert_eq!(shard.executor.io_memory_bytes, 65_536);
    let profile = Profile {
        ring: shard.ring,
        executor: shard.executor,
        budget: shard.budget,
        ..Profile::default()
    };
    profile.validate().expect("all sizes are in their ranges");
    // The table of sockets: what the profile sets, and otherwise one that is not for listeners.
    assert_eq!(shard.ring.descriptors, Some(1000));
    let unset = Profile::default().for_core(0).for_one_connection();
    assert_eq!(unset.ring.descriptors, Some(1024));
}
