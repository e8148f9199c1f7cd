//! Random secrets, and what is kept of them.
//!
//! Invariant: a secret has 256 random bits, so that its plain SHA-256 can be stored: there is nothing to guess.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use model::Digest;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What a secret is for: the prefix lets people and secret scanners tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A token of the API.
    Api,
    /// A one-time token that joins an agent.
    Join,
    /// The secret of an agent.
    Agent,
    /// The secret of a session, a form or a set-up link.
    Page,
}

impl Purpose {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Api => "prt_",
            Self::Join => "prj_",
            Self::Agent => "pra_",
            Self::Page => "",
        }
    }
}

/// Makes a secret.
///
/// # Errors
/// When the operating system has no random bytes.
pub(crate) fn mint(purpose: Purpose) -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{}{}", purpose.prefix(), BASE64.encode(bytes)))
}

/// What is stored of a secret.
pub(crate) fn hash(secret: &str) -> Digest {
    Digest::from_bytes(Sha256::digest(secret.as_bytes()).into())
}

/// Are two secrets the same? Takes the same time wherever they differ.
pub(crate) fn same(a: &str, b: &str) -> bool {
    hash(a).as_bytes().ct_eq(hash(b).as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_say_what_they_are_for() {
        let a = mint(Purpose::Api).unwrap();
        let b = mint(Purpose::Api).unwrap();
        assert_ne!(a, b);
        assert!(a.starts_with("prt_") && a.len() == 4 + 43, "{a}");
        assert!(same(&a, &a) && !same(&a, &b));
    }
}
