//! Where a fact was seen.

use crate::LayerPath;
use serde::{Deserialize, Serialize};

/// A place inside one layer, without saying which: a layer has no index of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The file.
    pub path: LayerPath,
    /// The line, counted from 1, where one makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// A place inside an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// Index into the image's layers; `None` for what stands in the configuration (environment, label, history).
    pub layer: Option<u32>,
    /// The file, or `None` in the configuration.
    pub path: Option<LayerPath>,
    /// The line, counted from 1.
    pub line: Option<u32>,
    /// The layer that deleted or replaced the file: no longer visible, still extractable.
    pub removed_in: Option<u32>,
    /// The history line that made the layer, or the configuration entry (`ENV NAME`, `LABEL key`).
    pub history: Option<String>,
}
