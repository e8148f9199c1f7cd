//! Well-known programs and libraries by their content: what an image got from an archive or a build of its own, without a
//! package manager.
//!
//! Not here: programs of Go and Rust that name what they were built from ([`super::go`], [`super::cargo`]); runtimes with
//! a file that tells their version ([`super::jvm`]). A file's name says which program it may be, its content which
//! version; a name without the version says nothing. What an operating-system package owns is that package, and the
//! squash drops it here.
//!
//! Invariant: a search looks at each byte of a file once per mark, and at no more than [`PLACES_MAX`] places.
//!
//! Source of the marks: the texts in the programs of Debian 12 and of the projects' own builds.

use super::locked::Locked;
use super::{field, is_depth_below};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use memchr::memmem;
use model::{Detector, PackageFormat};

/// Reads programs and libraries by their names.
pub(super) struct WellKnown;

/// Places of one mark that are tried.
const PLACES_MAX: usize = 1024;
/// The longest version that is read, in bytes.
const VERSION_BYTES_MAX: usize = 40;

/// How files are named.
#[derive(Clone, Copy)]
enum Named {
    /// So, perhaps with digits and dots after it: `python3.11`.
    Program(&'static [u8]),
    /// So, then anything, then `.so` and perhaps numbers: `libcrypto.so.3`.
    Library(&'static [u8]),
}

impl Named {
    fn is(self, name: &[u8]) -> bool {
        match self {
            Self::Program(stem) => name
                .strip_prefix(stem)
                .is_some_and(|rest| rest.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'))),
            Self::Library(stem) => name.strip_prefix(stem).is_some_and(|rest| {
                memmem::find(rest, b".so").is_some_and(|at| matches!(rest.get(at + 3), None | Some(b'.')))
            }),
        }
    }
}

/// Where the version stands.
#[derive(Clone, Copy)]
enum Mark {
    /// Right after this text.
    After(&'static [u8]),
    /// With the end of this text: so many bytes of it come before the version.
    With(&'static [u8], usize),
    /// Between a zero byte and this text.
    Before(&'static [u8]),
    /// Between two zero bytes, and it begins with the number in the file's name and a dot.
    OfName,
}

/// One program.
struct Known {
    /// The name that it is reported by, `pkg:generic/NAME`.
    name: &'static str,
    files: &'static [Named],
    marks: &'static [Mark],
    /// How many numbers its versions have at least: what has fewer is something else.
    numbers: usize,
    letters: Letters,
}

/// Whether letters and digits follow the numbers, as in `1.1.1n`, `9.2p1`, `3.13.0rc1`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Letters {
    Never,
    Perhaps,
    Always,
}

const fn known(
    name: &'static str,
    files: &'static [Named],
    marks: &'static [Mark],
    numbers: usize,
    letters: Letters,
) -> Known {
    Known { name, files, marks, numbers, letters }
}

use Letters::{Always, Never, Perhaps};
use Mark::{After, Before, OfName, With};
use Named::{Library, Program};

/// Every program, by name. `[` is the name under which an image of BusyBox alone has the one file that all others link
/// to.
const KNOWN: &[Known] = &[
    known("bash", &[Program(b"bash")], &[After(b"@(#)Bash version ")], 3, Never),
    known("busybox", &[Program(b"busybox"), Program(b"[")], &[After(b"BusyBox v")], 3, Never),
    known("curl", &[Program(b"curl"), Library(b"libcurl")], &[After(b"\0libcurl/"), After(b"\0curl/")], 3, Never),
    known("dnsmasq", &[Program(b"dnsmasq")], &[After(b"\0dnsmasq-")], 2, Never),
    known("git", &[Program(b"git")], &[After(b"git/")], 3, Never),
    known("haproxy", &[Program(b"haproxy")], &[After(b"\0 version "), After(b"HA-Proxy version ")], 3, Never),
    known("httpd", &[Program(b"httpd"), Program(b"apache")], &[After(b"\0Apache/")], 3, Never),
    known("lighttpd", &[Program(b"lighttpd")], &[After(b"\0lighttpd/")], 3, Never),
    known("lua", &[Program(b"lua"), Library(b"liblua")], &[After(b"$LuaVersion: Lua ")], 3, Never),
    known("mariadb", &[Program(b"mariadbd"), Program(b"mysqld")], &[Before(b"-MariaDB")], 3, Never),
    known("memcached", &[Program(b"memcached")], &[After(b"\0memcached ")], 3, Never),
    known("nginx", &[Program(b"nginx")], &[After(b"nginx version: nginx/")], 3, Never),
    known("node", &[Program(b"node"), Program(b"nodejs"), Library(b"libnode")], &[After(b"\0node.js/v")], 3, Never),
    known("openresty", &[Program(b"nginx")], &[After(b"nginx version: openresty/")], 3, Never),
    known("openssh", &[Program(b"sshd"), Program(b"ssh")], &[After(b"\0OpenSSH_")], 2, Always),
    known("openssl", &[Program(b"openssl"), Library(b"libcrypto")], &[After(b"\0OpenSSL ")], 3, Perhaps),
    known("perl", &[Program(b"perl"), Library(b"libperl")], &[With(b"\0v5.", 2)], 3, Never),
    known(
        "php",
        &[Program(b"php"), Program(b"php-fpm"), Program(b"php-cgi"), Library(b"libphp")],
        &[After(b"\0X-Powered-By: PHP/")],
        3,
        Perhaps,
    ),
    known("postgresql", &[Program(b"postgres")], &[After(b"postgres (PostgreSQL) ")], 2, Perhaps),
    known("proftpd", &[Program(b"proftpd")], &[After(b"ProFTPD Version ")], 3, Perhaps),
    known("python", &[Program(b"python"), Library(b"libpython")], &[OfName], 3, Perhaps),
    known("redis", &[Program(b"redis-server"), Program(b"redis-check-rdb")], REDIS, 3, Never),
    known("ruby", &[Program(b"ruby"), Library(b"libruby")], &[After(b"\0ruby ")], 3, Never),
    known("squid", &[Program(b"squid")], &[After(b"\0squid/")], 2, Never),
    known("unbound", &[Program(b"unbound")], &[After(b"\0unbound ")], 3, Never),
    known("valkey", &[Program(b"valkey-server"), Program(b"valkey-check-rdb")], REDIS, 3, Never),
    known("varnish", &[Program(b"varnishd")], &[After(b"\0varnish-")], 3, Never),
];

/// The version stands beside how atomic counters are made, or which allocator is used: all are printed by `INFO`.
const REDIS: &[Mark] =
    &[Before(b"\0c11-builtin\0"), Before(b"\0atomic-builtin\0"), Before(b"\0sync-builtin\0"), Before(b"\0jemalloc-")];

/// Is this the name of a program or library that is looked for?
pub(super) fn is_named(path: &[u8]) -> bool {
    candidates(file_name(path)).next().is_some()
}

fn file_name(path: &[u8]) -> &[u8] {
    &path[memchr::memrchr(b'/', path).map_or(0, |slash| slash + 1)..]
}

fn candidates(name: &[u8]) -> impl Iterator<Item = &'static Known> {
    KNOWN.iter().filter(move |known| known.files.iter().any(|file| file.is(name)))
}

impl Analyzer for WellKnown {
    fn id(&self) -> &'static str {
        "well-known/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        let path = file.path.as_bytes();
        let name = file.path.file_name();
        let is_program = file.is_executable() || name.starts_with(b"lib");
        if is_program && candidates(name).next().is_some() && is_depth_below(path) {
            Want::Program { bytes_max: limits.program_bytes_max }
        } else {
            Want::No
        }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let name = file.entry.path.file_name();
        let mut found = Locked::new(PackageFormat::Generic);
        if file.form.is_machine_code() {
            for known in candidates(name) {
                let version = known.marks.iter().find_map(|mark| find(file.content, *mark, known, name));
                if let Some(version) = version.and_then(field) {
                    found.add(known.name, &version);
                }
            }
        }
        found.push(file, out);
        Ok(())
    }
}

/// The first version at a mark.
fn find<'a>(content: &'a [u8], mark: Mark, known: &Known, name: &[u8]) -> Option<&'a [u8]> {
    match mark {
        After(text) => version_at(content, text, text.len(), known),
        With(text, before) => version_at(content, text, before, known),
        Before(text) => {
            let mut places = memmem::find_iter(content, text).take(PLACES_MAX);
            places.find_map(|at| {
                let before = &content[at.saturating_sub(VERSION_BYTES_MAX)..at];
                let start = memchr::memrchr(0, before)? + 1;
                version(&content[at - (before.len() - start)..], known)
                    .filter(|found| found.len() == before.len() - start)
            })
        }
        OfName => {
            let number = number_of_name(name)?;
            let text = [b"\0", number, b"."].concat();
            let mut places = memmem::find_iter(content, &text).take(PLACES_MAX);
            places.find_map(|at| {
                let found = version(&content[at + 1..], known)?;
                (content.get(at + 1 + found.len()) == Some(&0)).then_some(found)
            })
        }
    }
}

/// The first version that begins `before` bytes after the beginning of a text.
fn version_at<'a>(content: &'a [u8], text: &[u8], before: usize, known: &Known) -> Option<&'a [u8]> {
    let mut places = memmem::find_iter(content, text).take(PLACES_MAX);
    places.find_map(|at| version(&content[at + before..], known))
}

