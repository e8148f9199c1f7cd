//! Real images to measure with: Debian with an application of many small packages, and Debian with build tools.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::Run;

/// Compressed bytes that an image has to have at least.
const BYTES_MIN: u64 = 150 << 20;

/// Which image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Interpreters, a web server, old Python packages, and the `node_modules` of `react-scripts`.
    App,
    /// Interpreters, servers and build tools: large programs.
    Tools,
}

impl Kind {
    /// The name of its folder.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Tools => "image",
        }
    }
}

/// The Debian packages of the application's lowest layer.
const APP_PACKAGES: &str = "ca-certificates,python3,nodejs,nginx,git";

/// Python packages of the application, old ones.
const APP_PYTHON: [&str; 9] = [
    "django==2.2.0",
    "jinja2==2.10",
    "flask==0.12",
    "werkzeug==0.14",
    "requests==2.19.1",
    "urllib3==1.23",
    "sqlparse==0.3.0",
    "pytz==2019.1",
    "certifi==2018.4.16",
];

/// What `npm` installs for the application.
const APP_NODE: &str = "react-scripts@5.0.1";

/// What each layer adds, as packages of Debian.
const LAYERS: [&str; 3] = [
    "ca-certificates",
    "ca-certificates,python3,python3-pip,nodejs,npm,nginx,git,curl",
    "ca-certificates,python3,python3-pip,nodejs,npm,nginx,git,curl,build-essential,golang-go,default-jre-headless",
];

/// The OCI layout of an image; makes it the first time, which takes some minutes and the network.
pub(super) fn layout(folder: &Path, kind: Kind) -> Result<PathBuf> {
    let layout = folder.join(kind.name());
    if layout.is_dir() {
        return Ok(layout);
    }
    let new = folder.join(format!("{}.new", kind.name()));
    if new.is_dir() {
        fs::remove_dir_all(&new)?;
    }
    let shown = new.display().to_string();
    let image = format!("{shown}:1");
    Run::new("umoci", &["init", "--layout", &shown]).wait()?;
    Run::new("umoci", &["new", "--image", &image]).wait()?;
    match kind {
        Kind::App => add_app(folder, &image)?,
        Kind::Tools => add_tools(folder, &image)?,
    }
    Run::new("umoci", &["gc", "--layout", &shown]).wait()?;
    fs::rename(&new, &layout)?;
    let bytes = layer_sizes(&layout)?.iter().sum::<u64>();
    if bytes < BYTES_MIN {
        bail!("the image has only {bytes} bytes compressed; add packages");
    }
    Ok(layout)
}

/// One layer for each list of packages, with what it adds to the one below.
fn add_tools(folder: &Path, image: &str) -> Result<()> {
    let mut below = BTreeMap::new();
    for (at, packages) in LAYERS.iter().enumerate() {
        let whole = folder.join(format!("rootfs-{at}.tar"));
        let layer = folder.join(format!("layer-{at}.tar"));
        bootstrap(packages, &whole)?;
        below = difference(&whole, &below, &layer)?;
        fs::remove_file(&whole)?;
        add_layer(image, &layer)?;
    }
    Ok(())
}

/// A layer of Debian packages, one of Python's, one of Node's.
fn add_app(folder: &Path, image: &str) -> Result<()> {
    let layer = folder.join("layer.tar");
    bootstrap(APP_PACKAGES, &layer)?;
    add_layer(image, &layer)?;
    let root = folder.join("root");
    let python = root.join("usr/local/lib/python3.11/dist-packages").display().to_string();
    let mut pip = vec!["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", &python];
    pip.extend(APP_PYTHON);
    Run::new("python3", &pip).wait()?;
    add_folder(image, &root, &layer)?;
    let web = root.join("srv/web");
    fs::create_dir_all(&web)?;
    let web = web.display().to_string();
    Run::new(
        "npm",
        &["install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", &web, APP_NODE],
    )
    .wait()?;
    add_folder(image, &root, &layer)
}

/// A root file system as an archive.
fn bootstrap(packages: &str, target: &Path) -> Result<()> {
    let (include, target) = (format!("--include={packages}"), target.display().to_string());
    // One date for all, so that a file that did not change has the same time in each of them.
    Run::new("mmdebstrap", &["--variant=minbase", &include, "bookworm", &target])
        .set("SOURCE_DATE_EPOCH", "1700000000")
        .wait()
}

