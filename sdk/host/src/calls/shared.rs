//! Data shared between the VMs of one id.

use crate::abi::Status;
use crate::guest::{Answer, Guest};

pub(super) fn get(
    guest: &mut Guest<'_>,
    key: i32,
    length: i32,
    to: i32,
    length_to: i32,
    version_to: i32,
) -> Answer {
    let key = guest.read(key, length)?;
    let state = guest.state();
    let (value, version) = state.shared_data.get(&state.configuration.vm_id, &key).ok_or(Status::NotFound)?;
    guest.give(&value, to, length_to)?;
    guest.write_u32(version_to, version)
}

pub(super) fn set(
    guest: &mut Guest<'_>,
    key: i32,
    length: i32,
    value: i32,
    value_length: i32,
    version: i32,
) -> Answer {
    let (key, value) = (guest.read(key, length)?, guest.read(value, value_length)?);
    let state = guest.state();
    let vm_id = &state.configuration.vm_id;
    state.shared_data.set(vm_id, &key, value, version.cast_unsigned()).map_err(Into::into)
}
