//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use model::{Platform, Severity};
use remote::clamd::ClamdAddress;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Finds every container image of your registries, knows what is in it, and tells what must be fixed.
#[derive(Debug, Parser)]
#[command(name = "pratique", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Say more on standard error (twice: much more).
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Scan one image.
    Scan(Box<ScanArguments>),
    /// Run the server: API, web page, discovery, scanning, evaluation.
    Serve(Box<ServeArguments>),
    /// Take work from a server: next to a registry (outpost), or inside a private network (broker).
    Agent(AgentArguments),
    /// Import, download and inspect intelligence.
    Feeds(FeedsArguments),
    /// Connect registries to a running server.
    Registry(RegistryArguments),
    /// Check a policy file.
    Policy(PolicyArguments),
    /// Say why a package is affected by a vulnerability, or why not.
    Explain(ExplainArguments),
    /// A self-contained tour: a sample registry, the real pipeline, the web page.
    Demo(DemoArguments),
}

/// REF: `[registry/]repo[:tag][@digest]`, `oci:DIR[:tag]`, `oci-archive:FILE[:tag]`, `docker-archive:FILE[:tag]` or `sbom:FILE`.
#[derive(Debug, Args)]
pub(crate) struct ScanArguments {
    /// The image: a registry reference, or oci:, oci-archive:, docker-archive: and a path; or sbom: and a bill of materials.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// How the report is written: table, json, cyclonedx, spdx, sarif, openvex, junit, gitlab, html, markdown or csv.
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = parse_format)]
    pub(crate) format: report::scan::Format,
    /// Write the report to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Folder of compiled intelligence.
    #[arg(long, value_name = "DIR", env = "PRATIQUE_INTEL")]
    pub(crate) intel: Option<PathBuf>,
    /// What to look for; `vulnerabilities` implies `packages`.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub(crate) scanners: Vec<Scanner>,
    /// os/architecture[/variant], or `all`; default is the machine's own.
    #[arg(long, value_name = "PLATFORM", value_parser = parse_platform)]
    pub(crate) platform: Option<PlatformArgument>,
    /// Judge with the policies of this file; ends with 2 when one says no.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Judge with these settings of rules: switches, severities, thresholds, allow list; as the server's page and API
    /// show them (TOML or JSON).
    #[arg(long, value_name = "FILE")]
    pub(crate) tuning: Option<PathBuf>,
    /// Secret rules and allow lists of your own, in our TOML form or gitleaks'; of a folder every .toml file. Repeatable.
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) secret_rules: Vec<PathBuf>,
    /// End with 2 for an affected vulnerability or any other finding at least this severe.
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) fail_on: Option<Severity>,
    /// End with 2 when something could not be looked at.
    #[arg(long)]
    pub(crate) fail_on_gap: bool,
    /// `all` also shows vulnerabilities that do not affect the image.
    #[arg(long, value_enum, default_value_t = ShowArgument::Open)]
    pub(crate) show: ShowArgument,
    /// Of layers with a table of contents (eStargz, zstd:chunked, SOCI) download only what the package analyzers want;
    /// without secrets and malware, which need every byte.
    #[arg(long)]
    pub(crate) lazy: bool,
    /// Do not use or write the cache of layers that were read before.
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Also look for malware with the YARA rules of this folder (*.yar, *.yara), or of this file.
    #[arg(long, value_name = "DIR", env = "PRATIQUE_YARA")]
    pub(crate) yara: Option<PathBuf>,
    /// Show files to ClamAV's clamd at HOST:PORT, or at the path of its socket.
    #[arg(long, value_name = "ADDRESS", env = "PRATIQUE_CLAMD")]
    pub(crate) clamd: Option<ClamdAddress>,
    /// Ceiling for temporary files, such as 2GiB.
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = parse_size)]
    pub(crate) spool_max: u64,
    /// Ceiling for the memory of layers being read, such as 256MiB.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_size, env = "PRATIQUE_MEMORY_MAX")]
    pub(crate) memory_max: u64,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// How a registry is reached from the command line.
