//! Which artifact an archive is: from `pom.properties`, from its manifest, from its file name.
//!
//! Not here: opening archives. Invariant: a group is only told when the archive tells it, or when the artifact's name
//! is one that a well-known project publishes; it is never made up.

use super::super::{field, lines};

/// A Maven artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Artifact {
    /// `groupId`, when known.
    pub(super) group: Option<String>,
    /// `artifactId`.
    pub(super) artifact: String,
    /// As found.
    pub(super) version: String,
}

impl Artifact {
    /// `group:artifact`, or the artifact alone.
    pub(super) fn name(&self) -> String {
        match &self.group {
            Some(group) => format!("{group}:{}", self.artifact),
            None => self.artifact.clone(),
        }
    }

    /// Reads `pom.properties` (`java.util.Properties`, "load"; the archiver writes plain `key=value` lines).
    pub(super) fn parse(properties: &[u8]) -> Option<Self> {
        let (mut group, mut artifact, mut version) = (None, None, None);
        for (_, line) in lines(properties) {
            let Some(at) = line.iter().position(|b| matches!(b, b'=' | b':')) else { continue };
            let value = &line[at + 1..];
            match line[..at].trim_ascii() {
                b"groupId" => group = field(value),
                b"artifactId" => artifact = field(value),
                b"version" => version = field(value),
                _ => {}
            }
        }
        let (group, artifact, version) = (group?, artifact?, version?);
        (is_group(&group) && is_word(&artifact) && is_version(&version)).then_some(Self {
            group: Some(group),
            artifact,
            version,
        })
    }
}

/// The attributes of interest in a manifest's main section.
#[derive(Debug, Clone, Default)]
pub(super) struct Manifest {
    bundle_name: Option<String>,
    bundle_version: Option<String>,
    title: Option<String>,
    version: Option<String>,
    specification_version: Option<String>,
    vendor_id: Option<String>,
    module: Option<String>,
}

impl Manifest {
    /// Reads the main section: `Name: value` lines up to an empty one; a line that begins with a space goes on with
    /// the one before.
    pub(super) fn parse(content: &[u8]) -> Self {
        let mut manifest = Self::default();
        let mut attribute: Vec<u8> = Vec::new();
        for (_, line) in lines(content) {
            match line.strip_prefix(b" ") {
                Some(more) => attribute.extend_from_slice(more),
                None => {
                    manifest.set(&attribute);
                    attribute.clear();
                    attribute.extend_from_slice(line);
                }
            }
            if line.is_empty() {
                return manifest;
            }
        }
        manifest.set(&attribute);
        manifest
    }

    fn set(&mut self, attribute: &[u8]) {
        let Some(colon) = memchr::memchr(b':', attribute) else { return };
        let target = match attribute[..colon].to_ascii_lowercase().as_slice() {
            b"bundle-symbolicname" => &mut self.bundle_name,
            b"bundle-version" => &mut self.bundle_version,
            b"implementation-title" => &mut self.title,
            b"implementation-version" => &mut self.version,
            b"specification-version" => &mut self.specification_version,
            b"implementation-vendor-id" => &mut self.vendor_id,
            b"automatic-module-name" => &mut self.module,
            _ => return,
        };
        *target = field(&attribute[colon + 1..]);
    }

    /// The bundle's name without its directives (`org.example.x;singleton:=true`).
    fn bundle(&self) -> Option<&str> {
        self.bundle_name.as_deref()?.split(';').next().map(str::trim).filter(|name| is_word(name))
    }

    fn version(&self) -> Option<&str> {
        let versions = [&self.version, &self.bundle_version, &self.specification_version];
        versions.into_iter().filter_map(Option::as_deref).find(|version| is_version(version))
    }
}

/// The archive itself, when none of the artifacts it tells of is it, and it says enough about itself.
pub(super) fn own_artifact(file_name: &str, poms: &[Artifact], manifest: Option<&Manifest>) -> Option<Artifact> {
    let stem = file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem);
    let (named, named_version) = split_name(stem);
    let empty = Manifest::default();
    let manifest = manifest.unwrap_or(&empty);
    // A file that was renamed may be any of them, unless its manifest tells the version of none.
    let is_listed = match named_version {
        Some(_) => poms.iter().any(|pom| is_named_for(stem, &pom.artifact)),
        None => !poms.is_empty() && manifest.version().is_none_or(|told| poms.iter().any(|pom| pom.version == told)),
    };
    if is_listed {
        return None;
    }
    let artifact = match named_version {
        Some(_) => named,
        None => manifest.title.as_deref().filter(|title| is_word(title)).or(manifest.bundle()).unwrap_or(named),
    };
    let version = named_version.or(manifest.version())?;
    is_word(artifact).then(|| Artifact {
        group: group_of(artifact, manifest),
        artifact: artifact.to_owned(),
        version: version.to_owned(),
    })
}

