//! Who is asking, and what they may do.
//!
//! Not here: which route needs which role (`routes`). Invariant: a [`Principal`] only ever comes from a token whose
//! hash the store knows, looked up again on every request, so that revoking a token ends its sessions too.

pub(crate) mod guard;
pub(crate) mod limiter;
pub(crate) mod secret;
pub(crate) mod session;
pub(crate) mod setup;

use crate::problem::Problem;
use crate::state::AppState;
use axum::http::{HeaderMap, header};
use model::{Digest, Timestamp};
use secret::hash;
use store::types::Role;

/// Whoever is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    /// Name of the token, for the audit log.
    pub(crate) name: String,
    /// What it allows.
    pub(crate) role: Role,
}

/// How much a role allows; a join token allows nothing but joining.
const fn rank(role: Role) -> u8 {
    match role {
        Role::Join => 0,
        Role::Viewer => 1,
        Role::Operator => 2,
        Role::Administrator => 3,
    }
}

/// The word for people and for the API.
pub(crate) const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Administrator => "administrator",
        Role::Join => "join",
    }
}

impl Principal {
    /// May this one do what `needed` may do?
    pub(crate) const fn may(&self, needed: Role) -> bool {
        rank(self.role) >= rank(needed) && rank(self.role) > 0
    }
}

/// The principal behind a token's hash, if the token is good now.
pub(crate) async fn principal(state: &AppState, hash: &Digest, now: Timestamp) -> Result<Option<Principal>, Problem> {
    let Some(token) = state.store().token(hash, now).await? else { return Ok(None) };
    match token.role {
        Role::Join => Ok(None),
        Role::Viewer | Role::Operator | Role::Administrator => {
            Ok(Some(Principal { name: token.name, role: token.role }))
        }
    }
}

/// The hash of the bearer token of a request; the scheme's name is compared without case (RFC 9110, section 11.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<Digest> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| hash(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_join_is_nothing() {
        let may = |role, needed| Principal { name: String::new(), role }.may(needed);
        assert!(may(Role::Administrator, Role::Viewer));
        assert!(may(Role::Operator, Role::Operator));
        assert!(!may(Role::Viewer, Role::Operator));
        assert!(!may(Role::Operator, Role::Administrator));
        for needed in [Role::Viewer, Role::Operator, Role::Administrator, Role::Join] {
            assert!(!may(Role::Join, needed), "{needed:?}");
        }
    }

    #[test]
    fn bearer_tokens_are_read_from_the_header() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, text.parse().unwrap());
            bearer(&headers)
        };
        assert_eq!(read("Bearer abc"), Some(hash("abc")));
        assert_eq!(read("bearer  abc "), Some(hash("abc")));
        assert_eq!(read("Basic abc"), None);
        assert_eq!(read("Bearer "), None);
        assert_eq!(read("abc"), None);
    }
}
