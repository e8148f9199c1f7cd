//! Free ports, waiting, and words that the test harness does not swallow.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

/// A loopback TCP port that nothing listened on a moment ago.
///
/// # Panics
/// When loopback has no free port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Asks again every 20 ms until `done` is true; false when `patience` is over before.
pub fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Says something even when the test that says it passes: the harness captures only the print macros.
pub fn say(text: &str) {
    // A closed stderr is no reason to fail a test.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Is the program on `PATH`? Says visibly when it is not, with the Debian package that brings it.
pub fn has_program(program: &str, debian_package: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|folder| folder.join(program).is_file());
    if !found {
        say(&format!("SKIPPED: {program} is not installed (apt-get install {debian_package})"));
    }
    found
}
