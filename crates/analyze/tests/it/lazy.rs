//! Layers read in part: what is fetched gives the packages that the whole gives, every part is verified, and no table
//! of contents makes the reader panic, wait or take more than its limits.

use crate::support::{MEMORY, NoSpool, detectors};
use analyze::lazy::{Choice, Offer, ROWS_MAX, Refused, RefusedKind, Table, Tape, estargz, soci, zstd_chunked};
use analyze::{Error, LayerReading, LayerRequest, Limits, read_layer};
use model::inventory::FileKind;
use model::layer::LayerMedia;
use model::{Detector, GapReason};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Read;
use std::ops::Range;
use testkit::lazy::estargz_footer;
use testkit::{BuiltLayer, Cut, LayerBuilder};

fn slice<'a>(blob: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    let at = |offset| usize::try_from(offset).expect("an offset");
    &blob[at(range.start)..at(range.end)]
}

/// The table of contents of a layer, found as a reader of a registry finds it.
fn table(layer: &BuiltLayer, ztoc: Option<&[u8]>) -> Result<Table, Refused> {
    let (blob, bytes, limits) = (&layer.blob, layer.blob.len() as u64, Limits::default());
    if let Some(ztoc) = ztoc {
        return soci::table(ztoc, bytes);
    }
    match Offer::of(&layer.annotations, bytes)?.expect("an offer") {
        Offer::Estargz { table } => {
            let footer = slice(blob, &(bytes - estargz::FOOTER_BYTES..bytes));
            let range = estargz::table_range(footer, bytes)?;
            estargz::table(slice(blob, &range), &range, &table, bytes, &limits)
        }
        Offer::ZstdChunked(position) => zstd_chunked::table(slice(blob, &position.range), &position, bytes, &limits),
    }
}

fn request(only: &BTreeSet<Detector>, in_part: bool) -> LayerRequest<'_> {
    let media = if in_part { LayerMedia::Tar } else { LayerMedia::TarGzip };
    LayerRequest { media, detectors: detectors(), only, memory: &MEMORY, spool: &NoSpool, inspector: None, in_part }
}

fn only() -> BTreeSet<Detector> {
    BTreeSet::from([Detector::Files, Detector::Packages])
}

fn whole(layer: &BuiltLayer) -> LayerReading {
    read_layer(layer.blob.as_ref(), &request(&only(), false)).expect("memory can be read")
}

fn in_part(layer: &BuiltLayer, choice: &Choice) -> Result<LayerReading, Error> {
    let parts: Vec<&[u8]> = choice.ranges().iter().map(|range| slice(&layer.blob, range)).collect();
    let limits = Limits::default();
    let fetched = parts.concat();
    read_layer(Tape::new(choice, fetched.as_slice(), &limits), &request(&only(), true))
}

fn choice(layer: &BuiltLayer, ztoc: Option<&[u8]>) -> Result<Choice, Refused> {
    Choice::new(table(layer, ztoc)?, &Limits::default())
}

