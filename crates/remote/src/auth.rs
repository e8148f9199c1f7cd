//! Logins at registries: anonymous, Basic, and the Bearer token dance.
//!
//! Sources: RFC 7617 (Basic), RFC 6750 (Bearer), the token authentication specification of the distribution
//! project ("Token Authentication Specification" and "OAuth2 Token Authentication").
//!
//! Invariants: a password or token is sent only after a challenge asked for it; it goes to the registry itself
//! or, over HTTPS (or where plain HTTP was chosen), to the token service that the registry names; it is in no
//! `Debug` text and no error.

use crate::http::{Client, Request, host_of, status_kind};
use crate::retry::retrying;
use crate::{Endpoint, Error, ErrorKind, IDENTITY_TOKEN_USER, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::registry::Credentials;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// What a token that does not say so is good for, by the token specification.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// Longest that a token is kept, whatever it says.
const LIFETIME_MAX: Duration = Duration::from_secs(3600);
/// Distinct scopes whose tokens are kept; older ones are dropped together.
const SCOPES_MAX: usize = 10_000;

/// What a request needs permission for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// The API's root.
    Nothing,
    /// Listing repositories.
    Catalogue,
    /// Reading one repository.
    Pull(String),
    /// Reading and writing one repository.
    Push(String),
}

impl Access {
    /// The scope of the token specification, if any.
    fn scope(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Catalogue => Some("registry:catalog:*".to_owned()),
            Self::Pull(repository) => Some(format!("repository:{repository}:pull")),
            Self::Push(repository) => Some(format!("repository:{repository}:pull,push")),
        }
    }

    /// The scope to ask for: the challenge's, when it is about the same thing.
    fn scope_for(&self, challenged: Option<&str>) -> Option<String> {
        let about_the_same = |scope: &&str| match self {
            Self::Nothing => false,
            Self::Catalogue => scope.starts_with("registry:catalog:"),
            Self::Pull(repository) => scope
                .strip_prefix("repository:")
                .and_then(|rest| rest.strip_prefix(repository.as_str()))
                .is_some_and(|actions| actions.starts_with(':')),
            // A challenge to a request that only reads would not name the right to write.
            Self::Push(_) => false,
        };
        challenged.filter(about_the_same).map(str::to_owned).or_else(|| self.scope())
    }

    /// What is to be done, for people.
    pub(crate) const fn verb(&self) -> &'static str {
        match self {
            Self::Nothing | Self::Catalogue | Self::Pull(_) => "read",
            Self::Push(_) => "write",
        }
    }

    /// For people.
    fn what(&self) -> String {
        match self {
            Self::Nothing => "its API".to_owned(),
            Self::Catalogue => "its list of repositories".to_owned(),
            Self::Pull(repository) | Self::Push(repository) => format!("repository {repository}"),
        }
    }
}

/// How the registry wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

struct Token {
    secret: SecretString,
    expires: Instant,
}

type TokenSlot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// Keeps the logins of one registry.
pub(crate) struct Authorizer {
    http: Client,
    base: Url,
    credentials: Option<Credentials>,
    plain_http: bool,
    challenge: Mutex<Option<Challenge>>,
    tokens: Mutex<HashMap<String, TokenSlot>>,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").field("host", &host_of(&self.base)).finish_non_exhaustive()
    }
}

impl Authorizer {
    /// For one registry.
    pub(crate) fn new(http: Client, endpoint: &Endpoint, base: Url) -> Self {
        Self {
            http,
            base,
            credentials: endpoint.credentials.clone(),
            plain_http: endpoint.plain_http,
            challenge: Mutex::new(None),
            tokens: Mutex::new(HashMap::new()),
        }
    }

