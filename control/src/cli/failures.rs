//! What the other wings' errors mean at the terminal: the exit code, and the next step.

use crate::cli::exit::{Exit, Failure};
use crate::mesh::words::visible_lines;
use crate::policies::filters::look::LookError;
use crate::policies::filters::oci::OciError;
use crate::policies::filters::signature::KeyError;
use crate::policies::policy_runner::RunError;
use crate::policies::sources::SourcesError;
use crate::server::StartError;
use crate::server::api::client::ClientError;
use crate::server::api::types::{FailedTestBody, ModuleFindingBody};
use crate::sidecar::SidecarError;
use crate::sidecar::envoy_binary::EnvoyError;
use chancery_policy_lang::bug::Bug;
use reqwest::StatusCode;

/// What to do about clocks that differ.
const SET_CLOCK: &str = "set the clock that is wrong: certificates are good for a certain time only";
/// What to do about a mistake that is ours.
const REPORT: &str = "this is a mistake in Chancery; please report it with the policy";

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Unreachable { .. } => Self::failed(message).help(
                "is it running? start it with `chancery control-plane`; where it is now, if it has moved, \
                     stands in the context that it wrote to DATA-DIR/admin.json when it was started there",
            ),
            ClientError::Untrusted { .. } => Self::refused(message).help(
                "the context is of another control plane: name the context file of this one with --context \
                 or CHANCERY_CONTEXT; it writes one to DATA-DIR/admin.json",
            ),
            ClientError::Clock { .. } => Self::failed(message).help(SET_CLOCK),
            ClientError::Refused { status, body } => {
                let mut findings: Vec<String> = body
                    .diagnostics
                    .iter()
                    .map(|found| visible_lines(&found.rendered).into_owned())
                    .collect();
                let shown_module =
                    |found: &ModuleFindingBody| visible_lines(&format!("{}\n", found.rendered)).into_owned();
                findings.extend(body.findings.iter().map(shown_module));
                // The findings name their remedies themselves; the last line says what became of the request.
                let help = body.help.filter(|_| findings.is_empty());
                findings.extend(body.failed_tests.iter().map(shown));
                Self { exit: exit_of(status), message, help, findings }
            }
            ClientError::Odd { .. } => {
                Self::failed(message).help("is this a control plane of Chancery, of this version?")
            }
            ClientError::Identity(_) => {
                Self::failed(message).help("is the context file whole? see --context")
            }
        }
    }
}

fn exit_of(status: StatusCode) -> Exit {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => {
            Exit::BadInput
        }
        status if status.is_server_error() => Exit::Failed,
        _ => Exit::Refused,
    }
}

/// A failed test for people: where it stands, what it asks, what came.
fn shown(failed: &FailedTestBody) -> String {
    let FailedTestBody { name, file, line, case, failures } = failed;
    let failures: String = failures.iter().map(|failure| format!("  {failure}\n")).collect();
    let text = format!("{file}:{line}: the test `{name}` fails\n  {case}\n{failures}");
    visible_lines(&text).into_owned()
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let message = error.to_string();
        match error {
            KeyError::NoRandomness => Self::failed(message),
            _ => Self::bad_input(message).help(
                "make a pair of keys with `chancery filter keygen`, or with `openssl genpkey -algorithm ed25519`",
            ),
        }
    }
}

impl From<OciError> for Failure {
    fn from(error: OciError) -> Self {
        let (message, help) = (error.to_string(), error.help());
        let failure = match error {
            OciError::Reference(_) | OciError::NoModule { .. } | OciError::Credentials { .. } => {
                Self::bad_input(message)
            }
            OciError::Unreachable { .. } | OciError::Odd { .. } => Self::failed(message),
            OciError::Denied { .. } | OciError::NotThere { .. } => Self::refused(message),
        };
        failure.help(help)
    }
}

