//! Every rule that ships with the program finds its examples, and not its counter-examples.

use analyze::malware::{Kind, MalwareDetector, Suspect};
use analyze::secrets::{Example, Rule, SecretDetector, Source};
use model::LayerPath;
use model::extraction::{RuleDocument, RuleKind};
use model::layer::{ImageConfig, RuntimeConfig};
use model::observation::{LayerObservation, ObservationKind};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn secrets() -> SecretDetector {
    SecretDetector::new([7; 32]).expect("the rules that ship with the program compile")
}

/// The ids of the rules that find something in an example, through the source that the rule reads.
fn found(detector: &SecretDetector, rule: &Rule, example: &Example) -> BTreeSet<String> {
    if rule.sources().contains(&Source::Text) {
        let mut out = Vec::new();
        detector.scan_file(&LayerPath::from(example.path()), example.text().as_bytes(), &mut out);
        return out.iter().filter_map(secret_rule).collect();
    }
    let runtime = RuntimeConfig { env: vec![example.text()], ..RuntimeConfig::default() };
    let configuration = ImageConfig { config: runtime, ..ImageConfig::default() };
    let found = detector.scan_config(&configuration).into_iter();
    found.filter(|(fact, _)| fact.dismissed.is_none()).map(|(fact, _)| fact.rule).collect()
}

/// The rule of a possible secret that was not dismissed.
fn secret_rule(observation: &LayerObservation) -> Option<String> {
    match &observation.kind {
        ObservationKind::Secret(fact) => fact.dismissed.is_none().then(|| fact.rule.clone()),
        other => panic!("not a secret: {other:?}"),
    }
}