#[derive(Debug, Args)]
pub(crate) struct Transport {
    /// Speak HTTP to the registry.
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// Do not verify the registry's certificate.
    #[arg(long)]
    pub(crate) skip_tls_verify: bool,
    /// Both of the above.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Certificate authority to trust besides the system's (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// User name; without one the docker credential store is asked.
    #[arg(long, value_name = "NAME", env = "PRATIQUE_USERNAME")]
    pub(crate) username: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scanner {
    Packages,
    Vulnerabilities,
    Secrets,
    Malware,
    Configuration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShowArgument {
    Open,
    All,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlatformArgument {
    All,
    One(Platform),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Folder of everything that is stored.
    #[arg(long, value_name = "DIR", env = "PRATIQUE_DATA")]
    pub(crate) data: PathBuf,
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8474", env = "PRATIQUE_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// Certificate chain (PEM): turns TLS on.
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "PRATIQUE_TLS_CERTIFICATE")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Key of the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_certificate", env = "PRATIQUE_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Jobs done at once in this process; 0 leaves all reading to agents.
    #[arg(long, value_name = "N", env = "PRATIQUE_WORKERS")]
    pub(crate) workers: Option<usize>,
    /// Ceiling for temporary files.
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = parse_size, env = "PRATIQUE_SPOOL_MAX")]
    pub(crate) spool_max: u64,
    /// Ceiling for the memory of layers being read, such as 512MiB; default is what one layer for each processor needs.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "PRATIQUE_MEMORY_MAX")]
    pub(crate) memory_max: Option<u64>,
    /// Show files to ClamAV's clamd at HOST:PORT, or at the path of its socket.
    #[arg(long, value_name = "ADDRESS", env = "PRATIQUE_CLAMD")]
    pub(crate) clamd: Option<ClamdAddress>,
    /// Refuse registries on private addresses.
    #[arg(long, env = "PRATIQUE_DENY_PRIVATE_ADDRESSES")]
    pub(crate) deny_private_addresses: bool,
    #[command(flatten)]
    pub(crate) feeds: ServedFeeds,
}

/// Which feeds a server downloads by itself, and where its feeds come from.
#[derive(Debug, Args)]
pub(crate) struct ServedFeeds {
    /// Download feeds by itself: at the start, then this often, such as 6h (10m to 30d). Without it nothing does.
    #[arg(long, value_name = "TIME", value_parser = parse_interval, env = "PRATIQUE_FEEDS_EVERY")]
    pub(crate) feeds_every: Option<Duration>,
    /// Only these sources, by name; a final `*` fits any end. Default: all but the largest.
    #[arg(long, value_name = "SOURCE,…", value_delimiter = ',', requires = "feeds_every", env = "PRATIQUE_FEEDS")]
    pub(crate) feeds: Vec<String>,
    /// A file of sources (TOML), in place of `sources.toml` in the intelligence folder.
    #[arg(long, value_name = "FILE", env = "PRATIQUE_FEED_SOURCES")]
    pub(crate) feed_sources: Option<PathBuf>,
    /// Where a source is served: `https://`, `http://` or `file:` with a file or folder. May be repeated.
    #[arg(long = "feed-url", value_name = "SOURCE=URL", value_parser = named_url)]
    pub(crate) feed_urls: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct AgentArguments {
    /// Address of the server: https://…, or http:// on this machine.
    #[arg(long, value_name = "URL", env = "PRATIQUE_SERVER")]
    pub(crate) server: String,
    /// One-time token from the server; needed once, until the agent has its secret.
    #[arg(long, value_name = "TOKEN", env = "PRATIQUE_JOIN_TOKEN")]
    pub(crate) join: Option<String>,
    /// What the agent is for; must be what its join token was made for.
    #[arg(long, value_enum)]
    pub(crate) mode: AgentMode,
    /// The group; must be what its join token was made for.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) group: String,
    /// What the agent calls itself.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Certificate authority of the server (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Folder where the agent keeps its secret.
    #[arg(long, value_name = "DIR", env = "PRATIQUE_DATA")]
    pub(crate) data: PathBuf,
    /// Jobs done at once.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) workers: usize,
    /// Registry logins that never leave this machine: a docker config.json.
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_logins: Option<PathBuf>,
    /// Show files to ClamAV's clamd at HOST:PORT, or at the path of its socket; needed where the server has one too.
    #[arg(long, value_name = "ADDRESS", env = "PRATIQUE_CLAMD")]
    pub(crate) clamd: Option<ClamdAddress>,
    /// Ceiling for temporary files.
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = parse_size)]
    pub(crate) spool_max: u64,
    /// Ceiling for the memory of layers being read, such as 512MiB; default is what one layer for each processor needs.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "PRATIQUE_MEMORY_MAX")]
    pub(crate) memory_max: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AgentMode {
    Outpost,
    Broker,
}

