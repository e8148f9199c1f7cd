//! Java archives: jar, war, ear and their like, also archives inside archives, also jars that took in others (shaded).
//!
//! Not here: classes. What an archive says about itself is read in this order: each
//! `META-INF/maven/*/*/pom.properties` is an artifact (Maven archiver reference); when none of them is the archive's own,
//! `META-INF/MANIFEST.MF` (JAR file specification; OSGi core, chapter 3) and the archive's name.
//!
//! A name is `group:artifact`; without a known group it is the artifact alone, which matches no advisory, rather
//! than a guess. Invariant: what is unpacked of one file, all nested archives together, stays below
//! [`Limits::java_unpacked_bytes_max`] and a multiple of the file's size.

mod identity;

use super::{is_depth_below, locked::Locked};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::archive;
use crate::limits::Limits;
use crate::memory::{Room, Unkept};
use crate::sink::Sink;
use crate::{Error, ErrorKind};
use identity::{Artifact, Manifest, own_artifact};
use model::{Detector, GapReason, PackageFormat};
use std::io::{Cursor, Read};

/// Reads Java archives.
pub(super) struct Java;

/// How archives are named whose content nobody else puts under that name.
const SURE: [&[u8]; 3] = [b".jar", b".war", b".ear"];
/// How further archives are named; other things are, too.
const LIKELY: [&[u8]; 8] = [b".par", b".sar", b".nar", b".kar", b".jpi", b".hpi", b".lpkg", b".rar"];
/// Bytes of `pom.properties` and of the main section of a manifest.
const TEXT_BYTES_MAX: u64 = 64 << 10;
/// Nested archives give at most so many bytes for each byte of the file, beyond [`UNPACKED_BYTES_FREE`].
const UNPACKED_RATIO_MAX: u64 = 20;
const UNPACKED_BYTES_FREE: u64 = 4 << 20;
/// How many gaps one file can make.
const GAPS_MAX: usize = 20;

/// Is this named as a Java archive?
pub(super) fn is_archive(path: &[u8]) -> bool {
    path.len() > 4 && (has_ending(path, &SURE) || has_ending(path, &LIKELY)) && is_depth_below(path)
}

fn has_ending(path: &[u8], endings: &[&[u8]]) -> bool {
    endings.iter().any(|ending| {
        let start = path.len().saturating_sub(ending.len());
        path[start..].eq_ignore_ascii_case(ending)
    })
}

impl Analyzer for Java {
    fn id(&self) -> &'static str {
        "java/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if file.bytes > 0 && is_archive(file.path.as_bytes()) {
            Want::Whole { bytes_max: limits.java_archive_bytes_max }
        } else {
            Want::No
        }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let path = file.entry.path;
        if !has_ending(path.as_bytes(), &SURE) && !archive::is_zip(file.content) {
            return Ok(());
        }
        let limits = out.limits().clone();
        let budget = UNPACKED_BYTES_FREE + (file.content.len() as u64).saturating_mul(UNPACKED_RATIO_MAX);
        let mut reader = Reader {
            room: out.room(),
            budget: budget.min(limits.java_unpacked_bytes_max),
            limits,
            found: Locked::new(PackageFormat::Maven),
            gaps: Vec::new(),
        };
        let name = String::from_utf8_lossy(path.file_name()).into_owned();
        let result = reader.read(&Nested { name: &name, trail: "", depth: 0 }, file.content);
        let Reader { found, mut gaps, .. } = reader;
        found.push(file, out);
        gaps.truncate(GAPS_MAX);
        for Unread { reason, detail } in gaps {
            out.gap(Detector::Packages, path, reason, detail);
        }
        result
    }
}

/// Reads one file and what is nested in it.
struct Reader<'r> {
    room: Room<'r>,
    limits: Limits,
    budget: u64,
    found: Locked,
    gaps: Vec<Unread>,
}

/// Which archive is read: its file name, and the way to it inside the outermost one.
struct Nested<'a> {
    name: &'a str,
    trail: &'a str,
    depth: u32,
}

/// What an archive says about itself.
#[derive(Default)]
struct Own {
    poms: Vec<Artifact>,
    manifest: Option<Manifest>,
}

