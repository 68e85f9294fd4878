//! The buckets of a cluster: made once, by an operator, and checked by each node that joins.
//!
//! | stream | storage | contents |
//! |---|---|---|
//! | `KV_cl_NAME_sess` | memory, or file on one server | records of sessions, its life |
//! | `KV_cl_NAME_conf` | file | the claims of node numbers, and the level of records |
//!
//! Sessions stand in memory: they are worth nothing after all servers lost their power. A single
//! server forgets a stream in memory when it starts again, and the nodes could not use it then.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use corelane_cluster::codec::{ENVELOPE_BYTES, PAYLOAD_BYTES_MAX};

use crate::settings::{ConnectError, Settings};

/// The oldest server with all that the buckets need.
pub const SERVER_MIN: (i64, i64, i64) = (2, 12, 0);
/// Markers of records that expired are kept so long, past the age of any id in use then.
const MARKERS: Duration = Duration::from_secs(86_400);
/// An answer of the server is waited for so long.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Why the buckets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The servers cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server is older than [`SERVER_MIN`].
    #[error("NATS server {0} is older than 2.12.0: upgrade it")]
    Server(String),
    /// The server did not answer in time.
    #[error("JetStream does not answer: is it enabled, and has it a leader?")]
    Silent,
    /// There is no bucket.
    #[error("the stream {name} is missing ({text}): run corelane cluster init")]
    Missing {
        /// The stream.
        name: String,
        /// The answer of the server.
        text: String,
    },
    /// The bucket has another configuration.
    #[error(
        "the stream {name} has another {what} than this version needs: change it, or make others \
         with corelane cluster init under another name"
    )]
    Differs {
        /// The stream.
        name: String,
        /// The first value that differs.
        what: &'static str,
    },
    /// The bucket cannot be made.
    #[error("the stream {name} cannot be made: {text}")]
    Create {
        /// The stream.
        name: String,
        /// The answer of the server.
        text: String,
    },
}

/// The stream with the sessions of a cluster.
pub(crate) fn sessions_of(cluster: &str) -> String {
    format!("KV_cl_{cluster}_sess")
}

/// The stream with the facts about the nodes of a cluster.
pub(crate) fn conf_of(cluster: &str) -> String {
    format!("KV_cl_{cluster}_conf")
}

/// The configurations of both, with so many replicas.
fn configs(cluster: &str, replicas: usize) -> [Config; 2] {
    let bucket = |name: String, storage| Config {
        subjects: vec![format!("$KV.{}.>", name.trim_start_matches("KV_"))],
        max_messages_per_subject: 1,
        max_message_size: (ENVELOPE_BYTES + PAYLOAD_BYTES_MAX + 1_024) as i32,
        max_consumers: -1,
        max_messages: -1,
        max_bytes: -1,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        allow_message_ttl: true,
        subject_delete_marker_ttl: Some(MARKERS),
        num_replicas: replicas,
        storage,
        name,
        ..Config::default()
    };
    let of_sessions = match replicas {
        1 => StorageType::File,
        _ => StorageType::Memory,
    };
    [
        bucket(sessions_of(cluster), of_sessions),
        bucket(conf_of(cluster), StorageType::File),
    ]
}

/// Makes the buckets of a cluster with so many replicas; those that are there stay. Returns the
/// names of the streams. It needs a runtime of tokio, and the rights of an administrator.
///
/// # Errors
/// [`SchemaError`] says which stream is wrong.
pub async fn create(settings: &Settings, replicas: usize) -> Result<Vec<String>, SchemaError> {
    let options = settings.options("corelane cluster init".to_owned())?;
    let client = options.connect(&settings.servers[..]).await;
    let client = client.map_err(ConnectError::from)?;
    let context = async_nats::jetstream::ContextBuilder::new()
        .timeout(ANSWER_MAX)
        .build(client);
    let mut made = Vec::new();
    for config in configs(&settings.cluster, replicas) {
        let name = config.name.clone();
        let answer = context.get_or_create_stream(config).await;
        answer.map_err(|error| SchemaError::Create {
            name: name.clone(),
            text: error.to_string(),
        })?;
        made.push(name);
    }
    check(&context, &settings.cluster).await?;
    Ok(made)
}

/// Checks the server and the buckets of a cluster.
pub(crate) async fn check(context: &Context, cluster: &str) -> Result<(), SchemaError> {
    let client = context.client();
    let (major, minor, patch) = SERVER_MIN;
    if !client.is_server_compatible(major, minor, patch) {
        return Err(SchemaError::Server(client.server_info().version));
    }
    for expected in configs(cluster, 1) {
        let name = expected.name.clone();
        let found = tokio::time::timeout(ANSWER_MAX, context.get_stream(&name)).await;
        let found = found.map_err(|_| SchemaError::Silent)?;
        let found = found.map_err(|error| match error.to_string() {
            text if text.contains("timed out") => SchemaError::Silent,
            text => SchemaError::Missing {
                name: name.clone(),
                text,
            },
        })?;
        let found = &found.cached_info().config;
        let same = [
            ("list of subjects", found.subjects == expected.subjects),
            ("history", found.max_messages_per_subject == 1),
            ("permission of times to live", found.allow_message_ttl),
            (
                "time of markers",
                found.subject_delete_marker_ttl == expected.subject_delete_marker_ttl,
            ),
            ("permission of direct reads", found.allow_direct),
            (
                "size of messages",
                found.max_message_size == expected.max_message_size,
            ),
        ];
        if let Some((what, _)) = same.into_iter().find(|(_, is_same)| !is_same) {
            return Err(SchemaError::Differs { name, what });
        }
    }
    Ok(())
}
