//! Folders of a layer in which nothing lay before: their entries need no look at the file system that is there.
//!
//! Not here: everything else ([`super::tree`]). Invariant: what is taken here would be placed where its own path says,
//! and takes nothing away; whatever might not is refused.

use super::tree::Node;
use std::borrow::Cow;

/// Where a node lies, and the node.
pub(super) type Placed<'a> = (Cow<'a, [u8]>, Node<'a>);

/// A folder below which the file system is empty, and what one layer puts there, sorted by path.
pub(super) struct Fresh<'a> {
    root: &'a [u8],
    /// The last folder whose way from the root is known to have no links and no files.
    folder: &'a [u8],
    nodes: Vec<Placed<'a>>,
}

impl<'a> Fresh<'a> {
    /// Nothing lies below `root`, and no link leads to it.
    pub(super) const fn new(root: &'a [u8]) -> Self {
        Self { root, folder: root, nodes: Vec::new() }
    }

    /// Takes a node, unless it lies elsewhere, comes out of order, or below something that is no folder.
    pub(super) fn take(&mut self, path: &'a [u8], node: Node<'a>) -> bool {
        let is_later = self.nodes.last().is_none_or(|(last, _)| last.as_ref() < path);
        let takes = is_later && !path.is_empty() && is_below(path, self.root) && self.is_way(folder_of(path));
        if takes {
            self.nodes.push((Cow::Borrowed(path), node));
        }
        takes
    }

    /// Are all folders between the root and this one folders, or not there?
    fn is_way(&mut self, folder: &'a [u8]) -> bool {
        if self.folder == folder {
            return true;
        }
        let ends = memchr::memchr_iter(b'/', folder).chain([folder.len()]).filter(|end| *end > self.root.len());
        for end in ends {
            let above = &folder[..end];
            if self.folder == above || is_below(self.folder, above) {
                continue;
            }
            let found = self.nodes.binary_search_by(|(path, _)| path.as_ref().cmp(above));
            if found.is_ok_and(|at| !self.nodes[at].1.is_folder()) {
                return false;
            }
        }
        self.folder = folder;
        true
    }

    /// All that was taken.
    pub(super) fn into_nodes(self) -> Vec<Placed<'a>> {
        self.nodes
    }
}

/// The folder that a path lies in; empty for the root.
pub(super) fn folder_of(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).map_or(&[], |slash| &path[..slash])
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}
