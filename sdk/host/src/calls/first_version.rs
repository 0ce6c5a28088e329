//! Host calls that only modules of version 0.1.0 may make.

use super::streams;
use crate::abi::StreamType;
use crate::guest::{Answer, Guest};

/// The plugin's configuration while it is configured, else the VM's.
pub(super) fn get_configuration(guest: &mut Guest<'_>, to: i32, length_to: i32) -> Answer {
    let state = guest.state();
    let configuration = &state.configuration;
    let bytes =
        if state.configuring { &configuration.configuration } else { &configuration.vm_configuration }
            .clone();
    guest.give(&bytes, to, length_to)
}

pub(super) fn continue_request(guest: &mut Guest<'_>) -> Answer {
    streams::continue_stream(guest, StreamType::Request.number())
}

pub(super) fn continue_response(guest: &mut Guest<'_>) -> Answer {
    streams::continue_stream(guest, StreamType::Response.number())
}

/// There are no routes here, so nothing is to be done.
pub(super) fn clear_route_cache(_guest: &mut Guest<'_>) -> Answer {
    Ok(())
}
