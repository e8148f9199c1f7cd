//! CVSS base scores, from vectors.
//!
//! Versions 2.0, 3.0, 3.1 and 4.0. Temporal and environmental metrics in a vector are accepted and not used: what a feed
//! publishes rates the vulnerability, not an installation.

mod v2;
mod v3;
mod v4;

use model::advisory::CvssScore;
use std::collections::BTreeMap;

/// The longest vector that is read; the longest possible one has about 250 characters.
const VECTOR_BYTES_MAX: usize = 512;

/// The metrics of a vector by name; `None` when one is given twice or has no value (both are invalid).
type Metrics<'a> = BTreeMap<&'a str, &'a str>;

/// Scores a vector; `None` when it is not one that can be scored.
pub(crate) fn score(vector: &str) -> Option<CvssScore> {
    let vector = vector.trim();
    if vector.len() > VECTOR_BYTES_MAX {
        return None;
    }
    let score = match vector.split_once('/') {
        Some(("CVSS:3.1" | "CVSS:3.0", rest)) => v3::base_score(&metrics(rest)?)?,
        Some(("CVSS:4.0", rest)) => v4::base_score(&metrics(rest)?)?,
        Some((first, _)) if first.starts_with("CVSS:") => return None,
        Some(_) => v2::base_score(&metrics(vector.trim_matches(['(', ')']))?)?,
        None => return None,
    };
    Some(CvssScore { vector: vector.to_owned(), score })
}

/// Newest version first, then the highest score, then by text; without duplicates.
pub(crate) fn sort(scores: &mut Vec<CvssScore>) {
    scores.sort_by(|a, b| {
        let newest = version(&b.vector).cmp(version(&a.vector));
        newest.then(b.score.total_cmp(&a.score)).then_with(|| a.vector.cmp(&b.vector))
    });
    scores.dedup();
}

/// `4.0`, `3.1`, `3.0`; a vector without a prefix is version 2.
fn version(vector: &str) -> &str {
    vector.strip_prefix("CVSS:").and_then(|rest| rest.split('/').next()).unwrap_or("2.0")
}

fn metrics(text: &str) -> Option<Metrics<'_>> {
    let mut found = Metrics::new();
    for part in text.split('/') {
        let (name, value) = part.split_once(':')?;
        if found.insert(name, value).is_some() {
            return None;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_scored_as_the_specifications_examples() {
        let check = |vector: &str, expect: Option<f64>| assert_eq!(score(vector).map(|s| s.score), expect, "{vector}");
        // CVSS v3.1 examples document, and NVD's scores of the same vulnerabilities.
        check("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Some(9.8));
        check("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", Some(10.0));
        check("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", Some(7.5));
        check("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", Some(6.4));
        check("CVSS:3.0/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", Some(3.1));
        check("CVSS:3.1/AV:L/AC:L/PR:H/UI:N/S:U/C:L/I:L/A:L", Some(4.2));
        check("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", Some(6.1));
        check("CVSS:3.1/AV:P/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Some(6.8));
        check("CVSS:3.1/AV:A/AC:L/PR:N/UI:N/S:C/C:H/I:N/A:H", Some(9.3));
        check("CVSS:3.0/AV:A/AC:H/PR:L/UI:N/S:U/C:L/I:N/A:N", Some(2.6));
        check("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", Some(0.0));
        check("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:P/RL:O", Some(9.8));
        // CVSS v2 guide, section 3.3: CVE-2002-0392, CVE-2003-0818, CVE-2003-0062.
        check("AV:N/AC:L/Au:N/C:N/I:N/A:C", Some(7.8));
        check("AV:N/AC:L/Au:N/C:C/I:C/A:C", Some(10.0));
        check("AV:L/AC:H/Au:N/C:C/I:C/A:C", Some(6.2));
        check("(AV:N/AC:L/Au:N/C:N/I:P/A:N)", Some(5.0));
        check("AV:N/AC:L/Au:N/C:N/I:N/A:N", Some(0.0));
        // CVSS v4.0 examples document, and FIRST's calculator.
        check("CVSS:4.0/AV:A/AC:L/AT:N/PR:H/UI:N/VC:L/VI:H/VA:N/SC:N/SI:N/SA:H", Some(8.2));
        check("CVSS:4.0/AV:A/AC:H/AT:N/PR:N/UI:N/VC:L/VI:L/VA:N/SC:L/SI:H/SA:H", Some(5.6));
        check("CVSS:4.0/AV:N/AC:H/AT:N/PR:N/UI:N/VC:L/VI:L/VA:N/SC:N/SI:L/SA:L", Some(6.3));
        check("CVSS:4.0/AV:P/AC:H/AT:N/PR:L/UI:N/VC:N/VI:H/VA:H/SC:H/SI:L/SA:L", Some(5.9));
        check("CVSS:4.0/AV:A/AC:H/AT:P/PR:H/UI:A/VC:H/VI:L/VA:N/SC:N/SI:H/SA:H", Some(5.8));
        check("CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:A/VC:H/VI:H/VA:N/SC:N/SI:H/SA:L", Some(6.8));
        check("CVSS:4.0/AV:N/AC:H/AT:P/PR:N/UI:N/VC:N/VI:L/VA:N/SC:H/SI:N/SA:N", Some(6.9));
        check("CVSS:4.0/AV:N/AC:L/AT:P/PR:H/UI:P/VC:H/VI:L/VA:N/SC:L/SI:H/SA:L", Some(7.0));
        check("CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:A/VC:N/VI:N/VA:L/SC:N/SI:N/SA:H", Some(4.6));
        check("CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:L/VI:N/VA:H/SC:H/SI:L/SA:N", Some(8.4));
        check("CVSS:4.0/AV:L/AC:L/AT:N/PR:N/UI:N/VC:H/VI:L/VA:N/SC:L/SI:L/SA:N", Some(7.0));
        check("CVSS:4.0/AV:L/AC:H/AT:N/PR:H/UI:A/VC:N/VI:L/VA:H/SC:H/SI:H/SA:N", Some(5.8));
        check("CVSS:4.0/AV:A/AC:L/AT:P/PR:H/UI:P/VC:H/VI:H/VA:H/SC:N/SI:L/SA:H", Some(6.9));
        check("CVSS:4.0/AV:P/AC:H/AT:P/PR:H/UI:A/VC:N/VI:N/VA:H/SC:N/SI:L/SA:H", Some(5.7));
        check("CVSS:4.0/AV:P/AC:H/AT:P/PR:N/UI:A/VC:L/VI:N/VA:H/SC:L/SI:L/SA:L", Some(4.3));
        check("CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:P/VC:L/VI:N/VA:H/SC:N/SI:H/SA:H", Some(7.2));
    }

    #[test]
    fn what_is_not_a_vector_has_no_score() {
        for bad in [
            "",
            "high",
            "CVSS:3.1/AV:N",
            "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
            "CVSS:3.1/AV:N/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
            "CVSS:9.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
            "AV:N/AC:L",
        ] {
            assert_eq!(score(bad), None, "{bad}");
        }
    }
}
