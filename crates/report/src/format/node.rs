//! A JSON document under construction, whose members stay in the order they were put in.
//!
//! Not here: reading JSON. Invariant: the bytes depend on the values alone, whatever features `serde_json` was built
//! with.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    Number(f64),
    Count(u64),
    Flag(bool),
    List(Vec<Self>),
    Object(Object),
}

/// A JSON object.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Object(Vec<(&'static str, Node)>);

impl Object {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a member. A name is given once.
    pub(super) fn set(mut self, name: &'static str, value: impl Into<Node>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// Adds a member when there is something to say.
    pub(super) fn set_some(self, name: &'static str, value: Option<impl Into<Node>>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    /// Adds a list when it is not empty.
    pub(super) fn set_list<T: Into<Node>>(self, name: &'static str, values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<Node> = values.into_iter().map(Into::into).collect();
        if values.is_empty() { self } else { self.set(name, values) }
    }

    /// The document as text, with a newline at its end.
    pub(super) fn text(&self, pretty: bool) -> String {
        crate::scan::json(self, pretty)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::List(list) => list.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Node {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Node {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Node {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<u32> for Node {
    fn from(count: u32) -> Self {
        Self::Count(count.into())
    }
}

impl From<bool> for Node {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Vec<Self>> for Node {
    fn from(list: Vec<Self>) -> Self {
        Self::List(list)
    }
}

impl From<Object> for Node {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}