impl Reader<'_> {
    fn read(&mut self, archive: &Nested<'_>, bytes: &[u8]) -> Result<(), Unread> {
        let limits = Limits { archive_member_bytes_max: self.limits.java_archive_bytes_max, ..self.limits.clone() };
        let mut own = Own::default();
        let walked = archive::zip_members_where(Cursor::new(bytes), &limits, is_of_interest, |name, content| {
            let mut content = Metered { inner: content, room: self.budget };
            self.member(archive, name, &mut content, &mut own);
            Ok(())
        });
        for artifact in &own.poms {
            self.found.add(&artifact.name(), &artifact.version);
        }
        if let Some(artifact) = own_artifact(archive.name, &own.poms, own.manifest.as_ref()) {
            self.found.add(&artifact.name(), &artifact.version);
        }
        let walked = walked.map_err(|error| unread(&error))?;
        for (member, why) in walked.broken {
            let detail = format!("{}{}: {why}", archive.trail, shown(&member));
            self.gap(GapReason::Malformed, detail);
        }
        Ok(())
    }

    fn member(&mut self, archive: &Nested<'_>, name: &str, content: &mut Metered<'_>, own: &mut Own) {
        let mut head = Vec::new();
        if is_text(name) {
            // What cannot be read is counted as broken by the archive.
            if content.by_ref().take(TEXT_BYTES_MAX).read_to_end(&mut head).is_err() {
                return;
            }
            self.budget = content.room;
            if name.eq_ignore_ascii_case(MANIFEST) {
                own.manifest = Some(Manifest::parse(&head));
            } else {
                own.poms.extend(Artifact::parse(&head));
            }
            return;
        }
        if content.by_ref().take(4).read_to_end(&mut head).is_err() || !archive::is_zip(&head) {
            return;
        }
        let trail = format!("{}{}", archive.trail, shown(name));
        if archive.depth >= self.limits.java_depth_max {
            let max = self.limits.java_depth_max;
            return self.gap(GapReason::TooMany, format!("{trail}: an archive inside more than {max} others"));
        }
        let kept = self.room.keep(&mut head.as_slice().chain(&mut *content));
        self.budget = content.room;
        let mut kept = match kept {
            Ok(kept) => kept,
            Err(Unkept::Input(error)) => {
                // Anything else is counted as broken by the archive.
                if error.kind() == std::io::ErrorKind::QuotaExceeded {
                    self.gap(GapReason::ExpandsTooFar, format!("{trail}: nested archives are larger than the limit"));
                }
                return;
            }
            Err(Unkept::Room(error)) => return self.gap(GapReason::OutOfSpace, format!("{trail}: {error}")),
        };
        let name = name.rsplit('/').next().unwrap_or(name);
        let nested = Nested { name, trail: &format!("{trail}!/"), depth: archive.depth + 1 };
        let read = kept.show(|bytes| self.read(&nested, bytes));
        let read = read.unwrap_or_else(|error| {
            Err(Unread { reason: GapReason::OutOfSpace, detail: format!("a temporary file cannot be used: {error}") })
        });
        if let Err(Unread { reason, detail }) = read {
            self.gap(reason, format!("{trail}: {detail}"));
        }
    }

    fn gap(&mut self, reason: GapReason, detail: String) {
        if self.gaps.len() < GAPS_MAX {
            self.gaps.push(Unread { reason, detail });
        }
    }
}

fn unread(error: &Error) -> Unread {
    let reason = match error.kind {
        ErrorKind::LimitExceeded => GapReason::ExpandsTooFar,
        ErrorKind::Malformed | ErrorKind::Input | ErrorKind::Internal => GapReason::Malformed,
    };
    Unread { reason, detail: format!("Java archive: {error}") }
}

/// A member's name in a gap: not longer than a person reads.
fn shown(name: &str) -> String {
    name.chars().take(200).map(|c| if c.is_control() { '?' } else { c }).collect()
}

const MANIFEST: &str = "META-INF/MANIFEST.MF";

fn is_text(name: &str) -> bool {
    name.eq_ignore_ascii_case(MANIFEST)
        || name.ends_with("/pom.properties")
            && (name.starts_with("META-INF/maven/") || name.contains("/META-INF/maven/"))
}

