//! Judgement: facts, matches and intent at a moment become findings, compliance and issues.
//!
//! Not here: reading bytes (`analyze`), comparing versions (`intel`), storing, asking the time. Invariant: everything
//! is a function of its arguments; the same arguments in any order give the same answer, sorted.
//!
//! * [`findings`]: what is wrong with one core image, whatever anybody tolerates;
//! * [`CompiledTuning`]: switches, severities, thresholds and allow-lists that those findings follow;
//! * [`compliance`]: the controls of the standards, each passed, failed or not evaluated;
//! * [`judge`]: what the policies want raised on one repository;
//! * [`transition`]: what happens to the issues that are stored;
//! * [`gate`]: may a pipeline go on?

mod check;
mod compliance;
mod document;
mod error;
mod finding;
mod gate;
mod glob;
mod judge;
mod transition;
mod tuning;

pub use check::{Check, Snippet, checks};
pub use compliance::{Control, ControlResult, ControlState, Standard, compliance, standards};
pub use document::{PolicyProblem, TRUSTED_IMAGES_POLICY, check_policies, default_policies, parse_policies};
pub use error::{Error, ErrorKind};
pub use finding::{
    Assessment, EndOfLifeDate, ImageFacts, Scanners, Show, assess, end_of_life_dates, findings, findings_boundary, gaps,
};
pub use gate::{GateInput, GateResult, gate};
pub use judge::{Judged, JudgedImage, RepositoryFacts, UNTRUSTED_RULE, judge};
pub use transition::{Gone, transition};
pub use tuning::{CompiledTuning, Dismissal, Dismissed, Place, TuningProblem, check_tuning, parse_tuning, tuning_text};

/// When an issue of each severity must be fixed, in days after it was opened; order as [`model::Severity::ALL`]
/// (critical, high, medium, low, negligible, unknown). Unknown could be anything, so it is due like high.
pub const DUE_DAYS: [Option<u32>; 6] = [Some(7), Some(30), Some(90), Some(180), None, Some(30)];
