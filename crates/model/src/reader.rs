//! Who read the bytes behind a fact.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The reader of a fact. Server-read facts serve every image; what an agent group read serves only images
/// that were found through that group's registries, because the server cannot verify it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Reader {
    /// The server's own workers.
    Server,
    /// The agents of one group.
    Group(String),
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Group(name) => write!(f, "group:{name}"),
        }
    }
}

impl FromStr for Reader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("group:") {
            Some(name) if !name.is_empty() => Ok(Self::Group(name.to_owned())),
            _ if text == "server" => Ok(Self::Server),
            _ => Err(format!("{text:?} is not a reader: expected \"server\" or \"group:NAME\"")),
        }
    }
}

impl From<Reader> for String {
    fn from(reader: Reader) -> Self {
        reader.to_string()
    }
}

impl TryFrom<String> for Reader {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
