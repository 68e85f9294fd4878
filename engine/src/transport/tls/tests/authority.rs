//! An authority that signs certificates for tests, and their files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    SanType, SignatureAlgorithm,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::TLS12;
use rustls::{ClientConfig, RootCertStore, SupportedCipherSuite};
use tempfile::TempDir;

use crate::profile::CertificateFiles;

pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(super) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Authority { issuer, folder }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file with its own certificate.
    pub(super) fn file(&self) -> PathBuf {
        let path = self.folder().join("authority.pem");
        fs::write(&path, self.issuer.pem()).unwrap();
        path
    }

    /// The files of a certificate with these DNS names, which replace those of the same name.
    pub(super) fn server_files(&self, file: &str, names: &[&str]) -> CertificateFiles {
        self.server_files_of(file, names, &PKCS_ECDSA_P256_SHA256)
    }

    pub(super) fn server_files_of(
        &self,
        file: &str,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
    ) -> CertificateFiles {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names = names.iter().map(|name| (*name).to_owned());
        let params = CertificateParams::new(names.collect::<Vec<_>>()).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = CertificateFiles {
            certificate_file: self.folder().join(format!("{file}.pem")),
            key_file: self.folder().join(format!("{file}-key.pem")),
        };
        fs::write(&files.certificate_file, certificate.pem()).unwrap();
        fs::write(&files.key_file, key.serialize_pem()).unwrap();
        set_mode(&files.key_file, 0o600);
        files
    }

    /// The certificate of a client with these alternative names, and its key.
    pub(super) fn client_identity(
        &self,
        names: Vec<SanType>,
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        // It names no principal.
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "admin");
        params.subject_alt_names = names;
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        (certificate.der().clone(), key.into())
    }

    /// The certificate of a client and those that lead to this authority, through as many others.
    pub(super) fn client_chain(
        &self,
        intermediates: usize,
        change: impl Fn(&mut CertificateParams),
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let mut chain = Vec::new();
        let mut issuers: Vec<CertifiedIssuer<'static, KeyPair>> = Vec::new();
        for number in 0..intermediates {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let common_name = format!("intermediate {number}");
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, common_name);
            let key = KeyPair::generate().unwrap();
            let signer = issuers.last().unwrap_or(&self.issuer);
            let issuer = CertifiedIssuer::signed_by(params, key, signer).unwrap();
            chain.insert(0, issuer.der().clone());
            issuers.push(issuer);
        }
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "admin");
        params.subject_alt_names = vec![SanType::DnsName("agent".try_into().unwrap())];
        change(&mut params);
        let signer = issuers.last().unwrap_or(&self.issuer);
        let certificate = params.signed_by(&key, signer).unwrap();
        chain.insert(0, certificate.der().clone());
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        (chain, key.into())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    /// A client that trusts this authority.
    pub(super) fn client_config(&self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder().with_root_certificates(self.roots());
        Arc::new(builder.with_no_client_auth())
    }

    /// A client that trusts this authority, and speaks TLS 1.2 with this cipher suite.
    pub(super) fn client_config_tls12(&self, suite: SupportedCipherSuite) -> Arc<ClientConfig> {
        let mut provider = default_provider();
        provider.cipher_suites = vec![suite];
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(&[&TLS12]).unwrap();
        let builder = builder.with_root_certificates(self.roots());
        Arc::new(builder.with_no_client_auth())
    }

    /// A client that trusts this authority and presents a certificate.
    pub(super) fn client_config_with(
        &self,
        (certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>),
    ) -> Arc<ClientConfig> {
        self.client_config_of((vec![certificate], key))
    }

    /// The same with the certificates that lead to an authority.
    pub(super) fn client_config_of(
        &self,
        (chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
    ) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder().with_root_certificates(self.roots());
        Arc::new(builder.with_client_auth_cert(chain, key).unwrap())
    }
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
