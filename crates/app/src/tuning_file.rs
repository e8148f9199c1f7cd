//! `--tuning FILE`: how the findings of rules and checks are judged in one scan, as the server's settings do.
//!
//! Invariant: a file that breaks a rule ends the scan before anything is read, each fault named by its key. A setting of
//! a rule that this scan does not have is said and has no effect.

use analyze::Detectors;
use anyhow::{Context, Result, bail};
use model::tuning::Tuning;
use policy::CompiledTuning;
use report::api::TuningBody;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;

/// The largest file, in bytes.
const BYTES_MAX: u64 = 8 << 20;

/// Reads the form that the page shows (TOML), or that of the API (JSON).
pub(crate) fn read(path: &Path) -> Result<Tuning> {
    let failed = || format!("the settings of rules {} cannot be read", path.display());
    let unusable = || format!("the settings of rules {} cannot be used", path.display());
    let mut text = String::new();
    fs::File::open(path).with_context(failed)?.take(BYTES_MAX + 1).read_to_string(&mut text).with_context(failed)?;
    if text.len() as u64 > BYTES_MAX {
        bail!("the settings of rules {} have more than {BYTES_MAX} bytes", path.display());
    }
    let tuning = if text.trim_start().starts_with('{') {
        serde_json::from_str::<TuningBody>(&text).map(Tuning::from).with_context(unusable)?
    } else {
        policy::parse_tuning(&text).with_context(unusable)?
    };
    // Which rules there are depends on what else is asked for, so that it is looked at later.
    let known = tuning.rules.iter().map(|rule| rule.id.clone()).collect();
    let problems = policy::check_tuning(&tuning, &known);
    if !problems.is_empty() {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        bail!("the settings of rules {} cannot be used: {}", path.display(), lines.join("; "));
    }
    Ok(tuning)
}

/// Says which settings are about no rule and no check of this scan.
pub(crate) fn tell_unknown(tuning: &Tuning, detectors: &Detectors) {
    if tuning.rules.is_empty() {
        return;
    }
    let mut known: BTreeSet<String> = detectors.catalogue().into_iter().map(|rule| rule.id).collect();
    known.extend(CompiledTuning::default().checks().map(|check| check.id.clone()));
    for problem in policy::check_tuning(tuning, &known).into_iter().filter(|problem| problem.key.ends_with(".id")) {
        anstream::eprintln!("pratique: note: a setting has no effect in this scan: {problem}");
    }
}
