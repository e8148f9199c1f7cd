//! The formats that a report is written in, one file each.
//!
//! Not here: what a report says; every format is made of a [`ScanReport`] alone. Invariant: equal reports and options
//! give equal bytes, and what could not be seen stands in every format beside what was found.

mod csv;
mod cyclonedx;
mod gitlab;
mod html;
mod junit;
mod license;
mod markdown;
mod node;
mod openvex;
mod sarif;
mod spdx;
mod subject;
mod xml;

pub(crate) use subject::base_text;

use crate::scan::{ScanReport, json};
use crate::table;
use model::Timestamp;
use serde::Serialize;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people at a terminal.
    Table,
    /// The report itself, version 1.
    Json,
    /// CycloneDX 1.6, JSON: a bill of materials, with vulnerabilities where they were looked for.
    CycloneDx,
    /// SPDX 2.3, JSON: a bill of materials.
    Spdx,
    /// SARIF 2.1.0: findings, for code hosts and editors.
    Sarif,
    /// OpenVEX 0.2.0: one statement per vulnerability and package.
    OpenVex,
    /// JUnit XML: findings as failed tests, for CI systems.
    JUnit,
    /// GitLab's container-scanning report, schema 15.
    GitLab,
    /// One page without scripts.
    Html,
    /// For comments and wikis.
    Markdown,
    /// One row per finding and gap, for spreadsheets.
    Csv,
}

/// Writes reports; more than one only where [`Format::holds_several`].
type Writer = fn(&[ScanReport], &RenderOptions) -> String;

impl Format {
    /// Every format.
    pub const ALL: [Self; 11] = [
        Self::Table,
        Self::Json,
        Self::CycloneDx,
        Self::Spdx,
        Self::Sarif,
        Self::OpenVex,
        Self::JUnit,
        Self::GitLab,
        Self::Html,
        Self::Markdown,
        Self::Csv,
    ];

    /// The word of the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::CycloneDx => "cyclonedx",
            Self::Spdx => "spdx",
            Self::Sarif => "sarif",
            Self::OpenVex => "openvex",
            Self::JUnit => "junit",
            Self::GitLab => "gitlab",
            Self::Html => "html",
            Self::Markdown => "markdown",
            Self::Csv => "csv",
        }
    }

    const fn writer(self) -> Writer {
        match self {
            Self::Table => table_document,
            Self::Json => json_document,
            Self::CycloneDx => |reports, options| cyclonedx::document(only(reports), options),
            Self::Spdx => |reports, options| spdx::document(only(reports), options),
            Self::Sarif => sarif::document,
            Self::OpenVex => openvex::document,
            Self::JUnit => junit::document,
            Self::GitLab => |reports, options| gitlab::document(only(reports), options),
            Self::Html => html::document,
            Self::Markdown => |reports, _| markdown::document(reports),
            Self::Csv => |reports, _| csv::document(reports),
        }
    }

    /// May one document speak of several images? A bill of materials is about one.
    pub const fn holds_several(self) -> bool {
        !matches!(self, Self::CycloneDx | Self::Spdx | Self::GitLab)
    }

    /// Media type of the document.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Table => "text/plain; charset=utf-8",
            Self::Json | Self::OpenVex | Self::GitLab => "application/json",
            Self::CycloneDx => "application/vnd.cyclonedx+json; version=1.6",
            Self::Spdx => "application/spdx+json",
            Self::Sarif => "application/sarif+json",
            Self::JUnit => "application/xml",
            Self::Html => "text/html; charset=utf-8",
            Self::Markdown => "text/markdown; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    /// How a file of this format is called after its first dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Table => "txt",
            Self::Json => "json",
            Self::CycloneDx => "cdx.json",
            Self::Spdx => "spdx.json",
            Self::Sarif => "sarif.json",
            Self::OpenVex => "openvex.json",
            Self::JUnit => "junit.xml",
            Self::GitLab => "gitlab.json",
            Self::Html => "html",
            Self::Markdown => "md",
            Self::Csv => "csv",
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| format!("{text:?} is none of the formats {}", known()))
    }
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderOptions {
    /// Table: columns of the terminal.
    pub width: u16,
    /// Table: escape sequences for colours.
    pub colour: bool,
    /// JSON: indented.
    pub pretty: bool,
    /// When the judgement was made, for the formats that have to say so. Bills of materials are about the image, so they
    /// carry its own date where it has one, and two of them about the same bytes are equal.
    pub now: Option<Timestamp>,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self { width: 120, colour: false, pretty: true, now: None }
    }
}

/// Writes one report, with a newline at its end.
pub fn render(report: &ScanReport, format: Format, options: &RenderOptions) -> String {
    match format {
        Format::Json => json(report, options.pretty),
        Format::Table
        | Format::CycloneDx
        | Format::Spdx
        | Format::Sarif
        | Format::OpenVex
        | Format::JUnit
        | Format::GitLab
        | Format::Html
        | Format::Markdown
        | Format::Csv => format.writer()(std::slice::from_ref(report), options),
    }
}

/// Writes the reports of several platforms of one image as one document: `{"version":1,"reports":[…]}` in JSON. Of a
/// format that does not hold several ([`Format::holds_several`]) only the first is written.
pub fn render_all(reports: &[ScanReport], format: Format, options: &RenderOptions) -> String {
    format.writer()(reports, options)
}

fn table_document(reports: &[ScanReport], options: &RenderOptions) -> String {
    reports.iter().map(|r| table::render(r, options)).collect::<Vec<_>>().join("\n")
}

fn json_document(reports: &[ScanReport], options: &RenderOptions) -> String {
    #[derive(Serialize)]
    struct Reports<'a> {
        version: u32,
        reports: &'a [ScanReport],
    }
    json(&Reports { version: 1, reports }, options.pretty)
}

fn only(reports: &[ScanReport]) -> &ScanReport {
    reports.first().expect("a document is about an image")
}
