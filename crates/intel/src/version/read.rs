//! A version that is read once and compared with many.
//!
//! Invariant: [`Read::compare`] gives what [`Scheme::compare`] gives, which is made of it.

use super::{
    Incomparable, Scheme, Why, alpm, apk, composer, conan, cran, deb, gem, generic, java, maven, nuget, openssl,
    pep440, pubspec, rpm, semver,
};
use std::cmp::Ordering;

/// A version of a scheme.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    scheme: Scheme,
    form: Form<'a>,
}

/// By the type that reads it; some serve several schemes.
#[derive(Debug)]
enum Form<'a> {
    Apk(apk::Version<'a>),
    Deb(deb::Version<'a>),
    Rpm(rpm::Version<'a>),
    Semver(semver::Version<'a>),
    Pep440(pep440::Version<'a>),
    Maven(maven::Version<'a>),
    Gem(gem::Version<'a>),
    NuGet(nuget::Version<'a>),
    Composer(composer::Version<'a>),
    Pub(pubspec::Version<'a>),
    Conan(conan::Version<'a>),
    Rows(cran::Version<'a>),
    Alpm(alpm::Version<'a>),
    OpenSsl(openssl::Version<'a>),
    Java(java::Version<'a>),
    Generic(generic::Version<'a>),
}

impl<'a> Read<'a> {
    pub(super) fn new(scheme: Scheme, text: &'a str) -> Result<Self, Incomparable> {
        scheme.check_length(text)?;
        let form = form(scheme, text).map_err(|why| scheme.incomparable(text, why))?;
        Ok(Self { scheme, form })
    }

    /// How this version stands to another.
    ///
    /// # Errors
    /// [`Incomparable`] when the other is not a version of the scheme, or is longer than
    /// [`BYTES_MAX`](super::BYTES_MAX).
    pub(crate) fn compare(&self, other: &str) -> Result<Ordering, Incomparable> {
        let Self { scheme, form } = self;
        scheme.check_length(other)?;
        let refused = |why| scheme.incomparable(other, why);
        match form {
            Form::Apk(version) => version.compare(&apk::Version::parse(other).map_err(refused)?),
            Form::Deb(version) => Ok(version.cmp(&deb::Version::parse(other).map_err(refused)?)),
            Form::Rpm(version) => Ok(version.cmp(&rpm::Version::parse(other).map_err(refused)?)),
            Form::Semver(version) => Ok(version.cmp(&semver_form(*scheme, other).map_err(refused)?)),
            Form::Pep440(version) => Ok(version.cmp(&pep440::Version::parse(other).map_err(refused)?)),
            Form::Maven(version) => Ok(version.cmp(&maven::Version::parse(other).map_err(refused)?)),
            Form::Gem(version) => Ok(version.cmp(&gem::Version::parse(other).map_err(refused)?)),
            Form::NuGet(version) => Ok(version.cmp(&nuget::Version::parse(other).map_err(refused)?)),
            Form::Composer(version) => Ok(version.cmp(&composer::Version::parse(other).map_err(refused)?)),
            Form::Pub(version) => Ok(version.cmp(&pubspec::Version::parse(other).map_err(refused)?)),
            Form::Conan(version) => Ok(version.cmp(&conan::Version::parse(other).map_err(refused)?)),
            Form::Rows(version) => Ok(version.cmp(&rows_form(*scheme, other).map_err(refused)?)),
            Form::Alpm(version) => Ok(version.cmp(&alpm::Version::parse(other).map_err(refused)?)),
            Form::OpenSsl(version) => Ok(version.cmp(&openssl::Version::parse(other).map_err(refused)?)),
            Form::Java(version) => Ok(version.cmp(&java::Version::parse(other).map_err(refused)?)),
            Form::Generic(version) => Ok(version.cmp(&generic::Version::parse(other).map_err(refused)?)),
        }
    }
}

fn form(scheme: Scheme, text: &str) -> Result<Form<'_>, Why> {
    Ok(match scheme {
        Scheme::Apk => Form::Apk(apk::Version::parse(text)?),
        Scheme::Deb => Form::Deb(deb::Version::parse(text)?),
        Scheme::Rpm => Form::Rpm(rpm::Version::parse(text)?),
        Scheme::Semver | Scheme::Npm | Scheme::Go | Scheme::Bitnami | Scheme::Hex => {
            Form::Semver(semver_form(scheme, text)?)
        }
        Scheme::Pep440 => Form::Pep440(pep440::Version::parse(text)?),
        Scheme::Maven => Form::Maven(maven::Version::parse(text)?),
        Scheme::Gem => Form::Gem(gem::Version::parse(text)?),
        Scheme::NuGet => Form::NuGet(nuget::Version::parse(text)?),
        Scheme::Composer => Form::Composer(composer::Version::parse(text)?),
        Scheme::Pub => Form::Pub(pubspec::Version::parse(text)?),
        Scheme::Conan => Form::Conan(conan::Version::parse(text)?),
        Scheme::Cran | Scheme::Hackage => Form::Rows(rows_form(scheme, text)?),
        Scheme::Alpm => Form::Alpm(alpm::Version::parse(text)?),
        Scheme::OpenSsl => Form::OpenSsl(openssl::Version::parse(text)?),
        Scheme::Java => Form::Java(java::Version::parse(text)?),
        Scheme::Generic => Form::Generic(generic::Version::parse(text)?),
    })
}

/// Each ecosystem's own reading of semantic versions.
fn semver_form(scheme: Scheme, text: &str) -> Result<semver::Version<'_>, Why> {
    match scheme {
        Scheme::Npm => semver::Version::parse_npm(text),
        Scheme::Go => semver::Version::parse_go(text),
        Scheme::Bitnami => semver::Version::parse_bitnami(text),
        Scheme::Apk
        | Scheme::Deb
        | Scheme::Rpm
        | Scheme::Semver
        | Scheme::Pep440
        | Scheme::Maven
        | Scheme::Gem
        | Scheme::NuGet
        | Scheme::Composer
        | Scheme::Hex
        | Scheme::Pub
        | Scheme::Conan
        | Scheme::Cran
        | Scheme::Hackage
        | Scheme::Alpm
        | Scheme::OpenSsl
        | Scheme::Java
        | Scheme::Generic => semver::Version::parse(text),
    }
}

fn rows_form(scheme: Scheme, text: &str) -> Result<cran::Version<'_>, Why> {
    if scheme == Scheme::Hackage { cran::Version::parse_hackage(text) } else { cran::Version::parse(text) }
}
