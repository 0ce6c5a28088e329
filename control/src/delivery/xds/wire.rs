//! xDS messages on the wire: from protobuf requests, to protobuf responses.

use super::message::{Answer, Request, Response};
use crate::delivery::snapshot::{Resource, ResourceType};
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::google::protobuf::Any;
use std::error::Error as _;
use tonic::{Code, Status};

/// Reads a request: the type that it speaks of, and what it says.
///
/// # Errors
/// An `INVALID_ARGUMENT` that names what is not understood.
pub fn read_request(request: discovery::DeltaDiscoveryRequest) -> Result<(ResourceType, Request), Status> {
    let type_url = &request.type_url;
    let Some(kind) = ResourceType::from_type_url(type_url) else {
        let known: Vec<_> = ResourceType::ALL.iter().map(|kind| kind.type_url()).collect();
        let known = known.join(", ");
        return Err(Status::invalid_argument(format!(
            "no resources of type `{type_url}` here, only {known}"
        )));
    };
    if !request.resource_locators_subscribe.is_empty() || !request.resource_locators_unsubscribe.is_empty() {
        return Err(Status::invalid_argument("resources are subscribed to by name here, not by locator"));
    }
    let answer = (!request.response_nonce.is_empty()).then(|| Answer {
        nonce: request.response_nonce,
        rejection: request.error_detail.map(|status| status.message),
    });
    let request = Request {
        subscribe: request.resource_names_subscribe,
        unsubscribe: request.resource_names_unsubscribe,
        held: request.initial_resource_versions.into_iter().collect(),
        answer,
    };
    Ok((kind, request))
}

/// What is said of a request that could not be received: bytes that are no request are named as such.
#[must_use]
pub fn unreadable(status: Status) -> Status {
    match status.code() {
        // The code that tonic gives bytes that it cannot decode, after the table of gRPC. What breaks below,
        // in HTTP/2, has a source.
        Code::Internal if status.source().is_none() => Status::invalid_argument(format!(
            "what came is no `envoy.service.discovery.v3.DeltaDiscoveryRequest`: {}",
            status.message()
        )),
        _ => status,
    }
}

/// Writes a response.
#[must_use]
pub fn write_response(response: Response) -> discovery::DeltaDiscoveryResponse {
    discovery::DeltaDiscoveryResponse {
        system_version_info: response.revision.0.to_string(),
        resources: response.resources.iter().map(|resource| write_resource(resource)).collect(),
        type_url: response.kind.type_url().to_owned(),
        removed_resources: response.removed,
        nonce: response.nonce,
        ..Default::default()
    }
}

fn write_resource(resource: &Resource) -> discovery::Resource {
    discovery::Resource {
        name: resource.name.clone(),
        version: resource.version.clone(),
        resource: Some(Any { type_url: resource.kind.type_url().to_owned(), value: resource.body.to_vec() }),
        ..Default::default()
    }
}
