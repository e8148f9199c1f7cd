//! A compiled generation on its way: in one file, or as the blobs of an OCI artifact.
//!
//! A [`PackList`] names every feed with the digest of its segment and of its packed (zstd) form; its text is what is
//! signed (Ed25519) or pinned by digest, so everything hangs on it. Not here: registries.
//!
//! Invariant: no byte of a pack comes into force that the list does not name, and no list is believed that is not
//! signed by a trusted key, pinned by its digest, or expressly allowed without either.
//!
//! # File
//!
//! Numbers are little-endian: magic `PRATIQPK`, version `u32`, length of the list `u32`, the list (JSON), length of the
//! signature `u32` (0 or 64), the signature, then the packed segments, in the order of the list.

use crate::intel_folder::InstalledGeneration;
use crate::packed::sha256;
use crate::{Error, ErrorKind, Result};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};

/// The largest segment that is unpacked, in bytes.
pub const SEGMENT_BYTES_MAX: u64 = 2 << 30;
/// The largest list, in bytes.
pub const LIST_BYTES_MAX: u64 = 64 << 20;
/// The most feeds of a pack: an OCI artifact has a blob for each.
pub const FEEDS_MAX: usize = 1000;

const MAGIC: &[u8; 8] = b"PRATIQPK";
const VERSION: u32 = 1;
const SIGNATURE_BYTES: usize = 64;
/// So that a signature of a list is never taken for one of something else.
const SIGNED_PREFIX: &[u8] = b"pratique intelligence 1\n";
/// zstd's level 9: a pack is made once and moved often.
const LEVEL: i32 = 9;

/// What a pack holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackList {
    version: u32,
    /// The generation's number where it was made; counts nothing elsewhere.
    pub generation: u64,
    /// By feed id.
    pub feeds: BTreeMap<String, PackedFeed>,
}

/// One feed of a [`PackList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedFeed {
    /// What the compiler said about it, as JSON text.
    pub meta_json: String,
    /// Digest of the segment.
    pub digest: Digest,
    /// Bytes of the segment.
    pub bytes: u64,
    /// Digest of its packed form.
    pub packed_digest: Digest,
    /// Bytes of its packed form.
    pub packed_bytes: u64,
}

/// A list as text, and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedList {
    /// JSON text of a [`PackList`].
    pub text: Vec<u8>,
    /// Ed25519 over the text.
    pub signature: Option<Vec<u8>>,
}

/// What makes a list believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// A signature by one of these keys.
    Keys(Vec<PublicKey>),
    /// The SHA-256 of the list's text.
    Pinned(Digest),
    /// Nothing: the one who asked answers for it.
    Anyone,
}

/// An Ed25519 key that signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// An Ed25519 key that lists are signed with.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl PublicKey {
    /// Reads a PEM file with the label `PUBLIC KEY` (RFC 8410), as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// `Malformed` when it is something else.
    pub fn from_pem(text: &str) -> Result<Self> {
        // SubjectPublicKeyInfo of Ed25519: SEQUENCE, AlgorithmIdentifier 1.3.101.112, BIT STRING of 32 bytes.
        const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let der = pem(text, "PUBLIC KEY")?;
        let key = der.strip_prefix(&PREFIX).and_then(|key| key.try_into().ok());
        key.map(Self).ok_or_else(|| malformed("the public key is not an Ed25519 key"))
    }
}

impl SigningKey {
    /// Reads a PEM file with the label `PRIVATE KEY` (PKCS #8), as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// `Malformed` when it is something else.
    pub fn from_pem(text: &str) -> Result<Self> {
        let der = pem(text, "PRIVATE KEY")?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
            .map(Self)
            .map_err(|_| malformed("the private key is not an Ed25519 key in PKCS #8 form"))
    }
}

/// The bytes between the lines of a PEM file with this label.
fn pem(text: &str, label: &str) -> Result<Vec<u8>> {
    let wrong = || malformed(&format!("the key is not a PEM file with the label {label}"));
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----")).ok_or_else(wrong)?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----")).ok_or_else(wrong)?;
    let body: String = body.split_whitespace().collect();
    BASE64.decode(body).map_err(|_| wrong())
}

fn malformed(text: &str) -> Error {
    Error::new(ErrorKind::Malformed, text)
}

/// A generation, packed: its list and the packed segments in the list's order.
#[derive(Debug)]
pub struct Pack {
    /// The list, signed if there was a key.
    pub list: SealedList,
    /// One for each feed.
    pub segments: Vec<Vec<u8>>,
}