/// Is it the artifact's name, perhaps followed by a version? Files are renamed to have hyphens.
fn is_named_for(stem: &str, artifact: &str) -> bool {
    let artifact = artifact.replace('_', "-");
    let stem = stem.replace('_', "-");
    stem.strip_prefix(artifact.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Splits `commons-io-2.11.0` before the first part that begins with a digit.
fn split_name(stem: &str) -> (&str, Option<&str>) {
    let starts = stem.match_indices('-').map(|(at, _)| at);
    for at in starts {
        let (name, version) = (&stem[..at], &stem[at + 1..]);
        if version.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() && is_version(version) {
            return (name, Some(version));
        }
    }
    (stem, None)
}

fn group_of(artifact: &str, manifest: &Manifest) -> Option<String> {
    if let Some(group) = known_group(artifact) {
        return Some(group.to_owned());
    }
    let told = manifest.vendor_id.as_deref().filter(|id| is_group(id) && id.contains('.'));
    told.map(str::to_owned).or_else(|| {
        // `org.apache.commons.lang3` of `commons-lang3`, `com.example.tool` of `tool`: the artifact repeats the end.
        let names = [manifest.bundle(), manifest.module.as_deref()];
        names.into_iter().flatten().find_map(|name| group_before(name, artifact))
    })
}

/// The part of a dotted name before its last part, when its last parts, joined with `-`, are the artifact.
fn group_before(name: &str, artifact: &str) -> Option<String> {
    let (group, last) = name.rsplit_once('.')?;
    let repeats = last == artifact
        || group.rsplit('.').next().is_some_and(|above| {
            artifact.strip_prefix(above).and_then(|rest| rest.strip_prefix('-')).is_some_and(|rest| rest == last)
        });
    (repeats && group.contains('.') && is_group(group)).then(|| group.to_owned())
}

/// Artifacts of projects that do not write `pom.properties`, by the beginning of their names; `$` marks the end of one.
const KNOWN_GROUPS: [(&str, &str); 48] = [
    ("spring-boot", "org.springframework.boot"),
    ("spring-security-", "org.springframework.security"),
    ("spring-data-", "org.springframework.data"),
    ("spring-cloud-", "org.springframework.cloud"),
    ("spring-aop$", "org.springframework"),
    ("spring-aspects$", "org.springframework"),
    ("spring-beans$", "org.springframework"),
    ("spring-context$", "org.springframework"),
    ("spring-context-support$", "org.springframework"),
    ("spring-core$", "org.springframework"),
    ("spring-expression$", "org.springframework"),
    ("spring-jcl$", "org.springframework"),
    ("spring-jdbc$", "org.springframework"),
    ("spring-jms$", "org.springframework"),
    ("spring-messaging$", "org.springframework"),
    ("spring-orm$", "org.springframework"),
    ("spring-oxm$", "org.springframework"),
    ("spring-test$", "org.springframework"),
    ("spring-tx$", "org.springframework"),
    ("spring-web$", "org.springframework"),
    ("spring-webflux$", "org.springframework"),
    ("spring-webmvc$", "org.springframework"),
    ("spring-websocket$", "org.springframework"),
    ("tomcat-embed-", "org.apache.tomcat.embed"),
    ("tomcat-", "org.apache.tomcat"),
    ("catalina$", "org.apache.tomcat"),
    ("kotlin-stdlib", "org.jetbrains.kotlin"),
    ("kotlin-reflect$", "org.jetbrains.kotlin"),
    ("okhttp$", "com.squareup.okhttp3"),
    ("okio$", "com.squareup.okio"),
    ("okio-jvm$", "com.squareup.okio"),
    ("kafka-clients$", "org.apache.kafka"),
    ("lucene-", "org.apache.lucene"),
    ("bcprov-", "org.bouncycastle"),
    ("bcpkix-", "org.bouncycastle"),
    ("bcutil-", "org.bouncycastle"),
    ("h2$", "com.h2database"),
    ("hsqldb$", "org.hsqldb"),
    ("postgresql$", "org.postgresql"),
    ("mysql-connector-java$", "mysql"),
    ("mysql-connector-j$", "com.mysql"),
    ("micrometer-", "io.micrometer"),
    ("reactor-core$", "io.projectreactor"),
    ("reactor-netty-", "io.projectreactor.netty"),
    ("logback-", "ch.qos.logback"),
    ("slf4j-", "org.slf4j"),
    ("elasticsearch$", "org.elasticsearch"),
    ("hibernate-validator$", "org.hibernate.validator"),
];

fn known_group(artifact: &str) -> Option<&'static str> {
    let is = |pattern: &str| {
        pattern.strip_suffix('$').map_or_else(|| artifact.starts_with(pattern), |name| artifact == name)
    };
    KNOWN_GROUPS.iter().find(|(pattern, _)| is(pattern)).map(|(_, group)| *group)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

fn is_group(text: &str) -> bool {
    is_word(text) && text.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Not a placeholder that the build forgot (`${project.version}`), nor prose.
fn is_version(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+' | b'~');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file_name: &str, manifest: &str, expect: &str) {
        let manifest = Manifest::parse(manifest.as_bytes());
        let own = own_artifact(file_name, &[], Some(&manifest));
        let shown = own.map(|own| format!("{}@{}", own.name(), own.version)).unwrap_or_default();
        assert_eq!(shown, expect, "{file_name}");
    }

    #[test]
    fn jar_is_told_by_file_name_and_manifest() {
        check(
            "commons-lang3-3.12.0.jar",
            "Bundle-SymbolicName: org.apache.commons.lang3\n",
            "org.apache.commons:commons-lang3@3.12.0",
        );
        check("spring-core-5.3.9.jar", "", "org.springframework:spring-core@5.3.9");
        check("acme-util-1.0-SNAPSHOT.jar", "", "acme-util@1.0-SNAPSHOT");
        check(
            "x.jar",
            "Implementation-Title: acme\nImplementation-Vendor-Id: org.acme\nImplementation-Version: 2\n",
            "org.acme:acme@2",
        );
        check(
            "x.jar",
            "Bundle-SymbolicName: org.acme.tool;singleton:=true\nBundle-Version: 1.2.0.v2020\n",
            "org.acme.tool@1.2.0.v2020",
        );
        check("x.jar", "Implementation-Title: The Tool\nImplementation-Version: 2\n", "x@2");
        check("x.jar", "Implementation-Version: ${project.version}\n", "");
        check("rt.jar", "", "");
        check("guava-31.1-jre.jar", "Automatic-Module-Name: com.google.common\n", "guava@31.1-jre");
    }

    #[test]
    fn jar_of_several_artifacts_is_one_of_them_or_another() {
        let pom = |artifact: &str, version: &str| Artifact {
            group: Some("org.example".to_owned()),
            artifact: artifact.to_owned(),
            version: version.to_owned(),
        };
        let manifest = Manifest::parse(b"Implementation-Title: tool\nImplementation-Version: 4.2\n");
        let own = |name: &str, poms: &[Artifact]| own_artifact(name, poms, Some(&manifest)).map(|own| own.artifact);
        assert_eq!(own("annotation-1.3-spec.jar", &[pom("annotation_1.3_spec", "1.3")]), None);
        assert_eq!(own("renamed.jar", &[pom("tool", "4.2")]), None);
        assert_eq!(own("renamed.jar", &[pom("cglib", "3.2")]), Some("tool".to_owned()));
        assert_eq!(own("fat-1.0.jar", &[pom("cglib", "3.2")]), Some("fat".to_owned()));
        assert_eq!(own_artifact("renamed.jar", &[pom("cglib", "3.2")], None), None);
    }

    #[test]
    fn manifest_lines_are_joined() {
        check(
            "x.jar",
            "Implementation-Title: acm\r\n e\r\nImplementation-Version: 2\r\n\r\nImplementation-Version: 3\r\n",
            "acme@2",
        );
    }

    #[test]
    fn pom_properties_that_were_not_filled_in_are_none() {
        assert_eq!(Artifact::parse(b"groupId=a.b\nartifactId=c\nversion=${version}\n"), None);
        assert_eq!(Artifact::parse(b"artifactId=c\nversion=1\n"), None);
        let artifact = Artifact::parse(b"groupId = a.b\r\nartifactId:c\r\nversion=1\r\n").unwrap();
        assert_eq!(artifact.name(), "a.b:c");
    }
}
