//! Makes many feeds out of few: `cargo run --release -p intel --example replicate -- FEEDS OUT RECORDS`.
//!
//! Reads OSV archives, Alpine secdb and Debian tracker documents under FEEDS and writes them to OUT again and again under
//! other names, until they hold RECORDS advisories. Beside them it writes lists of packages, as purls: `image.txt` with
//! 2,000 packages of one image, and `million.txt` with 1,000,000 distinct package versions. All of the packages are named
//! by some advisory, and their versions are those that advisories name, the newest for four of five packages.
#![expect(clippy::print_stdout, reason = "an example says what it made")]

use model::package::Distro;
use model::{EcosystemRelease, PackageKey};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Cursor, Read, Write};
use std::path::{Path, PathBuf};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Advisories of the sources that are not OSV are not counted.
type Archives = Vec<(String, Vec<(String, Value)>)>;

/// The packages of a release with the versions that records name.
type Named = BTreeMap<EcosystemRelease, BTreeMap<String, BTreeSet<String>>>;

const IMAGE_PACKAGES: usize = 2_000;
/// So many packages of the image are the distribution's.
const IMAGE_DISTRIBUTION: usize = 600;
const MILLION: usize = 1_000_000;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [feeds, out, records] = arguments.as_slice() else { return Err("usage: replicate FEEDS OUT RECORDS".into()) };
    let (feeds, out, records) = (PathBuf::from(feeds), PathBuf::from(out), records.parse::<usize>()?);
    let archives = archives(&feeds.join("osv"))?;
    let once: usize = archives.iter().map(|(_, documents)| documents.len()).sum();
    let times = records.div_ceil(once.max(1));
    let folder = out.join("feeds");
    fs::create_dir_all(folder.join("osv"))?;
    let mut named = Named::new();
    let mut written = 0;
    for time in 0..times {
        for (name, documents) in &archives {
            let renamed = documents.iter().take(records - written.min(records)).map(|(path, record)| {
                let record = rename_osv(record, time);
                note_versions(&record, &mut named);
                (format!("{time}-{path}"), record)
            });
            written += write_archive(&folder.join(format!("osv/{name}-{time}.zip")), renamed)?;
        }
    }
    replicate_documents(&feeds, &folder, times, &mut named)?;
    let image = image(&named)?;
    fs::write(out.join("image.txt"), image.join("\n"))?;
    let million = write_million(&named, &out.join("million.txt"))?;
    println!("{written} OSV records, {times} times the other documents, {} and {million} packages", image.len());
    Ok(())
}

#[expect(clippy::disallowed_types, reason = "an example reads archives that its user trusts")]
fn archives(folder: &Path) -> Outcome<Archives> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let mut archive = zip::ZipArchive::new(Cursor::new(fs::read(&path)?))?;
        let mut documents = Vec::with_capacity(archive.len());
        for index in 0..archive.len() {
            let mut member = archive.by_index(index)?;
            let name = member.name()?.to_string();
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes)?;
            if name.ends_with(".json") {
                documents.push((name, serde_json::from_slice(&bytes)?));
            }
        }
        found.push((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), documents));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

fn write_archive(path: &Path, documents: impl Iterator<Item = (String, Value)>) -> Outcome<usize> {
    let mut writer = zip::ZipWriter::new(BufWriter::new(File::create(path)?));
    let options = zip::write::SimpleFileOptions::default().compression_level(Some(1));
    let mut count = 0;
    for (name, document) in documents {
        writer.start_file(name, options)?;
        writer.write_all(&serde_json::to_vec(&document)?)?;
        count += 1;
    }
    writer.finish()?;
    Ok(count)
}

/// A CVE stays one: its number moves by seven digits. Any other name gets a suffix.
fn rename(text: &str, time: usize) -> String {
    if time == 0 {
        return text.to_owned();
    }
    match text.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')) {
        Some((year, number)) if number.bytes().all(|b| b.is_ascii_digit()) => format!("CVE-{year}-{time}{number:0>7}"),
        _ => format!("{text}-r{time}"),
    }
}

fn rename_osv(record: &Value, time: usize) -> Value {
    let mut record = record.clone();
    let renamed = |value: &Value| value.as_str().map_or_else(|| value.clone(), |text| rename(text, time).into());
    for field in ["id", "aliases", "related", "upstream"] {
        match record.get_mut(field) {
            Some(Value::Array(all)) => all.iter_mut().for_each(|one| *one = renamed(one)),
            Some(one) => *one = renamed(one),
            None => {}
        }
    }
    for affected in record.get_mut("affected").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(package) = affected.get_mut("package").and_then(Value::as_object_mut) {
            package.remove("purl");
            if let Some(name) = package.get_mut("name") {
                *name = renamed(name);
            }
        }
    }
    record
}

