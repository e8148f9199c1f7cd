//! CVSS v4.0 base score (specification, section 8.2): the score of the vector's MacroVector, less the mean share of the way to
//! the next lower ones.
//!
//! Only base metrics are scored (CVSS-B): exploit maturity counts as attacked and the requirements as high, as the
//! specification has it for metrics that are not defined. All numbers are whole: tenths of a score and steps of
//! severity, so nothing is lost before the one rounding at the end.

use super::Metrics;

/// No MacroVector: a vulnerable system without high impact cannot meet a high requirement.
const NONE: u8 = u8::MAX;

/// Scores of the 270 MacroVectors in tenths (specification, section 8.2, and FIRST's lookup table). Rows: EQ1, EQ2, EQ3;
/// columns: EQ4, EQ5, EQ6, the last changing fastest.
#[rustfmt::skip]
const SCORES: [[u8; 18]; 18] = [
    [100, 99, 98, 95, 95, 92, 100, 96, 93, 87, 91, 81, 93, 90, 89, 80, 81, 68],
    [98, 95, 95, 92, 90, 84, 93, 92, 89, 81, 81, 65, 88, 80, 78, 70, 69, 48],
    [NONE, 92, NONE, 82, NONE, 72, NONE, 79, NONE, 69, NONE, 50, NONE, 69, NONE, 55, NONE, 27],
    [99, 97, 95, 92, 92, 85, 95, 91, 90, 83, 84, 71, 92, 81, 82, 71, 72, 53],
    [95, 93, 92, 85, 85, 73, 92, 82, 80, 72, 70, 59, 84, 70, 71, 52, 50, 30],
    [NONE, 86, NONE, 75, NONE, 52, NONE, 71, NONE, 52, NONE, 29, NONE, 63, NONE, 29, NONE, 17],
    [98, 95, 94, 87, 91, 81, 94, 89, 86, 74, 77, 64, 87, 75, 74, 63, 63, 49],
    [94, 89, 88, 77, 76, 67, 86, 76, 74, 58, 59, 50, 72, 57, 57, 52, 52, 25],
    [NONE, 83, NONE, 70, NONE, 54, NONE, 65, NONE, 58, NONE, 26, NONE, 53, NONE, 21, NONE, 13],
    [95, 90, 88, 76, 76, 70, 90, 77, 75, 62, 61, 53, 77, 66, 68, 59, 52, 30],
    [89, 78, 76, 67, 62, 58, 74, 59, 57, 57, 47, 23, 61, 52, 57, 29, 24, 16],
    [NONE, 71, NONE, 59, NONE, 30, NONE, 58, NONE, 26, NONE, 15, NONE, 23, NONE, 13, NONE, 6],
    [93, 87, 86, 72, 75, 58, 86, 74, 74, 61, 56, 34, 70, 54, 52, 40, 40, 22],
    [85, 75, 74, 55, 62, 51, 72, 57, 55, 41, 46, 19, 53, 36, 34, 19, 19, 8],
    [NONE, 64, NONE, 51, NONE, 20, NONE, 47, NONE, 21, NONE, 11, NONE, 24, NONE, 9, NONE, 4],
    [88, 75, 73, 53, 60, 50, 73, 55, 59, 40, 41, 20, 54, 43, 45, 22, 20, 11],
    [75, 55, 58, 45, 40, 21, 61, 51, 48, 18, 20, 9, 46, 18, 17, 7, 8, 2],
    [NONE, 53, NONE, 24, NONE, 14, NONE, 24, NONE, 12, NONE, 5, NONE, 10, NONE, 3, NONE, 1],
];

/// A number that every depth below divides.
const SHARES: i64 = 840;

