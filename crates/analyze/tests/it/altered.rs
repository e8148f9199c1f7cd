//! Programs that are not those that their packages brought: dpkg, apk and rpm; built, real and made with rpm itself.

use crate::rpm::build::{self, Package};
use crate::support::*;
use base64::Engine;
use md5::Md5;
use model::observation::ObservationKind;
use model::{Detector, ImageInventory};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use std::path::Path;
use std::process::Command;
use testkit::image::LayerBuilder;
use testkit::net::has_program;

const LS: &[u8] = b"\x7fELF the ls of the distribution";
const EVIL: &[u8] = b"\x7fELF another ls";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn md5(content: &[u8]) -> String {
    hex(&Md5::digest(content))
}

/// `path layer package recorded found` of every altered file.
fn altered(image: &ImageInventory) -> Vec<String> {
    let mut said = Vec::new();
    for observation in &image.observations {
        let ObservationKind::AlteredFile(file) = &observation.kind else { continue };
        let (path, layer) = (observation.evidence.path.as_ref().unwrap(), observation.evidence.layer.unwrap());
        said.push(format!("{path} {layer} {} {} {}", file.package, file.recorded, file.found));
    }
    said
}

fn blobs(layers: &[LayerBuilder]) -> Vec<Vec<u8>> {
    layers.iter().map(|layer| layer.build().blob.to_vec()).collect()
}

fn status() -> String {
    "Package: coreutils\nStatus: install ok installed\nVersion: 9.1-1\nArchitecture: amd64\n\n".to_owned()
}

/// A merged `usr`, as Debian has it: the list names `bin/ls`, the file lies in `usr/bin`.
fn debian() -> LayerBuilder {
    let sums = format!(
        "{}  bin/ls\n{}  usr/bin/[\n{}  usr/share/doc/coreutils/copyright\n{}  etc/init.d/ls\n{}  usr/bin/gone\n",
        md5(LS),
        md5(b"#!/bin/sh\n"),
        md5(b"text"),
        md5(b"conffile"),
        md5(b"gone")
    );
    LayerBuilder::new()
        .symlink("bin", "usr/bin")
        .file("etc/debian_version", "12.5\n")
        .executable("etc/init.d/ls", "#!/bin/sh\n# changed, as configuration may be\n")
        .executable("usr/bin/ls", LS)
        .executable("usr/bin/[", "#!/bin/sh\n")
        .file("usr/share/doc/coreutils/copyright", "another text")
        .file("var/lib/dpkg/info/coreutils.md5sums", sums)
        .file("var/lib/dpkg/status", status())
}

#[test]
fn a_tampered_ls_is_found_against_the_database_of_dpkg() {
    assert_eq!(altered(&image(&blobs(&[debian()]))), [""; 0]);
    let expect = |layer| format!("usr/bin/ls {layer} coreutils md5:{} md5:{}", md5(LS), md5(EVIL));
    let above = LayerBuilder::new().executable("usr/bin/ls", EVIL);
    assert_eq!(altered(&image(&blobs(&[debian(), above]))), [expect(1)]);
    let by_link = LayerBuilder::new().executable("bin/ls", EVIL);
    assert_eq!(altered(&image(&blobs(&[debian(), by_link]))), [expect(1)]);
    let empty = LayerBuilder::new().executable("usr/bin/ls", "");
    let found = altered(&image(&blobs(&[debian(), empty])));
    assert_eq!(found, [format!("usr/bin/ls 1 coreutils md5:{} md5:{}", md5(LS), md5(b""))]);
    // A deleted program, and one that became a link, are no altered ones.
    let gone = LayerBuilder::new().whiteout("usr/bin/ls");
    assert_eq!(altered(&image(&blobs(&[debian(), gone]))), [""; 0]);
    let link = LayerBuilder::new().symlink("usr/bin/ls", "busybox");
    assert_eq!(altered(&image(&blobs(&[debian(), link]))), [""; 0]);
    // The package was upgraded: a new list, a new program.
    let list = format!("{}  bin/ls\n", md5(EVIL));
    let upgraded = LayerBuilder::new().executable("usr/bin/ls", EVIL).file("var/lib/dpkg/info/coreutils.md5sums", list);
    assert_eq!(altered(&image(&blobs(&[debian(), upgraded]))), [""; 0]);
}