/// Adds a folder as a layer, and removes it.
fn add_folder(image: &str, folder: &Path, layer: &Path) -> Result<()> {
    let (from, to) = (folder.display().to_string(), layer.display().to_string());
    let fixed = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@1700000000"];
    let arguments: Vec<&str> = fixed.into_iter().chain(["-C", &from, "-cf", &to, "."]).collect();
    Run::new("tar", &arguments).wait()?;
    fs::remove_dir_all(folder)?;
    add_layer(image, layer)
}

/// Adds an archive as a layer, and removes it.
fn add_layer(image: &str, layer: &Path) -> Result<()> {
    Run::new("umoci", &["raw", "add-layer", "--image", image, &layer.display().to_string()]).wait()?;
    Ok(fs::remove_file(layer)?)
}

/// What tells one version of a file from another.
type Print = (u64, u64, u32, u8);

/// Writes the entries of `whole` that are not in `below` as they are there; returns all entries of `whole`.
fn difference(whole: &Path, below: &BTreeMap<PathBuf, Print>, layer: &Path) -> Result<BTreeMap<PathBuf, Print>> {
    let file = File::open(whole).with_context(|| format!("cannot open {}", whole.display()))?;
    let mut archive = tar::Archive::new(BufReader::new(file));
    let mut builder = tar::Builder::new(BufWriter::new(File::create(layer)?));
    let mut all = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let mut header = entry.header().clone();
        let print = (header.size()?, header.mtime()?, header.mode()?, header.entry_type().as_byte());
        if below.get(&path) != Some(&print) {
            match entry.link_name()?.map(|link| link.into_owned()) {
                Some(link) => builder.append_link(&mut header, &path, link)?,
                None => builder.append_data(&mut header, &path, &mut entry)?,
            }
        }
        all.insert(path, print);
    }
    builder.into_inner()?;
    Ok(all)
}

/// `3 layers, 412 MB compressed`.
pub(super) fn describe(layout: &Path) -> Result<String> {
    let sizes = layer_sizes(layout)?;
    Ok(format!("{} layers, {} MB compressed", sizes.len(), sizes.iter().sum::<u64>() / 1_000_000))
}

/// Digest and compressed size of each layer of the one image.
pub(super) fn layers(layout: &Path) -> Result<Vec<(String, u64)>> {
    let read = |path: &Path| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
    let index = read(&layout.join("index.json"))?;
    let digest = index["manifests"][0]["digest"].as_str().context("the layout has no image")?;
    let manifest = read(&layout.join("blobs").join(digest.replace(':', "/")))?;
    let layers = manifest["layers"].as_array().context("the image has no layers")?;
    let layer = |layer: &Value| Some((layer["digest"].as_str()?.to_owned(), layer["size"].as_u64()?));
    Ok(layers.iter().filter_map(layer).collect())
}

fn layer_sizes(layout: &Path) -> Result<Vec<u64>> {
    Ok(layers(layout)?.into_iter().map(|(_, bytes)| bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(path: &Path, files: &[(&str, &str)]) {
        let mut builder = tar::Builder::new(File::create(path).expect("a file"));
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, content.as_bytes()).expect("an entry");
        }
        builder.into_inner().expect("an archive");
    }

    #[test]
    fn a_layer_holds_what_is_new_or_changed() {
        let folder = std::env::temp_dir().join(format!("xtask-image-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let (first, second, layer) = (folder.join("1"), folder.join("2"), folder.join("3"));
        archive(&first, &[("same", "a"), ("changed", "b")]);
        archive(&second, &[("same", "a"), ("changed", "bb"), ("new", "c")]);
        let below = difference(&first, &BTreeMap::new(), &layer).expect("the first layer");
        difference(&second, &below, &layer).expect("the second layer");
        let mut found = tar::Archive::new(File::open(&layer).expect("the layer"));
        let names: Vec<PathBuf> = found
            .entries()
            .expect("entries")
            .map(|entry| entry.expect("an entry").path().expect("a path").into_owned())
            .collect();
        assert_eq!(names, [Path::new("changed"), Path::new("new")]);
        fs::remove_dir_all(&folder).expect("the folder");
    }
}