fn is_of_interest(name: &str) -> bool {
    is_text(name) || is_archive(name.as_bytes())
}

/// A member's content that ends in an error when nested archives used up their room.
struct Metered<'a> {
    inner: &'a mut dyn Read,
    room: u64,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        match self.room.checked_sub(n as u64) {
            Some(room) => self.room = room,
            None => {
                self.room = 0;
                return Err(std::io::ErrorKind::QuotaExceeded.into());
            }
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check_bytes, survives};
    use std::io::{Cursor, Write};

    fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        for (name, content) in members {
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    const LOG4J: (&str, &[u8]) = (
        "META-INF/maven/org.apache.logging.log4j/log4j-core/pom.properties",
        b"#Created\ngroupId=org.apache.logging.log4j\nartifactId=log4j-core\nversion=2.14.1\n",
    );

    #[test]
    fn jar_with_pom_properties_is_an_artifact() {
        let jar = zip(&[LOG4J, ("a/B.class", b"\xca\xfe\xba\xbe")]);
        let expect = ["pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"];
        check_bytes("opt/app/log4j-core-2.14.1.jar", &jar, &expect);
        check_bytes("opt/app/renamed.JAR", &jar, &expect);
        check_bytes("opt/app/log4j-core-2.14.1.zip", &jar, &["not wanted"]);
    }

    #[test]
    fn jar_behind_a_script_is_read() {
        let jar = [b"#!/bin/sh\nexec java -jar $0\n".to_vec(), zip(&[LOG4J])].concat();
        check_bytes("opt/app.jar", &jar, &["pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"]);
    }

    #[test]
    fn shaded_jar_has_what_it_took_in_and_itself() {
        let manifest = b"Manifest-Version: 1.0\r\nImplementation-Vendor-Id: org.example\r\n\r\nName: a\r\n";
        let jar = zip(&[LOG4J, ("META-INF/MANIFEST.MF", manifest)]);
        check_bytes(
            "opt/fat-1.0.jar",
            &jar,
            &["pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1", "pkg:maven/org.example/fat@1.0"],
        );
    }

    #[test]
    fn jars_in_a_war_in_an_ear_are_found() {
        let spring =
            zip(&[("META-INF/MANIFEST.MF", b"Implementation-Title: spring-web\nImplementation-Version: 5.3.9\n")]);
        let war = zip(&[("WEB-INF/lib/log4j.jar", &zip(&[LOG4J])), ("WEB-INF/lib/spring-web-5.3.9.jar", &spring)]);
        let ear = zip(&[("app.war", &war), ("notes.jar", b"not an archive")]);
        check_bytes(
            "opt/app.ear",
            &ear,
            &["pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1", "pkg:maven/org.springframework/spring-web@5.3.9"],
        );
    }

    #[test]
    fn jar_nested_too_deep_is_a_gap() {
        let mut jar = zip(&[LOG4J]);
        for _ in 0..5 {
            jar = zip(&[("n.jar", &jar)]);
        }
        let gap = "gap too-many: n.jar!/n.jar!/n.jar!/n.jar!/n.jar: an archive inside more than 4 others";
        check_bytes("opt/app.jar", &jar, &[gap]);
    }

    #[test]
    fn jars_that_unpack_to_too_much_are_a_gap() {
        let big = [zip(&[LOG4J]), vec![0; 5 << 20]].concat();
        let jar = zip(&[("a.jar", &big)]);
        let gap = "gap expands-too-far: a.jar: nested archives are larger than the limit";
        check_bytes("opt/app.jar", &jar, &[gap]);
    }

    #[test]
    fn jar_that_is_none_is_a_gap() {
        let gap = "gap malformed: Java archive: the zip archive cannot be read: it has no end-of-directory record";
        check_bytes("opt/app.jar", b"a pointer to a file", &[gap]);
        check_bytes("opt/app.rar", b"Rar!", &[""; 0]);
    }

    #[test]
    fn jar_that_is_cut_or_damaged_is_survived() {
        let war = zip(&[("WEB-INF/lib/log4j.jar", &zip(&[LOG4J])), ("META-INF/MANIFEST.MF", b"A: b\n c\n\n")]);
        survives("opt/app.war", &war);
    }
}
