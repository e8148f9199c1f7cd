//! XML of feeds, read element by element: the small trees that a feed asks for, below limits.
//!
//! Not here: namespaces (local names are enough to tell the elements of a feed apart), and document types: a document
//! that declares one is refused, so that no entity is ever expanded but the five that XML itself names and characters
//! by number (XML 1.0, sections 4.1 and 4.6).
//!
//! Invariant: a document is read to its end and its root element is closed, or it is an error; no text, no tree and no
//! nesting grows beyond its limit.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// How deep elements may be nested. OVAL's criteria, the deepest that feeds have, stay below 20.
const DEPTH_MAX: usize = 64;
/// How many elements one tree may have. The largest erratum lists about 20,000 packages.
const NODES_MAX: usize = 1_000_000;
/// The most text in one element, in bytes. What is longer is cut: descriptions are long, what is read is short.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The most attributes of one element.
const ATTRIBUTES_MAX: usize = 64;
/// How far the root element is looked for: comments and declarations before it are short.
const PROLOG_BYTES_MAX: usize = 64 * 1024;

/// An element with what is in it. Names are local names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    /// The text directly inside, cut to its limit.
    text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The text directly inside, without the white space around it.
    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    /// The children of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The first child of a name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child of a name; empty when there is none.
    pub(super) fn text_of(&self, name: &str) -> &str {
        self.child(name).map(Self::text).unwrap_or_default()
    }
}

/// The local name of a document's root element, also when the document is cut off later; `None` for what is no XML.
pub(super) fn root(bytes: &[u8]) -> Option<String> {
    if bytes.trim_ascii_start().first() != Some(&b'<') {
        return None;
    }
    let mut reader = Reader::from_reader(&bytes[..bytes.len().min(PROLOG_BYTES_MAX)]);
    loop {
        match reader.read_event() {
            Ok(Event::Start(start) | Event::Empty(start)) => return Some(local_name(&start)),
            Ok(Event::Decl(_) | Event::Comment(_) | Event::Text(_) | Event::PI(_)) => {}
            Ok(_) | Err(_) => return None,
        }
    }
}

/// Hands every element to `visit` whose parents have the names of `path`, the root first. The root's own name has to be
/// the first of `path`.
///
/// # Errors
/// When the document is not well-formed, ends early, is of another root or above a limit.
pub(super) fn elements(bytes: &[u8], path: &[&str], mut visit: impl FnMut(Element)) -> Result<(), String> {
    let mut walk = Walk { path, open: Vec::new(), tree: Vec::new(), nodes: 0, roots: 0 };
    let mut reader = Reader::from_reader(bytes);
    loop {
        let event = reader.read_event().map_err(|e| format!("it is not well-formed XML: {e}"))?;
        match event {
            Event::Start(start) => walk.start(&start)?,
            Event::Empty(start) => {
                walk.start(&start)?;
                walk.end().map(&mut visit);
            }
            Event::End(_) => drop(walk.end().map(&mut visit)),
            Event::Text(text) => walk.text(&text),
            Event::CData(text) => walk.text(&text),
            Event::GeneralRef(reference) => walk.reference(&reference)?,
            Event::DocType(_) => return Err("it declares a document type, which no feed does".to_owned()),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    match walk.open.last() {
        Some(name) => Err(format!("it ends inside of <{}>", super::shown(name))),
        None if walk.roots == 0 => Err("it is empty".to_owned()),
        None => Ok(()),
    }
}

struct Walk<'p> {
    path: &'p [&'p str],
    /// The names of all open elements.
    open: Vec<String>,
    /// The open elements of the tree that is being read, the outermost first.
    tree: Vec<Element>,
    nodes: usize,
    roots: usize,
}

