//! An answer that a filter gives in place of the service.

use std::borrow::Cow;

/// A response: status, headers and body. What is constant is not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    body: Cow<'static, [u8]>,
}

/// Statuses that an answer can have: others are not final, or no HTTP.
const STATUSES: std::ops::RangeInclusive<u16> = 200..=599;
/// What is answered in place of a status that is none: the filter is wrong, and nothing may pass by that.
const NO_STATUS: u16 = 500;

impl Answer {
    /// An answer without headers of its own and without a body. A number that is no final status is answered as 500.
    ///
    /// To a gRPC request Envoy answers with the gRPC status that belongs to it.
    #[must_use]
    pub fn new(status: u16) -> Self {
        let status = if STATUSES.contains(&status) { status } else { NO_STATUS };
        Self { status, headers: Vec::new(), body: Cow::Borrowed(&[]) }
    }

    /// With a further header.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With this body, whose type is text unless a header says otherwise.
    #[must_use]
    pub fn text(mut self, body: impl Into<Cow<'static, str>>) -> Self {
        self.body = match body.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        self
    }

    /// With a body of any bytes.
    #[must_use]
    pub fn body(mut self, body: impl Into<Cow<'static, [u8]>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers beside the status.
    #[must_use]
    pub fn headers(&self) -> &[(Cow<'static, str>, Cow<'static, str>)] {
        &self.headers
    }

    /// The body's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_no_final_status_is_an_error() {
        assert_eq!(
            [0, 100, 199, 200, 599, 600].map(|status| Answer::new(status).status()),
            [500, 500, 500, 200, 599, 500]
        );
    }
}
