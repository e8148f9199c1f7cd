//! The file system that layers make when they are applied in order, and what each of them took away.
//!
//! Not here: contents. A node knows which layer's entry its content comes from. Invariants: links are only followed
//! inside the image, a bounded number of times; a layer's whiteouts and opaque marks touch only what lower layers
//! put there (OCI image specification, `layer.md`, "Applying Changesets"); work is bounded by [`STEPS_MAX`].

use super::fresh::{Fresh, folder_of};
use model::LayerPath;
use model::inventory::{FileKind, FileRecord};
use model::path::PATH_BYTES_MAX;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Path components that are looked up for one image; beyond, links are not followed any more.
const STEPS_MAX: u64 = 20_000_000;
/// From this part of all nodes on, merging two sorted lists takes less time than inserting one into the other.
const MERGED_PART_MIN: usize = 16;
/// Collisions that are kept.
const COLLISIONS_MAX: usize = 100;
/// Links that are followed for one path, as in Linux.
const LINKS_MAX: u32 = 40;

/// An entry of one layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) layer: u32,
    pub(super) record: &'a FileRecord,
}

impl Entry<'_> {
    pub(super) fn is(&self, other: &Entry<'_>) -> bool {
        self.layer == other.layer && std::ptr::eq(self.record, other.record)
    }
}

/// What lies at a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    /// The entry that put it there.
    pub(super) entry: Entry<'a>,
    /// The entry that its content comes from: another one for hard links.
    pub(super) content: Entry<'a>,
}

impl Node<'_> {
    /// Does it have content?
    pub(super) const fn is_file(&self) -> bool {
        matches!(self.content.record.kind, FileKind::Regular | FileKind::HardLink(_))
    }

    pub(super) const fn is_folder(&self) -> bool {
        matches!(self.content.record.kind, FileKind::Folder)
    }
}

/// A file that a layer deleted or replaced.
#[derive(Debug)]
pub(super) struct Gone<'a> {
    pub(super) path: Cow<'a, [u8]>,
    pub(super) node: Node<'a>,
    pub(super) removed_in: u32,
}

