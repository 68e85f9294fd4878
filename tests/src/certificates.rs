//! Certificates of tests: an authority, the servers and clients that it names, and their files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS12;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use tempfile::TempDir;

/// The name of servers in tests.
pub const SERVER_NAME: &str = "localhost";

/// An authority with a directory of its own.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    /// A new authority.
    ///
    /// # Panics
    /// If its files cannot be written.
    #[must_use]
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose subject is its issuer for self-signed.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of tests");
        let key = KeyPair::generate().expect("a key can be made");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it signs itself");
        let directory = tempfile::tempdir().expect("a directory can be made");
        fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("a file can be written");
        let authority = Authority { issuer, directory };
        authority.write_server_files(&authority.certificate_file(), &authority.key_file());
        authority
    }

    /// The authority that tests share.
    #[must_use]
    pub fn shared() -> &'static Authority {
        static SHARED: LazyLock<Authority> = LazyLock::new(Authority::new);
        &SHARED
    }

    /// The file with its own certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The file with the certificate of a server.
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        self.directory.path().join("server.pem")
    }

    /// The file with its key.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.directory.path().join("server-key.pem")
    }

    /// Writes a new certificate of a server, and its key, in place of what is there.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub fn write_server_files(&self, certificate_file: &Path, key_file: &Path) {
        let key = KeyPair::generate().expect("a key can be made");
        let params = CertificateParams::new([SERVER_NAME.to_owned(), "127.0.0.1".to_owned()]);
        let certificate = params
            .expect("they are names")
            .signed_by(&key, &self.issuer);
        let certificate = certificate.expect("the authority signs");
        // Each file is replaced as a whole.
        let replace = |path: &Path, text: String| {
            let new = path.with_extension("new");
            fs::write(&new, text).expect("a file can be written");
            fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("it is ours");
            fs::rename(&new, path).expect("a file can be replaced");
        };
        replace(key_file, key.serialize_pem());
        replace(certificate_file, certificate.pem());
    }

    /// The `[tls]` section of a server with its certificate, without the line end.
    #[must_use]
    pub fn profile(&self) -> String {
        format!(
            "[tls]\ncertificates = [{{ certificate_file = {:?}, key_file = {:?} }}]",
            self.certificate_file(),
            self.key_file()
        )
    }

    /// A client that trusts servers of this authority.
    ///
    /// # Panics
    /// Never: its own certificate is valid.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder().with_root_certificates(self.roots());
        Arc::new(builder.with_no_client_auth())
    }

    /// The same with TLS 1.2 alone.
    ///
    /// # Panics
    /// Never: rustls has it.
    #[must_use]
    pub fn client_tls12(&self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_protocol_versions(&[&TLS12]);
        let builder = builder.with_root_certificates(self.roots());
        Arc::new(builder.with_no_client_auth())
    }

    /// The same with a certificate for `name`, signed by `signer`.
    ///
    /// # Panics
    /// If the certificate cannot be made.
    #[must_use]
    pub fn client_called(&self, name: &str, signer: &Authority) -> Arc<ClientConfig> {
        let key = KeyPair::generate().expect("a key can be made");
        // A common name is no principal.
        let params = CertificateParams::new([name.to_owned()]);
        let mut params = params.expect("it is a name");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &signer.issuer);
        let chain = vec![certificate.expect("the authority signs").der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let builder = ClientConfig::builder().with_root_certificates(self.roots());
        let config = builder.with_client_auth_cert(chain, key);
        Arc::new(config.expect("the key is that of the certificate"))
    }

    /// A server with a certificate for `name`, in these versions.
    ///
    /// # Panics
    /// If the certificate cannot be made.
    #[must_use]
    pub fn server(
        &self,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key can be made");
        let params = CertificateParams::new([name.to_owned()]).expect("it is a name");
        let certificate = params.signed_by(&key, &self.issuer);
        let chain = vec![certificate.expect("the authority signs").der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let builder = ServerConfig::builder_with_protocol_versions(versions);
        let config = builder.with_no_client_auth().with_single_cert(chain, key);
        Arc::new(config.expect("the key is that of the certificate"))
    }

    /// A server with its certificate that serves only clients with one of this authority.
    ///
    /// # Panics
    /// If the files cannot be read.
    #[must_use]
    pub fn server_of_clients(&self) -> Arc<ServerConfig> {
        let chain = CertificateDer::pem_file_iter(self.certificate_file());
        let chain: Result<Vec<_>, _> = chain.expect("it is there").collect();
        let key = PrivateKeyDer::from_pem_file(self.key_file()).expect("a key");
        let clients = WebPkiClientVerifier::builder(Arc::new(self.roots())).build();
        let config = ServerConfig::builder()
            .with_client_cert_verifier(clients.expect("there is an authority"))
            .with_single_cert(chain.expect("certificates"), key);
        Arc::new(config.expect("the key is that of the certificate"))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let added = roots.add(self.issuer.der().clone());
        added.expect("it is the certificate of an authority");
        roots
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

/// The client's side of a new connection.
pub(crate) fn connection(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from(SERVER_NAME).expect("it is a name");
    ClientConnection::new(Arc::clone(config), name).expect("the configuration is valid")
}
