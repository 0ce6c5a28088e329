//! What a module says of a request for logs, and whether the language is defined so.

use super::TEST_LOG_KEY;
use chancery_policy_lang::checked::SampleRate;
use chancery_policy_lang::decision::Decision;
use chancery_policy_lang::eval::{self, Response};
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::request::Request;
use chancery_sdk_host::ClosedStream;

/// The filter state that is there if log policies speak of the request.
const LOG_STATE: &[u8] = b"log";
/// The filter state in which a module leaves what the line of a request says that is logged.
const LINE_STATE: &[u8] = b"line";

/// What a module says of a request for logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logged {
    /// Whether log policies speak of the request.
    pub is_concerned: bool,
    /// What its line says, if it is logged.
    pub line: Option<Vec<u8>>,
}

impl Logged {
    /// What was left of a stream.
    pub(super) fn of(closed: &ClosedStream) -> Self {
        Self {
            is_concerned: closed.filter_state.contains_key(LOG_STATE),
            line: closed.filter_state.get(LINE_STATE).cloned(),
        }
    }

    /// How many of such requests are logged, if what was said of this one is what the language is defined to say.
    ///
    /// # Errors
    /// What was said and what is defined, in words.
    pub fn must_be_defined(
        &self,
        program: &LinkedProgram,
        request: &Request,
        decision: &Decision,
        response: &Response,
    ) -> Result<SampleRate, String> {
        let response = &response.delivered(program, request, decision);
        let rate = eval::logged(program, request, decision, response);
        let line = program
            .log
            .as_ref()
            .map(|log| eval::line(program, log, request, decision, response, Some(TEST_LOG_KEY)));
        let may_be = match (&line, &self.line) {
            (None, said) => said.is_none(),
            (Some(line), Some(said)) => rate != SampleRate::NONE && said == line,
            (Some(_), None) => rate != SampleRate::ALL,
        };
        if may_be && self.is_concerned == line.is_some() {
            return Ok(rate);
        }
        let shown = |line: &Option<Vec<u8>>| {
            line.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned()
        };
        Err(format!(
            "the module does not log as the language is defined, {rate} of such requests\n  \
             module:    {}\n  evaluator: {}",
            shown(&self.line),
            shown(&line)
        ))
    }
}