fn note_versions(record: &Value, named: &mut Named) {
    for affected in record["affected"].as_array().into_iter().flatten() {
        let package = &affected["package"];
        let release = package["ecosystem"].as_str().and_then(EcosystemRelease::from_name);
        let (Some(release), Some(name)) = (release, package["name"].as_str()) else { continue };
        let versions = named.entry(release).or_default().entry(name.to_owned()).or_default();
        for event in affected["ranges"].as_array().into_iter().flatten().filter(|range| range["type"] != "GIT") {
            for event in event["events"].as_array().into_iter().flatten().filter_map(Value::as_object) {
                versions.extend(event.values().filter_map(Value::as_str).filter(|v| *v != "0").map(str::to_owned));
            }
        }
        versions
            .extend(affected["versions"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    }
}

/// Alpine secdb and Debian tracker: one document each, with all of its copies.
fn replicate_documents(feeds: &Path, out: &Path, times: usize, named: &mut Named) -> Outcome<()> {
    let tracker: Map<String, Value> = serde_json::from_slice(&fs::read(feeds.join("debian-tracker/data.json"))?)?;
    let mut copies = Map::new();
    for time in 0..times {
        for (source, vulnerabilities) in &tracker {
            let Some(vulnerabilities) = vulnerabilities.as_object() else { continue };
            let renamed: Map<String, Value> =
                vulnerabilities.iter().map(|(id, entry)| (rename(id, time), entry.clone())).collect();
            note_debian(&rename(source, time), &renamed, named);
            copies.insert(rename(source, time), Value::Object(renamed));
        }
    }
    fs::create_dir_all(out.join("debian-tracker"))?;
    fs::write(out.join("debian-tracker/data.json"), serde_json::to_vec(&copies)?)?;
    let secdb = feeds.join("alpine-secdb");
    for release in fs::read_dir(&secdb)? {
        let release = release?.path();
        for document in fs::read_dir(&release)? {
            let document = document?.path();
            let mut content: Value = serde_json::from_slice(&fs::read(&document)?)?;
            let packages = content["packages"].as_array().cloned().unwrap_or_default();
            let copies = (0..times).flat_map(|time| packages.iter().map(move |package| rename_secdb(package, time)));
            content["packages"] = copies.collect();
            let target = out.join("alpine-secdb").join(release.file_name().unwrap_or_default());
            fs::create_dir_all(&target)?;
            fs::write(target.join(document.file_name().unwrap_or_default()), serde_json::to_vec(&content)?)?;
        }
    }
    Ok(())
}

fn note_debian(source: &str, vulnerabilities: &Map<String, Value>, named: &mut Named) {
    for (codename, number) in [("bullseye", "11"), ("bookworm", "12"), ("trixie", "13")] {
        let fixed = |entry: &Value| entry["releases"][codename]["fixed_version"].as_str().map(str::to_owned);
        let versions: BTreeSet<String> = vulnerabilities.values().filter_map(fixed).collect();
        if let Some(release) = EcosystemRelease::from_name(&format!("Debian:{number}")) {
            named.entry(release).or_default().entry(source.to_owned()).or_default().extend(versions);
        }
    }
}

fn rename_secdb(package: &Value, time: usize) -> Value {
    let mut package = package.clone();
    let name = package["pkg"]["name"].as_str().map(|name| rename(name, time));
    if let Some(name) = name {
        package["pkg"]["name"] = name.into();
    }
    for ids in package["pkg"]["secfixes"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        for id in ids.as_array_mut().into_iter().flatten() {
            *id = id.as_str().map_or_else(|| id.clone(), |text| rename(text, time).into());
        }
    }
    package
}

/// The packages of one distribution, and those of the languages' registries.
fn image(named: &Named) -> Outcome<Vec<String>> {
    let distribution = EcosystemRelease::from_name("AlmaLinux:8").ok_or("AlmaLinux is an ecosystem")?;
    let mut found = sample(&distribution, named, IMAGE_DISTRIBUTION);
    let languages: Vec<&EcosystemRelease> = named.keys().filter(|r| !r.ecosystem.format().is_os()).collect();
    let each = (IMAGE_PACKAGES - found.len()) / languages.len().max(1);
    for release in languages {
        found.extend(sample(release, named, each));
    }
    // Some registries have fewer names than their share.
    let more = sample(&distribution, named, IMAGE_PACKAGES * 2);
    let missing = more.into_iter().filter(|purl| !found.contains(purl)).take(IMAGE_PACKAGES - found.len());
    let missing: Vec<String> = missing.collect();
    found.extend(missing);
    Ok(found)
}

/// Names at even distances.
fn sample(release: &EcosystemRelease, named: &Named, count: usize) -> Vec<String> {
    let Some(names) = named.get(release) else { return Vec::new() };
    let step = (names.len() / count.max(1)).max(1);
    let pick = |(at, (name, versions)): (usize, (&String, &BTreeSet<String>))| {
        let mut versions: Vec<&String> = versions.iter().collect();
        versions.sort_by(|a, b| intel::version::Scheme::of(release.ecosystem).order(a, b));
        let newest = versions.len().checked_sub(1)?;
        let version = if at % 5 == 0 { versions[(at / 5) % versions.len()] } else { versions[newest] };
        purl(release, name, version)
    };
    names.iter().step_by(step).take(count).enumerate().filter_map(pick).collect()
}

/// Every package at every version that records name, then at versions that go on from those.
fn write_million(named: &Named, path: &Path) -> Outcome<usize> {
    let mut out = BufWriter::new(File::create(path)?);
    let mut count = 0;
    for more in 0.. {
        for (release, names) in named {
            for (name, versions) in names {
                for version in versions {
                    let version = if more == 0 { version.clone() } else { format!("{version}.{more}") };
                    let Some(purl) = purl(release, name, &version) else { continue };
                    writeln!(out, "{purl}")?;
                    count += 1;
                    if count == MILLION {
                        out.flush()?;
                        return Ok(count);
                    }
                }
            }
        }
    }
    Ok(count)
}

fn purl(release: &EcosystemRelease, name: &str, version: &str) -> Option<String> {
    let mut key = PackageKey::new(release.ecosystem.format(), name, version);
    if let Some(number) = &release.release {
        let id = release.ecosystem.as_str().to_lowercase();
        key.distro = Some(Distro { id, version: number.trim_start_matches('v').to_owned() });
    }
    (key.ecosystem().as_ref() == Some(release)).then(|| key.purl().to_string())
}