/// `python3.11` and `libpython3.11.so.1.0` have `3.11`.
fn number_of_name(name: &[u8]) -> Option<&[u8]> {
    let start = name.iter().position(u8::is_ascii_digit)?;
    let numbers = numbers(&name[start..]);
    (numbers.contains(&b'.')).then_some(numbers)
}

/// Numbers with dots between them.
fn numbers(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(bytes.len());
    let numbers = &bytes[..end];
    numbers.strip_suffix(b".").unwrap_or(numbers)
}

/// The version at the beginning of `bytes`.
fn version<'a>(bytes: &'a [u8], known: &Known) -> Option<&'a [u8]> {
    let head = &bytes[..bytes.len().min(VERSION_BYTES_MAX)];
    let numbers = numbers(head);
    let parts = numbers.split(|&b| b == b'.');
    let is_version = parts.clone().all(|part| !part.is_empty() && part.len() <= 9) && parts.count() >= known.numbers;
    if !is_version {
        return None;
    }
    let rest = &head[numbers.len()..];
    let letters = match rest {
        [b'a'..=b'z', ..] if known.letters != Never => {
            rest.iter().position(|b| !b.is_ascii_lowercase() && !b.is_ascii_digit()).unwrap_or(rest.len())
        }
        _ => 0,
    };
    (letters > 0 || known.letters != Always).then_some(&head[..numbers.len() + letters])
}

