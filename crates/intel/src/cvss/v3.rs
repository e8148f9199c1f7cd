//! CVSS v3.1 base score (specification, sections 7.1 and 7.4). Version 3.0 has the same equations.

use super::Metrics;

/// The base score; `None` when a mandatory metric is missing or has an unknown value.
pub(super) fn base_score(metrics: &Metrics<'_>) -> Option<f64> {
    let get = |name: &str| metrics.get(name).copied();
    let changed = match get("S")? {
        "U" => false,
        "C" => true,
        _ => return None,
    };
    let attack_vector = match get("AV")? {
        "N" => 0.85,
        "A" => 0.62,
        "L" => 0.55,
        "P" => 0.2,
        _ => return None,
    };
    let complexity = match get("AC")? {
        "L" => 0.77,
        "H" => 0.44,
        _ => return None,
    };
    let privileges = match (get("PR")?, changed) {
        ("N", _) => 0.85,
        ("L", false) => 0.62,
        ("L", true) => 0.68,
        ("H", false) => 0.27,
        ("H", true) => 0.5,
        _ => return None,
    };
    let interaction = match get("UI")? {
        "N" => 0.85,
        "R" => 0.62,
        _ => return None,
    };
    let [c, i, a] = [impact(get("C")?)?, impact(get("I")?)?, impact(get("A")?)?];
    let iss = 1.0 - (1.0 - c) * (1.0 - i) * (1.0 - a);
    let impact = if changed { 7.52 * (iss - 0.029) - 3.25 * f64::powi(iss - 0.02, 15) } else { 6.42 * iss };
    let exploitability = 8.22 * attack_vector * complexity * privileges * interaction;
    Some(match (impact <= 0.0, changed) {
        (true, _) => 0.0,
        (false, false) => round_up((impact + exploitability).min(10.0)),
        (false, true) => round_up((1.08 * (impact + exploitability)).min(10.0)),
    })
}

fn impact(value: &str) -> Option<f64> {
    Some(match value {
        "H" => 0.56,
        "L" => 0.22,
        "N" => 0.0,
        _ => return None,
    })
}

/// The smallest number with one decimal that is not smaller (specification, appendix A: in integers, so that
/// floating-point noise does not round up).
fn round_up(value: f64) -> f64 {
    let scaled = (value * 100_000.0).round();
    if scaled % 10_000.0 == 0.0 { scaled / 100_000.0 } else { ((scaled / 10_000.0).floor() + 1.0) / 10.0 }
}
