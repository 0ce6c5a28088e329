//! Durations on the command line: `250ms`, `30s`, `5m`, `24h`, `30d`.

use jiff::SignedDuration;
use std::time::Duration;

/// The longest that can be written: a hundred years.
const DAYS_MAX: u64 = 36_500;

/// Reads a duration, for clap.
///
/// # Errors
/// If it is not a whole number and a unit, or too long.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is not a duration: write a number and a unit, such as 30s, 5m, 24h or 30d");
    let unit_at = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at_checked(unit_at).ok_or_else(wrong)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let total = number.checked_mul(milliseconds).filter(|&total| total <= DAYS_MAX * 86_400_000);
    total.map(Duration::from_millis).ok_or_else(|| format!("`{text}` is too long: at most {DAYS_MAX}d"))
}

/// Reads a duration that must not be nothing, for clap.
///
/// # Errors
/// As [`parse`], and if it is 0.
pub fn parse_some(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err(format!("`{text}` is no time at all: write at least 1s")),
        duration => Ok(duration),
    }
}

/// The same as the time library's duration.
#[must_use]
pub fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_are_a_duration() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse("30d"), Ok(Duration::from_secs(30 * 86_400)));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "5", "s", "-5s", "1.5h", "5 m", "99999999999999999999s", "40000d", "5é"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_must_be_some_time_is_not_nothing() {
        assert_eq!(parse_some("1s"), Ok(Duration::from_secs(1)));
        assert!(parse_some("0s").is_err() && parse_some("0d").is_err());
    }
}
