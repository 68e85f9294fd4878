//! Issuers behind TLS: keys come from one with a valid certificate for its name, and no other.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::issuer::{Key, key_set};
use super::{Server, verify, write};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("it signs itself")
}

/// The settings of an issuer with a certificate for `name`, which may be over.
fn settings(authority: &Authority, name: &str, is_over: bool) -> Arc<ServerConfig> {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    if is_over {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, authority).expect("it is signed");
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key);
    Arc::new(config.expect("key and certificate fit"))
}

/// Serves one document to all whose handshake succeeds; gives the port.
fn serve(settings: Arc<ServerConfig>, body: String) -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = socket.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in socket.incoming() {
            let tls = ServerConnection::new(Arc::clone(&settings)).expect("valid settings");
            let mut stream = StreamOwned::new(tls, stream.expect("a stream"));
            // A client that refuses the certificate sends no request.
            if stream.read(&mut [0; 4096]).is_ok() {
                let length = body.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                let _ = stream.write_all((head + &body).as_bytes());
            }
        }
    });
    port
}

#[test]
fn keys_come_from_an_issuer_with_a_valid_certificate_only() {
    let (known, unknown) = (authority(), authority());
    for (case, signer, name, is_over) in [
        ("valid", &known, "localhost", false),
        ("expired", &known, "localhost", true),
        ("of another host", &known, "issuer.example", false),
        ("of a part of the name", &known, "*.localhost", false),
        ("of an unknown authority", &unknown, "localhost", false),
    ] {
        let key = Key::new("1");
        let port = serve(settings(signer, name, is_over), key_set(&[&key]));
        let issuer = format!("https://localhost:{port}");
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder, "ca.pem", &known.pem());
        let configuration = format!(
            "[policy]\ndefault = \"authenticated\"\n[auth]\nca_files = [\"ca.pem\"]\n\
             resource = \"https://mcp.example.com/mcp\"\n[[auth.issuer]]\nalias = \"corp\"\n\
             issuer = \"{issuer}\"\njwks_uri = \"{issuer}/keys\"\n"
        );
        let server = Server::start_in_folder(folder, &configuration);
        if case == "valid" {
            let access = server.with_keys();
            assert!(verify(&access, &key.token(&issuer)).is_ok());
        } else {
            server.assert_no_keys();
        }
    }
}
