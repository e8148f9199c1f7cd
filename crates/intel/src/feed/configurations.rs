//! What the configurations of an NVD record say of software that is known by name ([`model::software`]).
//!
//! Not here: the rest of a record ([`nvd`](super::nvd)). Of the many products that records name, only those are kept
//! that a package can be.
//!
//! A configuration may name what has to be there as well: an operating system, hardware, another program. A package does
//! not tell that, so what is affected "together with" something is undecided, with the reason; only "on Linux" is taken
//! to hold. The same goes for names that are narrowed by target software, hardware or edition, and for records that name
//! a build by others that shares most of the code (Oracle's, for OpenJDK).
//!
//! Invariant: whatever cannot be read makes its product undecided, or is counted as broken; it never leaves fewer
//! versions affected, silently.
//!
//! Field names: NVD's JSON schema `cve_api_json_2.0`. Version ranges compare the version alone; the update of a name
//! counts only where the name has a version of its own (NIST IR 7696, section 6).

use super::cpe_versions::{Range, Stretch, ranges};
use super::{Lenient, shown};
use crate::range::cpe::{Name, Value};
use crate::record::{Configured, Interval};
use model::software::{SOFTWARE, Software};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// The most names of one record that are read; the largest have some ten thousand.
const NAMES_MAX: usize = 100_000;
/// The most stretches and versions of one product in one record.
const RANGES_MAX: usize = 2_000;
/// How many names a reason lists.
const NAMES_SHOWN: usize = 3;

/// What a record says of packages, and what of it could not be read.
#[derive(Debug, Default)]
pub(super) struct Affected {
    /// By the name of the software, sorted.
    pub(super) statements: Vec<(&'static str, Configured)>,
    /// Reasons, for people.
    pub(super) broken: Vec<String>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    operator: Field<String>,
    #[serde(default)]
    negate: Field<bool>,
    nodes: Vec<Lenient<Node>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    #[serde(default)]
    operator: Field<String>,
    #[serde(default)]
    negate: Field<bool>,
    #[serde(default)]
    cpe_match: Vec<Lenient<Named>>,
    /// Nodes in nodes: version 1.1 of the schema had them, 2.0 has not.
    #[serde(default)]
    children: Field<IgnoredAny>,
}

/// A name, and the ends of a range of its versions.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    criteria: String,
    #[serde(default)]
    vulnerable: Field<bool>,
    #[serde(default)]
    pub(super) version_start_including: Field<String>,
    #[serde(default)]
    pub(super) version_start_excluding: Field<String>,
    #[serde(default)]
    pub(super) version_end_including: Field<String>,
    #[serde(default)]
    pub(super) version_end_excluding: Field<String>,
}

/// A field that may be missing; one of another type is not the same as a missing one.
#[derive(Deserialize, Default)]
#[serde(untagged)]
pub(super) enum Field<T> {
    #[serde(skip)]
    #[default]
    Missing,
    Good(T),
    Bad(IgnoredAny),
}

impl<T> Field<T> {
    /// The value; an error when it is of another type.
    pub(super) fn get(&self) -> Result<Option<&T>, ()> {
        match self {
            Self::Missing => Ok(None),
            Self::Good(value) => Ok(Some(value)),
            Self::Bad(IgnoredAny) => Err(()),
        }
    }
}

/// What a `vendor:product` means.
type Means = Vec<(&'static Software, &'static str)>;

/// By `vendor:product`.
static PRODUCTS: LazyLock<HashMap<&'static str, Means>> = LazyLock::new(|| {
    let mut found: HashMap<&'static str, Means> = HashMap::new();
    for software in SOFTWARE {
        for pair in software.products.iter().chain(software.kin) {
            found.entry(pair).or_default().push((software, pair));
        }
    }
    found
});

/// Reads the `configurations` of a record; what is of another form is counted, and the rest of the record stays.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Affected, D::Error> {
    let all = Option::<Lenient<Vec<Lenient<Configuration>>>>::deserialize(deserializer)?;
    let mut collector = Collector::default();
    match all {
        None => {}
        Some(Lenient::Bad(IgnoredAny)) => collector.broken("its configurations are not a list"),
        Some(Lenient::Good(all)) => all.into_iter().for_each(|configuration| match configuration {
            Lenient::Good(configuration) => collector.configuration(&configuration),
            Lenient::Bad(IgnoredAny) => collector.broken("a configuration is not in the form it should have"),
        }),
    }
    Ok(collector.finish())
}

/// How the members of a node or configuration go together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Or,
    Unreadable,
}

fn operator(operator: &Field<String>, negate: &Field<bool>) -> Operator {
    match (operator.get().map(|word| word.map(String::as_str)), negate.get()) {
        (Ok(None | Some("OR")), Ok(None | Some(false))) => Operator::Or,
        (Ok(Some("AND")), Ok(None | Some(false))) => Operator::And,
        _ => Operator::Unreadable,
    }
}

