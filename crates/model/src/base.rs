//! Which layers of an image belong to the image that it was built on.
//!
//! Not here: looking among known images (`store`). Invariant: what only labels and history tell is a claim of the
//! publisher, and says so.

use crate::Digest;
use crate::layer::{HistoryEntry, ImageConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The image that another one was built on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseImage {
    /// What it is called: a reference.
    pub name: Option<String>,
    /// Digest of its manifest.
    pub digest: Option<Digest>,
    /// How many of the lowest layers are its; 0 when that is not known.
    pub layers: u32,
    /// Who says so.
    pub source: BaseSource,
}

/// Who says which image another one was built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaseSource {
    /// Its layers are the lowest ones of the other, by the digests of their bytes.
    Layers,
    /// The labels of the image say so, or the annotations of its manifest.
    Labels,
    /// The build history has the end of an earlier build in it.
    History,
}

impl BaseSource {
    /// The word of the reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Layers => "layers",
            Self::Labels => "labels",
            Self::History => "history",
        }
    }
}

/// OCI image specification, `annotations.md`, "Pre-Defined Annotation Keys".
const NAME_LABEL: &str = "org.opencontainers.image.base.name";
const DIGEST_LABEL: &str = "org.opencontainers.image.base.digest";

/// Of the annotations of a manifest, those about the base image.
pub fn of_manifest(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let about = [NAME_LABEL, DIGEST_LABEL].into_iter().filter_map(|key| annotations.get_key_value(key));
    about.map(|(key, value)| (key.clone(), value.clone())).collect()
}

impl BaseImage {
    /// What the image itself tells: its labels, else the annotations of its manifest, and its history. `None` when that
    /// is nothing.
    pub fn told_by(configuration: &ImageConfig) -> Option<Self> {
        let labels = &configuration.config.labels;
        let is_labelled = [NAME_LABEL, DIGEST_LABEL].iter().any(|key| labels.contains_key(*key));
        // Not one from here and one from there: they may be of two builds.
        let said = if is_labelled { labels } else { &configuration.annotations };
        let label = |key| said.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
        let name = label(NAME_LABEL).map(str::to_owned);
        let digest = label(DIGEST_LABEL).and_then(|text| text.parse().ok());
        let layers = layers_of_earlier_build(&configuration.history);
        let source = match (name.is_some() || digest.is_some(), layers) {
            (true, _) => BaseSource::Labels,
            (false, 0) => return None,
            (false, _) => BaseSource::History,
        };
        Some(Self { name, digest, layers, source })
    }

    /// Is this layer one of its?
    pub const fn has_layer(&self, index: u32) -> bool {
        index < self.layers
    }
}

/// Layers below the last `CMD` or `ENTRYPOINT` that has layers above it: a build ends with one, so another build began
/// there. Steps that set things again at the end of this build do not count.
fn layers_of_earlier_build(history: &[HistoryEntry]) -> u32 {
    let Some(last_layer) = history.iter().rposition(|step| !step.empty_layer) else { return 0 };
    let Some(end) = history[..last_layer].iter().rposition(ends_a_build) else { return 0 };
    let below = history[..end].iter().filter(|step| !step.empty_layer).count();
    u32::try_from(below).unwrap_or(u32::MAX)
}

/// `/bin/sh -c #(nop)  CMD ["sh"]` of the classic builder, `CMD ["sh"]` of BuildKit.
fn ends_a_build(step: &HistoryEntry) -> bool {
    let line = step.created_by.trim_start();
    let line = line.strip_prefix("/bin/sh -c #(nop)").unwrap_or(line).trim_start();
    step.empty_layer && (line.starts_with("CMD ") || line.starts_with("ENTRYPOINT "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(history: &[(&str, bool)], labels: &[(&str, &str)]) -> ImageConfig {
        let step = |(line, empty_layer): &(&str, bool)| HistoryEntry {
            created_by: (*line).to_owned(),
            empty_layer: *empty_layer,
            ..HistoryEntry::default()
        };
        let mut configuration = ImageConfig { history: history.iter().map(step).collect(), ..ImageConfig::default() };
        for (key, value) in labels {
            configuration.config.labels.insert((*key).to_owned(), (*value).to_owned());
        }
        configuration
    }

    #[test]
    fn history_shows_where_an_earlier_build_ended() {
        let check = |history: &[(&str, bool)], expect: Option<u32>| {
            assert_eq!(BaseImage::told_by(&configuration(history, &[])).map(|base| base.layers), expect);
        };
        let alpine = [("/bin/sh -c #(nop) ADD file:fe64 in / ", false), ("/bin/sh -c #(nop)  CMD [\"/bin/sh\"]", true)];
        check(&alpine, None);
        let mut app = alpine.to_vec();
        app.extend([("RUN apk add openssl # buildkit", false), ("COPY . /app # buildkit", false)]);
        check(&app, Some(1));
        app.extend([("ENTRYPOINT [\"/app\"]", true), ("CMD [\"serve\"]", true)]);
        check(&app, Some(1));
        app.extend([("COPY more /", false), ("CMD [\"again\"]", true)]);
        check(&app, Some(3));
        check(&[("CMD [\"x\"]", true), ("COPY . /", false)], None);
        check(&[("RUN echo CMD x", false), ("COPY . /", false)], None);
        check(&[], None);
    }

    #[test]
    fn labels_name_the_base() {
        let hex = format!("sha256:{}", "ab".repeat(32));
        let labels = [(NAME_LABEL, "docker.io/library/alpine:3.20"), (DIGEST_LABEL, hex.as_str())];
        let base = BaseImage::told_by(&configuration(&[("COPY . /", false)], &labels)).unwrap();
        assert_eq!(base.name.as_deref(), Some("docker.io/library/alpine:3.20"));
        assert_eq!((base.digest.map(|d| d.to_string()), base.layers, base.source), (Some(hex), 0, BaseSource::Labels));
        let bad = [(NAME_LABEL, " "), (DIGEST_LABEL, "sha256:12")];
        assert_eq!(BaseImage::told_by(&configuration(&[], &bad)), None);
    }

    #[test]
    fn annotations_name_the_base_where_no_label_does() {
        let annotated = |labels: &[(&str, &str)]| {
            let name = |name: &str| (NAME_LABEL.to_owned(), name.to_owned());
            let all = BTreeMap::from([name("registry.example/base:2"), ("other".to_owned(), "x".to_owned())]);
            let annotations = of_manifest(&all);
            assert_eq!(annotations.len(), 1);
            BaseImage::told_by(&ImageConfig { annotations, ..configuration(&[], labels) })
        };
        let base = annotated(&[]).unwrap();
        assert_eq!((base.name.as_deref(), base.source), (Some("registry.example/base:2"), BaseSource::Labels));
        let labelled = annotated(&[(NAME_LABEL, "registry.example/base:1")]).unwrap();
        assert_eq!(labelled.name.as_deref(), Some("registry.example/base:1"));
    }
}
