//! Queues shared by all VMs.

use crate::abi::Status;
use crate::guest::{Answer, Guest};

pub(super) fn register(guest: &mut Guest<'_>, name: i32, length: i32, token_to: i32) -> Answer {
    let name = guest.read(name, length)?;
    let state = guest.state();
    let token = state.shared_queues.register(&state.configuration.vm_id, &name, state.plugin_number)?;
    guest.write_u32(token_to, token)
}

/// No id of a VM is the module's own.
pub(super) fn resolve(
    guest: &mut Guest<'_>,
    vm_id: i32,
    vm_id_length: i32,
    name: i32,
    length: i32,
    token_to: i32,
) -> Answer {
    let (vm_id, name) = (guest.read(vm_id, vm_id_length)?, guest.read(name, length)?);
    let state = guest.state();
    let vm_id = String::from_utf8_lossy(&vm_id);
    let vm_id = if vm_id.is_empty() { state.configuration.vm_id.as_str() } else { &vm_id };
    let token = state.shared_queues.resolve(vm_id, &name).ok_or(Status::NotFound)?;
    guest.write_u32(token_to, token)
}

pub(super) fn enqueue(guest: &mut Guest<'_>, token: i32, item: i32, length: i32) -> Answer {
    let item = guest.read(item, length)?;
    guest.state().shared_queues.enqueue(token.cast_unsigned(), item).map_err(Into::into)
}

pub(super) fn dequeue(guest: &mut Guest<'_>, token: i32, to: i32, length_to: i32) -> Answer {
    let item = guest.state().shared_queues.dequeue(token.cast_unsigned())?;
    guest.give(&item, to, length_to)
}