impl Pack {
    /// Packs a generation. Every segment's digest is checked on the way.
    ///
    /// # Errors
    /// `Malformed` when a segment was damaged, `LimitExceeded` for more than [`FEEDS_MAX`] feeds.
    pub fn new(generation: &InstalledGeneration, key: Option<&SigningKey>) -> Result<Self> {
        if generation.feeds.len() > FEEDS_MAX {
            let text = format!("{} feeds are more than the {FEEDS_MAX} that a pack may have", generation.feeds.len());
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        let mut feeds = BTreeMap::new();
        let mut segments = Vec::with_capacity(generation.feeds.len());
        for feed in &generation.feeds {
            let bytes: &[u8] = (*feed.bytes).as_ref();
            if sha256(bytes) != feed.digest {
                return Err(malformed(&format!("the compiled feed {} was damaged on disk; import it again", feed.id)));
            }
            let packed = zstd::bulk::compress(bytes, LEVEL)
                .map_err(|e| Error::because(ErrorKind::Internal, "cannot compress a segment", e))?;
            let entry = PackedFeed {
                meta_json: feed.meta_json.clone(),
                digest: feed.digest,
                bytes: bytes.len() as u64,
                packed_digest: sha256(&packed),
                packed_bytes: packed.len() as u64,
            };
            feeds.insert(feed.id.clone(), entry);
            segments.push(packed);
        }
        let list = PackList { version: VERSION, generation: generation.number, feeds };
        let text = crate::packed::json(&list)?.into_bytes();
        let signature = key.map(|key| key.0.sign(&signed_text(&text)).as_ref().to_vec());
        Ok(Self { list: SealedList { text, signature }, segments })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(std::io::Error::other).map(u32::to_le_bytes);
        let signature = self.list.signature.as_deref().unwrap_or_default();
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        for part in [self.list.text.as_slice(), signature] {
            out.write_all(&length(part)?)?;
            out.write_all(part)?;
        }
        self.segments.iter().try_for_each(|segment| out.write_all(segment))
    }
}

fn signed_text(text: &[u8]) -> Vec<u8> {
    [SIGNED_PREFIX, text].concat()
}

impl SealedList {
    /// Reads the head of a pack file; what follows are the packed segments.
    ///
    /// # Errors
    /// `Malformed` when it is no pack, or was cut short.
    pub fn read(input: &mut impl Read) -> Result<Self> {
        let magic: [u8; 8] = exact(input)?;
        if &magic != MAGIC {
            return Err(malformed("this is not a pack of intelligence: it does not begin with PRATIQPK"));
        }
        let version = u32::from_le_bytes(exact(input)?);
        if version != VERSION {
            let text = format!("the pack has version {version}; this program reads {VERSION}");
            return Err(Error::new(ErrorKind::Malformed, text));
        }
        let text = part(input, LIST_BYTES_MAX)?;
        let signature = part(input, SIGNATURE_BYTES as u64)?;
        Ok(Self { text, signature: (!signature.is_empty()).then_some(signature) })
    }

    /// The digest to pin.
    pub fn digest(&self) -> Digest {
        sha256(&self.text)
    }

    /// The list, once it is believed.
    ///
    /// # Errors
    /// `Malformed` when there is no signature by a trusted key, the digest is not the pinned one, or it is no list.
    pub fn open(&self, trust: &Trust) -> Result<PackList> {
        let refused = |text: String| Err(Error::new(ErrorKind::Malformed, text));
        match trust {
            Trust::Anyone => {}
            Trust::Pinned(pinned) if *pinned == self.digest() => {}
            Trust::Pinned(pinned) => {
                return refused(format!("the list of the pack has the digest {}, not {pinned}", self.digest()));
            }
            Trust::Keys(keys) => {
                let Some(signature) = &self.signature else {
                    return refused(
                        "the pack is not signed: name its digest, or allow packs without a signature".into(),
                    );
                };
                let text = signed_text(&self.text);
                let fits = |key: &PublicKey| UnparsedPublicKey::new(&ED25519, key.0).verify(&text, signature).is_ok();
                if !keys.iter().any(fits) {
                    return refused("the pack's signature is by none of the trusted keys".into());
                }
            }
        }
        let list: PackList = serde_json::from_slice(&self.text)
            .map_err(|e| Error::because(ErrorKind::Malformed, "the list of the pack cannot be read", e))?;
        let is_sound = |(id, feed): (&String, &PackedFeed)| {
            !id.is_empty() && feed.bytes <= SEGMENT_BYTES_MAX && feed.packed_bytes <= SEGMENT_BYTES_MAX
        };
        if list.version != VERSION || list.feeds.len() > FEEDS_MAX || !list.feeds.iter().all(is_sound) {
            return Err(malformed("the list of the pack is of another version, or names more than is read"));
        }
        Ok(list)
    }
}

impl PackedFeed {
    /// Reads the packed segment of exactly this feed and unpacks it. `id` names it in errors.
    ///
    /// # Errors
    /// `Malformed` when it was cut short or changed, or is not what the list says.
    pub fn unpack(&self, id: &str, input: &mut impl Read) -> Result<Vec<u8>> {
        let broken = |why: &str| malformed(&format!("the packed feed {id} {why}"));
        let mut packed = Vec::new();
        input
            .take(self.packed_bytes)
            .read_to_end(&mut packed)
            .map_err(|e| Error::because(ErrorKind::Malformed, format!("the packed feed {id} cannot be read"), e))?;
        if packed.len() as u64 != self.packed_bytes {
            return Err(broken("was cut short"));
        }
        if sha256(&packed) != self.packed_digest {
            return Err(broken("was changed: its SHA-256 does not match"));
        }
        let size = usize::try_from(self.bytes).map_err(|_| broken("is too large"))?;
        let bytes = zstd::bulk::decompress(&packed, size).map_err(|_| broken("cannot be unpacked"))?;
        if bytes.len() != size || sha256(&bytes) != self.digest {
            return Err(broken("holds another segment than the list says"));
        }
        Ok(bytes)
    }
}

fn exact<const N: usize>(input: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes).map_err(|e| Error::because(ErrorKind::Malformed, "the pack ends too early", e))?;
    Ok(bytes)
}

