//! One connection through a plugin that works below HTTP, callback by callback.

use crate::abi::{BufferType, StreamType, guest_exports as e};
use crate::state::StreamState;
use crate::{HostError, Plugin, Properties};
use std::collections::BTreeSet;

/// An open connection. Dropping it leaves it open: [`Plugin::connection`] gives it again by its
/// [`context`](Connection::context), and [`close`](Connection::close) ends it.
#[derive(Debug)]
pub struct Connection<'plugin> {
    plugin: &'plugin mut Plugin,
    context: u32,
}

/// Who closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Peer {
    /// Nobody knows.
    Unknown = 0,
    /// The proxy.
    Local = 1,
    /// The other side.
    Remote = 2,
}

impl<'plugin> Connection<'plugin> {
    pub(crate) fn new(plugin: &'plugin mut Plugin, context: u32) -> Self {
        Self { plugin, context }
    }

    /// The number of the connection, of which [`Plugin::connection`] makes it again.
    #[must_use]
    pub fn context(&self) -> u32 {
        self.context
    }

    /// The connection is there. Gives whether it goes on.
    pub fn on_new_connection(&mut self) -> Result<bool, HostError> {
        let callback = self.plugin.callbacks.on_new_connection.clone();
        let action =
            self.plugin.call(e::ON_NEW_CONNECTION, callback, self.context, self.context.cast_signed())?;
        Ok(goes_on(action))
    }

    /// Bytes of the client, behind those that are held. Gives those that go on as the module left them, or `None` if they are
    /// held.
    pub fn on_downstream_data(
        &mut self,
        bytes: Vec<u8>,
        end_of_stream: bool,
    ) -> Result<Option<Vec<u8>>, HostError> {
        self.on_data(BufferType::DownstreamData, bytes, end_of_stream)
    }

    /// Bytes of the server. Gives those that go on as the module left them, or `None` if they are held. The end is told as the
    /// close of the upstream, too, as in Envoy.
    pub fn on_upstream_data(
        &mut self,
        bytes: Vec<u8>,
        end_of_stream: bool,
    ) -> Result<Option<Vec<u8>>, HostError> {
        let passed = self.on_data(BufferType::UpstreamData, bytes, end_of_stream)?;
        if end_of_stream {
            let callback = self.plugin.callbacks.on_upstream_close.clone();
            let params = (self.context.cast_signed(), Peer::Unknown as i32);
            self.plugin.call(e::ON_UPSTREAM_CONNECTION_CLOSE, callback, self.context, params)?;
        }
        Ok(passed)
    }

    /// Ends the connection: `proxy_on_downstream_connection_close`, `proxy_on_done`, `proxy_on_log`, `proxy_on_delete`.
    pub fn close(self, peer: Peer) -> Result<(), HostError> {
        let context = self.context.cast_signed();
        let on_close = self.plugin.callbacks.on_downstream_close.clone();
        let params = (context, peer as i32);
        self.plugin.call(e::ON_DOWNSTREAM_CONNECTION_CLOSE, on_close, self.context, params)?;
        let on_done = self.plugin.callbacks.on_done.clone();
        self.plugin.call(e::ON_DONE, on_done, self.context, context)?;
        let on_log = self.plugin.callbacks.on_log.clone();
        self.plugin.call(e::ON_LOG, on_log, self.context, context)?;
        let on_delete = self.plugin.callbacks.on_delete.clone();
        self.plugin.call(e::ON_DELETE, on_delete, self.context, context)?;
        self.plugin.state_mut().streams.remove(&self.context);
        Ok(())
    }

    /// The sides of the connection that the module closed.
    pub fn closed(&mut self) -> Result<BTreeSet<StreamType>, HostError> {
        Ok(self.state()?.closed.clone())
    }

    /// Which sides of a held connection the module asked to go on with since the last time this was asked.
    pub fn take_continued(&mut self) -> Result<BTreeSet<StreamType>, HostError> {
        Ok(std::mem::take(&mut self.state()?.continued))
    }

    /// The connection's properties, to be changed between callbacks.
    pub fn properties_mut(&mut self) -> Result<&mut Properties, HostError> {
        Ok(&mut self.state()?.properties)
    }

    fn on_data(
        &mut self,
        buffer_type: BufferType,
        bytes: Vec<u8>,
        end_of_stream: bool,
    ) -> Result<Option<Vec<u8>>, HostError> {
        let size = match self.state()?.body(buffer_type) {
            Some(slot) => slot.take_in(bytes),
            None => 0,
        };
        let size = u32::try_from(size).unwrap_or(u32::MAX).cast_signed();
        let params = (self.context.cast_signed(), size, i32::from(end_of_stream));
        let (function, callback) = if buffer_type == BufferType::DownstreamData {
            (e::ON_DOWNSTREAM_DATA, self.plugin.callbacks.on_downstream_data.clone())
        } else {
            (e::ON_UPSTREAM_DATA, self.plugin.callbacks.on_upstream_data.clone())
        };
        let action = self.plugin.call(function, callback, self.context, params)?;
        let Some(slot) = self.state()?.body(buffer_type) else { return Ok(None) };
        slot.is_collected = !goes_on(action);
        Ok(goes_on(action).then(|| std::mem::take(slot).bytes.unwrap_or_default()))
    }

    fn state(&mut self) -> Result<&mut StreamState, HostError> {
        self.plugin.state_mut().streams.get_mut(&self.context).ok_or(HostError::NoSuchStream(self.context))
    }
}

/// Whatever is not 0 holds a connection.
fn goes_on(action: Option<i32>) -> bool {
    action.unwrap_or(0) == 0
}