    /// The header for a request that needs `access`, as far as earlier challenges tell: `None` before the first.
    pub(crate) async fn header(&self, access: &Access) -> Result<Option<HeaderValue>> {
        let known = self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            // A registry that asks for logins may still show some repositories to everyone.
            Some(Challenge::Basic) if self.credentials.is_none() => Ok(None),
            None => Ok(None),
            Some(Challenge::Basic) => self.basic().map(Some),
            Some(Challenge::Bearer { realm, service, .. }) => {
                let challenge = Challenge::Bearer { realm, service, scope: None };
                self.bearer(&challenge, access, None).await.map(Some)
            }
        }
    }

    /// The header that answers a refusal with 401. `sent` is what the refused request carried.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when there is nothing better to send: wrong password, no permission, no login given.
    pub(crate) async fn answer(
        &self,
        headers: &HeaderMap,
        access: &Access,
        sent: Option<&HeaderValue>,
    ) -> Result<HeaderValue> {
        let Some(challenge) = choose(headers) else {
            let text = format!("{} asks for a login in a way that is not understood", host_of(&self.base));
            return Err(Error::new(ErrorKind::Denied, text));
        };
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge.clone());
        match &challenge {
            Challenge::Basic => {
                let header = self.basic()?;
                if sent == Some(&header) { Err(self.wrong_password(None)) } else { Ok(header) }
            }
            Challenge::Bearer { .. } => self.bearer(&challenge, access, sent).await,
        }
    }

    /// The error for a 401 that came although a login was sent.
    pub(crate) fn refused(&self, access: &Access, sent: &HeaderValue) -> Error {
        if sent.as_bytes().starts_with(b"Basic ") {
            return self.wrong_password(None);
        }
        let host = host_of(&self.base);
        let text = match &self.credentials {
            Some(user) => format!("{host} does not let {} {} {}", shown(user), access.verb(), access.what()),
            None => format!(
                "{host} does not let everyone {} {}: give a username and password",
                access.verb(),
                access.what()
            ),
        };
        Error::new(ErrorKind::Denied, text)
    }

    /// Takes the login out of a text of the other side, should it repeat it.
    pub(crate) fn redact(&self, text: String) -> String {
        let Some(user) = self.credentials.as_ref().filter(|user| user.password.len() >= 4) else { return text };
        let encoded = BASE64.encode(format!("{}:{}", user.username, user.password));
        text.replace(&user.password, "…").replace(&encoded, "…")
    }

    fn basic(&self) -> Result<HeaderValue> {
        let host = host_of(&self.base);
        match &self.credentials {
            None => {
                Err(Error::new(ErrorKind::Denied, format!("{host} asks for a login: give a username and password")))
            }
            Some(user) if user.username == IDENTITY_TOKEN_USER => {
                let text = format!("{host} asks for a password, but only an identity token is stored for it");
                Err(Error::new(ErrorKind::Denied, text))
            }
            Some(user) => basic_header(user),
        }
    }

    async fn bearer(&self, challenge: &Challenge, access: &Access, sent: Option<&HeaderValue>) -> Result<HeaderValue> {
        let Challenge::Bearer { realm, service, scope } = challenge else { return self.basic() };
        let scope = access.scope_for(scope.as_deref());
        let slot = self.slot(scope.as_deref().unwrap_or_default());
        // Held while fetching: a hundred requests that need one token ask for it once.
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref().filter(|token| token.expires > Instant::now()) {
            let header = bearer_header(&token.secret)?;
            if sent != Some(&header) {
                return Ok(header);
            }
        }
        *slot = None;
        let token = self.fetch_token(realm, service.as_deref(), scope.as_deref()).await?;
        let header = bearer_header(&token.secret)?;
        *slot = Some(token);
        Ok(header)
    }

    fn slot(&self, scope: &str) -> TokenSlot {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= SCOPES_MAX && !tokens.contains_key(scope) {
            tokens.clear();
        }
        Arc::clone(tokens.entry(scope.to_owned()).or_default())
    }

    async fn fetch_token(&self, realm: &str, service: Option<&str>, scope: Option<&str>) -> Result<Token> {
        let host = host_of(&self.base);
        let bad = || Error::new(ErrorKind::Malformed, format!("{host} names a token service that is no address"));
        let mut url = self.base.join(realm).map_err(|_| bad())?;
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| bad())?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(bad());
        }
        if self.credentials.is_some() && url.scheme() == "http" && !self.plain_http {
            let text = format!("{host} wants the password sent unencrypted to {}: not done", host_of(&url));
            return Err(Error::new(ErrorKind::Forbidden, text));
        }
        let identity = self.credentials.as_ref().filter(|user| user.username == IDENTITY_TOKEN_USER);
        retrying(self.http.limits(), || async {
            let response = match identity {
                Some(user) => self.post_token(&url, service, scope, &[("refresh_token", &user.password)]).await?,
                None => self.get_token(&url, service, scope).await?,
            };
            self.read_token(response).await
        })
        .await
    }

    /// `GET realm?service=…&scope=…`; services that only speak OAuth2 are asked again by `POST`.
    async fn get_token(&self, realm: &Url, service: Option<&str>, scope: Option<&str>) -> Result<Response> {
        let mut url = realm.clone();
        {
            let mut query = url.query_pairs_mut();
            for (name, value) in [("service", service), ("scope", scope)] {
                if let Some(value) = value {
                    query.append_pair(name, value);
                }
            }
            if let Some(user) = &self.credentials {
                query.append_pair("account", &user.username);
            }
        }
        let mut request = Request::new(Method::GET, url, self.http.limits());
        request.authorization = self.credentials.as_ref().map(basic_header).transpose()?;
        let response = self.http.send(&request).await?;
        match (response.status(), &self.credentials) {
            (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, Some(user)) => {
                let login = [("username", user.username.as_str()), ("password", user.password.as_str())];
                self.post_token(realm, service, scope, &login).await
            }
            _ => Ok(response),
        }
    }

    async fn post_token(
        &self,
        realm: &Url,
        service: Option<&str>,
        scope: Option<&str>,
        login: &[(&str, &str)],
    ) -> Result<Response> {
        let mut request = Request::new(Method::POST, realm.clone(), self.http.limits());
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        request.body = Some(token_form(service, scope, login).into());
        self.http.send(&request).await
    }

    async fn read_token(&self, response: Response) -> Result<Token> {
        let service = host_of(response.url());
        let status = response.status();
        if !status.is_success() {
            let kind = status_kind(status, response.headers());
            let said = self.http.complaint(response).await.map(|text| self.redact(text));
            // OAuth2 says 400 `invalid_grant` for a wrong login.
            if matches!(status.as_u16(), 400 | 401 | 403) {
                return Err(self.wrong_password(said));
            }
            let said = said.map(|text| format!(" ({text})")).unwrap_or_default();
            return Err(Error::new(kind, format!("the token service {service} answered {status}{said}")));
        }
        let what = format!("the token of {service}");
        let body = self.http.body(response, self.http.limits().token_bytes_max, &what).await?;
        parse_token(&body).ok_or_else(|| Error::new(ErrorKind::Malformed, format!("{what} cannot be read")))
    }

    fn wrong_password(&self, said: Option<String>) -> Error {
        let host = host_of(&self.base);
        let said = said.map(|text| format!(" (it says: {text})")).unwrap_or_default();
        let text = match &self.credentials {
            Some(user) => format!("{host} refused {}: check username and password{said}", shown(user)),
            None => format!("{host} asks for a login: give a username and password{said}"),
        };
        Error::new(ErrorKind::Denied, text)
    }
}

