//! `pratique feeds pack|unpack|push|pull`: a compiled generation moved as one thing.

use crate::arguments::{Transport, TrustArguments};
use crate::exit::Exit;
use anyhow::{Context, Result, anyhow};
use engine::packs::{self, Packed, Unpacked};
use engine::source::{self, PlatformChoice};
use model::{Digest, ImageRef};
use std::path::Path;
use store::intel_folder::IntelFolder;
use store::intel_pack::{PublicKey, SigningKey, Trust};

pub(super) fn pack(folder: &IntelFolder, file: &Path, key: Option<&Path>) -> Result<Exit> {
    let packed = packs::pack(folder, file, signing_key(key)?.as_ref())?;
    tell_packed(&packed, &file.display().to_string());
    Ok(Exit::Done)
}

pub(super) fn unpack(
    folder: &IntelFolder,
    file: &Path,
    trust: &TrustArguments,
    pinned: Option<Digest>,
) -> Result<Exit> {
    let trust = match pinned {
        Some(digest) => Trust::Pinned(digest),
        None => read_trust(trust)?.ok_or_else(|| untrusted("--digest DIGEST"))?,
    };
    tell_unpacked(&packs::unpack(folder, file, &trust)?);
    Ok(Exit::Done)
}

pub(super) async fn push(
    folder: &IntelFolder,
    reference: &ImageRef,
    key: Option<&Path>,
    transport: &Transport,
) -> Result<Exit> {
    let key = signing_key(key)?;
    let client = source::registry_client(reference, &options(transport)?).await?;
    let packed = packs::push(folder, &client, reference, key.as_ref()).await?;
    tell_packed(&packed, &reference.to_string());
    Ok(Exit::Done)
}

pub(super) async fn pull(
    folder: &IntelFolder,
    reference: &ImageRef,
    trust: &TrustArguments,
    transport: &Transport,
) -> Result<Exit> {
    let trust = match read_trust(trust)? {
        Some(trust) => trust,
        None if reference.digest.is_some() => Trust::Anyone,
        None => return Err(untrusted("REF@sha256:…")),
    };
    let client = source::registry_client(reference, &options(transport)?).await?;
    tell_unpacked(&packs::pull(folder, &client, reference, &trust).await?);
    Ok(Exit::Done)
}

fn options(transport: &Transport) -> Result<source::OpenOptions> {
    super::super::scan::transport_options(transport, PlatformChoice::Host, 0)
}

fn signing_key(path: Option<&Path>) -> Result<Option<SigningKey>> {
    let read = |path: &Path| -> Result<SigningKey> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        SigningKey::from_pem(&text).with_context(|| format!("{} cannot be used", path.display()))
    };
    path.map(read).transpose()
}

fn read_trust(arguments: &TrustArguments) -> Result<Option<Trust>> {
    if arguments.allow_unsigned {
        return Ok(Some(Trust::Anyone));
    }
    let mut keys = Vec::new();
    for path in &arguments.trust_key {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        keys.push(PublicKey::from_pem(&text).with_context(|| format!("{} cannot be used", path.display()))?);
    }
    Ok((!keys.is_empty()).then_some(Trust::Keys(keys)))
}

fn untrusted(pin: &str) -> anyhow::Error {
    anyhow!(engine::Error::new(
        engine::ErrorKind::Usage,
        format!("say why it is to be believed: --trust-key FILE, {pin}, or --allow-unsigned"),
    ))
}

fn tell_packed(packed: &Packed, place: &str) {
    anstream::println!("{} feeds, {} bytes, to {place}", packed.feeds, packed.bytes);
    anstream::println!("digest {}", packed.digest);
}

fn tell_unpacked(unpacked: &Unpacked) {
    unpacked.feeds.iter().for_each(|id| anstream::println!("{id}"));
    anstream::println!(
        "generation {}: {} feeds replaced, {} packages changed",
        unpacked.generation,
        unpacked.feeds.len(),
        unpacked.changed_packages
    );
}