#[cfg(test)]
mod tests {
    use super::super::machine_code::tests::elf;
    use super::super::tests::{check_program, survives};
    use super::*;

    fn check(path: &str, text: &[u8], expect: &str) {
        let expect = if expect.is_empty() { vec![] } else { vec![format!("pkg:generic/{expect}")] };
        check_program(path, &elf(0x1000, &[(".rodata", text)]), &expect);
    }

    #[test]
    fn programs_are_told_by_what_stands_in_them() {
        check("bin/busybox", b"\0BusyBox v1.35.0 (Debian 1:1.35.0-4)\0", "busybox@1.35.0");
        check("bin/[", b"\0BusyBox v1.36.1 (2023)\0", "busybox@1.36.1");
        check("usr/local/bin/node", b"\0node.js/v20.20.2\0", "node@20.20.2");
        check("usr/bin/openssl", b"@\0OpenSSL 3.0.22 25 Aug 2026\0", "openssl@3.0.22");
        check("usr/lib/libcrypto.so.1.1", b"@\0OpenSSL 1.1.1n  15 Mar 2022\0", "openssl@1.1.1n");
        check("usr/local/bin/python3.11", b"pymalloc_debug\x003.11.2\0strict\0", "python@3.11.2");
        check("usr/local/lib/libpython3.13.so.1.0", b"\x003.1.0\x003.13.0rc1\0", "python@3.13.0rc1");
        check("usr/local/bin/perl", b"SEED\0v5.36.0\0panic\0", "perl@5.36.0");
        check("usr/local/lib/libruby.so.3.1.2", b"\0ruby 3.1.2p20 (2022-04-12 revision 4491bb740a)\0", "ruby@3.1.2");
        check("usr/local/bin/php", b"%s,%s\0X-Powered-By: PHP/8.2.36\0", "php@8.2.36");
        check("usr/sbin/nginx", b"\0nginx version: nginx/1.22.1\0", "nginx@1.22.1");
        check("usr/local/openresty/nginx/sbin/nginx", b"nginx version: openresty/1.21.4.1\0", "openresty@1.21.4.1");
        check("usr/local/apache2/bin/httpd", b"\0Apache/2.4\0Apache/2.4.71 (Unix)\0", "httpd@2.4.71");
        check("usr/local/bin/redis-server", b"\0upstart\0err\x007.0.15\0c11-builtin\0shutdown_\0", "redis@7.0.15");
        check("usr/lib/postgresql/15/bin/postgres", b"postgres (PostgreSQL) 15.20 (Debian)\n", "postgresql@15.20");
        check("usr/local/sbin/haproxy", b"\0 version 2.6.12-1+deb12u4, released 2026/10/17\0", "haproxy@2.6.12");
        check("usr/local/bin/memcached", b"\0memcached 1.6.18\0", "memcached@1.6.18");
        check("usr/sbin/mariadbd", b"\x0010.11.19-MariaDB\0x86_64\0", "mariadb@10.11.19");
        check("usr/bin/git", b"\xfe\xffgit/2.39.5\0GIT_USER_AGENT\0", "git@2.39.5");
        check("usr/sbin/sshd", b"\0OpenSSH_9.2\0OpenSSH_9.2p1 Debian-2+deb12u10\0", "openssh@9.2p1");
        check("usr/lib/libcurl.so.4", b"\0libcurl/7.88.1\0", "curl@7.88.1");
    }