/// The base score; `None` when a mandatory metric is missing or has an unknown value.
pub(super) fn base_score(metrics: &Metrics<'_>) -> Option<f64> {
    // Steps below the worst value of each metric.
    let step = |name: &str, values: &[&str]| {
        let value = metrics.get(name)?;
        values.iter().position(|v| v == value).and_then(|at| i64::try_from(at).ok())
    };
    let [av, pr, ui] =
        [step("AV", &["N", "A", "L", "P"])?, step("PR", &["N", "L", "H"])?, step("UI", &["N", "P", "A"])?];
    let [ac, at] = [step("AC", &["L", "H"])?, step("AT", &["N", "P"])?];
    let own = [step("VC", &["H", "L", "N"])?, step("VI", &["H", "L", "N"])?, step("VA", &["H", "L", "N"])?];
    let next = [step("SC", &["H", "L", "N"])?, step("SI", &["H", "L", "N"])?, step("SA", &["H", "L", "N"])?];
    if own.iter().chain(&next).all(|impact| *impact == 2) {
        return Some(0.0);
    }
    let eq1 = match (av, pr, ui) {
        (0, 0, 0) => 0,
        (3, _, _) => 2,
        _ if av == 0 || pr == 0 || ui == 0 => 1,
        _ => 2,
    };
    let eq2 = usize::from(ac + at > 0);
    let eq3 = match own {
        [0, 0, _] => 0,
        _ if own.contains(&0) => 1,
        _ => 2,
    };
    let eq4 = if next.contains(&0) { 1 } else { 2 };
    let eq6 = usize::from(eq3 == 2);
    let score = |eq1, eq2, eq3, eq4, eq5, eq6| tenths([eq1, eq2, eq3, eq4, eq5, eq6]);
    let value = score(eq1, eq2, eq3, eq4, 0, eq6)?;
    let below_impact = match (eq3, eq6) {
        (0, 0) => score(eq1, eq2, 0, eq4, 0, 1).max(score(eq1, eq2, 1, eq4, 0, 0)),
        (1, 0) => score(eq1, eq2, 1, eq4, 0, 1),
        _ => None,
    };
    // Of each dimension: the next lower score, how far below the worst of its level the vector is, how deep the level is.
    let dimensions = [
        (score(eq1 + 1, eq2, eq3, eq4, 0, eq6), reach(eq1, av, pr, ui), [1, 4, 5][eq1]),
        (score(eq1, eq2 + 1, eq3, eq4, 0, eq6), (ac + at - [0, 1][eq2]).max(0), [1, 2][eq2]),
        (below_impact, own.iter().sum::<i64>() - [0, 1, 3][eq3], [7, 8, 10][eq3]),
        (score(eq1, eq2, eq3, eq4 + 1, 0, eq6), subsequent(eq4, next), [6, 5, 4][eq4]),
        (score(eq1, eq2, eq3, eq4, 1, eq6), 0, 1),
    ];
    let (mut count, mut loss) = (0, 0);
    for (below, steps, depth) in dimensions {
        if let Some(below) = below {
            count += 1;
            loss += (value - below) * steps * (SHARES / depth);
        }
    }
    // Half a tenth rounds up.
    let whole = SHARES * count.max(1);
    let rounded = (2 * (value * whole - loss) + whole).div_euclid(2 * whole).clamp(0, 100);
    Some(f64::from(u8::try_from(rounded).ok()?) / 10.0)
}

fn tenths([eq1, eq2, eq3, eq4, eq5, eq6]: [usize; 6]) -> Option<i64> {
    if eq1 > 2 || eq2 > 1 || eq3 > 2 || eq4 > 2 || eq5 > 2 || eq6 > 1 {
        return None;
    }
    let score = SCORES[eq1 * 6 + eq2 * 3 + eq3][eq4 * 6 + eq5 * 2 + eq6];
    (score != NONE).then_some(i64::from(score))
}

/// Steps below the first of the level's worst vectors that is not better than this one (specification, table 24).
fn reach(eq1: usize, av: i64, pr: i64, ui: i64) -> i64 {
    let worst: &[[i64; 3]] = match eq1 {
        0 => &[[0, 0, 0]],
        1 => &[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        _ => &[[3, 0, 0], [1, 1, 1]],
    };
    let below = |w: &[i64; 3]| [av - w[0], pr - w[1], ui - w[2]];
    let found = worst.iter().map(below).find(|steps| steps.iter().all(|step| *step >= 0));
    found.map_or(0, |steps| steps.iter().sum())
}

/// The same for the subsequent system: its integrity and availability have one more step, safety, above high.
fn subsequent(eq4: usize, [sc, si, sa]: [i64; 3]) -> i64 {
    sc + si + sa - if eq4 == 2 { 3 } else { 0 }
}
