//! Package URLs inside feed documents (purl specification, "Rules for each purl component"): parts, decoded.

use percent_encoding::percent_decode_str;

/// The parts of a package URL that feeds use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PurlParts {
    /// The type: `rpm`, `rpmmod`, `deb`.
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) version: Option<String>,
    qualifiers: Vec<(String, String)>,
}

impl PurlParts {
    /// Reads a package URL; `None` for what is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("pkg:")?.split('#').next()?;
        let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
        let (path, version) = path.rsplit_once('@').map_or((path, None), |(path, version)| (path, Some(version)));
        let (kind, path) = path.trim_start_matches('/').split_once('/')?;
        let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
        let decode = |text: &str| percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned);
        let pairs = qualifiers.split('&').filter_map(|pair| pair.split_once('='));
        Some(Self {
            kind: kind.to_owned(),
            namespace: decode(namespace)?,
            name: decode(name).filter(|name| !name.is_empty())?,
            version: version.and_then(decode).filter(|version| !version.is_empty()),
            qualifiers: pairs.map(|(key, value)| Some((key.to_owned(), decode(value)?))).collect::<Option<_>>()?,
        })
    }

    /// The value of a qualifier.
    pub(super) fn qualifier(&self, name: &str) -> Option<&str> {
        self.qualifiers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_are_taken_apart() {
        let found =
            PurlParts::read("pkg:deb/ubuntu/curl@7.35.0-1ubuntu2.20%2Besm18?arch=source&distro=esm-infra/trusty");
        let found = found.unwrap();
        assert_eq!((found.kind.as_str(), found.namespace.as_str(), found.name.as_str()), ("deb", "ubuntu", "curl"));
        assert_eq!(found.version.as_deref(), Some("7.35.0-1ubuntu2.20+esm18"));
        assert_eq!(found.qualifier("distro"), Some("esm-infra/trusty"));
        assert_eq!(PurlParts::read("pkg:rpm/redhat/libtiff?arch=src").unwrap().version, None);
        assert_eq!(PurlParts::read("cpe:/o:redhat"), None);
        assert_eq!(PurlParts::read("pkg:rpm/redhat/"), None);
    }
}
