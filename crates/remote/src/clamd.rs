//! Shows files to clamd, ClamAV's daemon, over TCP or a socket file (clamd(8), "INSTREAM").
//!
//! Not here: which files are shown (`analyze`), signatures (clamd has its own). Everything here blocks, for at most
//! [`ClamdOptions::file_timeout`] per file; after a failure clamd is left alone for [`ClamdOptions::rest`], so that one
//! that hangs costs one wait and not one per file.
//!
//! Invariant: an answer that is not understood, late or missing is [`Inspection::Unavailable`], never "clean".

use crate::{Error, ErrorKind, Result};
use model::ports::{Inspection, Inspector};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where clamd listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClamdAddress {
    /// `HOST:PORT`, also with `tcp://` in front.
    Tcp(String),
    /// The path of a socket file, also with `unix:` in front.
    Unix(PathBuf),
}

impl FromStr for ClamdAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let path = text.strip_prefix("unix:").map(|path| path.strip_prefix("//").unwrap_or(path));
        if let Some(path) = path.or_else(|| text.starts_with('/').then_some(text)).filter(|path| path.starts_with('/'))
        {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let host_port = text.strip_prefix("tcp://").unwrap_or(text);
        match host_port.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(host_port.to_owned()))
            }
            _ => Err(Error::new(
                ErrorKind::Malformed,
                format!("{text:?} is not clamd's address: expected HOST:PORT, or the path of its socket"),
            )),
        }
    }
}

impl fmt::Display for ClamdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How clamd is talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClamdOptions {
    /// Where it listens.
    pub address: ClamdAddress,
    /// How long a connection may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long one file may take, from connecting to the answer. Default 60 s.
    pub file_timeout: Duration,
    /// How long it is left alone after a failure. Default 60 s.
    pub rest: Duration,
}

impl ClamdOptions {
    /// The defaults.
    pub const fn new(address: ClamdAddress) -> Self {
        Self {
            address,
            connect_timeout: Duration::from_secs(5),
            file_timeout: Duration::from_secs(60),
            rest: Duration::from_secs(60),
        }
    }
}

/// Bytes of one chunk of a stream.
const CHUNK_BYTES: usize = 128 << 10;
/// The longest answer that is read, in bytes: a name of a signature is far shorter.
const ANSWER_BYTES_MAX: usize = 4096;

/// clamd, as far as it answers.
#[derive(Debug)]
pub struct Clamd {
    options: ClamdOptions,
    /// When it failed last, and why.
    failed: Mutex<Option<(Instant, String)>>,
}

impl Clamd {
    /// Nothing is connected until a file is shown.
    pub const fn new(options: ClamdOptions) -> Self {
        Self { options, failed: Mutex::new(None) }
    }

    /// Why clamd is left alone now, if it is.
    fn resting(&self) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, why) = failed.as_ref()?;
        (at.elapsed() < self.options.rest).then(|| why.clone())
    }

    fn ask(&self, bytes: &[u8]) -> io::Result<String> {
        let deadline = Instant::now() + self.options.file_timeout;
        let mut socket = self.connect()?;
        // When clamd has had enough it answers, and closes while more is being written.
        let sent = send(&mut socket, bytes, deadline);
        match (receive(&mut socket, deadline), sent) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Err(error)) => Err(error),
            (Err(error), Ok(())) => Err(error),
        }
    }

    fn connect(&self) -> io::Result<Socket> {
        match &self.options.address {
            ClamdAddress::Unix(path) => UnixStream::connect(path).map(Socket::Unix),
            ClamdAddress::Tcp(address) => {
                let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for address in address.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, self.options.connect_timeout) {
                        Ok(socket) => return Ok(Socket::Tcp(socket)),
                        Err(error) => failed = error,
                    }
                }
                Err(failed)
            }
        }
    }
}

impl Inspector for Clamd {
    fn inspect(&self, bytes: &[u8]) -> Inspection {
        if let Some(why) = self.resting() {
            return Inspection::Unavailable(why);
        }
        let asked = self.ask(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("no answer within {} s", self.options.file_timeout.as_secs_f32())
            }
            io::ErrorKind::UnexpectedEof => "it closed the connection without an answer".to_owned(),
            _ => error.to_string(),
        });
        match asked.and_then(|answer| understand(&answer)) {
            Ok(inspection) => inspection,
            Err(why) => {
                let why = format!("clamd unreachable at {}: {why}", self.options.address);
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), why.clone()));
                Inspection::Unavailable(why)
            }
        }
    }
}

