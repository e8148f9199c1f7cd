//! Files that secrets are written into: how each assigns a value to a name.

use super::random::Random;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    Environment,
    Shell,
    Dockerfile,
    Yaml,
    Toml,
    Properties,
    Json,
    Python,
    JavaScript,
    Go,
    Java,
    Terraform,
    Minified,
    Php,
}

impl Host {
    pub(super) const ALL: &[Self] = &[
        Self::Environment,
        Self::Shell,
        Self::Dockerfile,
        Self::Yaml,
        Self::Toml,
        Self::Properties,
        Self::Json,
        Self::Python,
        Self::JavaScript,
        Self::Go,
        Self::Java,
        Self::Terraform,
        Self::Minified,
        Self::Php,
    ];

    pub(super) const fn file_name(self) -> &'static str {
        match self {
            Self::Environment => ".env",
            Self::Shell => "deploy.sh",
            Self::Dockerfile => "Dockerfile",
            Self::Yaml => "config.yml",
            Self::Toml => "settings.toml",
            Self::Properties => "application.properties",
            Self::Json => "config.json",
            Self::Python => "client.py",
            Self::JavaScript => "server.js",
            Self::Go => "main.go",
            Self::Java => "Client.java",
            Self::Terraform => "main.tf",
            Self::Minified => "bundle.min.js",
            Self::Php => "config.php",
        }
    }

    pub(super) fn head(self) -> Vec<String> {
        let lines: &[&str] = match self {
            Self::Shell => &["#!/bin/sh", "set -eu"],
            Self::Dockerfile => &["FROM debian:bookworm-slim", "WORKDIR /srv"],
            Self::Json => &["{"],
            Self::Go => &["package main", "", "import \"net/http\""],
            Self::Java => &["package shop;", "", "public class Client {"],
            Self::Php => &["<?php"],
            Self::Yaml => &["---", "service: shop"],
            Self::Environment
            | Self::Toml
            | Self::Properties
            | Self::Python
            | Self::JavaScript
            | Self::Terraform
            | Self::Minified => &[],
        };
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    pub(super) fn tail(self) -> Vec<String> {
        match self {
            Self::Json => vec!["  \"end\": true".to_owned(), "}".to_owned()],
            Self::Java => vec!["}".to_owned()],
            Self::Environment
            | Self::Shell
            | Self::Dockerfile
            | Self::Yaml
            | Self::Toml
            | Self::Properties
            | Self::Python
            | Self::JavaScript
            | Self::Go
            | Self::Terraform
            | Self::Minified
            | Self::Php => Vec::new(),
        }
    }

    /// The value assigned to the name, as people do it in such a file.
    pub(super) fn assign(self, name: &str, value: &str, random: &mut Random) -> String {
        let lower = name.to_lowercase();
        match (self, random.below(2)) {
            (Self::Environment, 0) => format!("{name}={value}"),
            (Self::Environment, _) => format!("{name}=\"{value}\""),
            (Self::Shell, 0) => format!("export {name}='{value}'"),
            (Self::Shell, _) => format!("{name}={value} ./deploy --now"),
            (Self::Dockerfile, 0) => format!("ENV {name}={value}"),
            (Self::Dockerfile, _) => format!("ENV {name} {value}"),
            (Self::Yaml, 0) => format!("  {lower}: {value}"),
            (Self::Yaml, _) => format!("  - name: {name}\n    value: \"{value}\""),
            (Self::Toml, _) => format!("{lower} = \"{value}\""),
            (Self::Properties, 0) => format!("{name}={value}"),
            (Self::Properties, _) => format!("{} = {value}", lower.replace('_', ".")),
            (Self::Json, 0) => format!("  \"{lower}\": \"{value}\","),
            (Self::Json, _) => format!("  \"{name}\": \"{value}\","),
            (Self::Python, 0) => format!("{name} = \"{value}\""),
            (Self::Python, _) => format!("client = connect({lower}='{value}', retries=3)"),
            (Self::JavaScript, 0) => format!("const {} = '{value}';", camel(name)),
            (Self::JavaScript, _) => format!("process.env.{name} = \"{value}\";"),
            (Self::Go, 0) => format!("const {} = \"{value}\"", camel(name)),
            (Self::Go, _) => format!("\tos.Setenv(\"{name}\", \"{value}\")"),
            (Self::Java, _) => format!("    private static final String {name} = \"{value}\";"),
            (Self::Terraform, _) => format!("  {lower} = \"{value}\""),
            (Self::Minified, _) => {
                format!("var a=1,b={{{}:\"{value}\",n:4}};function c(d){{return d.e(b)}}", camel(name))
            }
            (Self::Php, 0) => format!("define('{name}', '{value}');"),
            (Self::Php, _) => format!("    '{lower}' => '{value}',"),
        }
    }
}

/// `STRIPE_SECRET_KEY` as `stripeSecretKey`.
fn camel(name: &str) -> String {
    let mut out = String::new();
    for (at, word) in name.split(['_', '.', '-']).filter(|word| !word.is_empty()).enumerate() {
        let lower = word.to_lowercase();
        match lower.chars().next() {
            Some(first) if at > 0 => out.extend(first.to_uppercase().chain(lower.chars().skip(1))),
            _ => out.push_str(&lower),
        }
    }
    out
}
