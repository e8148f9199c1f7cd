//! An image of 10 GB that no reader can hold: most of it random, with one file of 3 GB, a layer of 4 GB, a program of
//! 400 MB and a Java archive of 600 MB that says what it is in its last entry.
//!
//! It is made once, straight into an OCI layout, so that only one copy of it lies on the disk. The same program makes
//! the same bytes.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

/// What the last entry of the Java archive says; the scan has to say it too.
pub(super) const ARTIFACT: &str = "pkg:maven/org.example.huge/last-entry@9.8.7";
const ARTIFACT_ENTRY: &str = "META-INF/maven/org.example.huge/last-entry/pom.properties";
const ARTIFACT_TEXT: &[u8] = b"groupId=org.example.huge\nartifactId=last-entry\nversion=9.8.7\n";
/// Entries of one mebibyte before the last one.
const JAR_ENTRIES: u64 = 600;

/// One file of the image.
struct Member {
    path: String,
    mode: u32,
    bytes: u64,
    content: Content,
}

/// What a file holds.
enum Content {
    /// Noise that no packer makes smaller.
    Random,
    /// The same, behind the first bytes of a program.
    Program,
    /// Lines that a packer makes smaller.
    Text,
    /// The Java archive.
    Jar,
    /// These bytes.
    Bytes(&'static [u8]),
}

fn random(path: impl Into<String>, mebibytes: u64) -> Member {
    Member { path: path.into(), mode: 0o644, bytes: mebibytes * MIB, content: Content::Random }
}

/// The members of each layer, 10 GB in all, of which 73 % are random.
fn layers() -> Vec<Vec<Member>> {
    let release = b"ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
    let status = b"Package: base-files\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.4+deb12u5\n\n";
    let small = |path: &str, bytes: &'static [u8]| Member {
        path: path.to_owned(),
        mode: 0o644,
        bytes: bytes.len() as u64,
        content: Content::Bytes(bytes),
    };
    let base = vec![small("etc/os-release", release), small("var/lib/dpkg/status", status)];
    let mut data = vec![random("srv/model/weights.bin", 3 << 10)];
    data.extend((0..64).map(|n| random(format!("srv/model/shard-{n:02}.bin"), 16)));
    let mut programs = vec![
        Member { path: "opt/app/huge.jar".into(), mode: 0o644, bytes: jar_bytes(JAR_ENTRIES), content: Content::Jar },
        Member { path: "usr/bin/huge".into(), mode: 0o755, bytes: 400 * MIB, content: Content::Program },
    ];
    programs.extend((0..1000).map(|n| random(format!("srv/files/{n:04}.dat"), 1)));
    programs.extend((0..24).map(|n| random(format!("srv/parts/{n:02}.dat"), 48)));
    let text = |n: u64| Member {
        path: format!("var/log/archive/{n:03}.log"),
        mode: 0o644,
        bytes: 27 * MIB,
        content: Content::Text,
    };
    vec![base, data, programs, (0..100).map(text).collect()]
}