impl From<LookError> for Failure {
    fn from(error: LookError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let message = error.to_string();
        match error {
            StartError::Listen { .. } => Self::failed(message)
                .help("is another control plane running? choose another address with --listen"),
            StartError::DataDirectory { .. } => {
                Self::failed(message).help("choose another with --data-dir, or make it writable")
            }
            StartError::OpenDirectory { path, .. } => {
                let path = path.display();
                Self::failed(message).help(format!(
                    "run `chmod 700 {path}`, or name a folder in it that is made for this user alone: --data-dir {path}/control-plane"
                ))
            }
            StartError::Options(_) => Self::bad_input(message),
            StartError::Host(_) | StartError::Store(_) | StartError::Identity(_) | StartError::Token(_) => {
                Self::failed(message)
            }
        }
    }
}

impl From<SidecarError> for Failure {
    fn from(error: SidecarError) -> Self {
        let message = error.to_string();
        match error {
            SidecarError::Refused { help, .. } => {
                let failure = Self::refused(message);
                match help {
                    Some(help) => failure.help(help),
                    None => failure,
                }
            }
            SidecarError::Clock(_) => Self::failed(message).help(SET_CLOCK),
            SidecarError::Untrusted { .. } => Self::refused(message)
                .help("make a token with `chancery token` at the control plane that is there now"),
            SidecarError::Token { .. } | SidecarError::TokenFile { .. } => Self::bad_input(message).help(
                "make one at the control plane: `chancery token --service NAMESPACE/NAME -o FILE`, for this service",
            ),
            SidecarError::SocketPathTooLong { .. } => Self::bad_input(message),
            _ => Self::failed(message),
        }
    }
}

impl From<EnvoyError> for Failure {
    fn from(error: EnvoyError) -> Self {
        match &error {
            EnvoyError::Unusable { .. } => Self::bad_input(error.to_string()).help(
                "name another with --envoy or CHANCERY_ENVOY, or none: `chancery envoy install` gets one",
            ),
            _ => Self::failed(error.to_string()),
        }
    }
}

impl From<SourcesError> for Failure {
    fn from(SourcesError { message, help }: SourcesError) -> Self {
        Self { help, ..Self::bad_input(message) }
    }
}

impl From<Bug> for Failure {
    fn from(bug: Bug) -> Self {
        Self::failed(format!("the compiler broke an invariant of its own: {bug}")).help(REPORT)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::failed(error.to_string()).help(REPORT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::api::types::{DiagnosticBody, ErrorBody};

    #[test]
    fn findings_are_shown_as_they_are_and_the_outcome_last() {
        let finding = |rendered: &str| DiagnosticBody {
            code: String::new(),
            severity: "error".to_owned(),
            message: String::new(),
            file: String::new(),
            line: 1,
            column: 1,
            help: None,
            rendered: rendered.to_owned(),
        };
        let body = ErrorBody {
            code: "bad-policy".to_owned(),
            message: "the policies are refused: 1 error; nothing was changed".to_owned(),
            help: Some("see the findings".to_owned()),
            failed_tests: Vec::new(),
            findings: Vec::new(),
            diagnostics: vec![finding("warning[W105]: a\n"), finding("error[E101]: b\n")],
        };
        let body = Box::new(body);
        let failure = Failure::from(ClientError::Refused { status: StatusCode::UNPROCESSABLE_ENTITY, body });
        assert_eq!(
            failure.to_string(),
            "warning[W105]: a\n\nerror[E101]: b\n\nerror: the policies are refused: 1 error; nothing was changed"
        );
    }

    #[test]
    fn the_exit_code_says_who_has_to_act() {
        assert_eq!(exit_of(StatusCode::UNPROCESSABLE_ENTITY), Exit::BadInput);
        assert_eq!(exit_of(StatusCode::FORBIDDEN), Exit::Refused);
        assert_eq!(exit_of(StatusCode::SERVICE_UNAVAILABLE), Exit::Failed);
    }
}