/// The flattened file system so far.
pub(super) struct Tree<'a> {
    nodes: BTreeMap<Cow<'a, [u8]>, Node<'a>>,
    gone: Vec<Gone<'a>>,
    /// Entries of one layer that end up at one path, by way of links.
    collisions: Vec<Entry<'a>>,
    steps_left: u64,
    /// The folder of the last entry, and where it really lies.
    last_folder: Option<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Tree<'a> {
    pub(super) const fn new() -> Self {
        Self {
            nodes: BTreeMap::new(),
            gone: Vec::new(),
            collisions: Vec::new(),
            steps_left: STEPS_MAX,
            last_folder: None,
        }
    }

    /// Did following links take more work than any real image does?
    pub(super) const fn is_exhausted(&self) -> bool {
        self.steps_left == 0
    }

    /// What lies at a path, links not followed.
    pub(super) fn get(&self, path: &[u8]) -> Option<&Node<'a>> {
        self.nodes.get(path)
    }

    /// Everything that is there, sorted by path.
    pub(super) fn live(&self) -> impl Iterator<Item = (&[u8], &Node<'a>)> {
        self.nodes.iter().map(|(path, node)| (path.as_ref(), node))
    }

    /// Every file that was there and is not any more, in the order of removal.
    pub(super) fn gone(&self) -> &[Gone<'a>] {
        &self.gone
    }

    /// Entries that lie where another entry of the same layer lies: which of them was meant to stay is not known.
    pub(super) fn collisions(&self) -> &[Entry<'a>] {
        &self.collisions
    }

    /// Applies one layer; `files` is sorted by path.
    pub(super) fn apply(&mut self, layer: u32, files: &'a [FileRecord]) {
        self.last_folder = None;
        for record in files {
            match &record.kind {
                FileKind::Whiteout => {
                    let path = self.locate(&record.path, false);
                    self.remove(&path, layer);
                    self.remove_below(&path, layer);
                }
                FileKind::Opaque => {
                    let path = self.locate(&record.path, true);
                    self.remove_below(&path, layer);
                }
                FileKind::Regular
                | FileKind::Folder
                | FileKind::Symlink(_)
                | FileKind::HardLink(_)
                | FileKind::Special => {}
            }
        }
        self.last_folder = None;
        let mut links_down = Vec::new();
        let mut fresh: Option<Fresh<'a>> = None;
        for record in files {
            let entry = Entry { layer, record };
            let content = match &record.kind {
                FileKind::Regular | FileKind::Folder | FileKind::Symlink(_) | FileKind::Special => entry,
                FileKind::HardLink(target) => match same_layer_target(target, files) {
                    Some(record) => Entry { layer, record },
                    None => {
                        links_down.push((entry, target));
                        continue;
                    }
                },
                FileKind::Whiteout | FileKind::Opaque => continue,
            };
            let node = Node { entry, content };
            if fresh.as_mut().is_some_and(|fresh| fresh.take(record.path.as_bytes(), node)) {
                continue;
            }
            self.settle(fresh.take());
            fresh = self.fresh_around(&record.path, layer);
            if !fresh.as_mut().is_some_and(|fresh| fresh.take(record.path.as_bytes(), node)) {
                self.place(entry, content);
            }
        }
        self.settle(fresh);
        // Last, when everything else is in place.
        for (entry, target) in links_down {
            let content = self.link_content(entry, target);
            self.place(entry, content);
        }
    }

    /// The folder that an entry lies in, if no link leads there and nothing lies in it.
    fn fresh_around(&mut self, path: &'a LayerPath, layer: u32) -> Option<Fresh<'a>> {
        let folder = folder_of(path.as_bytes());
        if self.last_folder.as_ref().is_some_and(|(last, _)| last == folder) {
            // Something lies in it, or was refused: the answer would be the same.
            return None;
        }
        let view = self.view_path(path, layer);
        (view.as_ref() == path.as_bytes() && !self.has_below(folder)).then(|| Fresh::new(folder))
    }

    fn settle(&mut self, fresh: Option<Fresh<'a>>) {
        let Some(nodes) = fresh.map(Fresh::into_nodes) else { return };
        self.last_folder = None;
        if nodes.len() < self.nodes.len() / MERGED_PART_MIN {
            self.nodes.extend(nodes);
        } else {
            self.nodes.append(&mut nodes.into_iter().collect());
        }
    }

    /// The entry that the content of a hard link to something else than the layer's own files comes from.
    fn link_content(&mut self, link: Entry<'a>, target: &LayerPath) -> Entry<'a> {
        let path = self.locate(target, false);
        self.nodes.get(path.as_slice()).filter(|node| !node.is_folder()).map_or(link, |node| node.content)
    }

    fn place(&mut self, entry: Entry<'a>, content: Entry<'a>) {
        let path = &entry.record.path;
        if path.is_root() {
            return;
        }
        let view = self.view_path(path, entry.layer);
        let is_folder = matches!(content.record.kind, FileKind::Folder);
        match self.nodes.get(view.as_ref()).map(Node::is_folder) {
            Some(true) if is_folder => {}
            Some(false) => self.remove(&view, entry.layer),
            Some(true) => {
                self.remove(&view, entry.layer);
                self.remove_below(&view, entry.layer);
            }
            None if is_folder => {}
            None => self.remove_below(&view, entry.layer),
        }
        if matches!(content.record.kind, FileKind::Symlink(_)) {
            self.last_folder = None;
        }
        self.nodes.insert(view, Node { entry, content });
    }

    /// Where an entry really lies: below the folder that its path leads to, itself not followed.
    fn view_path(&mut self, path: &'a LayerPath, layer: u32) -> Cow<'a, [u8]> {
        let bytes = path.as_bytes();
        let Some(slash) = memchr::memrchr(b'/', bytes) else { return Cow::Borrowed(bytes) };
        let (folder, name) = (&bytes[..slash], &bytes[slash + 1..]);
        if self.last_folder.as_ref().is_none_or(|(last, _)| last != folder) {
            let real = self.resolve(folder, true).unwrap_or_else(|| folder.to_vec());
            self.clear_way(&real, layer);
            self.last_folder = Some((folder.to_vec(), real));
        }
        let real = self.last_folder.as_ref().map_or(folder, |(_, real)| real.as_slice());
        if real == folder || real.len() + 1 + name.len() > PATH_BYTES_MAX {
            return Cow::Borrowed(bytes);
        }
        let mut view = real.to_vec();
        if !view.is_empty() {
            view.push(b'/');
        }
        view.extend_from_slice(name);
        Cow::Owned(view)
    }

    /// A file where a folder has to be is none any more. No runtime unpacks such a layer.
    fn clear_way(&mut self, folder: &[u8], layer: u32) {
        for end in memchr::memchr_iter(b'/', folder).chain([folder.len()]) {
            self.steps_left = self.steps_left.saturating_sub(1);
            if self.nodes.get(&folder[..end]).is_some_and(|node| !node.is_folder()) {
                self.remove(&folder[..end], layer);
            }
        }
    }

    /// Where a path leads, as it is written when it leads in circles.
    pub(super) fn locate(&mut self, path: &LayerPath, follow_last: bool) -> Vec<u8> {
        self.resolve(path.as_bytes(), follow_last).unwrap_or_else(|| path.as_bytes().to_vec())
    }

    /// Follows links as a kernel does inside a chroot: `..` above the root stays there, what is missing is a folder.
    /// `None` for circles, for paths that get too long, and when the work is used up.
    fn resolve(&mut self, path: &[u8], follow_last: bool) -> Option<Vec<u8>> {
        let mut real = Vec::with_capacity(path.len());
        let mut rest: Vec<&[u8]> = path.rsplit(|&b| b == b'/').collect();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            self.steps_left = self.steps_left.checked_sub(1)?;
            match part {
                b"" | b"." => continue,
                b".." => {
                    let end = memchr::memrchr(b'/', &real).unwrap_or(0);
                    real.truncate(end);
                    continue;
                }
                part => {
                    let above = real.len();
                    if above > 0 {
                        real.push(b'/');
                    }
                    real.extend_from_slice(part);
                    if real.len() > PATH_BYTES_MAX {
                        return None;
                    }
                    if rest.is_empty() && !follow_last {
                        break;
                    }
                    let Some(node) = self.nodes.get(real.as_slice()) else { continue };
                    if let FileKind::Symlink(target) = &node.content.record.kind {
                        links += 1;
                        if links > LINKS_MAX || target.len() > PATH_BYTES_MAX {
                            return None;
                        }
                        real.truncate(if target.starts_with(b"/") { 0 } else { above });
                        rest.extend(target.rsplit(|&b| b == b'/'));
                    }
                }
            }
        }
        Some(real)
    }

    fn note_collision(&mut self, entry: Entry<'a>) {
        if self.collisions.len() < COLLISIONS_MAX {
            self.collisions.push(entry);
        }
    }

    fn remove(&mut self, path: &[u8], removed_in: u32) {
        if let Some((path, node)) = self.nodes.remove_entry(path) {
            self.last_folder = None;
            self.note_gone(path, node, removed_in);
        }
    }

    /// Does anything lie below a folder?
    fn has_below(&self, folder: &[u8]) -> bool {
        let first_after = |bound: Bound<&[u8]>| {
            let mut after = self.nodes.range::<[u8], _>((bound, Bound::Unbounded));
            after.next().map(|(path, _)| path.as_ref())
        };
        let Some(next) = first_after(Bound::Excluded(folder)) else { return false };
        match next.strip_prefix(folder) {
            None => false,
            Some(rest) if folder.is_empty() || rest.starts_with(b"/") => true,
            // Neighbours such as `a-b` lie between `a` and `a/b`.
            Some(_) => {
                let from = [folder, b"/"].concat();
                first_after(Bound::Included(&from)).is_some_and(|next| next.starts_with(&from))
            }
        }
    }

    /// Removes everything below a folder; what the same layer put there stays.
    fn remove_below(&mut self, folder: &[u8], removed_in: u32) {
        if !self.has_below(folder) {
            return;
        }
        let mut from = folder.to_vec();
        let mut to = from.clone();
        if !folder.is_empty() {
            from.push(b'/');
            to.push(b'/' + 1);
        }
        let upper = if folder.is_empty() { Bound::Unbounded } else { Bound::Excluded(to.as_slice()) };
        let range = (Bound::Included(from.as_slice()), upper);
        self.last_folder = None;
        let below: Vec<Cow<'a, [u8]>> = self.nodes.range::<[u8], _>(range).map(|(path, _)| path.clone()).collect();
        for path in below {
            if let Some(node) = self.nodes.remove(path.as_ref()) {
                self.note_gone(path, node, removed_in);
            }
        }
    }

    fn note_gone(&mut self, path: Cow<'a, [u8]>, node: Node<'a>, removed_in: u32) {
        if node.entry.layer == removed_in {
            self.note_collision(node.entry);
        }
        if node.is_file() {
            self.gone.push(Gone { path, node, removed_in });
        }
    }
}

/// The regular file of the same layer that a hard link names, perhaps by way of other hard links.
fn same_layer_target<'a>(target: &LayerPath, files: &'a [FileRecord]) -> Option<&'a FileRecord> {
    let mut target = target;
    for _ in 0..8 {
        let start = files.partition_point(|record| record.path < *target);
        let same_path = files[start..].iter().take_while(|record| record.path == *target);
        let record = same_path.last()?;
        match &record.kind {
            FileKind::Regular | FileKind::Symlink(_) | FileKind::Special => return Some(record),
            FileKind::HardLink(next) => target = next,
            FileKind::Folder | FileKind::Whiteout | FileKind::Opaque => return None,
        }
    }
    None
}
