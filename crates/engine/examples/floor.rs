//! The floor that `cargo xtask bench scan` measures against: download, gunzip and SHA-256 of an image's layers with the
//! crates that the scan uses, and nothing else.
//!
//! `floor HOST:PORT REPOSITORY TAG`, over plain HTTP. Layers are read side by side; of each, one thread unpacks and one
//! hashes. Prints one line per layer: the digest and the size of its uncompressed bytes.

#![expect(clippy::print_stdout, reason = "this is a program for a person's terminal")]

use std::error::Error;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use analyze::Limits;
use analyze::decompress::{Caps, Decompressor};
use model::Digest;
use remote::Endpoint;
use remote::oci::{BlobReader, ManifestContent, RegistryClient};
use sha2::{Digest as _, Sha256};

/// Bytes handed from the unpacking to the hashing thread at once, and how many such buffers go round.
const CHUNK_BYTES: usize = 256 << 10;
const CHUNKS: usize = 8;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, repository, reference] = arguments.as_slice() else {
        return Err("usage: floor HOST:PORT REPOSITORY TAG".into());
    };
    let client = RegistryClient::new(Endpoint::parse(&format!("http://{host}"))?, remote::Limits::default())?;
    let fetched = client.manifest(repository, reference).await?;
    let ManifestContent::Image(manifest) = fetched.content else {
        return Err("the reference is not one image".into());
    };
    let mut readers = Vec::new();
    for layer in &manifest.layers {
        readers.push(client.blob(repository, layer).await?);
    }
    let sums: Vec<_> = readers.into_iter().map(|reader| thread::spawn(move || sum(reader))).collect();
    for thread in sums {
        let (digest, bytes) = thread.join().map_err(|_| "a layer's thread panicked")??;
        println!("{digest} {bytes}");
    }
    Ok(())
}

/// The digest and size of a layer's uncompressed bytes.
fn sum(reader: BlobReader) -> Result<(Digest, u64), String> {
    let (full, chunks) = sync_channel(CHUNKS);
    let (recycled, empty) = sync_channel(CHUNKS);
    for _ in 0..CHUNKS {
        recycled.send(vec![0; CHUNK_BYTES]).map_err(|e| e.to_string())?;
    }
    let unpacking = thread::spawn(move || unpack(reader, &full, &empty));
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    for (chunk, length) in chunks {
        let chunk: Vec<u8> = chunk;
        hasher.update(&chunk[..length]);
        bytes += length as u64;
        // The other side is gone when it has sent everything.
        drop(recycled.send(chunk));
    }
    unpacking.join().map_err(|_| "the unpacking thread panicked")??;
    Ok((Digest::from_bytes(hasher.finalize().into()), bytes))
}

fn unpack(reader: BlobReader, full: &SyncSender<(Vec<u8>, usize)>, empty: &Receiver<Vec<u8>>) -> Result<(), String> {
    let caps = Caps::layer(&Limits::default());
    let mut stream = Decompressor::new(reader, caps).map_err(|(stop, _)| format!("{stop:?}"))?;
    loop {
        let mut chunk = empty.recv().map_err(|e| e.to_string())?;
        let mut length = 0;
        stream.fill(&mut chunk, &mut length).map_err(|stop| format!("{stop:?}"))?;
        if length == 0 {
            return Ok(());
        }
        full.send((chunk, length)).map_err(|e| e.to_string())?;
    }
}
