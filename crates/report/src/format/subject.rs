//! What several formats say in the same words: which image, by which program, when, and what could not be seen.

use super::RenderOptions;
use crate::scan::{ReportEvidence, ReportFinding, ReportGap, ReportImage, ReportLocation, ScanReport};
use model::purl::Purl;
use model::{Digest, FindingStatus, ImageRef, Timestamp};
use std::str::FromStr;

/// The program's name in every document.
pub(super) const PROGRAM: &str = "pratique";

/// Version of the program that made the report.
pub(super) fn version(report: &ScanReport) -> &str {
    let program = report.statistics.program.trim();
    let version = program.rsplit(' ').next().unwrap_or_default();
    if version.is_empty() { "unknown" } else { version }
}

/// The digest that identifies what was scanned, as text: of the manifest, else of the configuration.
pub(super) fn identity(image: &ReportImage) -> Option<Digest> {
    [&image.digest, &image.config_digest].into_iter().flatten().find_map(|text| text.parse().ok())
}

/// A UUID of version 8 (RFC 9562, section 5.8) from the image's digest: the same image gives the same one. Without a
/// digest it is made of the packages.
pub(super) fn uuid(report: &ScanReport) -> String {
    let Some(digest) = identity(&report.image) else {
        let purls: Vec<&str> = report.packages.iter().map(|package| package.purl.as_str()).collect();
        return uuid_of(&purls.join("\n"));
    };
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    uuid_text(bytes)
}

/// A UUID of version 8 that names a text: equal texts give equal ones.
pub(super) fn uuid_of(text: &str) -> String {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&fnv(text.as_bytes(), 0xcbf2_9ce4_8422_2325).to_be_bytes());
    bytes[8..].copy_from_slice(&fnv(text.as_bytes(), 0x6c62_272e_07bb_0142).to_be_bytes());
    uuid_text(bytes)
}