    #[test]
    fn a_name_without_a_version_is_nothing() {
        check("usr/sbin/nginx", b"no such text\0", "");
        check("usr/sbin/nginx", b"nginx version: nginx/1.%d\0", "");
        check("usr/bin/python3", b"\x003.11.2\0", "");
        check("usr/bin/redis-server", b"\0many\0c11-builtin\0", "");
        check("usr/local/bin/nginx-exporter", b"nginx version: nginx/1.22.1\0", "");
    }

    #[test]
    fn programs_that_lie_are_survived() {
        let text = [&b"\0OpenSSL "[..], &[b'9'; 100], b"\0OpenSSL 3.0.2 \0"].concat();
        let program = elf(0x1000, &[(".rodata", &text)]);
        check_program("usr/bin/openssl", &program, &["pkg:generic/openssl@3.0.2"]);
        survives("usr/bin/openssl", &program);
        let many = b"\0OpenSSL x".repeat(100_000);
        check("usr/bin/openssl", &many, "");
    }

    #[test]
    fn names_are_listed_once() {
        let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert!(is_named(b"usr/lib/libcrypto.so.3") && !is_named(b"usr/lib/libcrypto.a"));
        assert!(is_named(b"usr/lib/git-core/git") && !is_named(b"usr/lib/libcryptography.sofa"));
    }
}
