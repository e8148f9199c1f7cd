//! Elixir and Erlang: the lockfiles of Mix and rebar3, and the resource files of installed applications.
//!
//! Not here: `mix.exs` and `rebar.config`, which are programs or ask for ranges. How lockfiles are treated:
//! [`super::locked`]. A resource file does not tell where its application came from: those that Erlang/OTP and Elixir
//! ship are of the purl type `otp`, all others are taken for Hex packages, which they are in a release as Mix makes it,
//! save for the application itself.
//!
//! Sources: Erlang/OTP's `app(4)`; Mix's `Mix.Dep.Lock`; rebar3's documentation, "Dependencies", "Lock files";
//! the list of applications in Erlang/OTP's reference, and the folder `lib` of Elixir.

use super::locked::{self, Locked};
use super::{is_depth_below, lines};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};

/// Reads `mix.lock`, `rebar.lock` and `ebin/NAME.app`.
pub(super) struct Beam;

const MIX: &[u8] = b"mix.lock";
const REBAR: &[u8] = b"rebar.lock";

/// The applications of Erlang/OTP and of Elixir, sorted.
const SHIPPED: [&str; 60] = [
    "appmon",
    "asn1",
    "common_test",
    "compiler",
    "cosEvent",
    "cosEventDomain",
    "cosFileTransfer",
    "cosNotification",
    "cosProperty",
    "cosTime",
    "cosTransactions",
    "crypto",
    "debugger",
    "dialyzer",
    "diameter",
    "edoc",
    "eex",
    "eldap",
    "elixir",
    "erl_docgen",
    "erl_interface",
    "erts",
    "et",
    "eunit",
    "ex_unit",
    "ftp",
    "gs",
    "hipe",
    "ic",
    "iex",
    "inets",
    "inviso",
    "jinterface",
    "kernel",
    "logger",
    "megaco",
    "mix",
    "mnesia",
    "observer",
    "odbc",
    "orber",
    "os_mon",
    "ose",
    "otp_mibs",
    "parsetools",
    "percept",
    "public_key",
    "reltool",
    "runtime_tools",
    "sasl",
    "snmp",
    "ssh",
    "ssl",
    "stdlib",
    "syntax_tools",
    "test_server",
    "tftp",
    "tools",
    "webtool",
    "wx",
];

/// Is this the resource file of an application? `NAME.app` lies in `ebin`, beside the compiled modules.
pub(super) fn is_manifest(path: &[u8]) -> bool {
    let Some(stem) = path.strip_suffix(b".app") else { return false };
    let mut parts = stem.rsplit(|&b| b == b'/');
    let name = parts.next().unwrap_or_default();
    !name.is_empty() && parts.next() == Some(b"ebin") && is_depth_below(path)
}

impl Analyzer for Beam {
    fn id(&self) -> &'static str {
        "beam/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if is_manifest(file.path.as_bytes()) {
            return Want::Whole { bytes_max: limits.manifest_bytes_max };
        }
        // What Mix and rebar3 fetched lies in a folder of this name, each package with a lockfile of its own.
        if file.path.as_bytes().split(|&b| b == b'/').any(|part| part == b"deps" || part == b"_build") {
            return Want::No;
        }
        locked::wants(file, &[MIX, REBAR], limits)
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let name = file.entry.path.file_name();
        if name != MIX && name != REBAR {
            return read_application(file, out);
        }
        let mut found = Locked::new(PackageFormat::Hex);
        let result =
            if name == MIX { read_mix(file.content, &mut found) } else { read_rebar(file.content, &mut found) };
        found.push(file, out);
        result
    }
}

/// A map with one line per package: `"jason": {:hex, :jason, "1.1.2", "digest", [:mix], […], "hexpm", "digest"},`.
/// Those from repositories have `:git` and no version.
fn read_mix(content: &[u8], found: &mut Locked) -> Result<(), Unread> {
    if !content.trim_ascii_start().starts_with(b"%{") {
        return Err(Unread::malformed("not a mix.lock: it does not begin with %{"));
    }
    for (number, line) in lines(content) {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let Some((_, pin)) = line.split_once("{:hex,") else { continue };
        let mut fields = pin.splitn(3, ',').map(str::trim);
        let name = fields.next().and_then(|atom| atom.strip_prefix(':')).map(|name| name.trim_matches('"'));
        let version = fields.next().and_then(quoted);
        if let (Some(name), Some(version)) = (name, version) {
            found.add_at(name, version, number);
        }
    }
    Ok(())
}

