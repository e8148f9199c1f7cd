//! clamd: the real one with a signature of our own, and fakes that hang, close, or talk nonsense.

use model::ports::{Inspection, Inspector};
use remote::clamd::{Clamd, ClamdAddress, ClamdOptions};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use testkit::net::has_program;

/// A server that does one thing with every connection. Answers its address.
fn fake(serve: impl Fn(TcpStream) + Send + 'static) -> ClamdAddress {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = ClamdAddress::Tcp(listener.local_addr().unwrap().to_string());
    thread::spawn(move || listener.incoming().flatten().for_each(&serve));
    address
}

fn quick(address: ClamdAddress) -> Clamd {
    let file_timeout = Duration::from_millis(400);
    Clamd::new(ClamdOptions { file_timeout, ..ClamdOptions::new(address) })
}

fn why(inspection: Inspection) -> String {
    match inspection {
        Inspection::Unavailable(why) => why,
        other => panic!("{other:?}"),
    }
}

/// Reads one whole stream: the command, then chunks up to the empty one. Answers the bytes.
fn read_stream(socket: &mut TcpStream) -> Vec<u8> {
    let mut command = [0; 10];
    socket.read_exact(&mut command).unwrap();
    assert_eq!(&command, b"zINSTREAM\0");
    let mut bytes = Vec::new();
    loop {
        let mut length = [0; 4];
        socket.read_exact(&mut length).unwrap();
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap();
        if length == 0 {
            return bytes;
        }
        let start = bytes.len();
        bytes.resize(start + length, 0);
        socket.read_exact(&mut bytes[start..]).unwrap();
    }
}

#[test]
fn clamd_gets_the_whole_file_in_chunks() {
    let address = fake(|mut socket| {
        let bytes = read_stream(&mut socket);
        let answer = if bytes.len() == 300_000 { "stream: Our.Test FOUND\0" } else { "stream: OK\0" };
        // An answer may come in pieces.
        answer.bytes().for_each(|byte| socket.write_all(&[byte]).unwrap());
    });
    let clamd = Clamd::new(ClamdOptions::new(address));
    assert_eq!(clamd.inspect(&vec![7; 300_000]), Inspection::Infected("Our.Test".to_owned()));
    assert_eq!(clamd.inspect(b"harmless"), Inspection::Clean);
    assert_eq!(clamd.inspect(b""), Inspection::Clean);
}

#[test]
fn a_clamd_that_hangs_costs_one_wait_and_is_never_clean() {
    let address = fake(|socket| {
        thread::sleep(Duration::from_secs(20));
        drop(socket);
    });
    let clamd = quick(address);
    let started = Instant::now();
    for _ in 0..100 {
        let why = why(clamd.inspect(&vec![0; 8 << 20]));
        assert!(why.starts_with("clamd unreachable at 127.0.0.1:") && why.contains("no answer within 0.4 s"), "{why}");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_clamd_that_trickles_is_not_waited_for_either() {
    let address = fake(|mut socket| {
        while socket.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let started = Instant::now();
    assert!(why(quick(address).inspect(b"x")).contains("no answer within"));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_clamd_that_closes_refuses_or_talks_nonsense_is_unavailable() {
    let check = |address: ClamdAddress, expect: &str| {
        let why = why(quick(address).inspect(b"x"));
        assert!(why.starts_with("clamd unreachable at ") && why.contains(expect), "{why}");
    };
    check(fake(drop), "");
    let half = |mut socket: TcpStream| {
        read_stream(&mut socket);
        socket.write_all(b"stream: O").unwrap();
    };
    check(fake(half), "closed the connection without an answer");
    let nonsense = |mut socket: TcpStream| {
        read_stream(&mut socket);
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n\0").unwrap();
    };
    check(fake(nonsense), "it answered");
    let endless = |mut socket: TcpStream| {
        read_stream(&mut socket);
        let _ = socket.write_all(&vec![b'x'; 1 << 20]);
    };
    check(fake(endless), "an answer that does not end");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check(ClamdAddress::Tcp(free.to_string()), "refused");
    check(ClamdAddress::Unix("/nowhere/clamd.ctl".into()), "No such file");
}

#[test]
fn clamd_is_asked_again_after_a_rest() {
    let clamd = Clamd::new(ClamdOptions {
        rest: Duration::from_millis(100),
        ..ClamdOptions::new(fake(|mut socket| {
            let bytes = read_stream(&mut socket);
            let answer: &[u8] = if bytes == b"bad" { b"" } else { b"stream: OK\0" };
            socket.write_all(answer).unwrap();
        }))
    });
    why(clamd.inspect(b"bad"));
    why(clamd.inspect(b"good"));
    thread::sleep(Duration::from_millis(150));
    assert_eq!(clamd.inspect(b"good"), Inspection::Clean);
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Debian's clamd with one signature of ours and nothing else, on a socket file in `folder`.
fn daemon(folder: &Path) -> Option<(Daemon, ClamdAddress)> {
    if !has_program("clamd", "clamav-daemon") {
        return None;
    }
    let text = |name: &str| folder.join(name).display().to_string();
    fs::create_dir(folder.join("signatures")).unwrap();
    // "Body-based signatures in hex format": name, any kind of file, any place, bytes (ClamAV documentation, "NDB").
    let hex: String = b"our own test signature".iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(folder.join("signatures/ours.ndb"), format!("Pratique.Test:0:*:{hex}\n")).unwrap();
    let settings = format!(
        "Foreground yes\nLocalSocket {}\nDatabaseDirectory {}\nStreamMaxLength 1M\nUser root\nConcurrentDatabaseReload no\n",
        text("clamd.ctl"),
        text("signatures")
    );
    fs::write(folder.join("clamd.conf"), settings).unwrap();
    let log = fs::File::create(folder.join("log")).unwrap();
    let child = Command::new("clamd")
        .args(["--config-file", &text("clamd.conf")])
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut daemon = Daemon(child);
    for _ in 0..600 {
        if folder.join("clamd.ctl").exists() {
            return Some((daemon, ClamdAddress::Unix(folder.join("clamd.ctl"))));
        }
        assert!(daemon.0.try_wait().unwrap().is_none(), "clamd: {}", fs::read_to_string(folder.join("log")).unwrap());
        thread::sleep(Duration::from_millis(100));
    }
    panic!("clamd does not listen: {}", fs::read_to_string(folder.join("log")).unwrap());
}

#[test]
fn debians_clamd_finds_our_signature_and_has_its_own_limit() {
    let folder = tempfile::tempdir().unwrap();
    let Some((daemon, address)) = daemon(folder.path()) else { return };
    let clamd = Clamd::new(ClamdOptions::new(address));
    let infected = [&b"before "[..], b"our own test signature", b" after"].concat();
    assert_eq!(clamd.inspect(&infected), Inspection::Infected("Pratique.Test.UNOFFICIAL".to_owned()));
    assert_eq!(clamd.inspect(b"nothing of interest"), Inspection::Clean);
    let large = clamd.inspect(&vec![b'x'; 4 << 20]);
    assert_eq!(large, Inspection::TooLarge("larger than clamd's StreamMaxLength".to_owned()));
    assert_eq!(clamd.inspect(&infected), Inspection::Infected("Pratique.Test.UNOFFICIAL".to_owned()));
    drop(daemon);
    let why = why(clamd.inspect(&infected));
    assert!(why.starts_with("clamd unreachable at ") && why.contains("clamd.ctl"), "{why}");
}
