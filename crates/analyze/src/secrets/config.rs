//! The texts of an image's configuration that may hold a secret, each with its place.
//!
//! Invariant: the order is fixed: environment, labels, commands, history; so the first place of a value that
//! stands in several is the one that is in force.

use model::layer::ImageConfig;
use std::borrow::Cow;

/// Each text with its place, as people name it.
pub(super) fn texts(configuration: &ImageConfig) -> Vec<(String, Cow<'_, str>)> {
    let runtime = &configuration.config;
    let mut all = Vec::new();
    for entry in &runtime.env {
        let name = entry.split_once('=').map_or(entry.as_str(), |(name, _)| name);
        all.push((format!("ENV {name}"), Cow::Borrowed(entry.as_str())));
    }
    for (key, value) in &runtime.labels {
        all.push((format!("LABEL {key}"), Cow::Owned(format!("{key}={value}"))));
    }
    let health = runtime.healthcheck.as_ref().map_or(&[][..], |check| &check.test);
    for (place, words) in [("ENTRYPOINT", &runtime.entrypoint[..]), ("CMD", &runtime.cmd), ("HEALTHCHECK", health)] {
        if !words.is_empty() {
            all.push((place.to_owned(), Cow::Owned(words.join(" "))));
        }
    }
    for (step, entry) in configuration.history.iter().enumerate() {
        all.push((format!("history step {}", step + 1), Cow::Borrowed(entry.created_by.as_str())));
        if let Some(comment) = &entry.comment {
            all.push((format!("history step {}", step + 1), Cow::Borrowed(comment.as_str())));
        }
    }
    all
}
