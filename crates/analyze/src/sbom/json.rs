//! The JSON forms, in one pass over the bytes: which of them it is only shows at the end, because the order of a JSON
//! object's members means nothing.
//!
//! Invariant: at most one component is held beside what was gathered, however deep they nest; `serde_json` stops at 128
//! levels.

use super::collect::{Collector, Component};
use super::lenient::{Few, Text};
use super::{Sbom, SbomFormat, SbomLimits, malformed};
use crate::Error;
use model::{Gap, GapReason};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// What the top of a document says about itself.
#[derive(Default)]
struct Marks {
    bom_format: Text,
    spec_version: Text,
    spdx_version: Text,
    name: Text,
    has_artifacts: bool,
    has_graph: bool,
    syft_schema: Option<String>,
}

pub(super) fn read(bytes: &[u8], limits: &SbomLimits) -> Result<Sbom, Error> {
    let mut collector = Collector::new(limits);
    let mut marks = Marks::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let top = Top { collector: &mut collector, marks: &mut marks };
    deserializer
        .deserialize_map(top)
        .and_then(|()| deserializer.end())
        .map_err(|error| malformed(format!("it is no whole JSON document: {error}")))?;
    finish(collector, &marks)
}

fn finish(mut collector: Collector, marks: &Marks) -> Result<Sbom, Error> {
    if marks.bom_format.get() == Some("CycloneDX") {
        let version = marks.spec_version.get().unwrap_or("unknown").to_owned();
        note_version(&mut collector, SbomFormat::CycloneDx, &version, &["1.2", "1.3", "1.4", "1.5", "1.6", "1.7"]);
        return Ok(collector.finish(SbomFormat::CycloneDx, version));
    }
    if let Some(version) = marks.spdx_version.get().and_then(|text| text.strip_prefix("SPDX-2.")) {
        let version = format!("2.{version}");
        note_version(&mut collector, SbomFormat::Spdx, &version, &["2.2", "2.3"]);
        collector.name = marks.name.get().map(str::to_owned);
        return Ok(collector.finish(SbomFormat::Spdx, version));
    }
    if let Some(version) = marks.syft_schema.clone().filter(|_| marks.has_artifacts) {
        return Ok(collector.finish(SbomFormat::Syft, version));
    }
    Err(malformed(if marks.has_graph {
        "SPDX 3 is not read: write it as SPDX 2.3"
    } else {
        "it names neither bomFormat CycloneDX, nor spdxVersion SPDX-2, nor a schema of syft"
    }))
}

/// A newer version may say things that are passed over here: that is no silence.
pub(super) fn note_version(collector: &mut Collector, format: SbomFormat, version: &str, known: &[&str]) {
    if !known.contains(&version) {
        let detail =
            format!("{format} {version} is not one of the versions {}: parts may be missing", known.join(", "));
        collector.told.push(Gap {
            scope: "bill of materials".to_owned(),
            detector: None,
            reason: GapReason::Unsupported,
            detail,
        });
    }
}

struct Top<'a> {
    collector: &'a mut Collector,
    marks: &'a mut Marks,
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bill of materials")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { collector, marks } = self;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "bomFormat" => marks.bom_format = map.next_value()?,
                "specVersion" => marks.spec_version = map.next_value()?,
                "spdxVersion" => marks.spdx_version = map.next_value()?,
                "name" => marks.name = map.next_value()?,
                "metadata" => map.next_value::<Metadata>()?.take(collector),
                "compositions" => compositions(&map.next_value()?, collector),
                "creationInfo" => {
                    let info: CreationInfo = map.next_value()?;
                    collector.created = info.created.get().and_then(|text| text.parse().ok());
                }
                "components" => map.next_value_seed(List { collector, form: Form::CycloneDx })?,
                "packages" => map.next_value_seed(List { collector, form: Form::Spdx })?,
                "artifacts" => {
                    marks.has_artifacts = true;
                    map.next_value_seed(List { collector, form: Form::Syft })?;
                }
                "distro" => map.next_value::<SyftDistro>()?.take(collector),
                "source" => collector.name = map.next_value::<SyftSource>()?.name.0,
                "schema" => marks.syft_schema = map.next_value::<SyftSchema>()?.version(),
                "@graph" => {
                    marks.has_graph = true;
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Whose components a list holds.
#[derive(Clone, Copy)]
enum Form {
    CycloneDx,
    Spdx,
    Syft,
}

/// A list of components, each of which goes to the collector before the next one is read.
struct List<'a> {
    collector: &'a mut Collector,
    form: Form,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of components")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let more = if self.collector.has_room() {
                seq.next_element_seed(Element { collector: self.collector, form: self.form })?.is_some()
            } else {
                seq.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                self.collector.was_the_end();
                return Ok(());
            }
        }
    }
}

