//! What the asker may see. Every read of images, findings or issues takes one.

use serde::{Deserialize, Serialize};

/// The part of the inventory that a request may see. There is no unscoped read outside reconcilers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Every registry and repository.
    All,
}
