//! Who may depend on whom, on the output of `cargo metadata`.
//!
//! ```text
//!                  app
//!                server
//!                engine
//! analyze  intel  policy  report  remote  store
//!                model
//! ```

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Problem;

/// The six in the middle, which know [`model`](MODEL) and never each other.
const SIBLINGS: [&str; 6] = ["analyze", "intel", "policy", "report", "remote", "store"];
const MODEL: &str = "model";
/// For tests alone.
const TESTKIT: &str = "testkit";
/// What the crates above the six may use of the workspace.
const ENGINE: [&str; 7] = ["model", "analyze", "intel", "policy", "report", "remote", "store"];
const SERVER: [&str; 8] = ["model", "analyze", "intel", "policy", "report", "remote", "store", "engine"];

/// The pure crates, and all that each may depend on. Whoever adds a name says in review why it has neither async, nor
/// clock, nor file system, nor sockets, nor SQL.
const PURE: [(&str, &[&str]); 5] = [
    ("model", &["serde", "jiff", "thiserror", "percent-encoding"]),
    (
        "analyze",
        &[
            "model",
            "serde",
            "serde_json",
            "thiserror",
            "flate2",
            "zstd",
            "liblzma",
            "bzip2",
            "zip",
            "bzip2",
            "liblzma",
            "tar",
            "sha2",
            "sha1",
            "md-5",
            "wide",
            "hmac",
            "aho-corasick",
            "memchr",
            "regex",
            "regex-syntax",
            "boreal",
            "toml",
            "postcard",
            "base64",
        ],
    ),
    (
        "intel",
        &[
            "model",
            "serde",
            "serde_json",
            "thiserror",
            "jiff",
            "csv",
            "sha2",
            "postcard",
            "percent-encoding",
            "memchr",
            "quick-xml",
        ],
    ),
    ("policy", &["model", "serde", "serde_json", "thiserror", "jiff", "globset", "toml"]),
    ("report", &["model", "serde", "serde_json", "thiserror", "jiff", "utoipa", "comfy-table", "spdx"]),
];

/// What a pure crate must not reach, not even through others.
const IMPURE: [&str; 8] = ["tokio", "reqwest", "hyper", "axum", "sqlx", "rusqlite", "memmap2", "tempfile"];

/// Crates from outside that only some of ours may depend on.
const RESERVED: [(&str, &[&str]); 3] = [("reqwest", &["remote"]), ("sqlx", &["store"]), ("memmap2", &["store"])];

/// One crate of the workspace.
#[derive(Debug, Default)]
struct Crate {
    normal: BTreeSet<String>,
    development: BTreeSet<String>,
    /// Every crate reached through normal dependencies.
    reached: BTreeSet<String>,
}

/// Every rule about dependencies.
pub(super) fn check(metadata: &Value) -> Result<Vec<Problem>> {
    let crates = crates(metadata).context("the output of cargo metadata has an unknown shape")?;
    let ours: BTreeSet<&str> = crates.keys().map(String::as_str).collect();
    let mut found = Vec::new();
    for (name, of) in &crates {
        let inside = of.normal.iter().map(String::as_str).filter(|to| ours.contains(to));
        for to in inside.filter(|to| !may_use(name, to)) {
            found.push(Problem::new(name, 0, format!("must not depend on `{to}`")));
        }
        for to in of.development.iter().filter(|to| is_sibling(name) && is_sibling(to)) {
            found.push(Problem::new(name, 0, format!("must not depend on `{to}`, not even in tests")));
        }
        for (reserved, users) in RESERVED {
            if of.normal.contains(reserved) && !users.contains(&name.as_str()) {
                found.push(Problem::new(name, 0, format!("`{reserved}` is for {} alone", users.join(", "))));
            }
        }
    }
    for (name, permitted) in PURE {
        found.extend(crates.get(name).map(|of| purity(name, of, permitted)).unwrap_or_default());
    }
    Ok(found)
}

fn is_sibling(name: &str) -> bool {
    SIBLINGS.contains(&name)
}

/// Whether one crate of the workspace may use another outside its tests.
fn may_use(name: &str, to: &str) -> bool {
    match name {
        MODEL => false,
        TESTKIT => to == MODEL,
        "engine" => ENGINE.contains(&to),
        "server" => SERVER.contains(&to),
        sibling if is_sibling(sibling) => to == MODEL,
        _ => to != TESTKIT,
    }
}

fn purity(name: &str, of: &Crate, permitted: &[&str]) -> Vec<Problem> {
    let unlisted = of.normal.iter().filter(|to| !permitted.contains(&to.as_str()));
    let impure = IMPURE.iter().filter(|to| of.reached.contains(**to));
    unlisted
        .map(|to| Problem::new(name, 0, format!("is pure: `{to}` is not on its list of dependencies")))
        .chain(impure.map(|to| Problem::new(name, 0, format!("is pure, but reaches `{to}`"))))
        .collect()
}

