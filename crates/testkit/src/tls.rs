//! Certificates made for one test: good, expired, of another name.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Certificate {
    /// Nothing: for `localhost` and 127.0.0.1, signed by [`Tls::ca_pem`].
    #[default]
    Good,
    /// It ended in 2020.
    Expired,
    /// It begins in 4000.
    NotYet,
    /// It is for `elsewhere.example`.
    OtherName,
}

/// A server's TLS set-up and the authority that signed it.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The authority's certificate, PEM.
    pub ca_pem: String,
    /// The server's certificate, PEM.
    pub certificate_pem: String,
    /// The server's key, PEM.
    pub key_pem: String,
    /// For a rustls acceptor.
    pub config: Arc<ServerConfig>,
}

/// Makes an authority and a server certificate signed by it.
///
/// # Panics
/// Never: the parameters are fixed.
pub fn certificate(kind: Certificate) -> Tls {
    // A second installation only says that there is one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut ca = CertificateParams::new(Vec::new()).expect("no names are fine");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(ca, KeyPair::generate().expect("a key")).expect("an authority");
    let names = match kind {
        Certificate::OtherName => vec!["elsewhere.example".to_owned()],
        Certificate::Good | Certificate::Expired | Certificate::NotYet => {
            vec!["localhost".to_owned(), "127.0.0.1".to_owned()]
        }
    };
    let mut params = CertificateParams::new(names).expect("the names are fine");
    match kind {
        Certificate::Expired => {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        Certificate::NotYet => params.not_before = date_time_ymd(4000, 1, 1),
        Certificate::Good | Certificate::OtherName => {}
    }
    let key = KeyPair::generate().expect("a key");
    let signed = params.signed_by(&key, &issuer).expect("a certificate");
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![signed.der().clone()], private)
        .expect("key and certificate belong together");
    Tls { ca_pem: issuer.pem(), certificate_pem: signed.pem(), key_pem: key.serialize_pem(), config: Arc::new(config) }
}
