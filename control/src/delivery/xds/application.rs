//! Whether the application beside a sidecar answers, as the sidecar says it on its stream.
//!
//! It is a request about a type of resources that there is not, with an error or without one, and gets no response. On
//! the stream it is where it belongs: it ends with it, and what is said on a new one counts anew.

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::google::rpc::Status;
use std::sync::Arc;
use tonic::Code;

/// What such a request says that it is about.
pub const TYPE_URL: &str = "type.googleapis.com/chancery.sidecar.v1.Application";
/// The longest reason, in bytes; of longer ones the beginning is kept.
const REASON_BYTES_MAX: usize = 256;

/// Whether an application answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Application {
    /// It does.
    Answers,
    /// It does not.
    Silent {
        /// Why that is thought.
        reason: Arc<str>,
    },
}

impl Application {
    /// The request that says so.
    #[must_use]
    pub fn report(&self) -> DeltaDiscoveryRequest {
        let error = match self {
            Self::Answers => None,
            Self::Silent { reason } => Some(Status {
                code: Code::Unavailable.into(),
                message: reason.to_string(),
                ..Default::default()
            }),
        };
        DeltaDiscoveryRequest {
            type_url: TYPE_URL.to_owned(),
            error_detail: error,
            ..DeltaDiscoveryRequest::default()
        }
    }

    /// What a request says of an application; `None` if it is about something else.
    #[must_use]
    pub fn read(request: &DeltaDiscoveryRequest) -> Option<Self> {
        if request.type_url != TYPE_URL {
            return None;
        }
        Some(match &request.error_detail {
            None => Self::Answers,
            Some(status) => {
                let end = status.message.floor_char_boundary(REASON_BYTES_MAX);
                Self::Silent { reason: status.message.get(..end).unwrap_or_default().into() }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let silent = |reason: &str| Application::Silent { reason: reason.into() };
        for application in [Application::Answers, silent("connection refused")] {
            assert_eq!(Application::read(&application.report()), Some(application));
        }
        let endless = silent(&"é".repeat(1000)).report();
        assert_eq!(Application::read(&endless), Some(silent(&"é".repeat(REASON_BYTES_MAX / 2))));
        assert_eq!(Application::read(&DeltaDiscoveryRequest::default()), None);
    }
}
