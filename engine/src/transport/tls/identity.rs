//! The names in a certificate.
//!
//! Invariant: a name is a whole value of the certificate, and values of different kinds never
//! become one principal: each has its kind in front.

use std::fmt::Write;

use rustls::AlertDescription;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::fault::Fault;
use crate::guard::principal::PRINCIPAL_BYTES_MAX;

/// Why a certificate names no principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdentityError {
    /// It is not a certificate that can be read.
    #[error("it cannot be read")]
    Malformed,
    /// It has no name of a kind that can be one.
    #[error("it has no URI, e-mail address or DNS name among its alternative names")]
    NoName,
    /// The name is too long.
    #[error("its name exceeds the limit of {PRINCIPAL_BYTES_MAX} bytes of a principal")]
    TooLong,
    /// It has expired since it was verified, when the ticket of the session was issued.
    #[error("it has expired since its session began")]
    Expired,
}

impl IdentityError {
    pub(super) fn fault(self) -> Fault {
        match self {
            IdentityError::Expired => Fault::new(
                AlertDescription::CertificateExpired,
                "a session of an expired certificate",
            ),
            _ => Fault::new(
                AlertDescription::BadCertificate,
                "a certificate without a name",
            ),
        }
    }
}

/// The verified certificate of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// The name of the principal.
    pub(crate) subject: Box<str>,
    /// SHA-256 of the certificate (RFC 8705 3.1).
    pub(crate) sha256: [u8; 32],
    /// Its last second, since 1970.
    expires_s: u64,
}

impl ClientCertificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// It names no principal.
    pub(super) fn read(certificate: &[u8]) -> Result<ClientCertificate, IdentityError> {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest.as_ref());
        let certificate = Certificate::from_der(certificate);
        let certificate = certificate.map_err(|_| IdentityError::Malformed)?;
        let not_after = certificate.tbs_certificate.validity.not_after;
        Ok(ClientCertificate {
            subject: principal_of(&certificate)?,
            sha256,
            expires_s: not_after.to_unix_duration().as_secs(),
        })
    }

    /// The same certificate, unless it has expired in this second since 1970.
    ///
    /// # Errors
    /// It has expired.
    pub(super) fn still_valid(self, now_s: u64) -> Result<ClientCertificate, IdentityError> {
        match self.expires_s >= now_s {
            true => Ok(self),
            false => Err(IdentityError::Expired),
        }
    }
}

/// The object identifier id-ce-subjectAltName (RFC 5280 4.2.1.6).
const SUBJECT_ALT_NAME: &str = "2.5.29.17";

/// The principal that a verified certificate names: the first of its alternative names that is a
/// URI, such as a SPIFFE id, else an e-mail address, else a DNS name. The common name of the
/// subject is none: it has no form, and authorities sign what they are given. White space, control
/// characters and `%` are percent-encoded.
fn principal_of(certificate: &Certificate) -> Result<Box<str>, IdentityError> {
    let names = alternative_names(certificate)?;
    let first = |kind: Kind| {
        let found = names.iter().find(|(it, _)| *it == kind);
        found.map(|(_, name)| (kind.label(), name.clone()))
    };
    let found = first(Kind::Uri)
        .or_else(|| first(Kind::Email))
        .or_else(|| first(Kind::Dns));
    let (label, name) = found.ok_or(IdentityError::NoName)?;
    let mut principal = format!("tls:{label}=");
    for character in name.chars() {
        if character.is_control() || character.is_whitespace() || character == '%' {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                let _ = write!(principal, "%{byte:02X}");
            }
        } else {
            principal.push(character);
        }
    }
    match principal.len() <= PRINCIPAL_BYTES_MAX {
        true => Ok(principal.into_boxed_str()),
        false => Err(IdentityError::TooLong),
    }
}

/// The DNS names of a server's certificate, in lower case. A certificate that cannot be read has
/// none.
pub(super) fn dns_names(certificate: &[u8]) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let names = alternative_names(&certificate).unwrap_or_default();
    let names = names.into_iter().filter(|(kind, _)| *kind == Kind::Dns);
    names.map(|(_, name)| name.to_ascii_lowercase()).collect()
}

/// The kinds of alternative names that are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Uri,
    Email,
    Dns,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Kind::Uri => "uri",
            Kind::Email => "email",
            Kind::Dns => "dns",
        }
    }
}

/// The alternative names that are not empty.
fn alternative_names(certificate: &Certificate) -> Result<Vec<(Kind, String)>, IdentityError> {
    let extensions = certificate.tbs_certificate.extensions.iter().flatten();
    let mut found = extensions.filter(|it| it.extn_id.to_string() == SUBJECT_ALT_NAME);
    let Some(extension) = found.next() else {
        return Ok(Vec::new());
    };
    let names = SubjectAltName::from_der(extension.extn_value.as_bytes());
    let names = names.map_err(|_| IdentityError::Malformed)?.0;
    let name = |name: &GeneralName| {
        let (kind, text) = match name {
            GeneralName::UniformResourceIdentifier(text) => (Kind::Uri, text),
            GeneralName::Rfc822Name(text) => (Kind::Email, text),
            GeneralName::DnsName(text) => (Kind::Dns, text),
            _ => return None,
        };
        let text = text.as_str();
        (!text.is_empty()).then(|| (kind, text.to_owned()))
    };
    Ok(names.iter().filter_map(name).collect())
}