fn part(input: &mut impl Read, bytes_max: u64) -> Result<Vec<u8>> {
    let length = u64::from(u32::from_le_bytes(exact(input)?));
    if length > bytes_max {
        return Err(malformed("a part of the pack is longer than it may be"));
    }
    let mut bytes = Vec::new();
    let read = input.take(length).read_to_end(&mut bytes);
    match read {
        Ok(found) if found as u64 == length => Ok(bytes),
        Ok(_) => Err(malformed("the pack ends too early")),
        Err(e) => Err(Error::because(ErrorKind::Malformed, "the pack cannot be read", e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intel_folder::IntelFolder;
    use aws_lc_rs::signature::KeyPair;

    fn keys() -> (SigningKey, PublicKey) {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public = PublicKey(pair.public_key().as_ref().try_into().unwrap());
        (SigningKey(pair), public)
    }

    fn packed(key: Option<&SigningKey>) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let folder = IntelFolder::open(dir.path()).unwrap();
        let feed = |id: &str, body: &[u8]| (id.to_owned(), format!("{{\"of\":\"{id}\"}}"), body.to_vec());
        folder.install(vec![feed("a", b"aaaa"), feed("b", &[7; 5000])], &[]).unwrap();
        let mut out = Vec::new();
        Pack::new(&folder.current().unwrap(), key).unwrap().write(&mut out).unwrap();
        out
    }

    /// The feeds of a pack, all the way to their bytes.
    fn unpacked(bytes: &[u8], trust: &Trust) -> Result<Vec<(String, Vec<u8>)>> {
        let mut input = bytes;
        let list = SealedList::read(&mut input)?.open(trust)?;
        list.feeds.iter().map(|(id, feed)| Ok((id.clone(), feed.unpack(id, &mut input)?))).collect()
    }

    #[test]
    fn packs_are_believed_by_signature_by_digest_or_when_told_so() {
        let ((signing, public), (_, stranger)) = (keys(), keys());
        let (signed, unsigned) = (packed(Some(&signing)), packed(None));
        let expect = vec![("a".to_owned(), b"aaaa".to_vec()), ("b".to_owned(), vec![7; 5000])];
        let kind = |bytes: &[u8], trust: &Trust| unpacked(bytes, trust).map_err(|e| e.kind);
        assert_eq!(kind(&signed, &Trust::Keys(vec![stranger.clone(), public.clone()])), Ok(expect.clone()));
        assert_eq!(kind(&signed, &Trust::Keys(vec![stranger])), Err(ErrorKind::Malformed));
        assert_eq!(kind(&unsigned, &Trust::Keys(vec![public])), Err(ErrorKind::Malformed));
        assert_eq!(kind(&unsigned, &Trust::Anyone), Ok(expect.clone()));
        let digest = SealedList::read(&mut unsigned.as_slice()).unwrap().digest();
        assert_eq!(kind(&unsigned, &Trust::Pinned(digest)), Ok(expect));
        assert_eq!(kind(&unsigned, &Trust::Pinned(sha256(b"other"))), Err(ErrorKind::Malformed));
    }

    #[test]
    fn a_pack_that_was_cut_or_changed_anywhere_is_refused() {
        let (signing, public) = keys();
        let trust = Trust::Keys(vec![public]);
        let whole = packed(Some(&signing));
        for length in 0..whole.len() {
            assert!(unpacked(&whole[..length], &trust).is_err(), "cut to {length} of {} bytes", whole.len());
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(unpacked(&bytes, &trust).is_err(), "byte {at} was changed");
        }
    }

    #[test]
    fn a_segment_that_unpacks_to_more_than_the_list_says_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap();
        let feed = PackedFeed {
            meta_json: String::new(),
            digest: sha256(&[0; 10]),
            bytes: 10,
            packed_digest: sha256(&bomb),
            packed_bytes: bomb.len() as u64,
        };
        assert_eq!(feed.unpack("a", &mut bomb.as_slice()).unwrap_err().kind, ErrorKind::Malformed);
    }

    #[test]
    fn keys_are_read_from_what_openssl_writes() {
        // Public keys of RFC 8410, section 10.1; the private one is in the same section.
        let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let label = concat!("PRIVATE", " KEY");
        let private = format!(
            "-----BEGIN {label}-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END {label}-----\n"
        );
        let (public, private) = (PublicKey::from_pem(public).unwrap(), SigningKey::from_pem(&private).unwrap());
        assert_eq!(private.0.public_key().as_ref(), public.0);
        assert!(PublicKey::from_pem("nothing").is_err() && SigningKey::from_pem("nothing").is_err());
    }
}