#[test]
fn images_without_dpkg_itself_are_compared_too() {
    let sums = format!("{}  usr/bin/openssl\n", md5(LS));
    let layer = LayerBuilder::new()
        .executable("usr/bin/openssl", EVIL)
        .file("var/lib/dpkg/status.d/openssl", "Package: openssl\nVersion: 3.0\nArchitecture: amd64\n")
        .file("var/lib/dpkg/status.d/openssl.md5sums", sums);
    let expect = format!("usr/bin/openssl 0 openssl md5:{} md5:{}", md5(LS), md5(EVIL));
    assert_eq!(altered(&image(&blobs(&[layer]))), [expect]);
}

#[test]
fn diverted_and_replaced_files_are_not_altered() {
    // dpkg-divert(1): `dash` moved the `sh` of `bash` away.
    let diverted = debian()
        .executable("usr/bin/sh", "#!dash")
        .executable("usr/bin/sh.distrib", "#!bash")
        .file("var/lib/dpkg/diversions", "/usr/bin/sh\n/usr/bin/sh.distrib\ndash\n")
        .file("var/lib/dpkg/info/bash.md5sums", format!("{}  usr/bin/sh\n", md5(b"#!bash")))
        .file("var/lib/dpkg/info/dash.md5sums", format!("{}  usr/bin/sh\n", md5(b"#!dash")));
    assert_eq!(altered(&image(&blobs(std::slice::from_ref(&diverted)))), [""; 0]);
    let above = LayerBuilder::new().executable("usr/bin/sh.distrib", EVIL);
    let expect = format!("usr/bin/sh.distrib 1 bash md5:{} md5:{}", md5(b"#!bash"), md5(EVIL));
    assert_eq!(altered(&image(&blobs(&[diverted, above]))), [expect]);
    // A package that replaces another's file: both lists stay.
    let replaced = debian().file("var/lib/dpkg/info/old:amd64.md5sums", format!("{}  usr/bin/ls\n", md5(b"old ls")));
    assert_eq!(altered(&image(&blobs(&[replaced]))), [""; 0]);
}

fn alpine(content: &[u8]) -> LayerBuilder {
    let sum = base64::engine::general_purpose::STANDARD.encode(Sha1::digest(LS));
    let database = format!(
        "P:coreutils\nV:9.5-r0\nA:x86_64\no:coreutils\nF:bin\nR:ls\na:0:0:755\nZ:Q1{sum}\nR:link\na:0:0:777\nZ:Q1{sum}\n\
         F:etc\nR:ls.conf\na:0:0:755\nZ:Q1{sum}\nF:usr/share\nR:text\nZ:Q1{sum}\n\n"
    );
    LayerBuilder::new()
        .executable("bin/ls", content)
        .symlink("bin/link", "ls")
        .executable("etc/ls.conf", "#!/bin/sh\n")
        .file("lib/apk/db/installed", database)
        .file("usr/share/text", "#!/bin/sh\n")
}

#[test]
fn a_tampered_ls_is_found_against_the_database_of_apk() {
    assert_eq!(altered(&image(&blobs(&[alpine(LS)]))), [""; 0]);
    let (recorded, found) = (hex(&Sha1::digest(LS)), hex(&Sha1::digest(EVIL)));
    let above = LayerBuilder::new().executable("bin/ls", EVIL);
    assert_eq!(
        altered(&image(&blobs(&[alpine(LS), above]))),
        [format!("bin/ls 1 coreutils sha1:{recorded} sha1:{found}")]
    );
    assert_eq!(altered(&image(&blobs(&[alpine(EVIL)]))), [format!("bin/ls 0 coreutils sha1:{recorded} sha1:{found}")]);
}

fn texts(texts: &[String]) -> build::Value {
    (8, texts.len(), texts.iter().flat_map(|text| [text.as_bytes(), b"\0"].concat()).collect())
}

fn shorts(numbers: &[u16]) -> build::Value {
    (3, numbers.len(), numbers.iter().flat_map(|number| number.to_be_bytes()).collect())
}

