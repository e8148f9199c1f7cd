//! .NET assemblies: the version resource of a library that has a CLR header.
//!
//! Not here: programs (`*.exe`), satellite assemblies with translations, native libraries. An assembly's name is that of
//! its file, which nearly always is that of the NuGet package; its version is the product version, which for nearly all
//! packages is theirs. Where a list of dependencies (`*.deps.json`) lies in the same folder, that list is better, and the
//! squash drops what was told from assemblies.
//!
//! Sources: Microsoft's "PE Format", "Optional header data directories" (14: the CLR runtime header); "VS_VERSIONINFO
//! structure", "StringFileInfo", "StringTable", "String".

use super::is_depth_below;
use super::locked::Locked;
use super::machine_code::{Program, int};
use crate::analyzer::{Analyzer, FileEntry, FileForm, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};

/// Reads `*.dll`.
pub(super) struct DotNetAssembly;

/// The resource begins with this key, in UTF-16.
const KEY: &str = "VS_VERSION_INFO";
/// Places that are tried.
const PLACES_MAX: usize = 16;

/// The assembly's name, for a path that may be one.
fn assembly_name(path: &[u8]) -> Option<&[u8]> {
    let name = path.rsplit(|&b| b == b'/').next()?;
    let stem = name.strip_suffix(b".dll")?;
    (!stem.is_empty() && !stem.ends_with(b".resources") && is_depth_below(path)).then_some(stem)
}

impl Analyzer for DotNetAssembly {
    fn id(&self) -> &'static str {
        "dotnet-assembly/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if assembly_name(file.path.as_bytes()).is_some() {
            Want::Program { bytes_max: limits.program_bytes_max }
        } else {
            Want::No
        }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let name = assembly_name(file.entry.path.as_bytes()).and_then(super::field);
        let (FileForm::Pe, Some(name)) = (file.form, name) else { return Ok(()) };
        if !has_clr_header(file.content) {
            return Ok(());
        }
        let program = Program::parse(file.content);
        let Some(version) = program.section(b".rsrc").and_then(product_version) else { return Ok(()) };
        let mut found = Locked::new(PackageFormat::NuGet);
        found.add(&name, &version);
        found.push(file, out);
        Ok(())
    }
}

/// Does the optional header point to a CLR header?
fn has_clr_header(content: &[u8]) -> bool {
    let read = || {
        let optional = int(content, 0x3c, 4, false)?.checked_add(24)?;
        let directories = optional.checked_add(if int(content, optional, 2, false)? == 0x20b { 112 } else { 96 })?;
        let count = int(content, directories.checked_sub(4)?, 4, false)?;
        Some(count > 14 && int(content, directories.checked_add(14 * 8)?, 4, false)? != 0)
    };
    read().unwrap_or(false)
}

/// A node of the resource: length, length of the value, kind of value, key, then at multiples of four bytes the value
/// and the children.
struct Node<'a> {
    key: String,
    /// Everything after the key.
    value: &'a [u8],
    /// From the end of the value on.
    children: &'a [u8],
    /// What follows the node.
    next: &'a [u8],
}

/// Reads the node at the beginning of `bytes`, which lies at a multiple of four.
fn node(bytes: &[u8]) -> Option<Node<'_>> {
    let length = usize::try_from(int(bytes, 0, 2, false)?).ok()?;
    let value_length = usize::try_from(int(bytes, 2, 2, false)?).ok()?;
    let is_text = int(bytes, 4, 2, false)? == 1;
    let own = bytes.get(..length)?;
    let (key, key_bytes) = utf16(own.get(6..)?);
    let value_at = (6 + key_bytes).next_multiple_of(4);
    let value = own.get(value_at..).unwrap_or_default();
    let value_bytes = if is_text { value_length * 2 } else { value_length };
    let children = own.get((value_at + value_bytes).next_multiple_of(4)..).unwrap_or_default();
    Some(Node { key, value, children, next: bytes.get(length.next_multiple_of(4)..).unwrap_or_default() })
}

/// A text that ends with a zero, and the bytes that it takes.
fn utf16(bytes: &[u8]) -> (String, usize) {
    let units: Vec<u16> =
        bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).take_while(|&unit| unit != 0).collect();
    let taken = (units.len() + 1) * 2;
    (String::from_utf16_lossy(&units), taken)
}