/// One component.
struct Element<'a> {
    collector: &'a mut Collector,
    form: Form,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.form {
            Form::CycloneDx => deserializer.deserialize_map(self),
            Form::Spdx => {
                SpdxPackage::deserialize(deserializer)?.take(self.collector);
                Ok(())
            }
            Form::Syft => {
                SyftArtifact::deserialize(deserializer)?.take(self.collector);
                Ok(())
            }
        }
    }
}

/// A component of CycloneDX: components may lie inside it, so it is read member by member.
impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a component")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut one = CycloneDx::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "type" => one.kind = map.next_value()?,
                "name" => one.name = map.next_value()?,
                "group" => one.group = map.next_value()?,
                "version" => one.version = map.next_value()?,
                "description" => one.description = map.next_value()?,
                "purl" => one.purl = map.next_value()?,
                "licenses" => one.licenses = map.next_value()?,
                "evidence" => one.evidence = map.next_value()?,
                "properties" => one.properties = map.next_value()?,
                "components" => map.next_value_seed(List { collector: self.collector, form: Form::CycloneDx })?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        one.take(self.collector);
        Ok(())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Property {
    name: Text,
    value: Text,
}

impl Property {
    fn get(&self) -> Option<(&str, &str)> {
        Some((self.name.get()?, self.value.get()?))
    }
}

/// CycloneDX `metadata`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    timestamp: Text,
    component: Option<Root>,
    properties: Few<Property, 10_000>,
}

/// What the document is about.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Root {
    name: Text,
    properties: Few<Property, 10_000>,
}

impl Metadata {
    fn take(self, collector: &mut Collector) {
        collector.created = self.timestamp.get().and_then(|text| text.parse().ok());
        let root = self.component.unwrap_or_default();
        collector.name = root.name.0;
        for (name, value) in self.properties.0.iter().chain(&root.properties.0).filter_map(Property::get) {
            match name {
                "pratique:gap" => told_gap(value, collector),
                "pratique:not-run" if value == "packages" => collector.is_incomplete = true,
                "pratique:platform" => collector.platform = value.parse().ok(),
                _ => {}
            }
        }
    }
}

/// A gap that a document of our own tells.
pub(super) fn told_gap(text: &str, collector: &mut Collector) {
    if let Ok(gap) = serde_json::from_str(text) {
        collector.gap(gap);
    }
}

