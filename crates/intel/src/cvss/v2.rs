//! CVSS v2 base score (guide, section 3.2.1).

use super::Metrics;

/// The base score; `None` when a metric is missing or has an unknown value.
pub(super) fn base_score(metrics: &Metrics<'_>) -> Option<f64> {
    let get = |name: &str| metrics.get(name).copied();
    let access_vector = match get("AV")? {
        "L" => 0.395,
        "A" => 0.646,
        "N" => 1.0,
        _ => return None,
    };
    let complexity = match get("AC")? {
        "H" => 0.35,
        "M" => 0.61,
        "L" => 0.71,
        _ => return None,
    };
    let authentication = match get("Au")? {
        "M" => 0.45,
        "S" => 0.56,
        "N" => 0.704,
        _ => return None,
    };
    let [c, i, a] = [impact(get("C")?)?, impact(get("I")?)?, impact(get("A")?)?];
    let impact = 10.41 * (1.0 - (1.0 - c) * (1.0 - i) * (1.0 - a));
    let exploitability = 20.0 * access_vector * complexity * authentication;
    let weight = if impact == 0.0 { 0.0 } else { 1.176 };
    Some(((0.6 * impact + 0.4 * exploitability - 1.5) * weight * 10.0).round() / 10.0)
}

fn impact(value: &str) -> Option<f64> {
    Some(match value {
        "N" => 0.0,
        "P" => 0.275,
        "C" => 0.660,
        _ => return None,
    })
}
