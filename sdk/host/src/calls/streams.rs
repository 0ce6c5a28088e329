//! What a module does to a stream as a whole.

use super::headers;
use crate::LocalResponse;
use crate::abi::{Status, StreamType};
use crate::guest::{Answer, Guest};

/// Only the first answer of a stream counts. Without a stream nothing happens, as in Envoy.
#[expect(clippy::too_many_arguments, reason = "the contract's parameters")]
pub(super) fn send_local_response(
    guest: &mut Guest<'_>,
    status: i32,
    details: i32,
    details_length: i32,
    body: i32,
    body_length: i32,
    pairs: i32,
    pairs_length: i32,
    grpc_status: i32,
) -> Answer {
    let details = guest.read(details, details_length)?;
    let body = guest.read(body, body_length)?;
    let pairs = guest.read(pairs, pairs_length)?;
    let Some(stream) = guest.state().stream() else { return Ok(()) };
    if stream.local_response.is_some() {
        return Err(Status::BadArgument.into());
    }
    stream.local_response = Some(LocalResponse {
        status: status.cast_unsigned(),
        details,
        body,
        headers: headers::parse(&pairs),
        grpc_status: u32::try_from(grpc_status).ok(),
    });
    Ok(())
}

pub(super) fn continue_stream(guest: &mut Guest<'_>, stream_type: i32) -> Answer {
    check_http(stream_type)?;
    guest.state().stream().ok_or(Status::BadArgument)?.continued = true;
    Ok(())
}

pub(super) fn close_stream(guest: &mut Guest<'_>, stream_type: i32) -> Answer {
    check_http(stream_type)?;
    guest.state().stream().ok_or(Status::BadArgument)?.closed = true;
    Ok(())
}

fn check_http(stream_type: i32) -> Result<(), Status> {
    match StreamType::from_number(stream_type) {
        Some(StreamType::Request | StreamType::Response) => Ok(()),
        Some(StreamType::Downstream | StreamType::Upstream) | None => Err(Status::BadArgument),
    }
}
