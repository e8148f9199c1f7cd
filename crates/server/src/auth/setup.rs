//! The first administrator: the bootstrap token of the environment, or a link that works once.
//!
//! Invariant: a set-up link exists only while no administrator was ever made, and opening it twice makes one token.

use super::secret::{Purpose, hash, mint, same};
use crate::limits::BOOTSTRAP_CHARS_MIN;
use crate::{Error, ErrorKind, Result};
use model::{Id, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::Mutex;
use store::Store;
use store::types::{AuditEntry, NewToken, Role};

/// Set once an administrator's token exists.
const ADMINISTRATOR_SETTING: &str = "access.administrator";

/// Row number of the token that the environment named last.
const BOOTSTRAP_SETTING: &str = "access.bootstrap-token";

/// Who acts when nobody is logged in.
pub(crate) const PROGRAM: &str = "pratique";

/// The secret of the set-up link, while there is one.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    secret: Mutex<Option<String>>,
}

impl Setup {
    /// Stores the bootstrap token, or makes a set-up link when there is no administrator.
    ///
    /// # Errors
    /// When the token is too short or the store fails.
    pub(crate) async fn prepare(store: &dyn Store, token: Option<&SecretString>, now: Timestamp) -> Result<Self> {
        if let Some(token) = token {
            bootstrap(store, token, now).await?;
            return Ok(Self::default());
        }
        if store.setting(ADMINISTRATOR_SETTING).await?.is_some() {
            return Ok(Self::default());
        }
        let secret = mint(Purpose::Page).map_err(|e| Error::because(ErrorKind::Internal, "no random bytes", e))?;
        Ok(Self { secret: Mutex::new(Some(secret)) })
    }

    /// The secret, while the link is good.
    pub(crate) fn secret(&self) -> Option<String> {
        self.secret.lock().expect("no panic while the lock is held").clone()
    }

    /// Is this the secret of the link?
    pub(crate) fn fits(&self, given: &str) -> bool {
        self.secret().is_some_and(|secret| same(&secret, given))
    }

    /// Spends the link: true for exactly one caller.
    pub(crate) fn spend(&self, given: &str) -> bool {
        let mut secret = self.secret.lock().expect("no panic while the lock is held");
        let fits = secret.as_deref().is_some_and(|secret| same(secret, given));
        if fits {
            *secret = None;
        }
        fits
    }
}

async fn bootstrap(store: &dyn Store, token: &SecretString, now: Timestamp) -> Result<()> {
    let text = token.expose_secret();
    if text.chars().count() < BOOTSTRAP_CHARS_MIN {
        let what =
            format!("the administrator token has fewer than {BOOTSTRAP_CHARS_MIN} characters: choose a longer one");
        return Err(Error::new(ErrorKind::Malformed, what));
    }
    if store.token(&hash(text), now).await?.is_some() {
        return Ok(());
    }
    // The environment names another token than last time: the old one is worth nothing any more.
    if let Some(old) = store.setting(BOOTSTRAP_SETTING).await?.and_then(|id| id.parse().ok()) {
        store.revoke_token(Id::new(old), PROGRAM, now).await?;
    }
    let id = add_administrator(store, "bootstrap", text, now).await?;
    store.set_setting(BOOTSTRAP_SETTING, &id.to_string()).await?;
    Ok(())
}

/// Stores an administrator's token. Returns its row number.
///
/// # Errors
/// When the store fails.
pub(crate) async fn add_administrator(store: &dyn Store, name: &str, token: &str, now: Timestamp) -> Result<i64> {
    let new = NewToken {
        name: name.to_owned(),
        hash: hash(token),
        role: Role::Administrator,
        agent_group: None,
        once: false,
        expires_at: None,
    };
    let id = store.add_token(&new, PROGRAM, now).await?;
    store.set_setting(ADMINISTRATOR_SETTING, "yes").await?;
    Ok(id.get())
}

/// A row of the audit log.
pub(crate) fn entry(by: &str, what: &str, detail: impl Into<String>, now: Timestamp) -> AuditEntry {
    AuditEntry { id: 0, at: now, by: by.to_owned(), what: what.to_owned(), detail: detail.into() }
}
