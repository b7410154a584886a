//! Numbers that may be given as a share of a whole. Pure.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// How a share that is no whole number is rounded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Round {
    Up,
    Down,
}

/// The number itself, or that many percent of `whole`. Validation keeps out other texts.
pub(crate) fn share(value: &IntOrString, whole: i32, round: Round) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent: i64 = text
                .strip_suffix('%')
                .and_then(|percent| percent.parse().ok())
                .unwrap_or(0);
            let hundredths = percent * i64::from(whole);
            let number = match round {
                Round::Down => hundredths.div_euclid(100),
                Round::Up => (hundredths + 99).div_euclid(100),
            };
            i32::try_from(number).unwrap_or(i32::MAX)
        }
    }
}
