//! Bodies and configurations.

use crate::abi::{BufferType, Status};
use crate::guest::{Answer, Guest, Stop};

/// Bytes from a start on, as many as there are up to a length.
pub(super) fn get(
    guest: &mut Guest<'_>,
    buffer: i32,
    start: i32,
    length: i32,
    to: i32,
    length_to: i32,
) -> Answer {
    let (start, length) = (start.cast_unsigned(), length.cast_unsigned());
    let start = start as usize;
    let end = start.saturating_add(length as usize);
    let bytes = find(guest, buffer)?;
    let part = bytes.get(start..end.min(bytes.len())).unwrap_or_default().to_vec();
    guest.give(&part, to, length_to)
}

pub(super) fn get_status(guest: &mut Guest<'_>, buffer: i32, length_to: i32, flags_to: i32) -> Answer {
    let length = u32::try_from(find(guest, buffer)?.len()).map_err(|_| Status::InternalFailure)?;
    guest.write_u32(length_to, length)?;
    guest.write_u32(flags_to, 0)
}

/// Envoy's two forms: from 0 on, as many bytes as are said are replaced, none of them or all; and a start at or behind the
/// end puts bytes behind. Nothing is replaced in the middle.
pub(super) fn set(
    guest: &mut Guest<'_>,
    buffer: i32,
    start: i32,
    length: i32,
    pointer: i32,
    pointer_length: i32,
) -> Answer {
    let bytes = guest.read(pointer, pointer_length)?;
    let (start, length) = (start.cast_unsigned() as usize, length.cast_unsigned() as usize);
    let held = find(guest, buffer)?.len();
    guest.charge(held as u64)?;
    let body = body(guest, buffer)?;
    if start == 0 {
        let end = length.min(body.len());
        body.splice(..end, bytes);
    } else if start >= body.len() {
        body.extend_from_slice(&bytes);
    } else {
        return Err(Status::BadArgument.into());
    }
    Ok(())
}

/// What can be read of a buffer now. A body that is not there is an empty one, as in Envoy; the plugin's configuration and an
/// HTTP answer are not found.
fn find<'guest>(guest: &'guest mut Guest<'_>, buffer: i32) -> Result<&'guest [u8], Stop> {
    let buffer_type = BufferType::from_number(buffer).ok_or(Status::BadArgument)?;
    let state = guest.state();
    let bytes = match buffer_type {
        BufferType::VmConfiguration => Some(&state.configuration.vm_configuration),
        BufferType::PluginConfiguration => {
            let configuration = state.configuring.then_some(&state.configuration.configuration);
            Some(configuration.ok_or(Status::NotFound)?)
        }
        BufferType::HttpCallResponseBody => {
            Some(&state.callouts.http_answer.as_ref().ok_or(Status::NotFound)?.body)
        }
        BufferType::GrpcReceiveBuffer => state.callouts.grpc_message.as_ref(),
        BufferType::CallData => None,
        _ => state.stream().and_then(|stream| stream.body(buffer_type)?.visible()).map(|bytes| &*bytes),
    };
    Ok(bytes.map(Vec::as_slice).unwrap_or_default())
}

/// A body that the module may change now: of what can only be read, that is a bad argument.
fn body<'guest>(guest: &'guest mut Guest<'_>, buffer: i32) -> Result<&'guest mut Vec<u8>, Stop> {
    find(guest, buffer)?;
    let buffer_type = BufferType::from_number(buffer).ok_or(Status::BadArgument)?;
    let stream = guest.state().stream();
    let body = stream.and_then(|stream| stream.body(buffer_type)?.visible());
    body.ok_or_else(|| Status::BadArgument.into())
}
