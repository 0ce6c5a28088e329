//! Calls of other services.

use super::headers;
use crate::abi::Status;
use crate::callouts::{GrpcCall, HttpCall};
use crate::guest::{Answer, Guest, Stop};

/// What an HTTP call must say.
const NEEDED_HEADERS: [&[u8]; 3] = [b":path", b":method", b":authority"];
/// Wire types of protobuf, and the field that leads to a cluster's name: `envoy_grpc`, and `cluster_name` in it.
const BYTES: u64 = 2;
const CLUSTER_FIELD: u64 = 1;

#[expect(clippy::too_many_arguments, reason = "the contract's parameters")]
pub(super) fn http_call(
    guest: &mut Guest<'_>,
    cluster: i32,
    cluster_length: i32,
    pairs: i32,
    pairs_length: i32,
    body: i32,
    body_length: i32,
    trailers: i32,
    trailers_length: i32,
    timeout_ms: i32,
    token_to: i32,
) -> Answer {
    let cluster = guest.read(cluster, cluster_length)?;
    let body = guest.read(body, body_length)?;
    let mut headers = headers::parse(&guest.read(pairs, pairs_length)?);
    let trailers = headers::parse(&guest.read(trailers, trailers_length)?);
    guest.write_u32(token_to, 0)?;
    let timeout_ms = u32::try_from(timeout_ms).map_err(|_| Status::BadArgument)?;
    let cluster = String::from_utf8_lossy(&cluster).into_owned();
    if !guest.state().configuration.clusters.contains(&cluster) {
        return Err(Status::BadArgument.into());
    }
    if NEEDED_HEADERS.iter().any(|name| headers.first(name).is_none()) {
        return Err(Status::BadArgument.into());
    }
    if !body.is_empty() {
        headers.replace(b"content-length", body.len().to_string());
    }
    let call = HttpCall { token: 0, cluster, headers, body, trailers, timeout_ms };
    let token = guest.state().callouts.call_http(call)?;
    guest.write_u32(token_to, token)
}

#[expect(clippy::too_many_arguments, reason = "the contract's parameters")]
pub(super) fn grpc_call(
    guest: &mut Guest<'_>,
    cluster: i32,
    cluster_length: i32,
    service: i32,
    service_length: i32,
    method: i32,
    method_length: i32,
    metadata: i32,
    metadata_length: i32,
    message: i32,
    message_length: i32,
    timeout_ms: i32,
    token_to: i32,
) -> Answer {
    let target = guest.read(cluster, cluster_length)?;
    let (service, method) = (guest.read(service, service_length)?, guest.read(method, method_length)?);
    let metadata = headers::parse(&guest.read(metadata, metadata_length)?);
    let message = guest.read(message, message_length)?;
    let call = GrpcCall {
        token: 0,
        cluster: grpc_cluster(guest, &target)?,
        service: String::from_utf8_lossy(&service).into_owned(),
        method: String::from_utf8_lossy(&method).into_owned(),
        metadata,
        message,
        timeout_ms: timeout_ms.cast_unsigned(),
    };
    let token = guest.state().callouts.call_grpc(call)?;
    guest.write_u32(token_to, token)
}

#[expect(clippy::too_many_arguments, reason = "the contract's parameters")]
pub(super) fn grpc_stream(
    guest: &mut Guest<'_>,
    cluster: i32,
    cluster_length: i32,
    service: i32,
    service_length: i32,
    method: i32,
    method_length: i32,
    metadata: i32,
    metadata_length: i32,
    token_to: i32,
) -> Answer {
    let target = guest.read(cluster, cluster_length)?;
    let (service, method) = (guest.read(service, service_length)?, guest.read(method, method_length)?);
    let metadata = headers::parse(&guest.read(metadata, metadata_length)?);
    let call = GrpcCall {
        token: 0,
        cluster: grpc_cluster(guest, &target)?,
        service: String::from_utf8_lossy(&service).into_owned(),
        method: String::from_utf8_lossy(&method).into_owned(),
        metadata,
        message: Vec::new(),
        timeout_ms: 0,
    };
    let token = guest.state().callouts.open_grpc(call)?;
    guest.write_u32(token_to, token)
}

pub(super) fn grpc_send(guest: &mut Guest<'_>, token: i32, message: i32, length: i32, ends: i32) -> Answer {
    let message = guest.read(message, length)?;
    guest.state().callouts.send_grpc(token.cast_unsigned(), message, ends != 0).map_err(Into::into)
}

pub(super) fn grpc_close(guest: &mut Guest<'_>, token: i32) -> Answer {
    guest.state().callouts.close_grpc(token.cast_unsigned()).map_err(Into::into)
}

pub(super) fn grpc_cancel(guest: &mut Guest<'_>, token: i32) -> Answer {
    guest.state().callouts.cancel_grpc(token.cast_unsigned()).map_err(Into::into)
}

/// The cluster of a gRPC call: in Envoy's message `GrpcService`, or the name alone.
fn grpc_cluster(guest: &mut Guest<'_>, target: &[u8]) -> Result<String, Stop> {
    let clusters = &guest.state().configuration.clusters;
    match field(target, CLUSTER_FIELD) {
        Ok(envoy_grpc) => {
            let name = envoy_grpc.and_then(|message| field(message, CLUSTER_FIELD).ok().flatten());
            let name = String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
            if clusters.contains(&name) { Ok(name) } else { Err(Status::InternalFailure.into()) }
        }
        Err(NotAMessage) => {
            let name = String::from_utf8_lossy(target).into_owned();
            if clusters.contains(&name) { Ok(name) } else { Err(Status::ParseFailure.into()) }
        }
    }
}

/// Bytes that are not protobuf.
struct NotAMessage;

/// The last field of bytes with this number in a protobuf message.
fn field(mut message: &[u8], number: u64) -> Result<Option<&[u8]>, NotAMessage> {
    let mut found = None;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let length = match tag & 7 {
            0 => {
                varint(&mut message)?;
                0
            }
            1 => 8,
            BYTES => varint(&mut message)?,
            5 => 4,
            _ => return Err(NotAMessage),
        };
        let length = usize::try_from(length).map_err(|_| NotAMessage)?;
        let (content, rest) = message.split_at_checked(length).ok_or(NotAMessage)?;
        if tag >> 3 == 0 {
            return Err(NotAMessage);
        }
        if tag == number << 3 | BYTES {
            found = Some(content);
        }
        message = rest;
    }
    Ok(found)
}

fn varint(message: &mut &[u8]) -> Result<u64, NotAMessage> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().ok_or(NotAMessage)?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(NotAMessage)
}