fn crates(metadata: &Value) -> Option<BTreeMap<String, Crate>> {
    let mut names = BTreeMap::new();
    for package in metadata["packages"].as_array()? {
        names.insert(package["id"].as_str()?, package["name"].as_str()?);
    }
    let mut edges: BTreeMap<&str, Vec<(&str, bool)>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array()? {
        let mut to = Vec::new();
        for dependency in node["deps"].as_array()? {
            let kinds = dependency["dep_kinds"].as_array()?;
            let normal = kinds.iter().any(|kind| kind["kind"].is_null() || kind["kind"] == "build");
            to.push((dependency["pkg"].as_str()?, normal));
        }
        edges.insert(node["id"].as_str()?, to);
    }
    let mut found = BTreeMap::new();
    for member in metadata["workspace_members"].as_array()? {
        let member = member.as_str()?;
        let mut of = Crate::default();
        for (to, normal) in edges.get(member)? {
            let list = if *normal { &mut of.normal } else { &mut of.development };
            list.insert((*names.get(to)?).to_owned());
        }
        of.reached =
            reached(member, &edges).into_iter().filter_map(|id| names.get(id)).map(|n| (*n).to_owned()).collect();
        found.insert((*names.get(member)?).to_owned(), of);
    }
    Some(found)
}

/// Everything reached from `start` through normal dependencies.
fn reached<'a>(start: &str, edges: &BTreeMap<&'a str, Vec<(&'a str, bool)>>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = vec![start];
    while let Some(id) = open.pop() {
        for (to, normal) in edges.get(id).into_iter().flatten() {
            if *normal && found.insert(*to) {
                open.push(to);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Metadata of a workspace with these members, each with `(dependency, kind)`; all other names are from outside.
    fn workspace(members: &[(&str, &[(&str, &str)])], outside: &[(&str, &[&str])]) -> Value {
        let kind = |kind: &str| if kind == "normal" { Value::Null } else { json!(kind) };
        let dependency = |name: &str, k: &str| json!({"pkg": name, "dep_kinds": [{"kind": kind(k)}]});
        let mut names: BTreeSet<&str> = BTreeSet::new();
        let mut nodes = Vec::new();
        for (name, to) in members {
            names.insert(name);
            names.extend(to.iter().map(|(to, _)| *to));
            let deps: Vec<Value> = to.iter().map(|(to, k)| dependency(to, k)).collect();
            nodes.push(json!({"id": name, "deps": deps}));
        }
        for (name, to) in outside {
            names.insert(name);
            names.extend(to.iter());
            let deps: Vec<Value> = to.iter().map(|to| dependency(to, "normal")).collect();
            nodes.push(json!({"id": name, "deps": deps}));
        }
        let packages: Vec<Value> = names.iter().map(|name| json!({"id": name, "name": name})).collect();
        let ids: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
        json!({"packages": packages, "workspace_members": ids, "resolve": {"nodes": nodes}})
    }

    fn problems(members: &[(&str, &[(&str, &str)])], outside: &[(&str, &[&str])]) -> Vec<String> {
        let found = check(&workspace(members, outside)).expect("metadata");
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_layers_as_they_should_be() {
        let members: &[(&str, &[(&str, &str)])] = &[
            ("model", &[("serde", "normal")]),
            ("intel", &[("model", "normal"), ("proptest", "dev"), ("testkit", "dev")]),
            ("remote", &[("model", "normal"), ("reqwest", "normal")]),
            ("testkit", &[("model", "normal"), ("tokio", "normal")]),
            ("engine", &[("intel", "normal"), ("remote", "normal")]),
            ("server", &[("engine", "normal")]),
            ("pratique", &[("server", "normal"), ("testkit", "dev"), ("reqwest", "dev")]),
        ];
        assert!(problems(members, &[("reqwest", &["tokio"])]).is_empty());
    }

    #[test]
    fn siblings_never_import_each_other() {
        let members: &[(&str, &[(&str, &str)])] = &[("intel", &[("analyze", "normal")]), ("analyze", &[])];
        assert_eq!(
            problems(members, &[]),
            ["intel: must not depend on `analyze`", "intel: is pure: `analyze` is not on its list of dependencies"]
        );
        let members: &[(&str, &[(&str, &str)])] = &[("store", &[("remote", "dev")]), ("remote", &[])];
        assert_eq!(problems(members, &[]), ["store: must not depend on `remote`, not even in tests"]);
    }

    #[test]
    fn nobody_depends_upwards() {
        let members: &[(&str, &[(&str, &str)])] =
            &[("model", &[("intel", "normal")]), ("intel", &[]), ("engine", &[("server", "normal")]), ("server", &[])];
        let found = problems(members, &[]);
        assert!(found.contains(&"model: must not depend on `intel`".to_owned()), "{found:?}");
        assert!(found.contains(&"engine: must not depend on `server`".to_owned()), "{found:?}");
    }

    #[test]
    fn the_testkit_is_for_tests() {
        let members: &[(&str, &[(&str, &str)])] = &[("pratique", &[("testkit", "normal")]), ("testkit", &[])];
        assert_eq!(problems(members, &[]), ["pratique: must not depend on `testkit`"]);
    }

    #[test]
    fn pure_crates_reach_nothing_impure() {
        let members: &[(&str, &[(&str, &str)])] = &[("analyze", &[("boreal", "normal")])];
        assert_eq!(problems(members, &[("boreal", &["memmap2"])]), ["analyze: is pure, but reaches `memmap2`"]);
        let members: &[(&str, &[(&str, &str)])] = &[("policy", &[("rand", "normal")])];
        assert_eq!(problems(members, &[]), ["policy: is pure: `rand` is not on its list of dependencies"]);
    }

    #[test]
    fn sockets_and_sql_have_one_home() {
        let members: &[(&str, &[(&str, &str)])] = &[("engine", &[("reqwest", "normal"), ("sqlx", "normal")])];
        assert_eq!(
            problems(members, &[]),
            ["engine: `reqwest` is for remote alone", "engine: `sqlx` is for store alone"]
        );
    }
}
