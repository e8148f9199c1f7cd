//! A file that becomes known bad after its image was read: the issue opens and closes with the list, from what is
//! stored, and the registry hears nothing.

use crate::program::{Server, run_ok};
use crate::registry::{evaluations, import, judged, put_policies};
use serde_json::{Value, json};
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::debian::DebianRegistry;
use testkit::image::{BuiltImage, ImageBuilder, LayerBuilder, sha256};

const PATIENCE: Duration = Duration::from_secs(120);

/// A file with the beginning of a program, so that it is worth a digest.
fn program(text: &str) -> Vec<u8> {
    [b"\x7fELF\x02\x01\x01\0".as_slice(), text.as_bytes(), &[0x90; 200]].concat()
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).expect("a member");
        writer.write_all(content).expect("written");
    }
    writer.finish().expect("finished").into_inner()
}

/// Where each bad file lies, and its content.
fn bad_files() -> [(&'static str, Vec<u8>); 3] {
    [
        ("opt/app.jar!/lib/native.tar!/bin/helper", program("helper")),
        ("srv/bundle.zip!/tools/run.sh", b"#!/bin/sh\nexec true\n".to_vec()),
        ("usr/local/bin/agent", program("agent")),
    ]
}

/// An image with a program in a tar archive inside a jar, a script in a zip archive, and a program as a plain file,
/// each beside a neighbour that no list will name.
fn image() -> BuiltImage {
    let [(_, helper), (_, script), (_, agent)] = bad_files();
    let native = LayerBuilder::new().file("bin/helper", helper).file("bin/other", program("other")).tar();
    let jar = zip(&[("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n"), ("lib/native.tar", &native)]);
    let bundle = zip(&[("tools/run.sh", &script), ("tools/stop.sh", b"#!/bin/sh\nexec false\n")]);
    let layer = LayerBuilder::new()
        .file("opt/app.jar", jar)
        .file("srv/bundle.zip", bundle)
        .file("usr/local/bin/agent", agent)
        .file("usr/local/bin/neighbour", program("neighbour"));
    ImageBuilder::new().layer(layer.build()).build()
}

/// Where the files of the malware issues in a state lie, sorted.
async fn places(server: &Server, state: &str) -> Vec<String> {
    let issues = server.all(&format!("/issues?state={state}&policy=bad-files")).await;
    let path = |issue: &Value| issue["finding"]["evidence"][0]["path"].as_str().expect("a path").to_owned();
    let mut out: Vec<String> = issues.iter().map(path).collect();
    out.sort();
    out
}

/// A server for which any malware is an issue, and the registry's number there; its images are scanned.
async fn scanned(home: &Path, registry: &DebianRegistry) -> (Server, i64) {
    let server = Server::start(home);
    let policies = json!({ "revision": 0, "policies": [
        { "id": "bad-files", "name": "Any malware", "kind": "malware", "action": "issue" },
    ]});
    put_policies(&server, &policies).await;
    let body = json!({ "name": "real", "kind": "docker-v2", "url": registry.host(), "plain_http": true });
    let id = server.add_registry(&body).await;
    server.settled(id, PATIENCE).await;
    (server, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_becomes_known_bad_opens_an_issue_without_a_request() {
    let Some(registry) = DebianRegistry::start() else { return };
    registry.push("team/app", "1", &image());
    let home = tempfile::tempdir().expect("a folder");
    let (server, id) = scanned(home.path(), &registry).await;
    assert_eq!(server.get(&format!("/registries/{id}")).await["counts"]["scanned"], 1);
    assert_eq!(places(&server, "open").await, [""; 0], "nothing is known bad yet");
    let mark = registry.mark();

    let bad = bad_files();
    let rows = bad.iter().map(|(path, content)| format!("{},Test.{},test\n", sha256(content).hex(), path.len()));
    let list = home.path().join("late-hashes.csv");
    std::fs::write(&list, format!("sha256,name,source\n{}", rows.collect::<String>())).expect("written");
    let runs = evaluations(&server).await;
    import(&server, &list);
    judged(&server, runs).await;
    assert_eq!(places(&server, "open").await, bad.each_ref().map(|(path, _)| *path));
    for issue in server.all("/issues?state=open&policy=bad-files").await {
        let because = issue["finding"]["because"].as_str().expect("a reason");
        let path = issue["finding"]["evidence"][0]["path"].as_str().expect("a path");
        assert!(because.contains(path) && because.contains("hashes-late-hashes (from test)"), "{because}");
    }

    // One digest is taken back, then the list.
    let (kept, content) = &bad[0];
    std::fs::write(&list, format!("{},Test.Helper,test\n", sha256(content).hex())).expect("written");
    let runs = evaluations(&server).await;
    import(&server, &list);
    judged(&server, runs).await;
    assert_eq!(places(&server, "open").await, [*kept]);
    let runs = evaluations(&server).await;
    run_ok(&server.home, &["feeds", "remove", "hashes-late-hashes", "--intel", &server.intel()]);
    judged(&server, runs).await;
    assert_eq!(places(&server, "open").await, [""; 0]);
    let resolved = places(&server, "resolved").await;
    assert!(bad.iter().all(|(path, _)| resolved.iter().any(|found| found == path)), "{resolved:?}");
    let heard = registry.requests_since(mark);
    assert!(heard.is_empty(), "the registry was asked: {heard:?}");
}

/// The digits that a program of the system prints for some bytes.
fn sum(program: &str, bytes: &[u8]) -> String {
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("piped").write_all(bytes).expect("written");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).split_whitespace().next().expect("digits").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn weak_digests_are_matched_where_an_inventory_has_them_and_the_rest_is_said() {
    let Some(registry) = DebianRegistry::start() else { return };
    let (tool, server_program) = (program("tool"), program("server"));
    let debian = LayerBuilder::new().file("etc/debian_version", "12.5\n").file("usr/bin/tool", tool.clone());
    let debian = debian.file("app/server", server_program.clone());
    let alpine = LayerBuilder::new().file("etc/alpine-release", "3.20.3\n").file("usr/bin/tool", tool.clone());
    registry.push("team/debian", "1", &ImageBuilder::new().layer(debian.build()).build());
    registry.push("team/alpine", "1", &ImageBuilder::new().layer(alpine.build()).build());
    let home = tempfile::tempdir().expect("a folder");
    let (server, _) = scanned(home.path(), &registry).await;
    let mark = registry.mark();

    let list = home.path().join("old-hashes.txt");
    let write = |rows: &[String]| std::fs::write(&list, rows.join("\n")).expect("written");
    let found = async || {
        let issues = server.all("/issues?state=open&policy=bad-files").await;
        let mut keys: Vec<String> = issues.iter().map(crate::program::issue_key).collect();
        keys.sort();
        (keys, issues)
    };
    let (md5, sha1) = (sum("md5sum", &tool), sum("sha1sum", &tool));
    write(&[md5.clone(), sum("md5sum", &server_program)]);
    let runs = evaluations(&server).await;
    import(&server, &list);
    judged(&server, runs).await;
    let (keys, issues) = found().await;
    assert!(keys.len() == 1 && keys[0].starts_with("bad-files team/debian usr/bin/tool"), "{keys:?}");
    let because = issues[0]["finding"]["because"].as_str().expect("a reason");
    assert!(
        because.contains(&format!("has the checksum md5:{md5}, which is listed by hashes-old-hashes")),
        "{because}"
    );
    let status = run_ok(&server.home, &["feeds", "status", "--intel", &server.intel()]);
    assert!(status.contains("2 records known by MD5 alone: matched only with programs in system folders"), "{status}");
    let changed = run_ok(&server.home, &["feeds", "changes", "--since", "0", "--intel", &server.intel()]);
    assert!(changed.contains(&format!("hash           md5:{md5}")), "{changed}");

    write(&[sha1]);
    let runs = evaluations(&server).await;
    import(&server, &list);
    judged(&server, runs).await;
    let (keys, _) = found().await;
    assert!(keys.len() == 1 && keys[0].starts_with("bad-files team/alpine usr/bin/tool"), "{keys:?}");
    let feed = server.get("/intelligence").await["feeds"][0].clone();
    let limited = feed["limited"].as_object().expect("counted").iter().next().expect("one reason");
    assert!(limited.0.starts_with("known by SHA-1 alone") && limited.1 == 1, "{feed}");
    assert!(registry.requests_since(mark).is_empty());
}