#[test]
fn secret_rules_are_sound() {
    let detector = secrets();
    let mut ids = BTreeSet::new();
    let mut wrong = Vec::new();
    for rule in detector.rules() {
        let id = rule.id();
        if let Err(error) = rule.check() {
            wrong.push(error.to_string());
            continue;
        }
        if !ids.insert(id) {
            wrong.push(format!("{id}: two rules have this id"));
        }
        if !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            wrong.push(format!("{id}: an id has small letters, digits and hyphens"));
        }
        if rule.title().is_empty() || !rule.reference().starts_with("https://") {
            wrong.push(format!("{id}: needs a title and a reference"));
        }
        if rule.examples().is_empty() || rule.counter_examples().is_empty() {
            wrong.push(format!("{id}: needs examples and counter-examples"));
        }
        for example in rule.examples() {
            let rules = found(&detector, rule, example);
            if !rules.contains(id) {
                wrong.push(format!("{id}: misses its example {:?}; found by {rules:?}", example.text()));
            }
        }
        for example in rule.counter_examples() {
            if found(&detector, rule, example).contains(id) {
                wrong.push(format!("{id}: finds its counter-example {:?}", example.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
    assert!(ids.len() >= 250, "only {} rules", ids.len());
    println!("{} secret rules are sound", ids.len());
}

/// The ways in which texts hold values: `@` stands for the example.
const CONTEXTS: &[&str] =
    &["@", "x=@\n", "'@'", "a, @ ,b", "{\"k\": \"a\", @}", "line\n@\r\nline", "x;@;y", "<p>@</p>"];

/// What stands around a secret must not hide it.
#[test]
fn examples_are_found_in_every_context() {
    let detector = secrets();
    let mut missed = Vec::new();
    for rule in detector.rules().iter().filter(|rule| rule.sources().contains(&Source::Text)) {
        for example in rule.examples().iter().filter(|example| matches!(example, Example::Parts(_))) {
            for context in CONTEXTS {
                let placed = Example::Parts(vec![context.replace('@', &example.text())]);
                let rules = found(&detector, rule, &placed);
                if !rules.contains(rule.id()) {
                    missed.push(format!("{} in {context:?}: {rules:?}", rule.id()));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

/// A secret that stands whole in a rule's file would be reported by everyone who scans this repository.
#[test]
fn rule_files_hold_no_whole_secret() {
    let detector = secrets();
    for file in files_of("secrets", "toml").into_iter().chain(files_of("malware", "toml")) {
        let text = std::fs::read(&file).expect("a rule's file can be read");
        let mut out = Vec::new();
        detector.scan_file(&LayerPath::from("rules.txt"), &text, &mut out);
        let strong: Vec<_> =
            out.iter().filter(|o| secret_rule(o).is_some_and(|id| !id.starts_with("assigned-"))).collect();
        assert!(strong.is_empty(), "{}: {strong:?}", file.display());
    }
}

fn files_of(folder: &str, extension: &str) -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the rules are in the repository")
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Examples {
    #[serde(default)]
    example: Vec<Sample>,
    #[serde(default)]
    counter_example: Vec<Sample>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    rule: String,
    path: String,
    parts: Vec<String>,
}

fn signatures_in(detector: &MalwareDetector, sample: &Sample) -> BTreeSet<String> {
    let bytes = sample.parts.concat().into_bytes();
    let path = LayerPath::from(sample.path.as_str());
    assert!(detector.wants(&path, bytes.len() as u64, &bytes), "{}: {} is not searched", sample.rule, sample.path);
    let (mut out, mut gaps) = (Vec::new(), Vec::new());
    detector.scan_file(&Suspect { path: &path, bytes: &bytes }, None, &mut out, &mut gaps);
    assert!(gaps.is_empty(), "{gaps:?}");
    let id = |observation: LayerObservation| match observation.kind {
        ObservationKind::Malware(fact) => fact.signature,
        other => panic!("not malware: {other:?}"),
    };
    out.into_iter().map(id).collect()
}

#[test]
fn malware_rules_are_sound() {
    let detector = MalwareDetector::new().expect("the signatures that ship with the program compile");
    let mut examples: BTreeMap<String, usize> = BTreeMap::new();
    let mut counter_examples: BTreeMap<String, usize> = BTreeMap::new();
    for file in files_of("malware", "toml") {
        let text = std::fs::read_to_string(&file).expect("a rule's file can be read");
        let samples: Examples = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        for sample in &samples.example {
            *examples.entry(sample.rule.clone()).or_default() += 1;
            let ids = signatures_in(&detector, sample);
            assert!(ids.contains(&sample.rule), "{}: misses {}: {ids:?}", sample.rule, sample.path);
        }
        for sample in &samples.counter_example {
            *counter_examples.entry(sample.rule.clone()).or_default() += 1;
            assert!(!signatures_in(&detector, sample).contains(&sample.rule), "{} finds {}", sample.rule, sample.path);
        }
    }
    let mut ids = BTreeSet::new();
    for signature in detector.signatures() {
        let id = &signature.id;
        assert!(ids.insert(id.clone()), "two rules have the id {id}");
        assert!(examples.contains_key(id), "{id} has no example");
        assert!(counter_examples.contains_key(id), "{id} has no counter-example");
        assert!(!signature.title.is_empty() && !signature.description.is_empty(), "{id} does not say what it is");
        assert!(signature.reference.starts_with("https://"), "{id} has no reference");
        assert!(!signature.kinds.is_empty(), "{id} is offered to nothing");
    }
    let named: BTreeSet<String> = examples.into_keys().chain(counter_examples.into_keys()).collect();
    assert_eq!(named, ids, "examples name rules that do not exist");
    println!("{} malware signatures are sound", ids.len());
}

/// A rule that says what it needs is compiled as one of an installation, where nobody looks at that: with the words taken
/// out of its examples it must not match.
#[test]
fn malware_rules_need_the_words_that_they_say() {
    let mut checked = 0;
    for file in files_of("malware", "yar") {
        let rules = std::fs::read_to_string(&file).expect("a rule's file can be read");
        let needs: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("needs = \"")).collect();
        let [words] = needs.as_slice() else {
            assert!(
                needs.is_empty(),
                "{}: more than one rule says what it needs: tell them apart here",
                file.display()
            );
            continue;
        };
        let words = words.strip_suffix('"').expect("needs is a string").split(' ');
        let words = words.map(regex::escape).collect::<Vec<_>>().join("|");
        let words = regex::RegexBuilder::new(&words).case_insensitive(true).build().expect("words are a pattern");
        let document = RuleDocument { kind: RuleKind::Malware, name: "own.yar".to_owned(), text: rules };
        let (detector, problems) = MalwareDetector::with_rules(&[document]).expect("the signatures compile");
        assert_eq!(problems, []);
        let own: BTreeSet<String> = detector.signatures().map(|s| s.id.clone()).filter(|id| id.contains('_')).collect();
        let examples = std::fs::read_to_string(file.with_extension("examples.toml")).expect("a rule has examples");
        let samples: Examples = toml::from_str(&examples).expect("examples can be read");
        for mut sample in samples.example {
            let found = signatures_in(&detector, &sample);
            assert!(!found.is_disjoint(&own), "{}: {found:?}", file.display());
            let content = sample.parts.concat();
            let without = words.replace_all(&content, |word: &regex::Captures<'_>| ".".repeat(word[0].len()));
            assert_ne!(without, content, "{}: an example has none of the words", file.display());
            sample.parts = vec![without.into_owned()];
            let found = signatures_in(&detector, &sample);
            assert!(found.is_disjoint(&own), "{}: matches without the words: {found:?}", file.display());
            checked += 1;
        }
    }
    assert!(checked >= 3, "{checked} examples");
}

#[test]
fn every_file_of_rules_is_compiled_in() {
    let compiled: BTreeSet<String> = secrets().rules().iter().map(|rule| rule.id().to_owned()).collect();
    for file in files_of("secrets", "toml") {
        let text = std::fs::read_to_string(&file).expect("a rule's file can be read");
        for id in text.lines().filter_map(|line| line.strip_prefix("id = \"")?.strip_suffix('"')) {
            assert!(compiled.contains(id), "{id} in {} is not compiled in", file.display());
        }
    }
    let detector = MalwareDetector::new().expect("the signatures that ship with the program compile");
    let compiled: BTreeSet<&str> = detector.signatures().map(|signature| signature.id.as_str()).collect();
    for file in files_of("malware", "yar") {
        let text = std::fs::read_to_string(&file).expect("a rule's file can be read");
        for id in text.lines().filter_map(|line| line.trim().strip_prefix("id = \"")?.strip_suffix('"')) {
            assert!(compiled.contains(id), "{id} in {} is not compiled in", file.display());
        }
    }
    assert_eq!(Kind::ALL.len(), 6);
}
