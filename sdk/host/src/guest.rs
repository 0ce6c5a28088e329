//! The module's side of a host call: its memory, its allocator, and what it may do now.

use crate::abi::{Function, Status};
use crate::error::CallFault;
use crate::limits::CALL_WORK;
use crate::state::{GuestExports, Phase, State};
use wasmtime::Caller;

/// A host call in progress.
pub(crate) struct Guest<'call> {
    caller: Caller<'call, State>,
    exports: GuestExports,
}

/// How a host call ends when not well.
pub(crate) enum Stop {
    /// The module gets this status.
    Status(Status),
    /// The callback ends here.
    Fault(wasmtime::Error),
}

/// What a host call gives; `Ok` is [`Status::Ok`].
pub(crate) type Answer = Result<(), Stop>;

/// In which phases a host call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// In callbacks.
    Callback,
    /// In callbacks and while starting.
    Start,
    /// Always.
    Always,
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<CallFault> for Stop {
    fn from(fault: CallFault) -> Self {
        Self::Fault(wasmtime::Error::new(fault))
    }
}

impl<'call> Guest<'call> {
    /// Begins a host call: checks that it may be made now, and charges for it.
    pub(crate) fn enter(
        caller: Caller<'call, State>,
        function: Function,
        permission: Permission,
    ) -> Result<Self, Stop> {
        let when = match (caller.data().phase, permission) {
            (Phase::Callback, _) | (_, Permission::Always) | (Phase::Starting, Permission::Start) => None,
            (Phase::Starting, Permission::Callback) => Some("while starting"),
            (Phase::Allocating, _) => Some("while allocating"),
        };
        if let Some(when) = when {
            return Err(CallFault::Restricted { call: function.name, when }.into());
        }
        let exports = caller.data().guest.clone().ok_or(CallFault::NoInstance)?;
        let mut guest = Self { caller, exports };
        guest.charge(CALL_WORK)?;
        Ok(guest)
    }

    pub(crate) fn state(&mut self) -> &mut State {
        self.caller.data_mut()
    }

    /// Counts work that the module causes.
    pub(crate) fn charge(&mut self, bytes: u64) -> Answer {
        let state = self.caller.data_mut();
        state.work_left = state.work_left.checked_sub(bytes).ok_or(CallFault::TooMuchWork)?;
        Ok(())
    }

    /// A copy of bytes of the module.
    pub(crate) fn read(&mut self, pointer: i32, length: i32) -> Result<Vec<u8>, Stop> {
        let (pointer, length) = (pointer.cast_unsigned() as usize, length.cast_unsigned() as usize);
        let end = pointer.checked_add(length).ok_or(Status::InvalidMemoryAccess)?;
        let bytes = self.exports.memory.data(&self.caller).get(pointer..end);
        let bytes = bytes.ok_or(Status::InvalidMemoryAccess)?;
        // Charged before copying, so that the limit bounds what is held too.
        let state = self.caller.data();
        if state.work_left < length as u64 {
            return Err(CallFault::TooMuchWork.into());
        }
        let bytes = bytes.to_vec();
        self.charge(length as u64)?;
        Ok(bytes)
    }

    pub(crate) fn read_u32(&mut self, pointer: i32) -> Result<u32, Stop> {
        let bytes = self.read(pointer, 4)?;
        let bytes: [u8; 4] = bytes.try_into().map_err(|_| Status::InvalidMemoryAccess)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Writes bytes into the module's memory.
    pub(crate) fn write(&mut self, pointer: i32, bytes: &[u8]) -> Answer {
        self.charge(bytes.len() as u64)?;
        let memory = self.exports.memory.data_mut(&mut self.caller);
        let pointer = pointer.cast_unsigned() as usize;
        let end = pointer.checked_add(bytes.len()).ok_or(Status::InvalidMemoryAccess)?;
        memory.get_mut(pointer..end).ok_or(Status::InvalidMemoryAccess)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn write_u32(&mut self, pointer: i32, number: u32) -> Answer {
        self.write(pointer, &number.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, pointer: i32, number: u64) -> Answer {
        self.write(pointer, &number.to_le_bytes())
    }

    /// Gives bytes to the module, in memory that it allocates and then owns. Nothing is allocated
    /// for no bytes: the pointer is then 0.
    pub(crate) fn give(&mut self, bytes: &[u8], pointer_to: i32, length_to: i32) -> Answer {
        let length = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
        let pointer = if bytes.is_empty() { 0 } else { self.allocate(length)? };
        self.write(pointer.cast_signed(), bytes)?;
        self.write_u32(pointer_to, pointer)?;
        self.write_u32(length_to, length)
    }

    fn allocate(&mut self, length: u32) -> Result<u32, Stop> {
        let allocator = self.exports.allocator.clone();
        let before = std::mem::replace(&mut self.state().phase, Phase::Allocating);
        let pointer = allocator.call(&mut self.caller, length.cast_signed());
        self.state().phase = before;
        match pointer.map_err(Stop::Fault)? {
            0 => Err(Status::InvalidMemoryAccess.into()),
            pointer => Ok(pointer.cast_unsigned()),
        }
    }
}