/// FNV-1a (Fowler, Noll, Vo) from a given start: names things, and protects nothing.
fn fnv(bytes: &[u8], start: u64) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A UUID of version 8 from 16 bytes.
fn uuid_text(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Package URL of the image, where it has a manifest: `pkg:oci/name@sha256:…`.
pub(super) fn image_purl(image: &ReportImage) -> Option<Purl> {
    let digest: Digest = image.digest.as_deref()?.parse().ok()?;
    let architecture = image.platform.split('/').nth(1).unwrap_or_default();
    Some(Purl::of_image(ImageRef::from_str(&image.reference).ok().as_ref(), &digest, architecture))
}

/// An IRI for the image: its purl, else a URN.
pub(super) fn image_iri(report: &ScanReport) -> String {
    let purl = image_purl(&report.image);
    purl.map_or_else(|| format!("urn:uuid:{}", uuid(report)), |purl| purl.as_str().to_owned())
}

/// When a document about the image itself was made: the image's own date, so that equal images give equal documents.
pub(super) fn created(report: &ScanReport, options: &RenderOptions) -> String {
    seconds(image_date(report).or(options.now))
}

/// When a document about the judgement was made.
pub(super) fn judged(report: &ScanReport, options: &RenderOptions) -> String {
    seconds(options.now.or_else(|| image_date(report)))
}

/// When the image was built, to the second, by its publisher's clock.
pub(super) fn built(report: &ScanReport) -> Option<String> {
    image_date(report).map(|time| seconds(Some(time)))
}

fn image_date(report: &ScanReport) -> Option<Timestamp> {
    report.image.created.as_deref().and_then(|text| text.parse().ok())
}

/// `2019-08-20T20:19:55Z`: formats with patterns of their own take no fractions.
fn seconds(time: Option<Timestamp>) -> String {
    let whole = Timestamp::from_second(time.unwrap_or_default().as_second()).unwrap_or_default();
    whole.to_string()
}

/// `too-many, layer 3: …` in one line.
pub(super) fn gap_text(gap: &ReportGap) -> String {
    format!("not seen ({}), {}: {}", gap.reason, gap.scope, gap.detail)
}

/// A scanner that was not asked for.
pub(super) fn not_run_text(scanner: &str) -> String {
    format!("not run: {scanner} was not asked for, so nothing is said about it")
}

/// `debian:12 (layers 0 to 3, by its labels)`.
pub(crate) fn base_text(image: &ReportImage) -> Option<String> {
    let base = image.base.as_ref()?;
    let name = base.name.as_deref().or(base.digest.as_deref()).unwrap_or("not named");
    let layers = match base.layers {
        0 => "its layers are not told".to_owned(),
        1 => "layer 0".to_owned(),
        n => format!("layers 0 to {}", n - 1),
    };
    let source = match base.source.as_str() {
        "layers" => "a known image",
        "labels" => "by the image's labels",
        _ => "by the image's history",
    };
    Some(format!("{name} ({layers}, {source})"))
}

/// Did the scan look for vulnerabilities?
pub(super) fn looked_for(report: &ScanReport, scanner: &str) -> bool {
    !report.statistics.not_run.iter().any(|name| name == scanner)
}

/// Does it hold, or may it?
pub(super) fn is_open(finding: &ReportFinding) -> bool {
    !matches!(status(finding), Some(FindingStatus::NotAffected | FindingStatus::Fixed))
}

/// The status of a finding.
pub(super) fn status(finding: &ReportFinding) -> Option<FindingStatus> {
    use FindingStatus::{Affected, Deferred, Fixed, NotAffected, Undecided, WillNotFix};
    [Affected, WillNotFix, Deferred, Undecided, NotAffected, Fixed]
        .into_iter()
        .find(|status| status.as_str() == finding.status)
}

/// `layer 2 (sha256:…)`.
pub(super) fn layer_text(report: &ScanReport, index: u32) -> String {
    let layer = report.image.layers.iter().find(|layer| layer.index == index);
    layer.map_or_else(|| format!("layer {index}"), |layer| format!("layer {index} ({})", layer.diff_id))
}

/// Where a package is recorded: `lib/apk/db/installed in layer 0`.
pub(super) fn location_text(location: &ReportLocation) -> String {
    match (&location.path, location.layer) {
        (Some(path), Some(layer)) => format!("{path} in layer {layer}"),
        (Some(path), None) => path.clone(),
        (None, Some(layer)) => format!("layer {layer}"),
        (None, None) => "the bill of materials".to_owned(),
    }
}

/// Where a finding is: `app/config.env:3 in layer 0, deleted in layer 1`.
pub(super) fn place_text(evidence: &ReportEvidence) -> String {
    let mut text = match (&evidence.path, evidence.line) {
        (Some(path), Some(line)) => format!("{path}:{line}"),
        (Some(path), None) => path.clone(),
        (None, _) => evidence.history.clone().unwrap_or_else(|| "the configuration".to_owned()),
    };
    if let Some(layer) = evidence.layer {
        text.push_str(&format!(" in layer {layer}"));
    }
    if let Some(layer) = evidence.removed_in {
        text.push_str(&format!(", deleted or replaced in layer {layer}"));
    }
    text
}

/// Every place of a finding, the package's name in front.
pub(super) fn places_text(finding: &ReportFinding) -> String {
    let places: Vec<String> = finding.evidence.iter().map(place_text).collect();
    places.join("; ")
}

/// The page that explains a CVE or an advisory: the one that an advisory names, else the CVE's record.
pub(super) fn page(finding: &ReportFinding) -> Option<String> {
    let advisories = finding.vulnerability.iter().flat_map(|detail| &detail.advisories);
    let told = advisories.filter_map(|advisory| advisory.url.as_deref()).find(|url| is_web(url));
    told.map(str::to_owned).or_else(|| id_page(&finding.id))
}

/// The page of an id whose database is known from its form.
pub(super) fn id_page(id: &str) -> Option<String> {
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let known = |prefix: &str| plain && id.starts_with(prefix);
    if known("CVE-") {
        Some(format!("https://www.cve.org/CVERecord?id={id}"))
    } else if known("GHSA-") {
        Some(format!("https://github.com/advisories/{id}"))
    } else {
        None
    }
}

/// An address that may stand in a link.
pub(super) fn is_web(url: &str) -> bool {
    (url.starts_with("https://") || url.starts_with("http://"))
        && url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>\\`{}|^".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_their_version_and_variant() {
        let text = uuid_text([0xff; 16]);
        assert_eq!(text, "ffffffff-ffff-8fff-bfff-ffffffffffff");
    }

    #[test]
    fn only_web_addresses_become_links() {
        assert!(is_web("https://example.org/a?b=c"));
        assert!(!is_web("javascript:alert(1)"));
        assert!(!is_web("https://example.org/\"><script>"));
        assert_eq!(id_page("CVE-2019-1547").as_deref(), Some("https://www.cve.org/CVERecord?id=CVE-2019-1547"));
        assert_eq!(id_page("CVE-1 onclick=x"), None);
    }
}
