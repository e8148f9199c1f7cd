//! What each analyzer reads and what it tells, as people ask for it: the source of `docs/coverage.md`.
//!
//! Not here: how it is read. Invariant: one line per analyzer of [`super::ANALYZERS`], kept by the completeness test.

use model::PackageFormat;

/// What one analyzer does.
#[derive(Debug, Clone, Copy)]
pub struct Coverage {
    /// Its name, without the version; its fixture is `fixtures/packages/NAME`.
    pub analyzer: &'static str,
    /// The formats of the packages that it reports; none for what only tells about others.
    pub formats: &'static [PackageFormat],
    /// The files that it reads.
    pub files: &'static str,
    /// What it takes from them.
    pub facts: &'static str,
}

const fn line(
    analyzer: &'static str,
    formats: &'static [PackageFormat],
    files: &'static str,
    facts: &'static str,
) -> Coverage {
    Coverage { analyzer, formats, files, facts }
}

use PackageFormat as F;

/// Every analyzer, by name.
pub const COVERAGE: &[Coverage] = &[
    line(
        "apk",
        &[F::Apk],
        "`lib/apk/db/installed`, `usr/lib/apk/db/installed`",
        "name, version, architecture, origin, licence, owned files",
    ),
    line(
        "beam",
        &[F::Hex, F::Otp],
        "`mix.lock`, `rebar.lock`, `ebin/NAME.app`",
        "locked Hex packages; installed applications, those of Erlang/OTP and Elixir apart",
    ),
    line("bitnami", &[F::Bitnami], "`opt/bitnami/NAME/.spdx-NAME.spdx`", "the application, its version and licence"),
    line(
        "cargo-auditable",
        &[F::Cargo],
        "programs with a section `.dep-v0` (ELF, PE, Mach-O)",
        "crates that the program was built from, without those of the build alone",
    ),
    line("cargo-lock", &[F::Cargo], "`Cargo.lock`", "locked crates, without members of the workspace"),
    line("conan", &[F::Conan], "`conan.lock`, versions 1 and 2", "locked packages, without tools of the build"),
    line("conda", &[F::Conda], "`conda-meta/*.json`", "installed packages with licence"),
    line("dart", &[F::Pub], "`pubspec.lock`", "locked packages from a repository or from git"),
    line(
        "dotnet",
        &[F::NuGet],
        "`*.deps.json`, `packages.lock.json`",
        "packages of a published application or framework; locked packages",
    ),
    line(
        "dotnet-assembly",
        &[F::NuGet],
        "`*.dll` with a CLR header",
        "name of the file and product version, where no `*.deps.json` lies beside it",
    ),
    line(
        "dpkg",
        &[F::Deb],
        "`var/lib/dpkg/status`, `status.d/*`, `info/*.list`",
        "unpacked packages with source package and version, architecture, owned files; not what was removed",
    ),
    line(
        "go",
        &[F::Golang],
        "programs of the Go linker, stripped or not (ELF, PE, Mach-O, universal)",
        "main module, modules as replaced, Go's version as `stdlib`, and as `toolchain` of the go command",
    ),
    line("go-mod", &[F::Golang], "`go.mod`", "required modules as replaced"),
    line(
        "haskell",
        &[F::Hackage],
        "`stack.yaml.lock`, `cabal.project.freeze`",
        "locked packages, without those of a snapshot",
    ),
    line(
        "java",
        &[F::Maven],
        "jar, war, ear and other archives, nested; `pom.properties`, manifest, file name",
        "artifacts with group, also shaded ones",
    ),
    line(
        "julia",
        &[F::Julia],
        "`Manifest.toml`, formats 1 and 2; `packages/NAME/SLUG/Project.toml` of depots",
        "packages with UUID",
    ),
    line("jvm", &[F::Generic], "`release` of a JDK or JRE", "`openjdk` or `oracle-jdk` with its version"),
    line("lua", &[F::Luarocks], "rockspecs of LuaRocks' trees", "installed rocks with licence"),
    line(
        "node-lock",
        &[F::Npm],
        "`package-lock.json` and `npm-shrinkwrap.json` 1 to 3, `yarn.lock` classic and berry, `pnpm-lock.yaml` 5 to 9",
        "locked packages, without what is marked for development",
    ),
    line("npm", &[F::Npm], "`node_modules/**/package.json`", "installed packages with licence"),
    line(
        "os-release",
        &[],
        "`etc/os-release`, `usr/lib/os-release` and the older release files",
        "the distribution and its release",
    ),
    line(
        "pacman",
        &[F::Alpm],
        "`var/lib/pacman/local/*/desc`, `files`",
        "name, version, architecture, base package, licences, owned files",
    ),
    line(
        "perl",
        &[F::Cpan],
        "`.meta/*/MYMETA.json`, `perllocal.pod`, `cpanfile.snapshot`",
        "installed and locked distributions",
    ),
    line(
        "php",
        &[F::Composer],
        "`composer/installed.json`, `composer.lock`",
        "installed packages with licence; locked ones without those for development",
    ),
    line(
        "python",
        &[F::PyPi],
        "`*.dist-info/METADATA`, `*.egg-info`, `*.egg-info/PKG-INFO`, `EGG-INFO/PKG-INFO`",
        "installed packages with licence",
    ),
    line(
        "python-lock",
        &[F::PyPi],
        "requirements files, `Pipfile.lock`, `poetry.lock`, `pdm.lock`, `uv.lock`, `pylock.toml`",
        "locked packages, without what is marked for development",
    ),
    line(
        "r",
        &[F::Cran],
        "`DESCRIPTION` of installed packages, `renv.lock`",
        "packages with licence, without those of R itself",
    ),
    line(
        "rpm",
        &[F::Rpm],
        "`Packages` (Berkeley DB), `Packages.db` (NDB), `rpmdb.sqlite` in rpm's folders",
        "name, epoch, version, release, architecture, source package, module, licence, owned files",
    ),
    line(
        "ruby",
        &[F::Gem],
        "`specifications/*.gemspec`, `Gemfile.lock`, `gems.locked`",
        "installed gems with licences; locked gems",
    ),
    line(
        "sbom",
        &[F::Generic],
        "`*.cdx.json`, `*.cyclonedx.json`, `*.spdx.json`, `*.syft.json`, `bom.json`, `sbom.json`",
        "components of any type but operating-system packages, with licences",
    ),
    line(
        "swift",
        &[F::Swift, F::Cocoapods],
        "`Package.resolved` 1 to 3, `Podfile.lock`",
        "locked packages by repository; locked pods without the project's own",
    ),
    line(
        "well-known",
        &[F::Generic],
        "programs and libraries by name: bash, busybox, curl, dnsmasq, git, haproxy, httpd, lighttpd, lua, mariadb, \
         memcached, nginx, node, openresty, openssh, openssl, perl, php, postgresql, proftpd, python, redis, ruby, squid, \
         unbound, valkey, varnish",
        "the version that stands in the content, where no operating-system package owns the file",
    ),
    line(
        "wordpress",
        &[F::Generic],
        "`wp-includes/version.php`, `wp-content/plugins/*/*.php`, `wp-content/themes/*/style.css`",
        "WordPress, its plugins and themes",
    ),
];

/// What is read without an analyzer of its own, and why a format has no advisories.
pub const REMARKS: &[(PackageFormat, &str)] = &[
    (F::Cocoapods, "osv.dev keeps no advisories for pods; Swift packages have them by their repository"),
    (F::Conda, "no advisories are kept for Conda packages; Python packages among them are reported as such too"),
    (F::Cpan, "osv.dev keeps no advisories for CPAN"),
    (
        F::Generic,
        "software without a package manager that NVD's configurations are not read for: plugins and themes of WordPress, \
         most folders of a Nix store (`nix/store/*`), which are reported so because the package URL specification has no \
         type for Nix. To add a name: `crates/model/src/software.rs`",
    ),
    (F::Luarocks, "no advisories are kept for Lua rocks"),
    (F::Otp, "advisories of Erlang/OTP name releases of the whole, not versions of its applications"),
];