/// A term with one line per package: `{<<"certifi">>,{pkg,<<"certifi">>,<<"2.5.1">>},1},`.
fn read_rebar(content: &[u8], found: &mut Locked) -> Result<(), Unread> {
    let start = content.trim_ascii_start();
    if !start.starts_with(b"[") && !start.starts_with(b"{") {
        return Err(Unread::malformed("not a rebar.lock: it does not begin with a list"));
    }
    for (number, line) in lines(content) {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let Some((_, pin)) = line.split_once("{pkg,") else { continue };
        let mut binaries = pin.split("<<\"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
        if let (Some(name), Some(version)) = (binaries.next(), binaries.next()) {
            found.add_at(name, version, number);
        }
    }
    Ok(())
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.split('"').next()
}

/// `{application, ssl, [{description, "…"}, {vsn, "10.9"}, …]}.`, with blanks anywhere.
fn read_application(file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
    let content = file.content;
    let term = memchr::memmem::find(content, b"application").map(|at| &content[at + b"application".len()..]);
    let name = term.and_then(after_comma).map(|rest| {
        let rest = rest.strip_prefix(b"'").unwrap_or(rest);
        let is_letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'@');
        &rest[..rest.iter().position(|b| !is_letter(b)).unwrap_or(rest.len())]
    });
    let version = memchr::memmem::find_iter(content, b"vsn").find_map(|at| {
        let rest = after_comma(&content[at + b"vsn".len()..])?.strip_prefix(b"\"")?;
        rest.get(..memchr::memchr(b'"', rest)?)
    });
    let text = |bytes: Option<&[u8]>| bytes.and_then(super::field).filter(|text| !text.is_empty());
    let (Some(name), Some(version)) = (text(name), text(version)) else {
        return Err(Unread::malformed("an application's resource file without a name or a version"));
    };
    let is_shipped = SHIPPED.binary_search(&name.as_str()).is_ok();
    let mut found = Locked::new(if is_shipped { PackageFormat::Otp } else { PackageFormat::Hex });
    // Before it is built, the version is a word of the source's: `%VSN%`, `git`.
    if version.starts_with(|c: char| c.is_ascii_digit()) {
        found.add(&name, &version);
    }
    found.push(file, out);
    Ok(())
}

fn after_comma(rest: &[u8]) -> Option<&[u8]> {
    Some(rest.trim_ascii_start().strip_prefix(b",")?.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn mix_lock_is_read() {
        let lock = "%{\n  \"jason\": {:hex, :jason, \"1.1.2\", \"b03de\", [:mix], [{:decimal, \"~> 1.0\", [hex: :decimal]}], \
                    \"hexpm\", \"ab\"},\n  \"alias\": {:hex, :\"Real\", \"2.0.0\", \"x\", [:rebar3], [], \"hexpm\"},\n  \
                    \"tool\": {:git, \"https://git.example/tool.git\", \"0123\", []},\n}\n";
        check("app/mix.lock", lock, &["pkg:hex/Real@2.0.0 line 3", "pkg:hex/jason@1.1.2 line 2"]);
        check("app/deps/x/mix.lock", lock, &["not wanted"]);
        check("app/mix.lock", "no", &["gap malformed: not a mix.lock: it does not begin with %{"]);
        survives("app/mix.lock", lock.as_bytes());
    }

    #[test]
    fn rebar_lock_is_read() {
        let lock = "{\"1.2.0\",\n[{<<\"certifi\">>,{pkg,<<\"certifi\">>,<<\"2.5.1\">>},1},\n {<<\"x\">>,\n  \
                    {git,\"https://git.example/x\",\n       {ref,\"0123\"}},\n  0},\n {<<\"hackney\">>,{pkg,<<\"hackney\">>,\
                    <<\"1.15.2\">>},0}]}.\n[\n{pkg_hash,[\n {<<\"certifi\">>, <<\"867CE347\">>}]}\n].\n";
        check("app/rebar.lock", lock, &["pkg:hex/certifi@2.5.1 line 2", "pkg:hex/hackney@1.15.2 line 7"]);
        check("app/rebar.lock", "[].\n", &[]);
        check("app/rebar.lock", "no", &["gap malformed: not a rebar.lock: it does not begin with a list"]);
        survives("app/rebar.lock", lock.as_bytes());
    }

    #[test]
    fn applications_are_of_otp_or_of_hex() {
        let ssl = "%% comment\n{application, ssl,\n [{description, \"Erlang/OTP SSL application\"},\n  {vsn, \"10.9\"},\n  {modules, []}]}.\n";
        check("usr/lib/erlang/lib/ssl-10.9/ebin/ssl.app", ssl, &["pkg:otp/ssl@10.9"]);
        let jason = "{application,jason,[{applications,[kernel,stdlib,elixir]},{vsn,\"1.4.0\"}]}.\n";
        check("app/lib/jason-1.4.0/ebin/jason.app", jason, &["pkg:hex/jason@1.4.0"]);
        check("app/lib/jason-1.4.0/jason.app", jason, &["not wanted"]);
        check(
            "a/ebin/x.app",
            "{application,x,[{vsn,git}]}.",
            &["gap malformed: an application's resource file without a name or a version"],
        );
        survives("a/ebin/ssl.app", ssl.as_bytes());
    }

    #[test]
    fn shipped_applications_are_sorted() {
        assert!(super::SHIPPED.is_sorted());
    }
}