/// Tags: FILEMODES 1030, FILEDIGESTS 1035, FILEFLAGS 1037, FILEVERIFYFLAGS 1045, FILEDIGESTALGO 5011 (`rpmtag.h`).
fn rpm(content: &[u8], algorithm: Option<u32>, digest: impl Fn(&[u8]) -> String) -> LayerBuilder {
    let files = [
        ("/usr/bin/", "ls"),
        ("/usr/bin/", "conf"),
        ("/usr/bin/", "ghost"),
        ("/usr/bin/", "free"),
        ("/usr/bin/", "text"),
    ];
    let digests: Vec<String> = files.iter().map(|_| digest(LS)).collect();
    let mut more = vec![
        (1030, shorts(&[0o100_755, 0o100_755, 0o100_755, 0o100_755, 0o100_644])),
        (1035, texts(&digests)),
        (1037, build::numbers(&[0, 1, 1 << 6, 0, 0])),
        (1045, build::numbers(&[u32::MAX, u32::MAX, u32::MAX, u32::MAX - 1, u32::MAX])),
    ];
    more.extend(algorithm.map(|number| (5011, build::numbers(&[number]))));
    let package = Package {
        name: "coreutils".to_owned(),
        version: "9.1".to_owned(),
        release: "1".to_owned(),
        files: files.to_vec(),
        more,
        ..Package::default()
    };
    let layer = LayerBuilder::new().file("var/lib/rpm/Packages.db", build::ndb(&build::headers(&[package])));
    let layer = layer.executable("usr/bin/ls", content);
    ["conf", "ghost", "free", "text"]
        .iter()
        .fold(layer, |layer, name| layer.executable(&format!("usr/bin/{name}"), EVIL))
}

#[test]
fn a_tampered_ls_is_found_against_the_database_of_rpm() {
    let sha256 = |content: &[u8]| hex(&Sha256::digest(content));
    assert_eq!(altered(&image(&blobs(&[rpm(LS, Some(8), sha256)]))), [""; 0]);
    let expect = |layer| format!("usr/bin/ls {layer} coreutils sha256:{} sha256:{}", sha256(LS), sha256(EVIL));
    let above = LayerBuilder::new().executable("usr/bin/ls", EVIL);
    assert_eq!(altered(&image(&blobs(&[rpm(LS, Some(8), sha256), above]))), [expect(1)]);
    assert_eq!(altered(&image(&blobs(&[rpm(EVIL, Some(8), sha256)]))), [expect(0)]);
}

#[test]
fn checksums_that_cannot_be_compared_are_a_gap() {
    let gaps = |image: &ImageInventory| image.gaps.iter().map(gap_line).collect::<Vec<_>>().join("\n");
    // An old rpm database with MD5: this layer shows a family that has no need of it.
    let old = image(&blobs(&[rpm(LS, None, md5)]));
    assert_eq!(altered(&old), [""; 0]);
    assert!(
        gaps(&old).contains("1 files are not compared with the checksums that their packages record, usr/bin/ls first")
    );
    let sha512 = image(&blobs(&[rpm(LS, Some(10), |_| "00".repeat(64))]));
    assert!(
        gaps(&sha512).contains("the algorithm of its files' digests is not one that is compared"),
        "{}",
        gaps(&sha512)
    );
}

#[test]
fn untouched_alpine_images_have_no_altered_files() {
    for (version, architecture) in
        [("3.9.6", "x86_64"), ("3.16.9", "x86_64"), ("3.20.3", "x86_64"), ("3.20.3", "aarch64")]
    {
        let name = format!("images/alpine-minirootfs-{version}-{architecture}.tar.gz");
        let Some(path) = testkit::data::path(&name) else { continue };
        let blob = std::fs::read(path).unwrap();
        assert_eq!(altered(&image(std::slice::from_ref(&blob))), [""; 0], "{name}");
        let above = LayerBuilder::new().executable("bin/busybox", EVIL).build().blob.to_vec();
        let found = altered(&image(&[blob, above]));
        assert!(found.len() == 1 && found[0].starts_with("bin/busybox 1 busybox sha1:"), "{found:?}");
    }
}