/// The body of an OAuth2 token request.
fn token_form(service: Option<&str>, scope: Option<&str>, login: &[(&str, &str)]) -> String {
    let grant = if login.iter().any(|(name, _)| *name == "password") { "password" } else { "refresh_token" };
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", grant).append_pair("client_id", "pratique");
    for (name, value) in [("service", service), ("scope", scope)] {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    form.extend_pairs(login);
    form.finish()
}

fn shown(user: &Credentials) -> String {
    match user.username.as_str() {
        IDENTITY_TOKEN_USER => "the stored identity token".to_owned(),
        name => format!("user {name}"),
    }
}

fn basic_header(user: &Credentials) -> Result<HeaderValue> {
    sensitive(format!("Basic {}", BASE64.encode(format!("{}:{}", user.username, user.password))))
}

fn bearer_header(token: &SecretString) -> Result<HeaderValue> {
    sensitive(format!("Bearer {}", token.expose_secret()))
}

fn sensitive(text: String) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| Error::new(ErrorKind::Malformed, "the login has characters that no header may hold"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn parse_token(body: &[u8]) -> Option<Token> {
    #[derive(serde::Deserialize)]
    struct Answer {
        #[serde(default)]
        token: Option<SecretString>,
        #[serde(default)]
        access_token: Option<SecretString>,
        #[serde(default)]
        expires_in: Option<f64>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let secret = answer.token.or(answer.access_token).filter(|token| !token.expose_secret().is_empty())?;
    let lifetime = answer
        .expires_in
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|lifetime| !lifetime.is_zero())
        .unwrap_or(DEFAULT_LIFETIME)
        .min(LIFETIME_MAX);
    // A tenth early: the clock starts at the service, and the request still has to travel.
    Some(Token { secret, expires: Instant::now() + lifetime.mul_f64(0.9) })
}

/// The challenge to answer among all that were sent: Bearer before Basic.
fn choose(headers: &HeaderMap) -> Option<Challenge> {
    let mut found = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        found.extend(challenges(value.to_str().ok()?));
    }
    found.iter().find(|c| matches!(c, Challenge::Bearer { .. })).or_else(|| found.first()).cloned()
}

/// Reads `WWW-Authenticate` (RFC 9110, section 11.6.1): schemes with parameters, separated by commas.
fn challenges(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut scheme = String::new();
    let mut parameters = HashMap::new();
    for part in split_outside_quotes(header) {
        let part = part.trim();
        let (head, rest) = match part.split_once(|c: char| c.is_ascii_whitespace()) {
            Some((head, rest)) if !head.contains('=') => (Some(head), rest.trim()),
            _ if !part.contains('=') && !part.is_empty() => (Some(part), ""),
            _ => (None, part),
        };
        if let Some(head) = head {
            found.extend(challenge(&scheme, &parameters));
            scheme = head.to_ascii_lowercase();
            parameters.clear();
        }
        if let Some((name, value)) = rest.split_once('=') {
            parameters.insert(name.trim().to_ascii_lowercase(), unquote(value.trim()));
        }
    }
    found.extend(challenge(&scheme, &parameters));
    found
}

fn challenge(scheme: &str, parameters: &HashMap<String, String>) -> Option<Challenge> {
    let get = |name: &str| parameters.get(name).filter(|value| !value.is_empty()).cloned();
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") }),
        _ => None,
    }
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unquote(text: &str) -> String {
    match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.into(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        };
        let check = |header: &str, expect: &[Challenge]| assert_eq!(challenges(header), expect, "{header}");
        check("Basic realm=\"x, y\"", &[Challenge::Basic]);
        check("basic", &[Challenge::Basic]);
        check(
            "Bearer realm=\"https://a/token\",service=\"reg\",scope=\"repository:a/b:pull,push\"",
            &[bearer("https://a/token", Some("reg"), Some("repository:a/b:pull,push"))],
        );
        check("Bearer realm=https://a/token", &[bearer("https://a/token", None, None)]);
        check(
            "Negotiate, Basic realm=\"x\", Bearer realm=\"https://a\", service=\"s\"",
            &[Challenge::Basic, bearer("https://a", Some("s"), None)],
        );
        check("Bearer service=\"no realm\"", &[]);
        check("", &[]);
    }

    #[test]
    fn scopes_come_from_the_challenge_only_about_the_same_thing() {
        let pull = Access::Pull("a/b".into());
        let check = |access: &Access, challenged: Option<&str>, expect: Option<&str>| {
            assert_eq!(access.scope_for(challenged).as_deref(), expect);
        };
        check(&pull, None, Some("repository:a/b:pull"));
        check(&pull, Some("repository:a/b:metadata_read"), Some("repository:a/b:metadata_read"));
        check(&pull, Some("repository:a/bc:pull"), Some("repository:a/b:pull"));
        check(&pull, Some("registry:catalog:*"), Some("repository:a/b:pull"));
        check(&Access::Catalogue, Some("repository:a/b:pull"), Some("registry:catalog:*"));
        check(&Access::Nothing, Some("registry:catalog:*"), None);
    }

    #[test]
    fn tokens_are_read_under_both_names() {
        let read = |body: &str| parse_token(body.as_bytes()).map(|t| t.secret.expose_secret().to_owned());
        assert_eq!(read(r#"{"token":"a","expires_in":300}"#).as_deref(), Some("a"));
        assert_eq!(read(r#"{"access_token":"b"}"#).as_deref(), Some("b"));
        assert_eq!(read(r#"{"token":""}"#), None);
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{"token":"a","expires_in":-1e300}"#).as_deref(), Some("a"));
    }
}
