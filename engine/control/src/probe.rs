//! One fetch of the keys of each issuer, for commands that run once.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use corelane_guard::token::keys::IssuerKeys;
use corelane_guard::token::verify::{Issuer, Verifier};

use crate::config::{Config, IssuerConfig, KeySource, Limits};
use crate::control::ControlError;
use crate::fetch::{Fetcher, system_lookup};
use crate::requests::{KeysError, fetch_keys};

/// An issuer as it is now.
#[derive(Debug)]
pub struct ProbedIssuer {
    /// The issuer.
    pub issuer: Arc<Issuer>,
    /// Its keys; None if it has none because it introspects its tokens.
    pub keys: Result<Option<Arc<IssuerKeys>>, KeysError>,
    /// By how many seconds its clock is ahead of this one, if it says the time.
    pub clock_ahead_s: Option<i64>,
}

/// Fetches the keys of each issuer of a configuration, one after the other, each within seconds.
///
/// # Errors
/// No requests can be made. That an issuer cannot be reached is no error.
///
/// ```
/// use corelane_control::config::{Config, Limits, ServerFacts};
/// use corelane_control::probe::probe;
///
/// let text = "[policy]\ndefault = \"authenticated\"\n";
/// let server = ServerFacts {
///     endpoint_paths: vec!["/mcp".to_owned()],
///     loopback_origin: None,
///     has_client_certificates: false,
///     has_public_header: false,
///     methods: Vec::new(),
///     catalog: None,
///     limits: Limits::default(),
/// };
/// let config = Config::parse(text, "".as_ref(), &server, &mut Vec::new());
/// assert!(probe(&config.expect("no faults"))?.is_empty());
/// # Ok::<(), corelane_control::ControlError>(())
/// ```
pub fn probe(config: &Config) -> Result<Vec<ProbedIssuer>, ControlError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let is_remote = config.issuers.iter().any(|it| it.source.is_remote());
    let fetcher = is_remote.then(|| Fetcher::new(&config.authorities, &system_lookup()));
    let fetcher = fetcher.transpose()?;
    let probed = runtime.block_on(async {
        let mut probed = Vec::new();
        for issuer in &config.issuers {
            probed.push(probe_one(fetcher.as_ref(), issuer).await);
        }
        probed
    });
    // A look-up may take longer than anyone waits.
    runtime.shutdown_background();
    Ok(probed)
}

async fn probe_one(fetcher: Option<&Fetcher>, config: &IssuerConfig) -> ProbedIssuer {
    let issuer = Arc::clone(&config.issuer);
    let (keys, date_s) = match (fetcher, &config.source) {
        (_, KeySource::Local(keys)) => (Ok(Some(Arc::clone(keys))), None),
        (Some(fetcher), source) => match fetch_keys(fetcher, &issuer.issuer, source).await {
            Ok(Some(fetched)) => (Ok(Some(Arc::new(fetched.keys))), fetched.date_s),
            Ok(None) => (Ok(None), None),
            Err(error) => (Err(error), None),
        },
        (None, _) => (Ok(None), None),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.unwrap_or_default().as_secs();
    let ahead = |date_s: u64| i64::try_from(i128::from(date_s) - i128::from(now_s)).ok();
    ProbedIssuer {
        issuer,
        keys,
        clock_ahead_s: date_s.and_then(ahead),
    }
}

/// A verifier with the configuration and the keys of a probe.
pub fn verifier(config: &Config, limits: &Limits, probed: &[ProbedIssuer]) -> Verifier {
    let keys = probed.iter().map(|probed| {
        let keys = probed.keys.as_ref().ok().cloned().flatten();
        (Arc::clone(&probed.issuer), keys)
    });
    config.verifier(limits, keys)
}