/// The image's layout; made if there is none.
pub(super) fn layout(folder: &Path) -> Result<PathBuf> {
    let layout = folder.join("huge");
    if layout.is_dir() {
        return Ok(layout);
    }
    let new = folder.join("huge.new");
    if new.is_dir() {
        fs::remove_dir_all(&new)?;
    }
    let blobs = new.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let (mut descriptors, mut diff_ids) = (Vec::new(), Vec::new());
    for (at, members) in layers().iter().enumerate() {
        println!("making layer {at} of the huge image");
        let packed = new.join("layer.tar.gz");
        let diff_id = pack(members, &packed)?;
        let digest = sum_file(&packed)?;
        let size = fs::metadata(&packed)?.len();
        fs::rename(&packed, blobs.join(&digest))?;
        descriptors.push(json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": format!("sha256:{digest}"), "size": size}));
        diff_ids.push(format!("sha256:{diff_id}"));
    }
    let config = json!({"architecture": architecture(), "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = put(&blobs, &config)?;
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", &config), "layers": descriptors});
    let manifest = put(&blobs, &manifest)?;
    let mut entry = described("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "1"});
    fs::write(new.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string())?;
    fs::write(new.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    fs::rename(&new, &layout)?;
    Ok(layout)
}

/// Go's word for the machine, as an image configuration has it.
const fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn described(media: &str, (digest, size): &(String, u64)) -> Value {
    json!({"mediaType": media, "digest": format!("sha256:{digest}"), "size": size})
}

fn put(blobs: &Path, value: &Value) -> Result<(String, u64)> {
    let text = value.to_string();
    let path = blobs.join("new");
    fs::write(&path, &text)?;
    let digest = sum_file(&path)?;
    fs::rename(&path, blobs.join(&digest))?;
    Ok((digest, text.len() as u64))
}

/// `sha256sum` of a file.
fn sum_file(path: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg(path).stderr(Stdio::inherit()).output()?;
    first_word(&output.stdout)
}

fn first_word(output: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(output)?;
    text.split(' ').next().filter(|word| word.len() == 64).map(str::to_owned).context("sha256sum printed no digest")
}

/// Writes an archive through `gzip` to a file. The digest of the archive before packing.
fn pack(members: &[Member], to: &Path) -> Result<String> {
    let mut gzip = Command::new("gzip").arg("-1n").stdin(Stdio::piped()).stdout(File::create(to)?).spawn()?;
    let mut sum = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let both = Both {
        first: gzip.stdin.take().context("gzip has no input")?,
        second: sum.stdin.take().context("sha256sum has no input")?,
    };
    let mut builder = tar::Builder::new(BufWriter::with_capacity(1 << 20, both));
    for member in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(member.bytes);
        header.set_mode(member.mode);
        header.set_mtime(1_700_000_000);
        builder.append_data(&mut header, &member.path, member.open().take(member.bytes))?;
    }
    builder.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    if !gzip.wait()?.success() {
        bail!("gzip failed");
    }
    let output = sum.wait_with_output()?;
    first_word(&output.stdout)
}

/// Writes everything twice; closed when dropped.
struct Both<A, B> {
    first: A,
    second: B,
}

impl<A: Write, B: Write> Write for Both<A, B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.first.write_all(bytes)?;
        self.second.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.first.flush()?;
        self.second.flush()
    }
}

impl Member {
    fn open(&self) -> Box<dyn Read> {
        let seed = self.path.bytes().fold(1, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        match self.content {
            Content::Random => Box::new(Noise(seed)),
            Content::Program => Box::new(io::Cursor::new(PROGRAM_HEAD).chain(Noise(seed))),
            Content::Text => Box::new(Lines { number: seed % 1000, left: Vec::new() }),
            Content::Jar => Box::new(Jar::new(seed, JAR_ENTRIES)),
            Content::Bytes(bytes) => Box::new(bytes),
        }
    }
}

/// The identification of a 64-bit ELF file, and no tables.
const PROGRAM_HEAD: &[u8; 64] = &{
    let mut head = [0; 64];
    (head[0], head[1], head[2], head[3], head[4], head[5], head[6]) = (0x7f, b'E', b'L', b'F', 2, 1, 1);
    head
};

/// Pseudo-random bytes without end (splitmix64).
struct Noise(u64);

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for piece in buffer.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.0;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            piece.copy_from_slice(&word.to_le_bytes()[..piece.len()]);
        }
        Ok(buffer.len())
    }
}

/// Lines of a log without end.
struct Lines {
    number: u64,
    left: Vec<u8>,
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() {
            for _ in 0..1000 {
                self.number += 1;
                let noise = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                writeln!(self.left, "2026-11-21 request {} from 10.0.0.1 took {noise} us", self.number)?;
            }
        }
        let n = self.left.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.left[..n]);
        self.left.drain(..n);
        Ok(n)
    }
}

/// A zip archive of stored entries, written as it is read (APPNOTE.TXT, section 4.3).
struct Jar {
    noise: Noise,
    entries: u64,
    entry: u64,
    offset: u64,
    directory: Vec<u8>,
    left: Vec<u8>,
    at: usize,
}

/// The entries' names have one length, so that the archive's size is known beforehand.
fn entry_name(entry: u64) -> String {
    format!("org/example/data/{entry:04}.bin")
}

const LOCAL_BYTES: u64 = 30;
const CENTRAL_BYTES: u64 = 46;
const END_BYTES: u64 = 22;