/// What is collected of one record.
#[derive(Default)]
struct Collector {
    /// By software, product and condition.
    found: BTreeMap<(&'static str, &'static str, Option<String>), Configured>,
    names: usize,
    affected: Affected,
}

impl Collector {
    fn broken(&mut self, why: impl Into<String>) {
        self.affected.broken.push(why.into());
    }

    fn configuration(&mut self, configuration: &Configuration) {
        let mut nodes: Vec<&Node> = Vec::with_capacity(configuration.nodes.len());
        let mut is_whole = true;
        for node in &configuration.nodes {
            match node {
                Lenient::Good(node) if matches!(node.children, Field::Missing) => nodes.push(node),
                Lenient::Good(_) | Lenient::Bad(IgnoredAny) => {
                    is_whole = false;
                    self.broken("a node of a configuration is not in the form it should have");
                }
            }
        }
        let outer =
            if is_whole { operator(&configuration.operator, &configuration.negate) } else { Operator::Unreadable };
        for (at, node) in nodes.iter().enumerate() {
            let inner = operator(&node.operator, &node.negate);
            for named in &node.cpe_match {
                self.names += 1;
                match named {
                    _ if self.names > NAMES_MAX => return self.too_many(),
                    Lenient::Good(named) => {
                        let beside = Beside { nodes: &nodes, at, named, outer, inner };
                        self.named(&beside);
                    }
                    Lenient::Bad(IgnoredAny) => {
                        self.broken("a name in a configuration is not in the form it should have")
                    }
                }
            }
        }
    }

    fn too_many(&mut self) {
        if self.names == NAMES_MAX + 1 {
            self.broken(format!("it names more than {NAMES_MAX} products, of which the rest were not read"));
        }
    }

    fn named(&mut self, beside: &Beside<'_>) {
        let named = beside.named;
        let Some(means) = means(&named.criteria) else { return };
        let vulnerable = named.vulnerable.get();
        if matches!(vulnerable, Ok(Some(false))) {
            return;
        }
        let name = Name::parse(&named.criteria);
        if let Err(error) = &name {
            self.broken(error.to_string());
        }
        let is_readable =
            vulnerable.is_ok() && beside.outer != Operator::Unreadable && beside.inner != Operator::Unreadable;
        for (software, product) in means {
            let Ok(name) = name.as_ref().map_err(|_| ()) else {
                self.doubt((software.name, product, None), "NVD's name of the product cannot be read");
                continue;
            };
            let condition = beside.condition(software, product, name);
            if !is_readable {
                self.doubt((software.name, product, None), "NVD's configuration is of a form that is not read");
                continue;
            }
            match ranges(name, named, software.versions) {
                Ok(ranges) => self.add((software.name, product, condition), ranges),
                Err(why) => {
                    if why.is_broken {
                        self.broken(why.text.clone());
                    }
                    self.doubt((software.name, product, condition), &why.text);
                }
            }
        }
    }

    fn doubt(&mut self, at: (&'static str, &'static str, Option<String>), why: &str) {
        self.entry(at).unclear.get_or_insert_with(|| why.to_owned());
    }

    fn entry(&mut self, at: (&'static str, &'static str, Option<String>)) -> &mut Configured {
        let (product, condition) = (at.1.to_owned(), at.2.clone());
        self.found.entry(at).or_insert_with(|| Configured { product, condition, ..Configured::default() })
    }

    fn add(&mut self, at: (&'static str, &'static str, Option<String>), ranges: Vec<Range>) {
        for Range { stretch, is_after, doubt } in ranges {
            let mut at = at.clone();
            at.2 = at.2.or(doubt);
            let entry = self.entry(at);
            if entry.intervals.len() + entry.versions.len() >= RANGES_MAX {
                entry.unclear.get_or_insert_with(|| format!("NVD lists more than {RANGES_MAX} ranges of it"));
                continue;
            }
            match stretch {
                Stretch::Listed(version) => entry.versions.push(version),
                Stretch::Interval(interval) => include(entry, interval, is_after),
            }
        }
    }

    fn finish(mut self) -> Affected {
        let has_own: Vec<&str> =
            self.found.keys().filter(|(name, product, _)| !is_kin(name, product)).map(|key| key.0).collect();
        for ((name, product, _), mut configured) in std::mem::take(&mut self.found) {
            if is_kin(name, product) {
                if has_own.contains(&name) {
                    continue;
                }
                let why = format!(
                    "NVD names {product}, which shares most of its code, and does not say whether {name} is affected"
                );
                configured.condition = Some(configured.condition.map_or(why.clone(), |more| format!("{why}; {more}")));
            }
            configured.versions.sort();
            configured.versions.dedup();
            self.affected.statements.push((name, configured));
        }
        self.affected
    }
}

