//! Manifests from bytes: image, index, or something else that lives in registries. Pure: archive readers
//! use it too.
//!
//! Sources: OCI image specification 1.1 (`manifest.md`, `image-index.md`, "Guidelines for Artifact Usage"),
//! Docker image manifest version 2 schema 2.
//!
//! Invariant: bytes that could be read as both an image and an index are refused, so that two readers can
//! never see two different things under one digest.

use crate::{Error, ErrorKind, Result};
use model::layer::{Descriptor, ImageIndex, ImageManifest, LayerMedia};
use serde_json::{Map, Value};

/// Most layers that one image may have. Docker itself stops at 127.
pub const LAYERS_MAX: usize = 1024;
/// Most members that one index may have.
pub const INDEX_MEMBERS_MAX: usize = 4096;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1";

/// What is asked for, in one `Accept` line.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// What a manifest turned out to be.
#[expect(clippy::large_enum_variant, reason = "images are the normal case, and few are held at once")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestContent {
    /// One platform's image.
    Image(ImageManifest),
    /// One manifest per platform.
    Index(ImageIndex),
    /// Something else that lives in registries.
    Artifact {
        /// The type that it names itself by.
        media_type: String,
        /// What that is, for people.
        what: String,
    },
}

/// A manifest with the media type that it turned out to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedManifest {
    /// The effective media type: as written in the manifest, else as announced, else as its fields imply.
    pub media_type: String,
    /// What it is.
    pub content: ManifestContent,
}

/// Reads a manifest or index. `announced` is the `Content-Type` or the descriptor's media type, if any.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for Docker's schema 1 and for digests other than SHA-256;
/// [`ErrorKind::Malformed`] when it is no JSON, both image and index, or of another type than announced;
/// [`ErrorKind::LimitExceeded`] for more than [`LAYERS_MAX`] layers or [`INDEX_MEMBERS_MAX`] members.
pub fn parse_manifest(bytes: &[u8], announced: Option<&str>) -> Result<ParsedManifest> {
    let announced = announced.map(essence).filter(|media| is_manifest_type(media));
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|e| Error::because(ErrorKind::Malformed, "the manifest is not JSON", e))?;
    let Value::Object(mut fields) = value else {
        return Err(Error::new(ErrorKind::Malformed, "the manifest is not a JSON object"));
    };
    refuse_schema1(&fields, announced.as_deref())?;
    drop_nulls(&mut fields, 0);
    let written = fields.get("mediaType").and_then(Value::as_str).map(str::to_owned);
    if let (Some(announced), Some(written)) = (&announced, &written)
        && is_index_type(announced) != is_index_type(written)
    {
        let text = format!("the manifest calls itself {written:?} but was announced as {announced:?}");
        return Err(Error::new(ErrorKind::Malformed, text));
    }
    let (has_members, has_image) =
        (fields.contains_key("manifests"), fields.contains_key("config") || fields.contains_key("layers"));
    if has_members && has_image {
        return Err(Error::new(ErrorKind::Malformed, "the manifest is an image and an index at once"));
    }
    let effective = written.or(announced);
    if has_members || (!has_image && effective.as_deref().is_some_and(is_index_type)) {
        let content = ManifestContent::Index(index(fields)?);
        return Ok(ParsedManifest { media_type: effective.unwrap_or_else(|| OCI_INDEX.to_owned()), content });
    }
    let media_type = effective.unwrap_or_else(|| OCI_MANIFEST.to_owned());
    Ok(ParsedManifest { media_type, content: image(fields)? })
}

/// What a member of an index is, when it is not an image: `None` for images.
/// Build tools attach attestations with an annotation and the platform `unknown/unknown`.
pub fn index_member_artifact(member: &Descriptor) -> Option<String> {
    if let Some(kind) = member.annotations.get("vnd.docker.reference.type") {
        return Some(match kind.as_str() {
            "attestation-manifest" => "build attestation".to_owned(),
            other => format!("attachment ({})", other.chars().take(100).collect::<String>()),
        });
    }
    if let Some(artifact_type) = &member.artifact_type
        && !is_image_config(artifact_type)
    {
        return Some(name_of(artifact_type));
    }
    let unknown = member.platform.as_ref().is_some_and(|p| p.os == "unknown" && p.architecture == "unknown");
    unknown.then(|| "attachment (platform unknown/unknown)".to_owned())
}