/// `stream: OK`, `stream: NAME FOUND`, or `TEXT ERROR` (clamd(8)).
fn understand(answer: &str) -> std::result::Result<Inspection, String> {
    let answer = answer.trim();
    let verdict = answer.strip_prefix("stream: ").unwrap_or(answer);
    if verdict == "OK" {
        return Ok(Inspection::Clean);
    }
    if let Some(name) = verdict.strip_suffix(" FOUND") {
        // clamd.conf(5), "AlertExceedsMax": not a signature, but a limit of clamd's that was met.
        return Ok(match name.starts_with("Heuristics.Limits.Exceeded") {
            true => Inspection::TooLarge(format!("a limit of clamd's was met: {name}")),
            false => Inspection::Infected(name.to_owned()),
        });
    }
    if verdict.contains("size limit exceeded") {
        return Ok(Inspection::TooLarge("larger than clamd's StreamMaxLength".to_owned()));
    }
    Err(format!("it answered {:?}", verdict.chars().take(200).collect::<String>()))
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Makes the next call end at the deadline at the latest.
    fn limit(&self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match self {
            Self::Tcp(socket) => socket.set_read_timeout(Some(left)).and(socket.set_write_timeout(Some(left))),
            Self::Unix(socket) => socket.set_read_timeout(Some(left)).and(socket.set_write_timeout(Some(left))),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buffer),
            Self::Unix(socket) => socket.read(buffer),
        }
    }

    fn write_all(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            self.limit(deadline)?;
            match self.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The command, the chunks with their lengths in front, and an empty one.
fn send(socket: &mut Socket, bytes: &[u8], deadline: Instant) -> io::Result<()> {
    socket.write_all(b"zINSTREAM\0", deadline)?;
    for chunk in bytes.chunks(CHUNK_BYTES) {
        let length = u32::try_from(chunk.len()).expect("a chunk is small");
        socket.write_all(&length.to_be_bytes(), deadline)?;
        socket.write_all(chunk, deadline)?;
    }
    socket.write_all(&[0; 4], deadline)
}

/// The answer up to its NUL.
fn receive(socket: &mut Socket, deadline: Instant) -> io::Result<String> {
    let mut answer = Vec::new();
    let mut buffer = [0; 512];
    loop {
        socket.limit(deadline)?;
        let n = match socket.read(&mut buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&buffer[..n]);
        if let Some(end) = answer.iter().position(|&b| b == 0) {
            answer.truncate(end);
            return Ok(String::from_utf8_lossy(&answer).into_owned());
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer that does not end"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_clamd_are_read() {
        let check = |text: &str, expect: Option<ClamdAddress>| assert_eq!(text.parse().ok(), expect, "{text}");
        let unix = || Some(ClamdAddress::Unix(PathBuf::from("/run/clamav/clamd.ctl")));
        check("/run/clamav/clamd.ctl", unix());
        check("unix:/run/clamav/clamd.ctl", unix());
        check("unix:///run/clamav/clamd.ctl", unix());
        check("127.0.0.1:3310", Some(ClamdAddress::Tcp("127.0.0.1:3310".to_owned())));
        check("tcp://clamav:3310", Some(ClamdAddress::Tcp("clamav:3310".to_owned())));
        check("[::1]:3310", Some(ClamdAddress::Tcp("[::1]:3310".to_owned())));
        check("clamav", None);
        check("http://clamav:3310", None);
        check("unix:clamd.ctl", None);
        check(":3310", None);
    }

    #[test]
    fn answers_of_clamd_are_understood_or_refused() {
        let check = |answer: &str, expect: Option<Inspection>| assert_eq!(understand(answer).ok(), expect, "{answer}");
        check("stream: OK", Some(Inspection::Clean));
        check("stream: Win.Test.EICAR_HDB-1 FOUND", Some(Inspection::Infected("Win.Test.EICAR_HDB-1".to_owned())));
        let large = Inspection::TooLarge("larger than clamd's StreamMaxLength".to_owned());
        check("INSTREAM size limit exceeded. ERROR", Some(large));
        assert!(matches!(
            understand("stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND"),
            Ok(Inspection::TooLarge(_))
        ));
        check("stream: Can't allocate memory ERROR", None);
        check("UNKNOWN COMMAND", None);
        check("", None);
    }
}