/// A package that rpm itself built and installed: programs, a library, configuration, a ghost.
#[test]
fn untouched_files_of_a_package_that_rpm_installed_are_not_altered() {
    if !has_program("rpmbuild", "rpm") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(
        at("tool.spec"),
        "Name: tool\nVersion: 1\nRelease: 1\nSummary: tool\nLicense: MIT\nBuildArch: noarch\n%description\ntool\n\
         %install\nmkdir -p %{buildroot}/usr/bin %{buildroot}/etc %{buildroot}/usr/lib64\n\
         printf '#!/bin/sh\\necho tool\\n' > %{buildroot}/usr/bin/tool\nchmod 755 %{buildroot}/usr/bin/tool\n\
         printf 'library' > %{buildroot}/usr/lib64/libtool.so.1\n\
         printf '#!/bin/sh\\n' > %{buildroot}/usr/bin/settings\nchmod 755 %{buildroot}/usr/bin/settings\n\
         %files\n/usr/bin/tool\n/usr/lib64/libtool.so.1\n%config /usr/bin/settings\n%ghost /usr/bin/ghost\n",
    )
    .unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let text = |name: &str| at(name).to_str().unwrap().to_owned();
    std::fs::create_dir_all(at("root")).unwrap();
    run("rpmbuild", &["--define", &format!("_topdir {}", text("build")), "-bb", &text("tool.spec")]);
    let package = text("build/RPMS/noarch/tool-1-1.noarch.rpm");
    run("rpm", &["--root", &text("root"), "--dbpath", "/var/lib/rpm", "--nodeps", "--noscripts", "-i", &package]);
    let read = |name: &str| std::fs::read(at("root").join(name)).unwrap();
    let layer = LayerBuilder::new()
        .executable("usr/bin/tool", read("usr/bin/tool"))
        .executable("usr/bin/settings", "#!/bin/sh\n# changed\n")
        .file("usr/lib64/libtool.so.1", read("usr/lib64/libtool.so.1"))
        .file("var/lib/rpm/rpmdb.sqlite", read("var/lib/rpm/rpmdb.sqlite"));
    assert_eq!(altered(&image(&blobs(std::slice::from_ref(&layer)))), [""; 0]);
    let above = LayerBuilder::new().executable("usr/bin/tool", EVIL);
    let found = altered(&image(&blobs(&[layer, above])));
    assert!(found.len() == 1 && found[0].starts_with("usr/bin/tool 1 tool sha256:"), "{found:?}");
}

/// The benchmark's image: Debian bookworm with python3, nodejs, nginx and git, as `mmdebstrap` made it.
#[test]
fn untouched_debian_images_have_no_altered_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/image");
    if !folder.join("index.json").is_file() {
        return testkit::net::say("SKIPPED: no Debian image here (cargo xtask bench image makes one)");
    }
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
    };
    let blob = |digest: &serde_json::Value| format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"));
    let manifest = json(&blob(&json("index.json")["manifests"][0]["digest"]));
    let only = [Detector::Packages, Detector::Malware].into();
    let mut inventories = Vec::new();
    for layer in manifest["layers"].as_array().unwrap() {
        let bytes = std::fs::read(folder.join(blob(&layer["digest"]))).unwrap();
        // Signatures have no part in this, and take their time in a program that is not optimised.
        let reading = read_with(&bytes[..], detectors(), &[Detector::Packages].into());
        inventories.push(Some(inventory_of(&bytes, reading)));
    }
    let layers: Vec<_> = inventories.iter().flatten().enumerate().map(|(at, i)| layer_of(at, i)).collect();
    let facts = inventories.iter().flatten().flat_map(|inventory| inventory.detectors.values());
    let recorded: usize = facts.flat_map(|facts| &facts.recorded).map(|recorded| recorded.files.len()).sum();
    let input = analyze::SquashInput {
        layers: &layers,
        configuration: &model::layer::ImageConfig::default(),
        inventories: &inventories,
        gaps: &[],
        detectors: detectors(),
        only: &only,
    };
    let image = analyze::squash(&input);
    assert_eq!(altered(&image), [""; 0]);
    assert!(recorded > 500, "{recorded}");
    let gaps: Vec<_> = image.gaps.iter().filter(|gap| gap.detail.contains("not compared")).map(gap_line).collect();
    println!("{recorded} programs compared, none altered; {gaps:?}");
    assert_eq!(gaps, [""; 0]);
}