/// What a tag of the form `sha256-<64 hex digits>.sig` (and `.att`, `.sbom`) stands for: cosign keeps its
/// signatures there. `None` for every other tag; such content is fetched and judged by its manifest.
pub fn artifact_tag(tag: &str) -> Option<&'static str> {
    let (digest, suffix) = tag.strip_prefix("sha256-")?.split_once('.')?;
    if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    match suffix {
        "sig" => Some("signature (cosign)"),
        "att" => Some("attestation (cosign)"),
        "sbom" => Some("SBOM (cosign)"),
        _ => None,
    }
}

/// `type/subtype` in lower case, without parameters.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_manifest_type(media_type: &str) -> bool {
    matches!(media_type, OCI_MANIFEST | OCI_INDEX | DOCKER_MANIFEST | DOCKER_LIST)
        || media_type.starts_with(DOCKER_SCHEMA1)
}

fn is_index_type(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

fn refuse_schema1(fields: &Map<String, Value>, announced: Option<&str>) -> Result<()> {
    let old = |media: &str| media.starts_with(DOCKER_SCHEMA1);
    let one = fields.get("schemaVersion").and_then(Value::as_u64) == Some(1);
    let written = fields.get("mediaType").and_then(Value::as_str).is_some_and(old);
    if one || written || announced.is_some_and(old) {
        let text =
            "the image is in Docker's manifest schema 1, which was retired in 2019: push it again with a current tool";
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    Ok(())
}

/// Publishers write `null` where the specification wants the field left out.
fn drop_nulls(fields: &mut Map<String, Value>, depth: u32) {
    fields.retain(|_, value| !value.is_null());
    if depth >= 3 {
        return;
    }
    for value in fields.values_mut() {
        match value {
            Value::Object(inner) => drop_nulls(inner, depth + 1),
            Value::Array(items) => {
                for item in items {
                    if let Value::Object(inner) = item {
                        drop_nulls(inner, depth + 1);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn index(mut fields: Map<String, Value>) -> Result<ImageIndex> {
    fields.entry("manifests").or_insert_with(|| Value::Array(Vec::new()));
    let index: ImageIndex = typed(fields, "index")?;
    within("members", index.manifests.len(), INDEX_MEMBERS_MAX)?;
    Ok(index)
}

fn image(mut fields: Map<String, Value>) -> Result<ManifestContent> {
    fields.entry("layers").or_insert_with(|| Value::Array(Vec::new()));
    if !fields.contains_key("config") {
        return Err(Error::new(ErrorKind::Malformed, "the manifest is neither an image nor an index"));
    }
    let manifest: ImageManifest = typed(fields, "image manifest")?;
    within("layers", manifest.layers.len(), LAYERS_MAX)?;
    Ok(match artifact_type(&manifest) {
        Some(media_type) => ManifestContent::Artifact { what: name_of(&media_type), media_type },
        None => ManifestContent::Image(manifest),
    })
}

fn typed<T: serde::de::DeserializeOwned>(fields: Map<String, Value>, what: &str) -> Result<T> {
    serde_json::from_value(Value::Object(fields)).map_err(|e| {
        // The text is `DigestError::UnsupportedAlgorithm`'s; serde keeps only texts.
        let unsupported = e.to_string().contains("only sha256 is verified");
        let kind = if unsupported { ErrorKind::Unsupported } else { ErrorKind::Malformed };
        Error::because(kind, format!("the {what} breaks the OCI image specification"), e)
    })
}

fn within(what: &str, found: usize, limit: usize) -> Result<()> {
    if found > limit {
        let text = format!("the manifest names {found} {what}, more than the limit of {limit}");
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    Ok(())
}

/// The type that makes the manifest something else than an image; `None` for images.
fn artifact_type(manifest: &ImageManifest) -> Option<String> {
    if let Some(artifact_type) = &manifest.artifact_type
        && !artifact_type.is_empty()
        && !is_image_config(artifact_type)
    {
        return Some(artifact_type.clone());
    }
    if !is_image_config(&manifest.config.media_type) {
        return Some(match manifest.layers.first() {
            // "application/vnd.oci.empty.v1+json" says nothing; the first content does.
            Some(layer) if manifest.config.media_type == "application/vnd.oci.empty.v1+json" => {
                layer.media_type.clone()
            }
            Some(_) | None => manifest.config.media_type.clone(),
        });
    }
    // Signatures and attestations borrow the image configuration's type; their layers tell.
    let first = manifest.layers.first()?;
    let none_is_layer = manifest.layers.iter().all(|layer| !is_layer(&layer.media_type));
    none_is_layer.then(|| first.media_type.clone())
}

fn is_image_config(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.oci.image.config.v1+json"
            | "application/vnd.docker.container.image.v1+json"
            // The first schema 2 registries had no type of its own for it.
            | "application/octet-stream"
    )
}

fn is_layer(media_type: &str) -> bool {
    LayerMedia::from_media_type(media_type).is_some()
        || media_type.starts_with("application/vnd.oci.image.layer.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.")
        || media_type == "application/octet-stream"
}

/// What an artifact's type stands for, for people.
fn name_of(media_type: &str) -> String {
    let known = [
        ("application/vnd.cncf.helm.", "Helm chart"),
        ("application/vnd.dev.cosign.simplesigning.", "signature (cosign)"),
        ("application/vnd.dev.cosign.", "signature (cosign)"),
        ("application/vnd.dev.sigstore.", "signature (sigstore bundle)"),
        ("application/vnd.cncf.notary.", "signature (notation)"),
        ("application/vnd.in-toto", "attestation (in-toto)"),
        ("application/vnd.dsse.", "attestation (DSSE)"),
        ("application/vnd.cyclonedx", "SBOM (CycloneDX)"),
        ("application/spdx", "SBOM (SPDX)"),
        ("text/spdx", "SBOM (SPDX)"),
        ("application/vnd.syft", "SBOM (Syft)"),
        ("application/vnd.openvex", "VEX document"),
        ("application/vnd.wasm.", "WebAssembly module"),
        ("application/vnd.module.wasm", "WebAssembly module"),
        ("application/vnd.docker.plugin.", "Docker plugin"),
        ("application/vnd.cncf.flux.", "Flux artifact"),
        ("application/vnd.buildkit.cacheconfig.", "build cache"),
    ];
    match known.iter().find(|(prefix, _)| media_type.starts_with(prefix)) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("artifact of type {}", media_type.chars().take(200).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str) -> String {
        let digest = "a".repeat(64);
        format!(r#"{{"mediaType":"{media_type}","digest":"sha256:{digest}","size":7}}"#)
    }

    fn image_text(config: &str, layers: &[&str], more: &str) -> String {
        let layers: Vec<_> = layers.iter().map(|media| descriptor(media)).collect();
        format!(r#"{{"schemaVersion":2,{more}"config":{},"layers":[{}]}}"#, descriptor(config), layers.join(","))
    }

    const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    fn check(text: &str, announced: Option<&str>, expect: &str) {
        let found = match parse_manifest(text.as_bytes(), announced) {
            Ok(parsed) => match parsed.content {
                ManifestContent::Image(image) => format!("image of {} layers", image.layers.len()),
                ManifestContent::Index(index) => format!("index of {}", index.manifests.len()),
                ManifestContent::Artifact { what, .. } => what,
            },
            Err(error) => format!("{:?}: {}", error.kind, error.context),
        };
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn manifest_kinds_are_told_apart() {
        check(&image_text(CONFIG, &[LAYER, LAYER], ""), None, "image of 2 layers");
        check(&image_text(CONFIG, &[], ""), Some("application/vnd.oci.image.manifest.v1+json"), "image of 0 layers");
        check(
            &image_text(
                "application/vnd.docker.container.image.v1+json",
                &["application/vnd.docker.image.rootfs.diff.tar.gzip"],
                r#""mediaType":"application/vnd.docker.distribution.manifest.v2+json","#,
            ),
            Some("application/vnd.docker.distribution.manifest.v2+json; charset=utf-8"),
            "image of 1 layers",
        );
        check(r#"{"schemaVersion":2,"manifests":null}"#, Some(OCI_INDEX), "index of 0");
        check(
            &format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor(OCI_MANIFEST)),
            Some("text/plain"),
            "index of 1",
        );
        check(&image_text("application/vnd.cncf.helm.config.v1+json", &["x/y"], ""), None, "Helm chart");
        check(
            &image_text(CONFIG, &["application/vnd.dev.cosign.simplesigning.v1+json"], ""),
            None,
            "signature (cosign)",
        );
        check(&image_text(CONFIG, &["application/vnd.in-toto+json"], ""), None, "attestation (in-toto)");
        check(&image_text("application/vnd.oci.empty.v1+json", &["text/spdx+json"], ""), None, "SBOM (SPDX)");
        check(
            &image_text("application/vnd.oci.empty.v1+json", &[LAYER], r#""artifactType":"application/vnd.openvex","#),
            None,
            "VEX document",
        );
    }

    #[test]
    fn manifest_null_fields_are_absent_fields() {
        let digest = "a".repeat(64);
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":null,"config":{{"mediaType":"{CONFIG}","digest":"sha256:{digest}","size":7,"annotations":null}},"layers":null}}"#
        );
        check(&text, None, "image of 0 layers");
    }

    #[test]
    fn manifest_refusals_say_why() {
        let old = "Unsupported: the image is in Docker's manifest schema 1, which was retired in 2019: push it again with a current tool";
        check(r#"{"schemaVersion":1,"name":"x"}"#, None, old);
        check("{}", Some("application/vnd.docker.distribution.manifest.v1+prettyjws"), old);
        check("[]", None, "Malformed: the manifest is not a JSON object");
        check("{", None, "Malformed: the manifest is not JSON");
        check("{}", None, "Malformed: the manifest is neither an image nor an index");
        let both = image_text(CONFIG, &[LAYER], r#""manifests":[],"#);
        check(&both, None, "Malformed: the manifest is an image and an index at once");
        let lying = image_text(CONFIG, &[LAYER], &format!(r#""mediaType":"{OCI_MANIFEST}","#));
        check(
            &lying,
            Some(OCI_INDEX),
            "Malformed: the manifest calls itself \"application/vnd.oci.image.manifest.v1+json\" but was announced as \"application/vnd.oci.image.index.v1+json\"",
        );
        let many = image_text(CONFIG, &[LAYER; LAYERS_MAX + 1], "");
        check(&many, None, "LimitExceeded: the manifest names 1025 layers, more than the limit of 1024");
        let sha512 = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{CONFIG}","digest":"sha512:{}","size":7}},"layers":[]}}"#,
            "0".repeat(128)
        );
        check(&sha512, None, "Unsupported: the image manifest breaks the OCI image specification");
    }

    #[test]
    fn attestations_inside_an_index_are_recognised() {
        let mut member: Descriptor = serde_json::from_str(&descriptor(OCI_MANIFEST)).unwrap();
        assert_eq!(index_member_artifact(&member), None);
        member.platform = Some("unknown/unknown".parse().unwrap());
        assert_eq!(index_member_artifact(&member).as_deref(), Some("attachment (platform unknown/unknown)"));
        member.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
        assert_eq!(index_member_artifact(&member).as_deref(), Some("build attestation"));
    }

    #[test]
    fn signature_tags_are_recognised_by_their_form_only() {
        let digest = "0".repeat(64);
        assert_eq!(artifact_tag(&format!("sha256-{digest}.sig")), Some("signature (cosign)"));
        for image in ["latest", "sha256-00.sig", &format!("sha256-{digest}"), &format!("sha256-{digest}.exe")] {
            assert_eq!(artifact_tag(image), None, "{image}");
        }
    }
}
