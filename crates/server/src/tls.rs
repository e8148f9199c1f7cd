//! TLS for the server's own sockets.

use crate::{Error, ErrorKind, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Where certificate and key lie, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// The private key (PKCS #8, PKCS #1 or SEC1).
    pub key: PathBuf,
}

/// Reads the files and makes an acceptor for TLS 1.2 and 1.3.
///
/// # Errors
/// `Malformed`, naming the file, when one cannot be read or the two do not belong together.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|e| unusable("TLS certificate", &files.certificate, e))?;
    if chain.is_empty() {
        let what = format!("the TLS certificate {} holds no certificate", files.certificate.display());
        return Err(Error::new(ErrorKind::Malformed, what));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| unusable("TLS key", &files.key, e))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::because(ErrorKind::Internal, "TLS cannot be set up", e))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| unusable("TLS certificate", &files.certificate, e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn unusable(what: &str, path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::because(ErrorKind::Malformed, format!("the {what} {} cannot be used", path.display()), error)
}
