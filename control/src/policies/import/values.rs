//! Values that both meshes write alike: times, shares, services.

use super::text::name;

/// The namespace of what says none.
pub(super) const DEFAULT_NAMESPACE: &str = "default";
/// Shares are written in ten-thousandths of a percent.
const WHOLE: u64 = 1_000_000;

/// A time such as `1.5s`, `1m30s` or `100ms`, in milliseconds; `None` if it is none, or less than a millisecond.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, tail) = rest.split_at(digits);
        let units = [("ms", 1.0), ("us", 0.001), ("ns", 0.000_001), ("s", 1e3), ("m", 6e4), ("h", 3.6e6)];
        let (unit, factor) = units.into_iter().find(|(unit, _)| tail.starts_with(unit))?;
        sum += number.parse::<f64>().ok()? * factor;
        rest = tail.get(unit.len()..)?;
    }
    // What is longer than a year is no time that somebody waits.
    (1.0..=3.2e10).contains(&sum).then_some(sum as u64)
}

/// A time as the language writes it.
pub(super) fn duration(milliseconds: u64) -> String {
    match milliseconds {
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

/// A share of so many percent.
pub(super) fn percent(share: f64) -> Option<String> {
    let is_share = (0.0..=100.0).contains(&share);
    is_share.then(|| of_millionths((share * 10_000.0).round() as u64))
}

/// Weights as shares that are 100 % together; empty if all are 0.
pub(super) fn shares(weights: &[u64]) -> Vec<String> {
    let sum: u64 = weights.iter().fold(0, |sum, weight| sum.saturating_add(*weight));
    if sum == 0 {
        return Vec::new();
    }
    let exact = |weight: u64| u128::from(weight) * u128::from(WHOLE) / u128::from(sum);
    let mut shares: Vec<u64> =
        weights.iter().map(|weight| u64::try_from(exact(*weight)).unwrap_or(WHOLE)).collect();
    let missing = WHOLE.saturating_sub(shares.iter().sum());
    // What rounding took away is given to the largest, which notices it least.
    if let Some(largest) = shares.iter_mut().max() {
        *largest += missing;
    }
    shares.into_iter().map(of_millionths).collect()
}

fn of_millionths(millionths: u64) -> String {
    let (whole, part) = (millionths / 10_000, millionths % 10_000);
    if part == 0 {
        return format!("{whole}%");
    }
    format!("{}%", format!("{whole}.{part:04}").trim_end_matches('0'))
}

/// A rate of so many requests in so many milliseconds, if the language can say it.
pub(super) fn rate(count: u64, interval_ms: u64) -> Option<String> {
    let units = [(1_000, 's'), (60_000, 'm'), (3_600_000, 'h'), (86_400_000, 'd')];
    units.into_iter().find_map(|(unit, letter)| {
        let product = count.checked_mul(unit)?;
        let number = product.checked_div(interval_ms)?;
        (product % interval_ms == 0 && number > 0).then(|| format!("{number}/{letter}"))
    })
}

/// As many connections as there can be, where another number is stated and theirs is not.
const UNBOUNDED: u64 = 2_147_483_647;
/// By what both eject where nothing is stated.
const EJECT_AFTER: u64 = 5;
const EJECT_FOR_MS: u64 = 30_000;
const EJECT_AT_MOST: u64 = 10;

/// The statement of these bounds; `None` if none is stated.
pub(super) fn connections(
    at_most: Option<u64>,
    pending: Option<u64>,
    requests: Option<u64>,
) -> Option<String> {
    at_most.or(pending).or(requests)?;
    let part = |word: &str, number: Option<u64>| {
        number.map_or_else(String::new, |number| format!(" {word} {number}"))
    };
    let at_most = at_most.unwrap_or(UNBOUNDED);
    Some(format!("connections at_most {at_most}{}{}", part("pending", pending), part("requests", requests)))
}

/// The statement of an ejection after so many errors, for a time and up to a share; `None` after 0, which means never.
pub(super) fn eject(after: Option<u64>, time: Option<String>, percent: Option<u64>) -> Option<String> {
    let after = after.unwrap_or(EJECT_AFTER);
    let time = time.and_then(|time| milliseconds(&time)).unwrap_or(EJECT_FOR_MS);
    let share = percent.unwrap_or(EJECT_AT_MOST);
    (after > 0).then(|| format!("eject after {after} errors for {} at_most {share}%", duration(time)))
}

/// `namespace/name` of a service.
pub(super) fn service(namespace: &str, service: &str) -> String {
    format!("{}/{}", name(namespace), name(service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_shares_and_rates_keep_their_value() {
        let times = [("1.5s", Some(1_500)), ("1m30s", Some(90_000)), ("0s", None), ("x", None), ("5", None)];
        for (text, wanted) in times {
            assert_eq!(milliseconds(text), wanted, "{text}");
        }
        assert_eq!([1_500, 90_000, 60_000, 3_600_000].map(duration), ["1500ms", "90s", "1m", "1h"]);
        assert_eq!(shares(&[90, 10]), ["90%", "10%"]);
        assert_eq!(shares(&[1, 1, 1]), ["33.3333%", "33.3333%", "33.3334%"]);
        assert_eq!(shares(&[0, 0]), Vec::<String>::new());
        assert_eq!(percent(0.5).as_deref(), Some("0.5%"));
        assert_eq!(percent(10.0).as_deref(), Some("10%"));
        assert_eq!(rate(5, 10_000).as_deref(), Some("30/m"));
        assert_eq!(rate(7, 1_000).as_deref(), Some("7/s"));
        assert_eq!(rate(1, 86_400_001), None);
    }
}