fn is_kin(name: &str, product: &str) -> bool {
    model::software::software(name).is_some_and(|software| software.kin.contains(&product))
}

/// An interval that begins with a version and one that begins after it together begin with it.
fn include(entry: &mut Configured, interval: Interval, is_after: bool) {
    if let Some(from) = &interval.from {
        let is_known = entry.intervals.iter().any(|known| known.from.as_ref() == Some(from));
        match is_after {
            false => entry.after.retain(|after| after != from),
            true if is_known => {}
            true => entry.after.push(from.clone()),
        }
    }
    if !entry.intervals.contains(&interval) {
        entry.intervals.push(interval);
    }
}

/// The software that a name may mean, told without reading the whole of it: nearly all names mean nothing here.
fn means(criteria: &str) -> Option<&'static Means> {
    let rest = criteria.strip_prefix("cpe:2.3:a:")?;
    if rest.contains('\\') {
        return PRODUCTS.get(Name::parse(criteria).ok()?.product()?.as_str());
    }
    let vendor = rest.find(':')?;
    let end = vendor + 1 + rest[vendor + 1..].find(':')?;
    PRODUCTS.get(rest[..end].to_ascii_lowercase().as_str())
}

/// A name, and everything that it stands beside.
struct Beside<'a> {
    nodes: &'a [&'a Node],
    /// Its node.
    at: usize,
    named: &'a Named,
    /// How the nodes go together.
    outer: Operator,
    /// How the names of its node do.
    inner: Operator,
}

impl Beside<'_> {
    /// What has to be the case besides the version; `None` when nothing has.
    fn condition(&self, software: &Software, product: &str, name: &Name) -> Option<String> {
        let mut parts = Vec::new();
        if self.outer == Operator::And {
            let others = self.nodes.iter().enumerate().filter(|(at, _)| *at != self.at).map(|(_, node)| *node);
            parts.extend(others.filter(|node| !node.surely_holds(software)).map(Node::names));
        }
        if self.inner == Operator::And {
            let others = self.nodes[self.at].named().filter(|other| !std::ptr::eq(*other, self.named));
            parts.extend(others.filter(|other| !other.surely_holds(software)).map(|other| short(&other.criteria)));
        }
        let mut found: Vec<String> = Vec::new();
        if !parts.is_empty() {
            found.push(format!(
                "NVD says so of {product} together with {}, which a package does not tell",
                parts.join(" and ")
            ));
        }
        let narrow = narrowed(name);
        if !narrow.is_empty() {
            found.push(format!("NVD says so of {product} only {}, which a package does not tell", narrow.join(", ")));
        }
        (!found.is_empty()).then(|| found.join("; "))
    }
}

impl Node {
    fn named(&self) -> impl Iterator<Item = &Named> {
        self.cpe_match.iter().filter_map(|named| match named {
            Lenient::Good(named) => Some(named),
            Lenient::Bad(IgnoredAny) => None,
        })
    }

    fn surely_holds(&self, software: &Software) -> bool {
        match operator(&self.operator, &self.negate) {
            Operator::Or => self.named().any(|named| named.surely_holds(software)),
            Operator::And => self.named().all(|named| named.surely_holds(software)),
            Operator::Unreadable => false,
        }
    }

    /// `debian:debian_linux 9.0 or debian:debian_linux 10.0`.
    fn names(&self) -> String {
        let mut names: Vec<String> = self.named().take(NAMES_SHOWN).map(|named| short(&named.criteria)).collect();
        let more = self.named().count().saturating_sub(NAMES_SHOWN);
        if more > 0 {
            names.push(format!("{more} more"));
        }
        names.join(" or ")
    }
}

impl Named {
    /// Linux, of any version; or the software itself.
    fn surely_holds(&self, software: &Software) -> bool {
        let Ok(name) = Name::parse(&self.criteria) else { return false };
        let bounds = [
            &self.version_start_including,
            &self.version_start_excluding,
            &self.version_end_including,
            &self.version_end_excluding,
        ];
        let is_any = name.version().is_open() && bounds.iter().all(|bound| matches!(bound, Field::Missing));
        let product = name.product();
        let product = product.as_deref().unwrap_or_default();
        is_any && (product == "linux:linux_kernel" || name.is_application() && software.products.contains(&product))
    }
}

/// `vendor:product version`, for people.
fn short(criteria: &str) -> String {
    match Name::parse(criteria) {
        Ok(name) => {
            let product = name.product().unwrap_or_else(|| shown(criteria));
            name.version().text().map_or_else(|| shown(&product), |version| shown(&format!("{product} {version}")))
        }
        Err(_) => format!("{:?}", shown(criteria)),
    }
}

