//! Content that is made, or happens, to be hard to read: endless lines, other encodings, rules that take for ever. What
//! is in it is found or a gap says that it was not looked at, in bounded time and memory.

use crate::support::*;
use analyze::secrets::SecretDetector;
use analyze::{DetectorOptions, Detectors, LayerReading, LayerRequest, Limits, MemoryBudget, read_layer};
use model::extraction::{ExtractionRules, RuleDocument, RuleKind};
use model::layer::LayerMedia;
use model::observation::{LayerObservation, ObservationKind};
use model::{Detector, LayerPath};
use std::io::{self, Read};
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::image::LayerBuilder;

/// Two tokens, put together here so that no file of the repository holds one.
fn tokens() -> [String; 2] {
    [["ghp_", "k3WvTq8ZbN1xYc5RmLd7", "Hs2JpAe9Uf0ab8cD"], ["ghp_", "Qm7YtB2nXw4VzKc9LpRd", "6FhGs1JuEa3To5iN0yZx"]]
        .map(|parts| parts.concat()[..40].to_owned())
}

/// The layer of one file that is one line of JSON, made as it is read.
struct OneLine {
    parts: Vec<Vec<u8>>,
    part: usize,
    at: usize,
    /// How often the middle part comes.
    times: u64,
}

impl OneLine {
    fn new(bytes: u64) -> Self {
        let row = |n: u32| {
            format!(
                "{{\"id\":{n},\"name\":\"item-{n}\",\"path\":\"/srv/data/{n}.bin\",\"size\":{},\"tags\":[\"a\",\"b\"]}},",
                n * 7
            )
        };
        let block: String = (10_000..11_000).map(row).collect();
        let [first, last] = tokens();
        let head = format!("{{\"first\":\"{first}\",\"rows\":[");
        let tail = format!("0],\"last\":\"{last}\"}}");
        let times = bytes.div_ceil(block.len() as u64);
        let size = head.len() as u64 + times * block.len() as u64 + tail.len() as u64;
        let mut header = tar::Header::new_gnu();
        header.set_path("srv/export.json").unwrap();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        let padding = usize::try_from(size.next_multiple_of(512) - size).unwrap() + 1024;
        let head = [header.as_bytes(), head.as_bytes()].concat();
        let tail = [tail.into_bytes(), vec![0; padding]].concat();
        Self { parts: vec![head, block.into_bytes(), tail], part: 0, at: 0, times }
    }
}

impl Read for OneLine {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(part) = self.parts.get(self.part) else { return Ok(0) };
        let n = buffer.len().min(part.len() - self.at);
        buffer[..n].copy_from_slice(&part[self.at..self.at + n]);
        self.at += n;
        if self.at == part.len() {
            self.at = 0;
            let again = self.part == 1 && self.times > 1;
            self.times -= u64::from(self.part == 1);
            self.part += usize::from(!again);
        }
        Ok(n)
    }
}

fn read_all(input: impl Read + Send, detectors: &Detectors, memory: &MemoryBudget) -> LayerReading {
    let request = LayerRequest {
        media: LayerMedia::Tar,
        detectors,
        only: &all(),
        memory,
        spool: &NoSpool,
        inspector: None,
        in_part: false,
    };
    read_layer(input, &request).unwrap()
}

fn secrets(reading: &LayerReading) -> Vec<String> {
    let found = facts(reading, Detector::Secrets).observations.iter();
    let rule = |o: &LayerObservation| match &o.kind {
        ObservationKind::Secret(fact) => format!("{} {}", fact.rule, o.place.path),
        other => panic!("{other:?}"),
    };
    found.map(rule).collect()
}

/// Says how many bytes the long line has.
const BYTES: &str = "PRATIQUE_LINE_BYTES";

/// The most that this process ever had in memory, in KiB (proc(5), `VmHWM`).
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
#[ignore = "runs in a process of its own, begun by the test below; of 2 GB with PRATIQUE_LINE_BYTES and --release"]
fn one_line_of_json_in_a_process_of_its_own() {
    let bytes: u64 = std::env::var(BYTES).ok().and_then(|text| text.parse().ok()).unwrap_or(2 << 30);
    let memory = MemoryBudget::new(64 << 20);
    let detectors = detectors();
    let before = peak_kib();
    let started = Instant::now();
    let reading = read_all(OneLine::new(bytes), detectors, &memory);
    let took = started.elapsed();
    assert_eq!(gaps(&reading), [""; 0]);
    assert_eq!(secrets(&reading), ["github-token srv/export.json"; 2], "at its beginning and at its end");
    assert!(reading.bytes_uncompressed > bytes && memory.used_bytes() == 0);
    let grown = peak_kib() - before;
    println!("one line of {bytes} bytes: {took:?}, {grown} KiB more than the compiled rules");
    assert!(grown < 128 << 10, "{grown} KiB");
    assert!(took < Duration::from_secs(60) + Duration::from_secs(bytes >> 20), "{took:?}");
}

