//! When a certificate is valid, and by which clock: what is refused for its time is refused in the words of both
//! clocks, for nobody can tell which one is wrong.

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fmt;
use x509_parser::prelude::{FromDer, X509Certificate};

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub begins_at: Timestamp,
    /// The moment after the last.
    pub ends_at: Timestamp,
}

/// How a certificate stands to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeliness {
    /// It begins later.
    NotYet,
    /// It is valid.
    Good,
    /// It has ended.
    Over,
}

/// What a clock says here, and what it says where the other side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// The clock of this machine.
    pub here: Timestamp,
    /// The clock of the control plane; `None` if it did not tell.
    pub control_plane: Option<Timestamp>,
}

impl Validity {
    /// That of a certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let validity = certificate.validity();
        Some(Self {
            begins_at: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            ends_at: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
        })
    }

    /// Those of all certificates in a PEM text, in their order; what is none is left out.
    #[must_use]
    pub fn of_pem(pem: &str) -> Vec<Self> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok);
        certificates.filter_map(|certificate| Self::of(&certificate)).collect()
    }

    /// Whether it is valid at a moment.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Timeliness {
        if now < self.begins_at {
            Timeliness::NotYet
        } else if now < self.ends_at {
            Timeliness::Good
        } else {
            Timeliness::Over
        }
    }

    /// How far a moment is from being within it; zero if it is.
    #[must_use]
    pub fn missed_by(&self, now: Timestamp) -> SignedDuration {
        match self.at(now) {
            Timeliness::NotYet => self.begins_at.duration_since(now),
            Timeliness::Good => SignedDuration::ZERO,
            Timeliness::Over => now.duration_since(self.ends_at),
        }
    }

    /// What is wrong with its time at a moment, as the end of a sentence about it; `None` if nothing is.
    #[must_use]
    pub fn complaint(&self, now: Timestamp) -> Option<String> {
        match self.at(now) {
            Timeliness::NotYet => Some(format!("is not valid before {}", to_seconds(self.begins_at))),
            Timeliness::Good => None,
            Timeliness::Over => Some(format!("ended at {}", to_seconds(self.ends_at))),
        }
    }
}

impl fmt::Display for Clocks {
    /// `the clock of this machine says …, that of the control plane … (1h 2m apart)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the clock of this machine says {}", to_seconds(self.here))?;
        match self.control_plane {
            Some(there) => {
                let apart = to_seconds(self.here).duration_since(to_seconds(there)).abs();
                write!(f, ", that of the control plane {} ({apart:#} apart)", to_seconds(there))
            }
            None => f.write_str(", that of the control plane is not known"),
        }
    }
}

/// A moment without its fraction of a second, as it is shown.
#[must_use]
pub fn to_seconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_moment_is_before_within_or_after() {
        let validity = Validity { begins_at: at(100), ends_at: at(200) };
        let all = [99, 100, 199, 200]
            .map(|second| (validity.at(at(second)), validity.missed_by(at(second)).as_secs()));
        use Timeliness::{Good, NotYet, Over};
        assert_eq!(all, [(NotYet, 1), (Good, 0), (Good, 0), (Over, 0)]);
        assert_eq!(validity.complaint(at(150)), None);
        assert_eq!(validity.complaint(at(0)).unwrap(), "is not valid before 1970-01-01T00:01:40Z");
        assert_eq!(validity.complaint(at(260)).unwrap(), "ended at 1970-01-01T00:03:20Z");
    }

    #[test]
    fn both_clocks_are_named() {
        let here = at(3_600) + SignedDuration::from_millis(700);
        let said = |control_plane| Clocks { here, control_plane }.to_string();
        assert_eq!(
            said(Some(at(60))),
            "the clock of this machine says 1970-01-01T01:00:00Z, that of the control plane \
             1970-01-01T00:01:00Z (59m apart)"
        );
        assert!(said(None).ends_with("that of the control plane is not known"));
    }
}