/// What narrows a name to a part of its users. Containers run on Linux, and free software has free editions.
fn narrowed(name: &Name) -> Vec<String> {
    const TARGETS: [&str; 5] = ["linux", "linux_kernel", "unix", "docker", "kubernetes"];
    const EDITIONS: [&str; 4] = ["lts", "community", "open_source", "oss"];
    let mut found = Vec::new();
    let mut narrow = |what: &str, value: &Value, usual: &[&str]| {
        let is_usual = value.is_open() || value.text().is_some_and(|text| usual.contains(&text));
        if !is_usual {
            found.push(format!("for {what}{}", shown(&value.to_string())));
        }
    };
    narrow("", name.target_software(), &TARGETS);
    narrow("", name.target_hardware(), &[]);
    narrow("edition ", name.software_edition(), &EDITIONS);
    for value in name.rest() {
        narrow("", value, &[]);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::evaluate::{Installed, Outcome, judge};
    use crate::record::Says;
    use crate::version::Scheme;
    use proptest::prelude::*;

    fn affected(json: &str) -> Affected {
        read(&mut serde_json::Deserializer::from_str(json)).expect("configurations are never refused whole")
    }

    fn one(name: &str) -> String {
        format!(r#"[{{"nodes":[{{"cpeMatch":[{{"vulnerable":true,"criteria":"{name}"}}]}}]}}]"#)
    }

    #[test]
    fn names_that_mean_no_package_are_left_out() {
        for name in ["cpe:2.3:o:redis:redis:1:*:*:*:*:*:*:*", "cpe:2.3:a:someone:redis:1:*:*:*:*:*:*:*", "redis", ""] {
            let found = affected(&one(name));
            assert!(found.statements.is_empty() && found.broken.is_empty(), "{name}: {found:?}");
        }
        let upper = affected(&one("cpe:2.3:a:Redis:Redis:6.0.1:*:*:*:*:*:*:*"));
        assert_eq!(upper.statements.len(), 1);
    }

    #[test]
    fn a_product_of_several_names_speaks_of_each() {
        let found = affected(&one("cpe:2.3:a:nodejs:node.js:18.12.0:*:*:*:lts:*:*:*"));
        let names: Vec<&str> = found.statements.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["node", "nodejs"]);
    }

    #[test]
    fn records_without_bounds_are_cut() {
        let name = r#"{"vulnerable":true,"criteria":"cpe:2.3:a:redis:redis:1.0:*:*:*:*:*:*:*"}"#;
        let names = vec![name; NAMES_MAX + 10].join(",");
        let found = affected(&format!(r#"[{{"nodes":[{{"cpeMatch":[{names}]}}]}}]"#));
        assert_eq!(found.broken.len(), 1, "{:?}", found.broken);
        let (_, says) = &found.statements[0];
        assert!(says.versions.len() <= RANGES_MAX && says.unclear.is_some());
    }

    proptest! {
        /// Whatever is cut from a configuration, or put in the place of a value: what was affected stays so, or is
        /// undecided, or its name is gone.
        #[test]
        fn damage_never_clears_a_version(at in 0..7_usize, value in "null|7|true|\"x\"|\\[\\]|\\{\\}") {
            let fields = ["operator", "negate", "nodes", "cpeMatch", "vulnerable", "criteria", "versionEndExcluding"];
            let good = [r#""OR""#, "false", "", "", "true", r#""cpe:2.3:a:redis:redis:*:*:*:*:*:*:*:*""#, r#""7.0.0""#];
            let put = |field: usize| if field == at { value.clone() } else { good[field].to_owned() };
            let named = format!(r#"{{"vulnerable":{},"criteria":{},"versionEndExcluding":{}}}"#, put(4), put(5), put(6));
            let names = if at == 3 { value.clone() } else { format!("[{named}]") };
            let node = format!(r#"{{"operator":{},"negate":{},"cpeMatch":{names}}}"#, put(0), put(1));
            let nodes = if at == 2 { value.clone() } else { format!("[{node}]") };
            let found = affected(&format!(r#"[{{"nodes":{nodes}}}]"#));
            let is_empty_list = value == "[]" && (at == 2 || at == 3);
            prop_assert!(fields[at] == "criteria" || is_empty_list || !found.statements.is_empty() || !found.broken.is_empty());
            let scheme = Scheme::Generic;
            let read = scheme.read("6.0.0").ok();
            for (name, says) in &found.statements {
                let bytes = crate::compile::pack(&Says::Configured(says.clone()));
                let says: Says<&str> = postcard::from_bytes(&bytes).expect("it was packed");
                let installed = Installed { name, version: "6.0.0", scheme, read: read.as_ref() };
                let outcome = judge(&says, installed).outcome;
                prop_assert!(!matches!(outcome, Outcome::NotAffected(_)), "{}: {:?}", value, outcome);
            }
        }
    }
}