/// The nodes of a list, one after the other; each takes at least its header.
fn nodes(mut bytes: &[u8]) -> impl Iterator<Item = Node<'_>> {
    std::iter::from_fn(move || {
        let found = node(bytes).filter(|found| found.next.len() < bytes.len())?;
        bytes = found.next;
        Some(found)
    })
}

/// The product version, or else the file version, without what follows a `+`.
fn product_version(resources: &[u8]) -> Option<String> {
    let key: Vec<u8> = KEY.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let places = memchr::memmem::find_iter(resources, &key).take(PLACES_MAX);
    let roots = places.filter_map(|at| node(resources.get(at.checked_sub(6)?..)?));
    for root in roots {
        let (mut product, mut file) = (None, None);
        let lists = nodes(root.children).filter(|info| info.key == "StringFileInfo");
        let tables = lists.flat_map(|info| nodes(info.children));
        for text in tables.flat_map(|table| nodes(table.children)) {
            match text.key.as_str() {
                "ProductVersion" => product = product.or_else(|| version(&utf16(text.value).0)),
                "FileVersion" => file = file.or_else(|| version(&utf16(text.value).0)),
                _ => {}
            }
        }
        if let Some(version) = product.or(file) {
            return Some(version);
        }
    }
    None
}

/// `13.0.1+ae9fe44e` is `13.0.1`; `4.0.30319.1 built by: x` is `4.0.30319.1`.
fn version(text: &str) -> Option<String> {
    let version = text.trim().split(['+', ' ', ',']).next().unwrap_or_default();
    let is_version = version.starts_with(|c: char| c.is_ascii_digit()) && version.contains('.');
    is_version.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, check_bytes, survives};

    /// A node with children that lie at multiples of four.
    fn node(key: &str, is_text: bool, value: &[u8], children: &[Vec<u8>]) -> Vec<u8> {
        let wide = |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let mut out = vec![0; 6];
        out.extend(wide(key));
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(value);
        for child in children {
            out.resize(out.len().next_multiple_of(4), 0);
            out.extend(child);
        }
        let units = if is_text { value.len() / 2 } else { value.len() };
        for (at, number) in [(0, out.len()), (2, units), (4, usize::from(is_text))] {
            out[at..at + 2].copy_from_slice(&u16::try_from(number).unwrap().to_le_bytes());
        }
        out
    }

    fn assembly(product: &str, clr: u32) -> Vec<u8> {
        let wide = |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let texts = vec![
            node("CompanyName", true, &wide("x"), &[]),
            node("FileVersion", true, &wide("13.0.1.25517"), &[]),
            node("ProductVersion", true, &wide(product), &[]),
        ];
        let info = node("StringFileInfo", true, &[], &[node("000004b0", true, &[], &texts)]);
        let resource = node("VS_VERSION_INFO", false, &[0xbd; 52], &[info]);
        let mut file = vec![0; 0x400];
        file[..2].copy_from_slice(b"MZ");
        file[0x3c] = 0x40;
        file[0x40..0x44].copy_from_slice(b"PE\0\0");
        let (optional, directories) = (0x40 + 24, 0x40 + 24 + 96);
        file[0x46] = 1;
        file[0x54] = 224;
        file[optional..optional + 2].copy_from_slice(&0x10b_u16.to_le_bytes());
        file[directories - 4] = 16;
        file[directories + 14 * 8..directories + 14 * 8 + 4].copy_from_slice(&clr.to_le_bytes());
        let section = optional + 224;
        file[section..section + 5].copy_from_slice(b".rsrc");
        let bytes = u32::try_from(resource.len()).unwrap();
        for (at, value) in [(8, bytes), (12, 0x2000), (16, bytes), (20, 0x400)] {
            file[section + at..section + at + 4].copy_from_slice(&value.to_le_bytes());
        }
        file.extend(resource);
        file
    }

    #[test]
    fn assemblies_tell_their_version() {
        let path = "app/Newtonsoft.Json.dll";
        let content = assembly("13.0.1+ae9fe44e", 0x2008);
        check_bytes(path, &content, &["pkg:nuget/Newtonsoft.Json@13.0.1"]);
        check_bytes(path, &assembly("of today", 0x2008), &["pkg:nuget/Newtonsoft.Json@13.0.1.25517"]);
        check_bytes(path, &assembly("13.0.1", 0), &[]);
        check("app/de/X.resources.dll", "MZ", &["not wanted"]);
        survives(path, &content);
    }
}
