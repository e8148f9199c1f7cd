//! Sessions of the web page.
//!
//! Invariants: only hashes of session secrets are kept, in memory; a session is worth nothing without the token that
//! it was opened with, which is looked up again on every request.

use super::secret::{Purpose, hash, mint};
use crate::limits::{SESSION_HOURS, SESSIONS_MAX};
use axum::http::{HeaderMap, HeaderValue, header};
use jiff::ToSpan as _;
use model::{Digest, Timestamp};
use std::collections::HashMap;
use std::sync::Mutex;

/// An open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// Hash of the secret in the cookie.
    pub(crate) id: Digest,
    /// Hash of the token that it was opened with.
    pub(crate) token: Digest,
    /// What every form of the session carries.
    pub(crate) csrf: String,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
}

/// A line for the next page that the session shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Did it go well?
    pub(crate) good: bool,
    /// For people.
    pub(crate) text: String,
}

#[derive(Debug)]
struct Held {
    session: Session,
    notice: Option<Notice>,
}

/// Every open session.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<Digest, Held>>,
}

impl Sessions {
    /// Opens a session for the token with this hash. Returns the cookie's secret.
    ///
    /// # Errors
    /// When the operating system has no random bytes.
    pub(crate) fn open(&self, token: Digest, now: Timestamp) -> Result<String, getrandom::Error> {
        let secret = mint(Purpose::Page)?;
        let id = hash(&secret);
        let expires_at = now.saturating_add(SESSION_HOURS.hours()).unwrap_or(Timestamp::MAX);
        let session = Session { id, token, csrf: mint(Purpose::Page)?, expires_at };
        let mut open = self.open.lock().expect("no panic while the lock is held");
        open.retain(|_, held| held.session.expires_at > now);
        if open.len() >= SESSIONS_MAX
            && let Some(oldest) = open.values().min_by_key(|h| h.session.expires_at).map(|h| h.session.id)
        {
            open.remove(&oldest);
        }
        open.insert(id, Held { session, notice: None });
        Ok(secret)
    }

    /// The session of a cookie, unless it has ended.
    pub(crate) fn find(&self, secret: &str, now: Timestamp) -> Option<Session> {
        let open = self.open.lock().expect("no panic while the lock is held");
        open.get(&hash(secret)).map(|held| held.session.clone()).filter(|session| session.expires_at > now)
    }

    /// Ends a session.
    pub(crate) fn close(&self, id: &Digest) {
        self.open.lock().expect("no panic while the lock is held").remove(id);
    }

    /// Leaves a line for the next page.
    pub(crate) fn leave(&self, id: &Digest, notice: Notice) {
        if let Some(held) = self.open.lock().expect("no panic while the lock is held").get_mut(id) {
            held.notice = Some(notice);
        }
    }

    /// Takes the line that was left.
    pub(crate) fn take(&self, id: &Digest) -> Option<Notice> {
        self.open.lock().expect("no panic while the lock is held").get_mut(id).and_then(|held| held.notice.take())
    }
}

/// A cookie of the page. Behind TLS its name makes browsers insist on `Secure` (RFC 6265bis, section 4.1.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// The session.
    Session,
    /// Guards the login form, before there is a session.
    LoginForm,
}

impl Cookie {
    const fn name(self, tls: bool) -> &'static str {
        match (self, tls) {
            (Self::Session, true) => "__Host-pratique",
            (Self::Session, false) => "pratique",
            (Self::LoginForm, true) => "__Host-pratique-form",
            (Self::LoginForm, false) => "pratique-form",
        }
    }

    /// Its value in a request.
    pub(crate) fn read(self, headers: &HeaderMap, tls: bool) -> Option<String> {
        let name = self.name(tls);
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    }

    /// Sets it for some seconds; 0 takes it away. `value` is one of our own secrets, so it needs no quoting.
    pub(crate) fn set(self, value: &str, seconds: i64, tls: bool) -> HeaderValue {
        let secure = if tls { "; Secure" } else { "" };
        let text = format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", self.name(tls));
        HeaderValue::from_str(&text).expect("base64url and digits make a header value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end() {
        let sessions = Sessions::default();
        let start: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let token = hash("token");
        let secret = sessions.open(token, start).unwrap();
        let session = sessions.find(&secret, start).unwrap();
        assert_eq!(session.token, token);
        assert!(sessions.find("other", start).is_none());
        assert!(sessions.find(&secret, start + 13.hours()).is_none());
        sessions.leave(&session.id, Notice { good: true, text: "once".into() });
        assert_eq!(sessions.take(&session.id).unwrap().text, "once");
        assert!(sessions.take(&session.id).is_none());
        sessions.close(&session.id);
        assert!(sessions.find(&secret, start).is_none());
    }

    #[test]
    fn cookies_are_told_apart() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=b; pratique=x; pratique-form=y".parse().unwrap());
        assert_eq!(Cookie::Session.read(&headers, false).as_deref(), Some("x"));
        assert_eq!(Cookie::LoginForm.read(&headers, false).as_deref(), Some("y"));
        assert_eq!(Cookie::Session.read(&headers, true), None);
        assert!(Cookie::Session.set("v", 60, true).to_str().unwrap().contains("Secure"));
    }
}