/// CycloneDX `compositions`: incomplete in any way, unless that was told in detail.
fn compositions(found: &Few<Composition, 1_000>, collector: &mut Collector) {
    let incomplete = found.0.iter().any(|one| one.aggregate.get().is_some_and(|word| word.starts_with("incomplete")));
    collector.is_incomplete |= incomplete;
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Composition {
    aggregate: Text,
}

#[derive(Default)]
struct CycloneDx {
    kind: Text,
    name: Text,
    group: Text,
    version: Text,
    description: Text,
    purl: Text,
    licenses: Few<LicenseChoice, 64>,
    evidence: Option<Evidence>,
    properties: Few<Property, 512>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LicenseChoice {
    license: Option<License>,
    expression: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct License {
    id: Text,
    name: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Evidence {
    occurrences: Few<Occurrence, 64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Occurrence {
    location: Text,
}

impl CycloneDx {
    fn take(self, collector: &mut Collector) {
        let kind = self.kind.get().unwrap_or("library");
        if kind == "operating-system" {
            if let Some(id) = self.name.get() {
                collector.system(id, self.version.get().unwrap_or_default(), self.description.get());
            }
            return;
        }
        // What has no package URL is only missed where it could have been a package.
        let software = matches!(kind, "library" | "framework" | "application" | "platform");
        if self.purl.get().is_none() && !software {
            return;
        }
        let name = match (self.group.get(), self.name.get()) {
            (Some(group), Some(name)) => Some(format!("{group}/{name}")),
            (_, name) => name.map(str::to_owned),
        };
        let mut component = Component {
            name,
            version: self.version.get().map(str::to_owned),
            purl: self.purl.get().map(str::to_owned),
            ..Component::default()
        };
        for choice in &self.licenses.0 {
            let license = choice.license.as_ref().and_then(|license| license.id.get().or_else(|| license.name.get()));
            component.licenses.extend(license.or_else(|| choice.expression.get()).map(str::to_owned));
        }
        let occurrences = self.evidence.iter().flat_map(|evidence| &evidence.occurrences.0);
        component.paths.extend(occurrences.filter_map(|place| place.location.get()).map(str::to_owned));
        properties(&self.properties.0, &mut component);
        collector.package(component);
    }
}

/// What tools put into properties: ours, syft's `syft:location:N:path`, Trivy's source packages.
fn properties(found: &[Property], component: &mut Component) {
    let (mut source, mut version) = (None, None);
    let (mut trivy, mut trivy_version, mut release, mut epoch) = (None, None, None, None);
    for (name, value) in found.iter().filter_map(Property::get) {
        match name {
            "pratique:source:name" => source = Some(value),
            "pratique:source:version" => version = Some(value),
            "aquasecurity:trivy:SrcName" => trivy = Some(value),
            "aquasecurity:trivy:SrcVersion" => trivy_version = Some(value),
            "aquasecurity:trivy:SrcRelease" => release = Some(value),
            "aquasecurity:trivy:SrcEpoch" => epoch = Some(value).filter(|epoch| *epoch != "0"),
            "aquasecurity:trivy:FilePath" => component.paths.push(value.to_owned()),
            name if name.starts_with("syft:location:") && name.ends_with(":path") => {
                component.paths.push(value.to_owned());
            }
            _ => {}
        }
    }
    component.source = match (source, version, trivy, trivy_version) {
        (Some(name), Some(version), ..) => Some((name.to_owned(), version.to_owned())),
        (_, _, Some(name), Some(version)) => {
            let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
            let release = release.map(|release| format!("-{release}")).unwrap_or_default();
            Some((name.to_owned(), format!("{epoch}{version}{release}")))
        }
        _ => None,
    };
}

/// SPDX `creationInfo`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CreationInfo {
    created: Text,
}

/// A package of SPDX (specification 2.3, clause 7).
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SpdxPackage {
    pub(super) name: Text,
    pub(super) version_info: Text,
    pub(super) primary_package_purpose: Text,
    pub(super) license_declared: Text,
    pub(super) license_concluded: Text,
    pub(super) summary: Text,
    pub(super) source_info: Text,
    pub(super) external_refs: Few<ExternalRef, 256>,
    pub(super) annotations: Few<Annotation, 10_000>,
    #[serde(rename = "SPDXID")]
    pub(super) id: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ExternalRef {
    pub(super) reference_type: Text,
    pub(super) reference_locator: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Annotation {
    pub(super) comment: Text,
}

impl SpdxPackage {
    pub(super) fn take(self, collector: &mut Collector) {
        let purpose = self.primary_package_purpose.get().map(|word| word.replace('-', "_"));
        let purl = self
            .external_refs
            .0
            .iter()
            .find(|found| found.reference_type.get().is_some_and(|kind| kind == "purl" || kind.ends_with("/purl")));
        let purl = purl.and_then(|found| found.reference_locator.get());
        if purpose.as_deref() == Some("OPERATING_SYSTEM") && purl.is_none() {
            if let Some(id) = self.name.get() {
                collector.system(id, self.version_info.get().unwrap_or_default(), self.summary.get());
            }
            return;
        }
        let mut component = Component {
            name: self.name.get().map(str::to_owned),
            version: self.version_info.get().map(str::to_owned),
            purl: purl.map(str::to_owned),
            ..Component::default()
        };
        for comment in self.annotations.0.iter().filter_map(|one| one.comment.get()) {
            annotation(comment, &mut component, collector);
        }
        // What the document is about, and what holds no software, is no package that could be missed.
        let root = self.id.get().is_some_and(|id| id.starts_with("SPDXRef-DocumentRoot"));
        let other = matches!(
            purpose.as_deref(),
            Some("CONTAINER" | "FILE" | "ARCHIVE" | "DEVICE" | "FIRMWARE" | "OPERATING_SYSTEM")
        );
        if purl.is_none() && (other || root) {
            return;
        }
        let stated = [&self.license_declared, &self.license_concluded].into_iter().filter_map(Text::get);
        let mut stated = stated.filter(|text| *text != "NOASSERTION" && *text != "NONE");
        component.licenses.extend(stated.next().map(str::to_owned));
        let places = self.source_info.get().and_then(syft_places);
        component.paths.extend(places.into_iter().flat_map(|places| places.split(", ")).map(str::to_owned));
        collector.package(component);
    }
}

/// The files that syft names in `sourceInfo`: `acquired package info from …: /var/lib/dpkg/status, …`.
fn syft_places(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("acquired package info from ")?;
    rest.split_once(": ").map(|(_, places)| places)
}

/// What our own documents keep in annotations.
pub(super) fn annotation(comment: &str, component: &mut Component, collector: &mut Collector) {
    if let Some(text) = comment.strip_prefix("pratique:gap ") {
        told_gap(text, collector);
    } else if let Some(text) = comment.strip_prefix("pratique:source ") {
        component.source = text.rsplit_once('@').map(|(name, version)| (name.to_owned(), version.to_owned()));
    } else if let Some(text) = comment.strip_prefix("pratique:location ") {
        // `layer 0 (sha256:…) path`, or the path alone.
        let path = text.strip_prefix("layer ").and_then(|rest| rest.split_once(") ")).map_or(text, |(_, path)| path);
        component.paths.push(path.to_owned());
    } else if comment == "pratique:not-run packages" {
        collector.is_incomplete = true;
    } else if let Some(text) = comment.strip_prefix("pratique:platform ") {
        collector.platform = text.parse().ok();
    }
}

/// syft's `distro`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SyftDistro {
    id: Text,
    #[serde(rename = "versionID")]
    version_id: Text,
    pretty_name: Text,
}

impl SyftDistro {
    fn take(self, collector: &mut Collector) {
        if let Some(id) = self.id.get() {
            collector.system(id, self.version_id.get().unwrap_or_default(), self.pretty_name.get());
        }
    }
}

/// syft's `source`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SyftSource {
    name: Text,
}

/// syft's `schema`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SyftSchema {
    version: Text,
    url: Text,
}

impl SyftSchema {
    fn version(self) -> Option<String> {
        let is_syft = self.url.get().is_some_and(|url| url.contains("/syft/"));
        self.version.0.filter(|_| is_syft)
    }
}

/// An entry of syft's `artifacts`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SyftArtifact {
    name: Text,
    version: Text,
    purl: Text,
    licenses: Few<SyftLicense, 64>,
    locations: Few<SyftLocation, 64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SyftLicense {
    value: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SyftLocation {
    path: Text,
}

impl SyftArtifact {
    fn take(self, collector: &mut Collector) {
        let text = |text: &Text| text.get().map(str::to_owned);
        collector.package(Component {
            name: text(&self.name),
            version: text(&self.version),
            purl: text(&self.purl),
            licenses: self.licenses.0.iter().filter_map(|license| text(&license.value)).collect(),
            paths: self.locations.0.iter().filter_map(|location| text(&location.path)).collect(),
            source: None,
        });
    }
}
