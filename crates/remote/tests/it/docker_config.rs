//! Stored logins: file, helpers, and helpers that misbehave.

use crate::expect_error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use remote::docker_config::DockerConfig;
use remote::{ErrorKind, IDENTITY_TOKEN_USER};
use std::fs;
use std::path::Path;
use std::process::Command;

fn write(folder: &Path, config: &str) -> DockerConfig {
    let path = folder.join("config.json");
    fs::write(&path, config).unwrap();
    DockerConfig::read(&path).unwrap().with_helper_folder(folder.to_owned())
}

/// Another program makes the executable file: one that this process wrote may still be open in a child that another
/// test has just forked, and could then not be run.
fn helper(folder: &Path, name: &str, script: &str) {
    let source = folder.join(format!("{name}.sh"));
    fs::write(&source, format!("#!/bin/sh\n{script}\n")).unwrap();
    let target = folder.join(format!("docker-credential-{name}"));
    let status = Command::new("install").args(["-m", "755"]).args([&source, &target]).status().unwrap();
    assert!(status.success());
}

async fn login(config: &DockerConfig, host: &str) -> Option<String> {
    config.credentials(host).await.unwrap().map(|c| format!("{}:{}", c.username, c.password))
}

#[tokio::test]
async fn logins_of_the_file_are_found_by_host() {
    let folder = tempfile::tempdir().unwrap();
    let auth = BASE64.encode("ann:pass:word");
    let config = write(
        folder.path(),
        &format!(
            r#"{{"auths":{{
                "registry.example:5000":{{"auth":"{auth}"}},
                "https://https.example":{{"auth":"{auth}"}},
                "https://index.docker.io/v1/":{{"username":"hub","password":"pw"}},
                "token.example":{{"auth":"{auth}","identitytoken":"id"}},
                "empty.example":{{}}
            }},"HttpHeaders":{{"X":"y"}}}}"#
        ),
    );
    assert_eq!(login(&config, "registry.example:5000").await.as_deref(), Some("ann:pass:word"));
    assert_eq!(login(&config, "https.example").await.as_deref(), Some("ann:pass:word"));
    assert_eq!(login(&config, "registry-1.docker.io").await.as_deref(), Some("hub:pw"));
    assert_eq!(login(&config, "docker.io").await.as_deref(), Some("hub:pw"));
    assert_eq!(login(&config, "token.example").await, Some(format!("{IDENTITY_TOKEN_USER}:id")));
    for nothing in ["empty.example", "registry.example", "other.example"] {
        assert_eq!(login(&config, nothing).await, None, "{nothing}");
    }
    assert!(!format!("{config:?}").contains("ann"));
}

#[tokio::test]
async fn helpers_are_asked_in_docker_order() {
    let folder = tempfile::tempdir().unwrap();
    helper(
        folder.path(),
        "one",
        r#"read server; [ "$1" = get ] && printf '{"ServerURL":"%s","Username":"one","Secret":"for %s"}' "$server" "$server""#,
    );
    helper(
        folder.path(),
        "store",
        r#"read server; [ "$server" = stored.example ] || { echo "credentials not found in native keychain"; exit 1; }
           echo '{"Username":"<token>","Secret":"id"}'"#,
    );
    let auth = BASE64.encode("file:pw");
    let config = write(
        folder.path(),
        &format!(
            r#"{{"credsStore":"store","credHelpers":{{"one.example":"one"}},"auths":{{"file.example":{{"auth":"{auth}"}},"one.example":{{"auth":"{auth}"}}}}}}"#
        ),
    );
    assert_eq!(login(&config, "one.example").await.as_deref(), Some("one:for one.example"));
    assert_eq!(login(&config, "stored.example").await, Some(format!("{IDENTITY_TOKEN_USER}:id")));
    assert_eq!(login(&config, "file.example").await.as_deref(), Some("file:pw"));
    assert_eq!(login(&config, "none.example").await, None);
}

#[tokio::test]
async fn helpers_that_misbehave_are_named_and_show_nothing() {
    let folder = tempfile::tempdir().unwrap();
    helper(folder.path(), "flood", "yes hunter2 | head -c 200000");
    helper(folder.path(), "fails", "echo hunter2 is locked; exit 1");
    helper(folder.path(), "words", "echo hunter2");
    let config = write(
        folder.path(),
        r#"{"credHelpers":{"a":"flood","b":"fails","c":"words","d":"absent","e":"../../bin/sh"}}"#,
    );
    let check = async |host: &str, kind, word: &str| {
        let text = expect_error(config.credentials(host).await, kind, &[word]);
        assert!(!text.contains("hunter2"), "{text}");
    };
    check("a", ErrorKind::Internal, "docker-credential-flood printed more than").await;
    check("b", ErrorKind::Internal, "docker-credential-fails failed").await;
    check("c", ErrorKind::Internal, "cannot be read").await;
    check("d", ErrorKind::Internal, "docker-credential-absent cannot be started").await;
    check("e", ErrorKind::Malformed, "not the name of").await;
}

#[test]
fn damaged_configuration_shows_no_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, r#"{"auths":{"x":{"password": hunter2}}}"#).unwrap();
    let text = expect_error(DockerConfig::read(&path), ErrorKind::Malformed, &["config.json", "line 1"]);
    assert!(!text.contains("hunter2"), "{text}");
}