/// Content that packs badly and differs from place to place.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// A small system: a database, manifests, names and links of every kind, and much that nobody wants.
fn system() -> LayerBuilder {
    let status: String = (0..300)
        .map(|n| format!("Package: lib{n}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.{n}-1\n\n"))
        .collect();
    let manifest = |name: &str| format!(r#"{{"name":"{name}","version":"1.2.3"}}"#);
    let deep = format!("srv/{}/node_modules/deep/package.json", "a-rather-long-folder-name/".repeat(6));
    LayerBuilder::new()
        .directory("etc/")
        .file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")
        .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        .file("usr/share/doc/first", noise(1, 70_000))
        .file("var/lib/dpkg/status", status)
        .file("usr/share/doc/second", noise(2, 90_000))
        .file("node_modules/one/package.json", manifest("one"))
        .file("node_modules/two/package.json", manifest("two"))
        .file_with("usr/bin/su", noise(3, 1000), 0o4755, (0, 0))
        .file("usr/share/doc/third", noise(4, 120_000))
        .file(&deep, manifest("deep"))
        .hard_link("node_modules/linked/package.json", "node_modules/one/package.json")
        .symlink("etc/alternatives", &"../".repeat(60))
        .file("empty", "")
        .whiteout("opt/old")
        .opaque("opt/cache")
        .file("usr/share/doc/fourth", noise(5, 200_000))
}

fn agrees(layer: &BuiltLayer, ztoc: Option<&[u8]>) -> Choice {
    let choice = choice(layer, ztoc).expect("a sound table");
    let (full, part) = (whole(layer), in_part(layer, &choice).expect("the right bytes"));
    let facts = |reading: &LayerReading, detector| reading.facts[&detector].clone();
    assert_eq!(facts(&full, Detector::Packages), facts(&part, Detector::Packages));
    let (mut files, part_files) = (facts(&full, Detector::Files), facts(&part, Detector::Files));
    // The table of contents is not in itself.
    files.files.retain(|file| file.path.to_string() != "stargz.index.json");
    assert_eq!(files, part_files);
    assert!(files.files.iter().any(|file| matches!(file.kind, FileKind::HardLink(_)) && file.bytes > 0));
    assert_eq!(full.facts[&Detector::Packages].packages.len(), 304);
    choice
}

fn is_small(choice: &Choice, layer: &BuiltLayer) {
    let bytes = layer.blob.len() as u64;
    assert!(choice.bytes_fetched() < bytes / 2, "{} of {bytes}", choice.bytes_fetched());
    assert_eq!(choice.bytes_left(), bytes - choice.bytes_fetched());
}

#[test]
fn estargz_gives_the_packages_of_the_whole() {
    let small = Cut { part_bytes: 1000, stream_bytes_min: 0 };
    let packed = Cut { part_bytes: 50_000, stream_bytes_min: 8_000 };
    for cut in [Cut::default(), small, packed] {
        let layer = system().estargz(cut);
        let choice = agrees(&layer, None);
        is_small(&choice, &layer);
        assert_eq!(choice.members_left(), 5, "four texts and a program too small to hold packages");
    }
}

#[test]
fn zstd_chunked_gives_the_packages_of_the_whole() {
    for part_bytes in [4 << 20, 1000] {
        let layer = system().zstd_chunked(Cut { part_bytes, ..Cut::default() });
        is_small(&agrees(&layer, None), &layer);
    }
}

#[test]
fn a_soci_index_gives_the_packages_of_the_whole() {
    for span_bytes in [3_001, 10_007, 65_536] {
        let (layer, ztoc) = system().soci(span_bytes);
        let choice = agrees(&layer, Some(&ztoc));
        assert!(choice.bytes_left() > 0, "{span_bytes}");
        assert!(choice.ranges().len() > 1 || span_bytes > 60_000, "{:?}", choice.ranges());
    }
}

#[test]
fn what_was_not_read_is_told() {
    let layer = system().estargz(Cut::default());
    let choice = choice(&layer, None).unwrap();
    let mut reading = in_part(&layer, &choice).unwrap();
    choice.note(&mut reading, Some("and more"));
    let [gap] = &reading.facts[&Detector::Files].gaps[..] else { panic!("{reading:?}") };
    assert_eq!((gap.reason, gap.detector), (GapReason::NotYetRead, None));
    let left = format!("5 files of 481000 bytes were not looked into, {} of", choice.bytes_left());
    assert!(gap.detail.contains(&left) && gap.detail.ends_with("; and more"), "{gap:?}");
}

#[test]
fn a_file_above_its_limit_is_not_fetched_and_is_a_gap() {
    let layer = system().estargz_with(Cut::default(), |table| {
        for row in table["entries"].as_array_mut().unwrap() {
            if row["name"] == "var/lib/dpkg/status" {
                row["size"] = json!(1_u64 << 40);
            }
        }
    });
    let choice = choice(&layer, None).unwrap();
    let reading = in_part(&layer, &choice).unwrap();
    let gaps = &reading.facts[&Detector::Packages].gaps;
    assert!(gaps.iter().any(|gap| gap.reason == GapReason::FileTooLarge), "{gaps:?}");
}

fn changed(change: impl Fn(&mut Value)) -> [BuiltLayer; 2] {
    let cut = Cut { part_bytes: 30_000, stream_bytes_min: 0 };
    [system().estargz_with(cut, &change), system().zstd_chunked_with(cut, &change)]
}

/// The row of a wanted file.
fn wanted(table: &mut Value) -> &mut Value {
    let rows = table["entries"].as_array_mut().expect("rows");
    rows.iter_mut().find(|row| row["name"] == "node_modules/one/package.json").expect("the row")
}

#[test]
fn a_wrong_digest_is_never_believed() {
    // Of the table: the annotation names another.
    for mut layer in changed(|_| {}) {
        let digest = testkit::image::sha256(b"other").to_string();
        for (name, value) in &mut layer.annotations {
            if name.ends_with("digest") || name.ends_with("checksum") {
                value.clone_from(&digest);
            }
        }
        assert_eq!(table(&layer, None).unwrap_err().kind, RefusedKind::Mismatch);
    }
    // Of a part: the table names another.
    let other = json!(testkit::image::sha256(b"other").to_string());
    for layer in changed(|table| {
        let row = wanted(table);
        row["digest"] = other.clone();
        row["chunkDigest"] = other.clone();
    }) {
        let error = in_part(&layer, &choice(&layer, None).unwrap()).unwrap_err().to_string();
        assert!(error.contains("has the digest") && error.contains("one/package.json"), "{error}");
    }
    // Of the bytes: a registry sends others, at each of them that is wanted.
    let (soci, ztoc) = system().soci(10_007);
    let [estargz, chunked] = changed(|_| {});
    for (layer, ztoc) in [(estargz, None), (chunked, None), (soci, Some(&ztoc[..]))] {
        let choice = choice(&layer, ztoc).unwrap();
        let good = in_part(&layer, &choice).unwrap();
        let mut refused = 0;
        for range in choice.ranges() {
            for at in (range.start..range.end).step_by(997) {
                let mut bad = layer.clone();
                let mut blob = layer.blob.to_vec();
                blob[usize::try_from(at).unwrap()] ^= 0x10;
                bad.blob = blob.into();
                match in_part(&bad, &choice) {
                    Err(_) => refused += 1,
                    // Between the parts lie headers and padding, which nobody looks at.
                    Ok(reading) => assert_eq!(reading.facts, good.facts),
                }
            }
        }
        assert!(refused > 3, "{refused}");
    }
}

#[test]
fn a_table_that_makes_no_sense_is_refused() {
    let check = |what: &str, change: &dyn Fn(&mut Value)| {
        for layer in changed(change) {
            let refused = choice(&layer, None).map(|_| ()).unwrap_err();
            assert_eq!(refused.kind, RefusedKind::Unusable, "{what}: {refused}");
        }
    };
    check("another version", &|table| table["version"] = json!(2));
    check("no version", &|table| table["version"] = Value::Null);
    check("no list", &|table| table["entries"] = json!({}));
    check("an unknown type", &|table| wanted(table)["type"] = json!("door"));
    check("a size below zero", &|table| wanted(table)["size"] = json!(-1));
    check("a size above every file", &|table| wanted(table)["size"] = json!(u64::MAX));
    check("a size that the parts do not have", &|table| wanted(table)["chunkSize"] = json!(7));
    check("an offset beyond the blob", &|table| {
        let row = wanted(table);
        row["offset"] = json!(1_u64 << 62);
        row["endOffset"] = json!((1_u64 << 62) + 10);
    });
    check("a first part that is not first", &|table| wanted(table)["chunkOffset"] = json!(1));
    check("a digest that is none", &|table| wanted(table)["digest"] = json!("sha256:12"));
    check("a name with a NUL", &|table| wanted(table)["name"] = json!("a\0b"));
    check("a name that is too long", &|table| wanted(table)["name"] = json!("a".repeat(40_000)));
    check("no digest", &|table| {
        let row = wanted(table).as_object_mut().unwrap();
        row.remove("digest");
        row.remove("chunkDigest");
    });
    check("a part before any file", &|table| {
        table["entries"].as_array_mut().unwrap().insert(0, json!({ "type": "chunk", "name": "x", "offset": 5 }));
    });
    check("a part of a folder", &|table| {
        table["entries"].as_array_mut().unwrap().insert(1, json!({ "type": "chunk", "name": "etc/", "offset": 5 }));
    });
    check("one stream for a thousand files", &|table| {
        let row = wanted(table).clone();
        let rows = table["entries"].as_array_mut().unwrap();
        let status = rows.iter().find(|row| row["name"] == "var/lib/dpkg/status").unwrap().clone();
        for _ in 0..1000 {
            rows.push(status.clone());
            rows.push(row.clone());
        }
    });
    check("too many rows", &|table| {
        table["entries"] = json!(vec![json!({ "type": "dir", "name": "a" }); ROWS_MAX + 1]);
    });
}

#[test]
fn zeros_that_unpack_from_nothing_are_bounded() {
    let layer = system().zstd_chunked_with(Cut::default(), |table| {
        let rows = table["entries"].as_array_mut().unwrap();
        for n in 0..2000 {
            let mut row = json!({ "type": "reg", "name": format!("opt/{n}/app.jar"), "size": 1_u64 << 31 });
            row["chunkType"] = json!("zeros");
            rows.push(row);
        }
    });
    let refused = choice(&layer, None).map(|_| ()).unwrap_err();
    assert!(refused.text.contains("limits"), "{refused}");
}

#[test]
fn a_footer_is_read_in_both_forms_and_refused_in_any_other() {
    let blob_bytes = 10_000;
    let range = |footer: &[u8]| estargz::table_range(footer, blob_bytes);
    let newer = estargz_footer(9_000);
    assert_eq!(newer.len() as u64, estargz::FOOTER_BYTES);
    assert_eq!(range(&newer), Ok(9_000..9_949));
    // The older form has no header in its extra field, and four bytes of something else in front.
    let mut older = vec![7, 7, 7, 7, 0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 22, 0];
    older.extend_from_slice(&newer[16..]);
    assert_eq!(range(&older), Ok(9_000..9_953));
    for end in 0..newer.len() {
        assert!(range(&newer[..end]).is_err(), "{end} bytes");
        assert!(range(&older[..end]).is_err(), "{end} bytes");
    }
    for start in [9_949, 9_960, 1 << 40, usize::MAX] {
        assert!(range(&estargz_footer(start)).is_err(), "{start}");
    }
    let refused = estargz::table_range(&estargz_footer(0), 1 << 40).unwrap_err();
    assert!(refused.text.contains("limit"), "{refused}");
    let mut signed = newer.clone();
    signed[16] = b'+';
    assert!(range(&signed).is_err());
}

/// Whatever the table says, reading ends, and what is read is what was promised.
fn survives(layer: &BuiltLayer, table: Result<Table, Refused>) {
    let Ok(choice) = table.and_then(|table| Choice::new(table, &Limits::default())) else { return };
    let bytes: u64 = choice.ranges().iter().map(|range| range.end - range.start).sum();
    assert!(bytes <= layer.blob.len() as u64);
    assert!(choice.ranges().iter().all(|range| range.end <= layer.blob.len() as u64));
    // An error is an answer.
    let _ = in_part(layer, &choice);
}

#[test]
fn tables_that_are_cut_or_damaged_are_read_without_a_panic() {
    let small = LayerBuilder::new()
        .file("node_modules/one/package.json", r#"{"name":"one","version":"1.0.0"}"#)
        .file("doc", noise(9, 3000))
        .file("package-lock.json", r#"{"lockfileVersion":3,"packages":{}}"#);
    let (soci, ztoc) = small.soci(1_500);
    for end in (0..ztoc.len()).step_by(if ztoc.len() > 5_000 { 41 } else { 1 }) {
        survives(&soci, soci::table(&ztoc[..end], soci.blob.len() as u64));
    }
    let mut numbers = noise(77, 60_000).into_iter();
    for _ in 0..4000 {
        let mut bad = ztoc.to_vec();
        for _ in 0..3 {
            let at = usize::from(numbers.next().unwrap()) | usize::from(numbers.next().unwrap()) << 8;
            // The checkpoints are large and say little: damage the rest.
            let at = at % 700;
            let at = if at < 350 { at } else { bad.len() - 700 + at };
            bad[at.min(ztoc.len() - 1)] = numbers.next().unwrap();
        }
        survives(&soci, soci::table(&bad, soci.blob.len() as u64));
    }
    for layer in [small.estargz(Cut::default()), small.zstd_chunked(Cut::default())] {
        let bytes = layer.blob.len() as u64;
        let limits = Limits::default();
        let at = match Offer::of(&layer.annotations, bytes).unwrap().unwrap() {
            Offer::Estargz { .. } => {
                estargz::table_range(slice(&layer.blob, &(bytes - estargz::FOOTER_BYTES..bytes)), bytes).unwrap()
            }
            Offer::ZstdChunked(position) => position.range,
        };
        let packed = slice(&layer.blob, &at);
        for end in 0..packed.len() {
            let cut = &packed[..end];
            assert!(estargz::table(cut, &at, &testkit::image::sha256(b""), bytes, &limits).is_err());
            if let Offer::ZstdChunked(position) = Offer::of(&layer.annotations, bytes).unwrap().unwrap() {
                assert!(zstd_chunked::table(cut, &position, bytes, &limits).is_err());
            }
        }
    }
}

#[test]
fn damaged_rows_are_read_without_a_panic() {
    let fields = ["size", "offset", "endOffset", "innerOffset", "chunkOffset", "chunkSize", "mode", "uid"];
    let values = [0, 1, 511, 512, 30_000, 70_000, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX];
    let mut numbers = noise(3, 40_000).into_iter();
    let mut below = |bound: usize| usize::from(numbers.next().unwrap()) % bound;
    for _ in 0..150 {
        let (row, field, value) = (below(18), fields[below(fields.len())], values[below(values.len())]);
        for layer in changed(|table| {
            let rows = table["entries"].as_array_mut().unwrap();
            let at = row % rows.len();
            rows[at][field] = json!(value);
        }) {
            survives(&layer, table(&layer, None));
        }
    }
}

#[test]
fn a_source_that_ends_early_is_an_error() {
    let layer = system().estargz(Cut::default());
    let choice = choice(&layer, None).unwrap();
    let fetched: Vec<u8> = choice.ranges().iter().flat_map(|range| slice(&layer.blob, range)).copied().collect();
    for end in [0, 1, 20, fetched.len() / 2] {
        let limits = Limits::default();
        let mut out = Vec::new();
        assert!(Tape::new(&choice, &fetched[..end], &limits).read_to_end(&mut out).is_err(), "{end}");
    }
}

#[test]
fn the_public_sample_is_read() {
    let Some(file) = testkit::data::path("images/layer-formats/test-oci-estargz-image.tar") else { return };
    let mut archive = tar::Archive::new(std::fs::File::open(file).unwrap());
    let mut blobs = std::collections::BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        blobs.insert(entry.path().unwrap().to_string_lossy().into_owned(), content);
    }
    let manifest = blobs.values().find_map(|blob| {
        let value: Value = serde_json::from_slice(blob).ok()?;
        value["layers"][0]["digest"].is_string().then_some(value)
    });
    let descriptor = manifest.unwrap()["layers"][0].clone();
    let hex = descriptor["digest"].as_str().unwrap().replace(':', "/");
    let blob = blobs[&format!("blobs/{hex}")].clone();
    let mut layer = BuiltLayer::from_gzip(blob.into(), "COPY README.md");
    layer.annotations = serde_json::from_value(descriptor["annotations"].clone()).unwrap();
    let choice = choice(&layer, None).unwrap();
    assert_eq!((choice.members_left(), choice.ranges().len()), (1, 0), "nobody wants a README");
    let reading = in_part(&layer, &choice).unwrap();
    let names: Vec<String> = reading.facts[&Detector::Files].files.iter().map(|file| file.path.to_string()).collect();
    assert_eq!(names, ["README.md"]);
    assert_eq!(reading.facts[&Detector::Files].files[0].bytes, 11_189);
}
