//! The one cryptography provider of the process.

/// Installs aws-lc-rs as the provider of every TLS connection of this process. Calling it again does nothing;
/// every client of this crate calls it, so that a program or a test cannot forget it.
pub fn install_crypto() {
    // An error only says that a provider is installed already, which is what was asked for.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
