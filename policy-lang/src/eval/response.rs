//! What a request is answered with, as far as policies can ask.

use super::headers::header_changes;
use crate::decision::Decision;
use crate::linked::LinkedProgram;
use crate::request::{Headers, Request};
use crate::response::{ANSWER_TEXT_BYTES_MAX, FLAGS};

/// What came of a request when its answer is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status; 0 if there was no answer.
    pub code: u16,
    /// How many ms went by from the first byte of the request to the last of the answer.
    pub duration_ms: u64,
    /// The bytes of its body.
    pub size: u64,
    /// Why it is what it is: bits at the places of [`FLAGS`].
    pub flags: u64,
    /// Its headers.
    pub headers: Headers,
    /// Where the request was sent to last, if it was.
    pub upstream: Option<Vec<u8>>,
    /// How often it was sent.
    pub attempts: u64,
    /// Why a connection to there failed, if one did.
    pub failure: Option<Vec<u8>>,
}

impl Response {
    /// What the caller gets where the application gives this answer, if the request is decided so: of what a policy
    /// refuses its own answer, of which tests know no header; else this one with its headers changed.
    #[must_use]
    pub fn delivered(&self, program: &LinkedProgram, request: &Request, decision: &Decision) -> Self {
        match &decision.respond {
            Some(respond) => {
                Self { code: respond.status, size: respond.body.len() as u64, ..Self::default() }
            }
            None => {
                let mut delivered = self.clone();
                let changes = header_changes(program, request, self);
                changes.response.iter().for_each(|change| change.apply(&mut delivered.headers));
                delivered
            }
        }
    }

    /// All values of a header, joined with `,`.
    pub(super) fn header(&self, name: &str) -> Option<Vec<u8>> {
        let of_it = self.headers.iter().filter(|(known, _)| known == name.as_bytes());
        let values: Vec<&[u8]> = of_it.map(|(_, value)| value.as_slice()).collect();
        (!values.is_empty()).then(|| values.join(&b","[..])).and_then(text)
    }

    /// The names of its flags.
    pub(super) fn flag_names(&self) -> Vec<Vec<u8>> {
        let names = FLAGS.iter().enumerate().filter(|(bit, _)| self.flags >> bit & 1 == 1);
        names.map(|(_, name)| name.as_bytes().to_vec()).collect()
    }
}

/// A text, unless it is longer than policies look at.
pub(super) fn text(text: Vec<u8>) -> Option<Vec<u8>> {
    (text.len() <= ANSWER_TEXT_BYTES_MAX).then_some(text)
}
