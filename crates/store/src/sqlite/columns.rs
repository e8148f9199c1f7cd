//! How the model's values stand in columns.

use crate::packed::json;
use crate::{Error, ErrorKind, Result};
use model::issue::{IssueState, Resolution};
use model::job::ImageState;
use model::{DetectorVersion, Digest, Reader, Severity, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite, Type};

/// A column of a row, by its name.
pub(super) fn get<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(row: &'r SqliteRow, column: &str) -> Result<T> {
    row.try_get(column).map_err(|e| Error::because(ErrorKind::Internal, format!("column {column} is damaged"), e))
}

/// A time, rounded down to the microsecond.
pub(super) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// A time before which nothing may happen, rounded up to the microsecond.
pub(super) fn micros_up(time: Timestamp) -> i64 {
    let whole = time.as_microsecond();
    let rounded = Timestamp::from_microsecond(whole).is_ok_and(|t| t >= time);
    if rounded { whole } else { whole.saturating_add(1) }
}

/// The time of a column.
pub(super) fn time(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|e| damaged("a time", e))
}

/// A time column.
pub(super) fn time_at(row: &SqliteRow, column: &str) -> Result<Timestamp> {
    time(get(row, column)?)
}

/// A time column that may be NULL.
pub(super) fn maybe_time_at(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>> {
    get::<Option<i64>>(row, column)?.map(time).transpose()
}

/// A digest column.
pub(super) fn digest_at(row: &SqliteRow, column: &str) -> Result<Digest> {
    digest(get::<&[u8]>(row, column)?)
}

/// The digest of 32 stored bytes.
pub(super) fn digest(bytes: &[u8]) -> Result<Digest> {
    <[u8; 32]>::try_from(bytes).map(Digest::from_bytes).map_err(|e| damaged("a digest", e))
}

/// A digest as a parameter.
pub(super) fn bytes(digest: &Digest) -> &[u8] {
    digest.as_bytes()
}

/// A reader column.
pub(super) fn reader_at(row: &SqliteRow, column: &str) -> Result<Reader> {
    get::<&str>(row, column)?.parse().map_err(|e: String| damaged("a reader", e))
}

/// A JSON column.
pub(super) fn json_at<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T> {
    crate::packed::from_json(get::<&str>(row, column)?)
}

/// A number that is never negative.
pub(super) fn count_at(row: &SqliteRow, column: &str) -> Result<u64> {
    count(get(row, column)?)
}

/// A number that is never negative.
pub(super) fn count(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|e| damaged("a count", e))
}

/// A number as a parameter; what does not fit is the largest that does.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The JSON array of readers, for `json_each`.
pub(super) fn readers_json(readers: &[Reader]) -> Result<String> {
    json(readers)
}

/// The JSON array of digests in hexadecimal, for `unhex(value)`.
pub(super) fn hexes_json<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Result<String> {
    json(&digests.into_iter().map(Digest::hex).collect::<Vec<_>>())
}

/// The word that a unit enum has in JSON.
pub(super) fn word<T: Serialize>(value: &T) -> Result<String> {
    crate::packed::from_json(&json(value)?)
}

/// The unit enum of a word column.
pub(super) fn word_at<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T> {
    crate::packed::from_json(&json(get::<&str>(row, column)?)?)
}

/// Detector versions as one text, the same for the same set.
pub(super) fn detectors_key(versions: &[DetectorVersion]) -> String {
    let mut parts: Vec<String> = versions.iter().map(|v| format!("{}={}", v.detector, v.fingerprint)).collect();
    parts.sort();
    parts.dedup();
    parts.join(",")
}

/// The order in which the state of one reader hides another's.
pub(super) const fn state_rank(state: ImageState) -> i64 {
    match state {
        ImageState::Scanned => 0,
        ImageState::Partial => 1,
        ImageState::Scanning => 2,
        ImageState::Failed => 3,
        ImageState::Pending => 4,
    }
}

/// The state of a rank.
pub(super) fn state(rank: i64) -> Result<ImageState> {
    Ok(match rank {
        0 => ImageState::Scanned,
        1 => ImageState::Partial,
        2 => ImageState::Scanning,
        3 => ImageState::Failed,
        4 => ImageState::Pending,
        _ => return Err(damaged("a state", rank.to_string())),
    })
}

/// The place of a severity, worst first.
pub(super) fn severity_rank(severity: Severity) -> i64 {
    number(severity_index(severity) as u64)
}

/// The place of a severity in arrays ordered as `Severity::ALL`.
pub(super) fn severity_index(severity: Severity) -> usize {
    Severity::ALL.iter().position(|s| *s == severity).expect("every severity is listed")
}

/// The severity of a place.
pub(super) fn severity(rank: i64) -> Result<Severity> {
    let found = usize::try_from(rank).ok().and_then(|at| Severity::ALL.get(at)).copied();
    found.ok_or_else(|| damaged("a severity", rank.to_string()))
}

/// 0 open, 1 resolved.
pub(super) const fn issue_state_rank(state: IssueState) -> i64 {
    match state {
        IssueState::Open => 0,
        IssueState::Resolved => 1,
    }
}

/// The state of a rank.
pub(super) fn issue_state(rank: i64) -> Result<IssueState> {
    match rank {
        0 => Ok(IssueState::Open),
        1 => Ok(IssueState::Resolved),
        _ => Err(damaged("a state", rank.to_string())),
    }
}

/// The resolution of a column that may be NULL.
pub(super) fn resolution_at(row: &SqliteRow, column: &str) -> Result<Option<Resolution>> {
    match get::<Option<&str>>(row, column)? {
        Some(text) => crate::packed::from_json(&json(text)?).map(Some),
        None => Ok(None),
    }
}

fn damaged(what: &str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::because(ErrorKind::Internal, format!("{what} in the database is damaged"), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_microseconds_and_round_towards_safety() {
        let check = |text: &str, down: i64, up: i64| {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!((micros(time), micros_up(time)), (down, up), "{text}");
        };
        check("1970-01-01T00:00:01.000001Z", 1_000_001, 1_000_001);
        check("1970-01-01T00:00:01.0000011Z", 1_000_001, 1_000_002);
        check("1970-01-01T00:00:01Z", 1_000_000, 1_000_000);
    }

    #[test]
    fn ranks_come_back() {
        for rank in 0..=4 {
            assert_eq!(state_rank(state(rank).unwrap()), rank);
        }
        for rank in 0..=5 {
            assert_eq!(severity_rank(severity(rank).unwrap()), rank);
        }
        assert!(state(5).is_err() && severity(6).is_err() && severity(-1).is_err() && issue_state(2).is_err());
    }
}
