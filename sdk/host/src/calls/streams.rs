//! What a module does to a stream as a whole.

use super::headers;
use crate::LocalResponse;
use crate::abi::{Status, StreamType};
use crate::guest::{Answer, Guest};

/// The name of the function that forgets which route a request has.
const CLEAR_ROUTE_CACHE: &[u8] = b"clear_route_cache";

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
    stream.answers_now = true;
    stream.local_response = Some(LocalResponse {
        status: status.cast_unsigned(),
        details,
        body,
        headers: headers::parse(&pairs),
        grpc_status: u32::try_from(grpc_status).ok(),
    });
    Ok(())
}

/// Goes on with one direction of a held stream or connection, after the callback. What the module saw of the request is out of its sight at
/// once, whichever direction it is, as in Envoy. Without a stream nothing happens.
pub(super) fn continue_stream(guest: &mut Guest<'_>, stream_type: i32) -> Answer {
    let stream_type = StreamType::from_number(stream_type).ok_or(Status::BadArgument)?;
    let Some(stream) = guest.state().stream() else { return Ok(()) };
    stream.continued.insert(stream_type);
    if matches!(stream_type, StreamType::Downstream | StreamType::Upstream) {
        return Ok(());
    }
    stream.request_headers.hidden = true;
    stream.request_trailers.hidden = true;
    stream.request_body.hidden = true;
    Ok(())
}

/// Of the functions that Envoy has beside the contract, the one by which it looks for a request's route again: there are
/// no routes here, so nothing is to be done. No other one is found.
pub(super) fn call_foreign_function(
    guest: &mut Guest<'_>,
    name: i32,
    length: i32,
    _argument: i32,
    _argument_length: i32,
    _to: i32,
    _length_to: i32,
) -> Answer {
    match guest.read(name, length)?.as_slice() {
        CLEAR_ROUTE_CACHE => Ok(()),
        _ => Err(Status::NotFound.into()),
    }
}

/// Ends a stream, or one side of a connection. Without one nothing happens, as in Envoy.
pub(super) fn close_stream(guest: &mut Guest<'_>, stream_type: i32) -> Answer {
    let stream_type = StreamType::from_number(stream_type).ok_or(Status::BadArgument)?;
    if let Some(stream) = guest.state().stream() {
        stream.closed.insert(stream_type);
    }
    Ok(())
}