#[derive(Debug, Args)]
pub(crate) struct FeedsArguments {
    #[command(subcommand)]
    pub(crate) action: FeedsAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FeedsAction {
    /// Import documents: a file, a folder, or an address. Replaces exactly the feeds that the source holds.
    Import {
        /// File, folder or URL.
        #[arg(long, value_name = "SOURCE")]
        from: String,
        #[command(flatten)]
        intel: IntelArgument,
    },
    /// Download the public feeds and import them.
    Sync {
        /// Only these sources, by name; a final `*` fits any end. Default: all but the largest.
        #[arg(value_name = "SOURCE")]
        feeds: Vec<String>,
        /// A file of sources (TOML), in place of `sources.toml` in the intelligence folder.
        #[arg(long, value_name = "FILE", env = "PRATIQUE_FEED_SOURCES")]
        sources: Option<PathBuf>,
        /// Where a source is served: `https://`, `http://` or `file:` with a file or folder. May be repeated.
        #[arg(long = "url", value_name = "SOURCE=URL", value_parser = named_url)]
        urls: Vec<(String, String)>,
        /// Only list the sources and their addresses.
        #[arg(long)]
        list: bool,
        #[command(flatten)]
        intel: IntelArgument,
    },
    /// Show every feed: records, age, error.
    Status {
        /// How it is written.
        #[arg(long, value_enum, default_value_t = StatusFormat::Table)]
        format: StatusFormat,
        #[command(flatten)]
        intel: IntelArgument,
    },
    /// List the packages, vulnerabilities and file hashes that changed since one of the last 30 generations.
    Changes {
        /// The older generation; 0 is before the first.
        #[arg(long, value_name = "GENERATION")]
        since: u64,
        /// How it is written.
        #[arg(long, value_enum, default_value_t = StatusFormat::Table)]
        format: StatusFormat,
        #[command(flatten)]
        intel: IntelArgument,
    },
    /// Remove a feed by its id, or several with a pattern that ends in `*`.
    Remove {
        /// The feed.
        #[arg(value_name = "FEED")]
        feed: String,
        #[command(flatten)]
        intel: IntelArgument,
    },
    /// Check every stored byte against its digest.
    Verify {
        #[command(flatten)]
        intel: IntelArgument,
    },
    /// Write everything that is in force to one file.
    Pack {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Sign its list with this Ed25519 key (PEM, PKCS #8).
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        #[command(flatten)]
        intel: IntelArgument,
    },
    /// Put the feeds of a packed file into force; feeds that it does not hold stay.
    Unpack {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        trust: TrustArguments,
        /// Take the file whose list has this digest, signed or not.
        #[arg(long, value_name = "DIGEST", group = "why")]
        digest: Option<model::Digest>,
        #[command(flatten)]
        intel: IntelArgument,
    },
    /// Upload everything that is in force to a registry, as an OCI artifact.
    Push {
        /// [registry/]repository:tag
        #[arg(value_name = "REF")]
        reference: model::ImageRef,
        /// Sign its list with this Ed25519 key (PEM, PKCS #8).
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        #[command(flatten)]
        transport: Transport,
        #[command(flatten)]
        intel: IntelArgument,
    },
    /// Download an artifact from a registry and put its feeds into force; REF@sha256:… needs no signature.
    Pull {
        /// `[registry/]repository[:tag][@digest]`
        #[arg(value_name = "REF")]
        reference: model::ImageRef,
        #[command(flatten)]
        trust: TrustArguments,
        #[command(flatten)]
        transport: Transport,
        #[command(flatten)]
        intel: IntelArgument,
    },
}

/// Why packed intelligence is believed.
#[derive(Debug, Args)]
pub(crate) struct TrustArguments {
    /// Take what is signed with the Ed25519 key whose public half this is (PEM); may be given several times.
    #[arg(long, value_name = "FILE", group = "why")]
    pub(crate) trust_key: Vec<PathBuf>,
    /// Take what is not signed too.
    #[arg(long, group = "why")]
    pub(crate) allow_unsigned: bool,
}

/// `NAME=URL`.
fn named_url(text: &str) -> Result<(String, String), String> {
    let (name, url) = text.split_once('=').ok_or("expected SOURCE=URL")?;
    Ok((name.to_owned(), url.to_owned()))
}

#[derive(Debug, Args)]
pub(crate) struct IntelArgument {
    /// Folder of compiled intelligence.
    #[arg(long, value_name = "DIR", env = "PRATIQUE_INTEL")]
    pub(crate) intel: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusFormat {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct RegistryArguments {
    /// Address of the server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8474", env = "PRATIQUE_SERVER", global = true)]
    pub(crate) server: String,
    /// API token.
    #[arg(long, value_name = "TOKEN", env = "PRATIQUE_TOKEN", hide_env_values = true, global = true)]
    pub(crate) token: Option<String>,
    /// Certificate authority of the server (PEM).
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ca: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) action: RegistryAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryAction {
    /// Connect a registry.
    Add(Box<RegistryAddArguments>),
    /// List connected registries with their status.
    List,
    /// Discover and scan a registry now.
    Scan {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RegistryAddArguments {
    /// Name of the instance.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// As for `docker login`.
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// User name.
    #[arg(long, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
    /// Speak HTTP to the registry.
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// Do not verify the registry's certificate.
    #[arg(long)]
    pub(crate) skip_tls_verify: bool,
    /// Certificate authority of the registry (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_ca: Option<PathBuf>,
    /// Explicit repository; may be repeated.
    #[arg(long = "repository", value_name = "REPOSITORY")]
    pub(crate) repositories: Vec<String>,
    /// Who pulls: cloud, outpost or broker.
    #[arg(long, value_name = "MODE", default_value = "cloud")]
    pub(crate) scan_mode: String,
    /// Group of agents.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent_group: Option<String>,
    /// What to take at first: all, latest_tag, or days_modified=N.
    #[arg(long, value_name = "WHAT", default_value = "all")]
    pub(crate) initial_scan: String,
    /// Only repositories (or repository:tag) that fit; may be repeated.
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Not those that fit; may be repeated.
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyArguments {
    #[command(subcommand)]
    pub(crate) action: PolicyAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyAction {
    /// Say whether a file can be used with `scan --policy` and on the policies page.
    Check {
        /// The file, TOML.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The package, such as 'pkg:apk/alpine/openssl@1.1.1c-r0?distro=alpine-3.10'.
    #[arg(value_name = "PURL")]
    pub(crate) purl: String,
    /// The vulnerability, such as CVE-2019-1547.
    #[arg(value_name = "VULNERABILITY")]
    pub(crate) vulnerability: String,
    #[command(flatten)]
    pub(crate) intel: IntelArgument,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// End after the summary instead of leaving the page open.
    #[arg(long)]
    pub(crate) once: bool,
    /// Address of the page.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8474")]
    pub(crate) listen: SocketAddr,
}

fn parse_format(text: &str) -> Result<report::scan::Format, String> {
    text.parse()
}

fn parse_platform(text: &str) -> Result<PlatformArgument, String> {
    if text == "all" { Ok(PlatformArgument::All) } else { text.parse().map(PlatformArgument::One) }
}

/// The shortest time between two downloads of feeds, in seconds: publishers ask to be spared.
const INTERVAL_SECONDS_MIN: u32 = 600;

/// `6h`, `1d`, `PT6H`.
fn parse_interval(text: &str) -> Result<Duration, String> {
    match report::api::schedule_seconds(text) {
        Ok(seconds) if seconds >= INTERVAL_SECONDS_MIN => Ok(Duration::from_secs(seconds.into())),
        Ok(_) | Err(_) => Err(format!("{text:?} is not a time between 10m and 30d, such as 6h")),
    }
}

/// `1024`, `64KiB`, `256MiB`, `2GiB`; also with `K`, `M`, `G` and `B`.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?} is not a size: expected a number and KiB, MiB or GiB"))?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(format!("{unit:?} is not a unit: KiB, MiB or GiB")),
    };
    number.checked_mul(factor).ok_or_else(|| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn intervals_read_as_people_write_them() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(parse_interval(text).ok(), expect.map(Duration::from_secs), "{text}");
        };
        check("6h", Some(21_600));
        check("10m", Some(600));
        check("1d", Some(86_400));
        check("PT6H", Some(21_600));
        check("9m", None);
        check("31d", None);
        check("-6h", None);
        check("often", None);
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(parse_size("2GiB"), Ok(2 << 30));
        assert_eq!(parse_size("64k"), Ok(64 << 10));
        assert_eq!(parse_size("100"), Ok(100));
        assert!(parse_size("lots").is_err());
        assert!(parse_size("5 furlongs").is_err());
    }
}
