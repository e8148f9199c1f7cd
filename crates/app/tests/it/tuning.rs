//! `pratique scan --tuning`: the settings of a server, for one scan.

use crate::program::run;
use serde_json::{Value, json};
use std::path::Path;
use testkit::layout::write_docker_archive;
use testkit::{ImageBuilder, LayerBuilder};

/// An image that runs as root, with a password in two files, and a token whose checksum is wrong.
fn image(home: &Path) -> String {
    let token = ["ghp_", "k3WvTq8ZbN1xYc5RmLd7", "Hs2JpAe9Uf0ab8cD"].concat();
    let password = ["DATABASE_PASS", "WORD=xK9mQ2vL5nR8wT3z\n"].concat();
    let layer =
        LayerBuilder::files(&[("app/config.env", &password), ("srv/deep/.env", &password), ("srv/token", &token)]);
    let file = home.join("image.tar");
    write_docker_archive(&file, &[(&["test:1"], &ImageBuilder::new().layer(layer.build()).build())]);
    format!("docker-archive:{}", file.display())
}

/// Findings as `id severity path`, and what standard error says.
fn scan(home: &Path, reference: &str, more: &[&str]) -> (Vec<String>, String) {
    let output =
        run(home, &[&["scan", reference, "--format", "json", "--scanners", "secrets,configuration"], more].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |f: &Value| format!("{} {} {}", text(&f["id"]), text(&f["severity"]), text(&f["evidence"][0]["path"]));
    // Controls of a standard repeat what the others say, with the place of the first of them.
    let findings = report["findings"].as_array().expect("findings").iter();
    (findings.filter(|f| f["kind"] != "compliance").map(line).collect(), errors)
}

fn written(home: &Path, name: &str, text: &str) -> String {
    let path = home.join(name);
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn settings_of_a_file_judge_one_scan() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    let reference = image(home);
    let (before, _) = scan(home, &reference, &[]);
    let gone = |tuning: &str| -> Vec<String> {
        let (after, errors) = scan(home, &reference, &["--tuning", &written(home, "tuning", tuning)]);
        assert!(!errors.contains("no effect"), "{errors}");
        assert!(after.iter().all(|line| before.contains(line)), "{after:?}");
        before.iter().filter(|line| !after.contains(line)).cloned().collect()
    };
    let of = |part: &str| -> Vec<String> { before.iter().filter(|line| line.contains(part)).cloned().collect() };
    assert!(
        !of("root-user").is_empty() && !of("srv/token").is_empty() && !of("app/config.env").is_empty(),
        "{before:?}"
    );

    // The form of the page, and that of the API.
    let off = gone("[[rules]]\nid = \"root-user\"\nenabled = false\n");
    assert!(
        of("root-user ").iter().all(|line| off.contains(line)) && off.iter().all(|l| l.starts_with("root-user")),
        "{off:?}"
    );
    let same = gone(&json!({ "revision": 7, "rules": [{ "id": "root-user", "enabled": false }] }).to_string());
    assert_eq!(off, same);
    // A threshold, and an entry of the allow list for this image.
    let doubtful = gone("minimum_confidence = \"medium\"\n");
    assert_eq!(doubtful, of("srv/token"), "its checksum is wrong");
    let allowed = gone("[[allow]]\npaths = [\"app/*\"]\nimages = [\"local/image\"]\nreason = \"rotated every hour\"\n");
    assert_eq!(allowed, of("app/config.env"));
    assert_eq!(gone("[[allow]]\npaths = [\"app/*\"]\nimages = [\"other/*\"]\nreason = \"elsewhere\"\n"), [""; 0]);
    // What was dismissed is shown with the reason when everything is asked for.
    let file = written(home, "tuning", "[[rules]]\nid = \"root-user\"\nenabled = false\n");
    let (all, _) = scan(home, &reference, &["--tuning", &file, "--show", "all"]);
    assert!(all.iter().any(|line| line.starts_with("root-user ")), "{all:?}");
    // Another severity, and parameters of a check.
    let file = written(home, "tuning", "[[rules]]\nid = \"root-user\"\nseverity = \"critical\"\n");
    let (raised, _) = scan(home, &reference, &["--tuning", &file]);
    assert!(raised.iter().any(|line| line.starts_with("root-user critical ")), "{raised:?}");
    let output = run(home, &["scan", &reference, "--tuning", &file, "--fail-on", "critical"]);
    assert_eq!(output.status.code(), Some(2), "settings count before the gate");
}

#[test]
fn settings_that_break_a_rule_end_the_scan_and_strangers_are_said() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    let reference = image(home);
    let refused = |text: &str, expect: &str| {
        let output = run(home, &["scan", &reference, "--tuning", &written(home, "tuning", text)]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(expect), "{text}: {errors}");
    };
    refused("[[allow]]\nreason = \"all of it\"\n", "allow[0].rule: this would allow everything");
    refused("[[rules]]\nid = \"x\"\nseverty = \"low\"\n", "severty");
    refused("{\"rules\": [{}]}", "missing field `id`");
    refused("[[rules]]\nid = \"remote-access-port\"\n[rules.parameters]\ndoors = [1]\n", "it has ports");
    let file = written(home, "tuning", "[[rules]]\nid = \"no-such-rule\"\nenabled = false\n");
    let (_, errors) = scan(home, &reference, &["--tuning", &file]);
    assert!(
        errors.contains("no effect in this scan: rules[0].id: no rule and no check is named no-such-rule"),
        "{errors}"
    );
    let output = run(home, &["scan", &reference, "--tuning", "/nowhere"]);
    assert_eq!(output.status.code(), Some(1));
}