impl Walk<'_> {
    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        let name = local_name(start);
        if self.open.is_empty() {
            self.roots += 1;
            if self.roots > 1 || self.path.first() != Some(&name.as_str()) {
                return Err(format!("its root element is <{}>", super::shown(&name)));
            }
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("its elements are nested deeper than {DEPTH_MAX}"));
        }
        let is_wanted = self.open.len() == self.path.len() && self.open.iter().zip(self.path).all(|(a, b)| a == b);
        if is_wanted || !self.tree.is_empty() {
            self.nodes += 1;
            if self.nodes > NODES_MAX {
                return Err(format!("one of its records has more than {NODES_MAX} elements"));
            }
            self.tree.push(Element { attributes: attributes(start)?, name: name.clone(), ..Element::default() });
        }
        self.open.push(name);
        Ok(())
    }

    /// Closes the innermost element; gives the whole tree when that is its outermost.
    fn end(&mut self) -> Option<Element> {
        self.open.pop();
        let done = self.tree.pop()?;
        match self.tree.last_mut() {
            Some(parent) => {
                parent.children.push(done);
                None
            }
            None => {
                self.nodes = 0;
                Some(done)
            }
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(open) = self.tree.last_mut() {
            let room = TEXT_BYTES_MAX.saturating_sub(open.text.len());
            let cut = (0..=room.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            open.text.push_str(&text[..cut]);
        }
    }

    fn reference(&mut self, reference: &quick_xml::events::BytesRef<'_>) -> Result<(), String> {
        let unknown = || "it uses an entity that XML does not name".to_owned();
        if let Some(letter) = reference.resolve_char_ref().map_err(|_| unknown())? {
            self.text(letter.encode_utf8(&mut [0; 4]));
            return Ok(());
        }
        let known = quick_xml::escape::resolve_xml_entity(reference).ok_or_else(unknown)?;
        self.text(known);
        Ok(())
    }
}

fn local_name(start: &BytesStart<'_>) -> String {
    start.local_name().as_ref().to_owned()
}

fn attributes(start: &BytesStart<'_>) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| format!("it is not well-formed XML: {e}"))?;
        if found.len() >= ATTRIBUTES_MAX {
            return Err(format!("an element has more than {ATTRIBUTES_MAX} attributes"));
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|e| format!("it is not well-formed XML: {e}"))?;
        found.push((attribute.key.local_name().as_ref().to_owned(), value.into_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Element>, String> {
        let mut found = Vec::new();
        elements(text.as_bytes(), &["updates"], |element| found.push(element))?;
        Ok(found)
    }

    #[test]
    fn elements_are_read_with_their_text_and_attributes() {
        let found = read(
            "<?xml version=\"1.0\"?><!-- x --><updates><update a=\"1 &lt; 2\"><id>A &amp; B&#33;</id><e/></update>\
             <ns:update xmlns:ns=\"u\"><![CDATA[<raw>]]></ns:update></updates>",
        )
        .unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].attribute("a"), Some("1 < 2"));
        assert_eq!(found[0].text_of("id"), "A & B!");
        assert!(found[0].child("e").is_some() && found[0].child("f").is_none());
        assert_eq!((found[1].name.as_str(), found[1].text()), ("update", "<raw>"));
    }

    #[test]
    fn documents_that_are_not_whole_are_refused() {
        let check = |text: &str, expect: &str| {
            let why = read(text).unwrap_err();
            assert!(why.contains(expect), "{text}: {why}");
        };
        check("", "empty");
        check("<updates><update></update>", "ends inside of <updates>");
        check("<updates><update></updates>", "well-formed");
        check("<html></html>", "root element is <html>");
        check("<updates></updates><updates></updates>", "root element");
        check("<!DOCTYPE x [<!ENTITY a \"b\">]><updates/>", "document type");
        check("<updates><update>&a;</update></updates>", "entity");
        let deep = format!("<updates>{}{}</updates>", "<a>".repeat(100), "</a>".repeat(100));
        check(&deep, "nested deeper");
    }

    #[test]
    fn roots_are_told_from_what_is_left_of_a_document() {
        let check = |text: &str, expect: Option<&str>| assert_eq!(root(text.as_bytes()).as_deref(), expect, "{text}");
        check("<?xml version=\"1.0\"?>\n<!-- c -->\n<o:updates x=\"y\"><upd", Some("updates"));
        check("<!DOCTYPE html><html>", None);
        check("<upda", None);
        check("{}", None);
        check("", None);
    }
}
