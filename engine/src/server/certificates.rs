//! Reads the files of `[tls]` again when they change.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::error::{Error, Result};
use crate::audit::AuditLog;
use crate::guard::audit::{Event, Record};
use crate::guard::looks::Looks;
use crate::mcp::ServerParts;
use crate::profile::{ListenAddress, Tls};
use crate::transport::tls::config::{NextTls, TlsSource};

/// Between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The certificates of listeners with TLS, read again until this is dropped.
#[derive(Debug)]
pub(super) struct Certificates {
    source: Arc<TlsSource>,
    log: Option<AuditLog>,
    /// Dropped first: then the thread ends.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Certificates {
    /// The certificates, if an address has TLS.
    ///
    /// # Errors
    /// See [`Certificates::read`].
    pub(super) fn for_listeners(
        addresses: &[ListenAddress],
        tls: &Tls,
        parts: &ServerParts,
    ) -> Result<Option<Certificates>> {
        let has_tls = addresses.iter().any(|it| it.tls);
        let log = parts.audit.clone();
        has_tls.then(|| Certificates::read(tls, log)).transpose()
    }

    /// Reads the files, and starts the thread that looks at them.
    ///
    /// # Errors
    /// The file at fault, or the thread cannot be started.
    fn read(tls: &Tls, log: Option<AuditLog>) -> Result<Certificates> {
        let mut looks = Looks::new(files_of(tls));
        let source = TlsSource::read(tls)?;
        let (stop, stopped) = mpsc::channel();
        let (tls, of_thread, of_reload) = (tls.clone(), Arc::clone(&source), log.clone());
        let thread = thread::Builder::new()
            .name("certificates".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    if looks.are_due() {
                        reload(&of_thread, &tls, log.as_ref());
                    }
                }
            })
            .map_err(Error::Certificates)?;
        Ok(Certificates {
            source,
            log: of_reload,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Reads the files again when a reload is requested.
    pub(super) fn reload(&self) -> CertificateReload {
        CertificateReload {
            source: Arc::clone(&self.source),
            log: self.log.clone(),
        }
    }

    /// The certificates of the present.
    pub(super) fn source(&self) -> Arc<TlsSource> {
        Arc::clone(&self.source)
    }
}

/// Reads the files of `[tls]` again when a reload is requested.
#[derive(Debug)]
pub(super) struct CertificateReload {
    source: Arc<TlsSource>,
    log: Option<AuditLog>,
}

impl CertificateReload {
    /// Reads the files.
    ///
    /// # Errors
    /// The file at fault.
    pub(super) fn prepare(&self, tls: &Tls) -> Result<NextTls> {
        Ok(self.source.prepare(tls)?)
    }

    /// Uses them for new handshakes.
    pub(super) fn apply(&self, next: NextTls) {
        self.source.replace(next);
        record(self.log.as_ref(), "loaded");
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It fails only after a panic, which was logged then.
            let _ = thread.join();
        }
    }
}

fn reload(source: &TlsSource, tls: &Tls, log: Option<&AuditLog>) {
    let outcome = match source.reload(tls) {
        Ok(()) => {
            tracing::info!("the TLS files changed: new handshakes use them");
            "loaded"
        }
        Err(error) => {
            tracing::error!(
                %error,
                "the TLS files changed and cannot be used: those of before stay in use"
            );
            "refused"
        }
    };
    record(log, outcome);
}

fn record(log: Option<&AuditLog>, outcome: &'static str) {
    if let Some(log) = log {
        log.record(&Record {
            outcome: Some(outcome),
            ..Record::new(Event::TlsReloaded, 0)
        });
    }
}

/// The files of `[tls]`.
fn files_of(tls: &Tls) -> Vec<PathBuf> {
    let certificates = tls.certificates.iter();
    let pairs = certificates.flat_map(|it| [&it.certificate_file, &it.key_file]);
    pairs.chain(&tls.client_ca_files).cloned().collect()
}