fn jar_bytes(entries: u64) -> u64 {
    let name = entry_name(0).len() as u64;
    let last = ARTIFACT_ENTRY.len() as u64;
    entries * (LOCAL_BYTES + CENTRAL_BYTES + 2 * name + MIB)
        + LOCAL_BYTES
        + CENTRAL_BYTES
        + 2 * last
        + ARTIFACT_TEXT.len() as u64
        + END_BYTES
}

impl Jar {
    fn new(seed: u64, entries: u64) -> Self {
        Self { noise: Noise(seed), entries, entry: 0, offset: 0, directory: Vec::new(), left: Vec::new(), at: 0 }
    }

    fn add(&mut self, name: &str, content: &[u8]) {
        let crc = crc32(content);
        let offset = u32::try_from(self.offset).expect("the archive is small enough");
        let size = u32::try_from(content.len()).expect("an entry is small");
        let mut fields = Vec::new();
        for value in [20_u16, 0, 0, 0, 0] {
            fields.extend_from_slice(&value.to_le_bytes());
        }
        for value in [crc, size, size] {
            fields.extend_from_slice(&value.to_le_bytes());
        }
        fields.extend_from_slice(&u16::try_from(name.len()).expect("a short name").to_le_bytes());
        fields.extend_from_slice(&[0, 0]);
        self.left = [b"PK\x03\x04", fields.as_slice(), name.as_bytes(), content].concat();
        self.directory.extend_from_slice(b"PK\x01\x02\x14\0");
        self.directory.extend_from_slice(&fields);
        self.directory.extend_from_slice(&[0; 10]);
        self.directory.extend_from_slice(&offset.to_le_bytes());
        self.directory.extend_from_slice(name.as_bytes());
        self.offset += self.left.len() as u64;
    }

    fn end(&mut self) {
        let entries = u16::try_from(self.entries + 1).expect("few entries").to_le_bytes();
        let size = u32::try_from(self.directory.len()).expect("a small directory").to_le_bytes();
        let offset = u32::try_from(self.offset).expect("the archive is small enough").to_le_bytes();
        self.left = [&self.directory[..], b"PK\x05\x06\0\0\0\0", &entries, &entries, &size, &offset, &[0, 0]].concat();
    }

    fn next(&mut self) {
        self.at = 0;
        match self.entry {
            entry if entry < self.entries => {
                let mut content = vec![0; usize::try_from(MIB).expect("a mebibyte")];
                self.noise.read_exact(&mut content).expect("noise has no end");
                self.add(&entry_name(entry), &content);
            }
            entry if entry == self.entries => self.add(ARTIFACT_ENTRY, ARTIFACT_TEXT),
            entry if entry == self.entries + 1 => self.end(),
            _ => self.left.clear(),
        }
        self.entry += 1;
    }
}

impl Read for Jar {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.left.len() {
            self.next();
        }
        let n = (self.left.len() - self.at).min(buffer.len());
        buffer[..n].copy_from_slice(&self.left[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// CRC-32 as in zip archives (APPNOTE.TXT, section 4.4.7).
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let mut value = at as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[at] = value;
            at += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_has_the_promised_shape() {
        let layers = layers();
        let sizes: Vec<u64> = layers.iter().map(|members| members.iter().map(|m| m.bytes).sum()).collect();
        let all: u64 = sizes.iter().sum();
        let text: u64 = layers.iter().flatten().filter(|m| matches!(m.content, Content::Text)).map(|m| m.bytes).sum();
        assert!(all >= 10_000_000_000, "{all}");
        assert!(sizes.iter().any(|size| *size >= 4 << 30), "{sizes:?}");
        assert!((all - text) * 100 >= all * 70, "{text} of {all} can be packed");
        assert!(layers.iter().flatten().any(|m| m.bytes == 3 << 30));
        assert!(jar_bytes(JAR_ENTRIES) >= 600_000_000);
    }

    #[test]
    fn the_java_archive_has_its_size_and_its_checksums() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let mut jar = Jar::new(1, 2);
        let mut bytes = 0;
        let mut buffer = vec![0; 1 << 20];
        let mut last = Vec::new();
        loop {
            match jar.read(&mut buffer).expect("it can be read") {
                0 => break,
                n => {
                    bytes += n as u64;
                    last = buffer[..n].to_vec();
                }
            }
        }
        assert_eq!(bytes, jar_bytes(2));
        assert!(last.ends_with(&[0, 0]) && last.windows(4).any(|w| w == b"PK\x05\x06"));
    }
}