#[test]
fn a_line_without_end_is_searched_from_its_beginning_to_its_end_in_bounded_memory() {
    let name = "bad_input::one_line_of_json_in_a_process_of_its_own";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(BYTES, (96 << 20).to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
    println!("{}", said.lines().filter(|line| line.starts_with("one line of ")).collect::<String>());
}

/// Reads one file, for secrets and malware, within a minute.
fn read_file(path: &str, content: &[u8]) -> LayerReading {
    let started = Instant::now();
    let reading = read(&LayerBuilder::new().file(path, content).build().blob);
    assert!(started.elapsed() < Duration::from_secs(60), "{path}: {:?}", started.elapsed());
    reading
}

#[test]
fn a_minified_bundle_is_read_like_any_text() {
    let [token, _] = tokens();
    let noise = |n: u32| {
        format!(
            "function t{n}(e,r){{return e&&(r=e.token||e.key,n[{n}]=\"secret\",r.password?i(r.password,{n}):o(e))}}"
        )
    };
    let half = |from: u32| (from..from + 30_000).map(noise).collect::<String>();
    let bundle = format!("!function(){{{}var T=\"{token}\";{}}}();", half(0), half(30_000));
    assert!(bundle.len() > 4 << 20 && !bundle.contains('\n'));
    let reading = read_file("app/static/main.9f3c.js", bundle.as_bytes());
    assert!(secrets(&reading).contains(&"github-token app/static/main.9f3c.js".to_owned()), "{:?}", secrets(&reading));
    for gap in gaps(&reading) {
        assert!(gap.contains("app/static/main.9f3c.js") && gap.contains("The first rule that stopped is"), "{gap}");
    }
}

#[test]
fn a_line_of_words_that_speak_of_secrets_is_a_gap_and_takes_no_time() {
    let reading = read_file("srv/export.json", "\"secret_key\":\"token=password=\",".repeat(300_000).as_bytes());
    assert!(gaps(&reading).iter().any(|gap| gap.starts_with("srv/export.json too-many: ")), "{:?}", gaps(&reading));
}

#[test]
fn utf_16_is_read_in_files_of_any_size() {
    let [token, _] = tokens();
    let ascii = "value = nothing of interest\r\n".repeat(10);
    // Without a zero byte, and larger than a window.
    let long = "\u{4e2d}\u{6587}\u{8bf4}\u{660e}\r\n".repeat(500_000);
    let check = |name: &str, text: &str, found: usize| {
        for (order, encode) in [("le", u16::to_le_bytes as fn(u16) -> [u8; 2]), ("be", u16::to_be_bytes)] {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(encode).collect();
            let path = format!("srv/{name}-{order}.reg");
            let reading = read_file(&path, &bytes);
            assert_eq!(secrets(&reading), vec![format!("github-token {path}"); found], "{path}");
            assert_eq!(gaps(&reading), [""; 0], "{path}");
            let lines = facts(&reading, Detector::Secrets).observations.iter().map(|o| o.place.line);
            let at = u32::try_from(text.lines().count()).unwrap();
            assert!(lines.clone().all(|line| line == Some(at)), "{path}: {:?}", lines.collect::<Vec<_>>());
        }
    };
    check("marked", &format!("\u{feff}{ascii}token = {token}\r\n"), 1);
    check("bare", &format!("{ascii}token = {token}\r\n"), 1);
    check("none", &format!("\u{feff}{ascii}"), 0);
    check("long-marked", &format!("\u{feff}{long}token = {token}\r\n"), 1);
    check("long-bare", &format!("{ascii}{long}token = {token}\r\n"), 1);
}

#[test]
fn bytes_that_are_no_utf_8_hide_nothing() {
    let [first, last] = tokens();
    // Latin-1, cut sequences, lone continuation bytes, overlong forms.
    let junk = [0xe9, 0xc3, b' ', 0x80, 0xbf, b'\n', 0xc0, 0xaf, 0xf8, 0x88, 0xff, 0xfe, b'"'];
    let content = [&junk[..], first.as_bytes(), &junk, b"token=", last.as_bytes(), &junk].concat();
    assert_eq!(secrets(&read_file("srv/latin.conf", &content)), ["github-token srv/latin.conf"; 2]);
    let layer = LayerBuilder::new().hostile_file(b"srv/caf\xe9.conf", format!("token={first}\n"));
    let reading = read(&layer.build().blob);
    assert_eq!(secrets(&reading), ["github-token srv/caf\\xe9.conf"]);
}

fn rule(id: &str, pattern: &str) -> String {
    format!(
        "[[rule]]\nid = \"{id}\"\ntitle = \"A rule of one's own\"\nseverity = \"high\"\nconfidence = \"high\"\n\
         keywords = [\"aaaa\"]\npattern = '{pattern}'\nreference = \"https://rules.example/{id}\"\n\
         examples = [[\"aaaa\", \"b\"]]\ncounter_examples = [[\"aa\", \"aa\"]]\n"
    )
}

#[test]
fn patterns_that_explode_elsewhere_are_refused_with_their_place_or_take_linear_time() {
    let patterns = [
        ("nested", r"(?<value>(a+)+b)"),
        ("alternation", r"(?<value>(a|aa|aaa)+b)"),
        ("many-dots", r"(?<value>(.*a){12}b)"),
        ("huge", r"(?<value>((a{1,900}){1,900}){1,900}b)"),
        ("backward", r"(?<value>(a+)\1b)"),
    ];
    let text: String = patterns.iter().map(|(id, pattern)| rule(id, pattern)).collect();
    let document = RuleDocument { kind: RuleKind::Secrets, name: "mine.toml".to_owned(), text };
    let started = Instant::now();
    let rules = ExtractionRules { revision: 1, documents: vec![document] };
    let options = DetectorOptions { secret_key: [7; 32], limits: Limits::default(), rules };
    let detectors = Detectors::new(options).unwrap();
    let said: Vec<String> = detectors.problems().iter().map(ToString::to_string).collect();
    for (at, (id, _)) in patterns.iter().enumerate() {
        let refused = said.iter().find(|line| line.contains(&format!("rule {id}: ")));
        let must = matches!(*id, "huge" | "backward");
        assert!(refused.is_some() || !must, "{id}: {said:?}");
        // The pattern is the seventh line of each rule.
        let place = format!("secrets/mine.toml, rule {id}: line {}, column 11: ", 10 * at + 7);
        assert!(refused.is_none_or(|line| line.starts_with(&place)), "{place} {said:?}");
    }
    let layer = LayerBuilder::new().file("srv/a.txt", "a".repeat(4_000_000)).build();
    read_with(&layer.blob[..], &detectors, &[Detector::Secrets].into());
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
}

#[test]
fn a_signature_that_takes_for_ever_is_stopped_and_said() {
    let text = "rule slow { strings: $a = /(.{1,40}x){20}y/s $b = { 61 [0-200] 61 [0-200] 61 [0-200] 62 } \
                condition: $a or $b or for any i in (0..filesize) : (for any j in (0..filesize) : \
                (uint8(i) == 1 and uint8(j) == 2)) }\n\
                rule quick { strings: $a = \"needle\" condition: $a }";
    let document = RuleDocument { kind: RuleKind::Malware, name: "slow.yar".to_owned(), text: text.to_owned() };
    let rules = ExtractionRules { revision: 1, documents: vec![document] };
    let options = DetectorOptions { secret_key: [7; 32], limits: Limits::default(), rules };
    let detectors = Detectors::new(options).unwrap();
    assert_eq!(detectors.problems(), []);
    let content = format!("#!/bin/sh\n# needle {}\n", "ax".repeat(1 << 20));
    let layer = LayerBuilder::new().file("srv/run.sh", content).build();
    let started = Instant::now();
    let reading = read_with(&layer.blob[..], &detectors, &[Detector::Malware].into());
    let took = started.elapsed();
    let said = gaps(&reading);
    assert!(said.iter().any(|gap| gap.starts_with("srv/run.sh ") && gap.contains(" 10 s")), "{said:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn windows_of_a_long_file_have_no_seam() {
    // The token lies at every place around the end of the first window once.
    let [token, _] = tokens();
    let window = Limits::default().secret_window_bytes;
    let detector = SecretDetector::new([7; 32]).unwrap();
    let mut out = Vec::new();
    detector.scan_file(&LayerPath::from("x"), format!("token = {token}\n").as_bytes(), &mut out);
    assert_eq!(out.len(), 1);
    for shift in (0..=token.len() + 8).step_by(6) {
        let before = window - shift;
        let content = [&b"x\n".repeat(before / 2)[..], b"token = ", token.as_bytes(), &b"\ny".repeat(50_000)].concat();
        assert_eq!(secrets(&read_file("srv/long.txt", &content)), ["github-token srv/long.txt"], "{shift}");
    }
}

#[test]
fn a_window_that_begins_as_a_compressed_file_does_is_searched() {
    // One of the three shifts puts `BZh`, which bzip2's files begin with, at the beginning of the second window.
    let [token, _] = tokens();
    let window = Limits::default().secret_window_bytes;
    for shift in 1..=3 {
        let fill = "BZh".repeat(window / 2);
        let content = format!("{}{fill}\ntoken = {token}\n", "\n".repeat(shift));
        assert_eq!(secrets(&read_file("srv/long.txt", content.as_bytes())), ["github-token srv/long.txt"], "{shift}");
    }
}
