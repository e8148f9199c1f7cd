//! Pages of a listing: the `Link` header of RFC 8288 as the distribution specification uses it ("Listing
//! Tags"), and the cursor that continues one.
//!
//! Invariant: a cursor only ever points at the registry that it came from, never twice at one address.

use crate::{Error, ErrorKind, Result};
use std::hash::{DefaultHasher, Hash, Hasher};
use url::Url;

/// Where a listing continues. Opaque: hand it back to the call that returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Path and query on the same registry.
    pub(crate) target: String,
    /// Hashes of the addresses that were read already.
    seen: Vec<u64>,
}

/// One page of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryPage {
    /// Names that keep the grammar of the specification, as the registry ordered them.
    pub repositories: Vec<String>,
    /// Names that break it: not usable in any request, for people to see (cut to 200 characters).
    pub invalid: Vec<String>,
    /// Where to continue; `None` on the last page.
    pub next: Option<Cursor>,
}

/// One page of a repository's tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPage {
    /// Tags that keep the grammar of the specification, as the registry ordered them.
    pub tags: Vec<String>,
    /// Tags that break it, for people to see (cut to 200 characters).
    pub invalid: Vec<String>,
    /// Where to continue; `None` on the last page.
    pub next: Option<Cursor>,
}

/// The cursor behind a page that was read from `page`, given its `Link` header.
///
/// # Errors
/// [`ErrorKind::Forbidden`] when the link leads to another host, [`ErrorKind::Malformed`] when it cannot be read
/// or was followed before, [`ErrorKind::LimitExceeded`] after `pages_max` pages.
pub(crate) fn next_page(
    page: &Url,
    link: Option<&str>,
    cursor: Option<&Cursor>,
    pages_max: u32,
) -> Result<Option<Cursor>> {
    let Some(target) = link.and_then(next_link) else { return Ok(None) };
    let malformed = |why: &str| Error::new(ErrorKind::Malformed, format!("the next page of {}{why}", page.path()));
    let next = page.join(target).map_err(|_| malformed(" has an address that cannot be read"))?;
    if next.origin() != page.origin() {
        let host = next.host_str().unwrap_or("nowhere");
        let text = format!("the listing {} continues on another host ({host}): not followed", page.path());
        return Err(Error::new(ErrorKind::Forbidden, text));
    }
    let mut seen = cursor.map(|c| c.seen.clone()).unwrap_or_default();
    seen.push(fingerprint(page));
    if seen.contains(&fingerprint(&next)) {
        return Err(malformed(" is one that was read before: the registry's paging loops"));
    }
    if seen.len() >= usize::try_from(pages_max).unwrap_or(usize::MAX) {
        let text = format!("the listing {} has more pages than the limit of {pages_max}", page.path());
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    let target = match next.query() {
        Some(query) => format!("{}?{query}", next.path()),
        None => next.path().to_owned(),
    };
    Ok(Some(Cursor { target, seen }))
}

fn fingerprint(url: &Url) -> u64 {
    let mut hasher = DefaultHasher::new();
    (url.path(), url.query()).hash(&mut hasher);
    hasher.finish()
}

/// The target of the link whose relation is `next`.
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let (target, after) = rest[start + 1..].split_once('>')?;
        let end = end_of_parameters(after);
        if after[..end].split(';').any(is_next_relation) {
            return Some(target.trim());
        }
        rest = &after[end..];
    }
    None
}

/// Parameters end at a comma outside of quotes.
fn end_of_parameters(text: &str) -> usize {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn is_next_relation(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("rel")
        && value.trim().trim_matches('"').split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Url {
        Url::parse("https://registry.example/v2/_catalog?n=2").unwrap()
    }

    #[test]
    fn links_are_followed_on_the_same_host_only() {
        let check = |link: &str, expect: &str| {
            let found = match next_page(&page(), Some(link), None, 10) {
                Ok(next) => next.map_or_else(|| "none".to_owned(), |cursor| cursor.target),
                Err(error) => format!("{:?}", error.kind),
            };
            assert_eq!(found, expect, "{link}");
        };
        check("</v2/_catalog?last=b&n=2>; rel=\"next\"", "/v2/_catalog?last=b&n=2");
        check("</v2/_catalog?last=b>; rel=next", "/v2/_catalog?last=b");
        check("<?last=b>; title=\"a, b\"; REL=\"last next\"", "/v2/_catalog?last=b");
        check("<https://registry.example/v2/_catalog?last=b>; rel=\"next\"", "/v2/_catalog?last=b");
        check("</first>; rel=\"first\", </v2/_catalog?last=c>; rel=\"next\"", "/v2/_catalog?last=c");
        check("<https://elsewhere.example/v2/_catalog?last=b>; rel=\"next\"", "Forbidden");
        check("<http://registry.example/v2/_catalog?last=b>; rel=\"next\"", "Forbidden");
        check("</v2/_catalog?n=2>; rel=\"next\"", "Malformed");
        check("</v2/x>; rel=\"prev\"", "none");
        check("</v2/x; rel=\"next\"", "none");
        check("", "none");
    }

    #[test]
    fn paging_loops_over_several_pages_are_seen() {
        let second = next_page(&page(), Some("</v2/_catalog?last=b>; rel=next"), None, 10).unwrap().unwrap();
        let url = Url::parse("https://registry.example/v2/_catalog?last=b").unwrap();
        let error = next_page(&url, Some("</v2/_catalog?n=2>; rel=next"), Some(&second), 10).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed);
        let limit = next_page(&url, Some("</v2/_catalog?last=c>; rel=next"), Some(&second), 2).unwrap_err();
        assert_eq!(limit.kind, ErrorKind::LimitExceeded);
    }
}
