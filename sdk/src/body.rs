//! Bodies: a piece that is on its way, or the whole of what was held.

use crate::abi::{BufferType, MapType};
use crate::host::Host;
use crate::{Headers, Proxy};
use std::ops::Deref;

/// A piece of a body, or the whole of a held one.
#[derive(Debug)]
pub struct Body<'call, H> {
    proxy: Proxy<'call, H>,
    buffer: BufferType,
    /// Bytes of the buffer before this piece: they were shown before and are held still.
    start: usize,
    length: usize,
    is_last: bool,
}

/// A message that was held until it was there whole: its headers can still be read and changed.
#[derive(Debug)]
pub struct Whole<'call, H> {
    headers: Headers<'call, H>,
    body: Body<'call, H>,
    trailers: Option<Headers<'call, H>>,
}

impl<'call, H: Host> Body<'call, H> {
    pub(crate) fn new(
        proxy: Proxy<'call, H>,
        buffer: BufferType,
        start: usize,
        length: usize,
        is_last: bool,
    ) -> Self {
        Self { proxy, buffer, start, length, is_last }
    }

    /// How many bytes this is.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has no bytes; the last piece often has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether nothing of the body follows, and no trailers either.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    /// The bytes.
    #[must_use]
    pub fn read(&self) -> Vec<u8> {
        self.read_part(0, self.length)
    }

    /// At most so many bytes from a start on.
    #[must_use]
    pub fn read_part(&self, start: usize, bytes_max: usize) -> Vec<u8> {
        let bytes_max = bytes_max.min(self.length.saturating_sub(start));
        // Envoy would be asked for a buffer that is not there yet.
        if bytes_max == 0 {
            Vec::new()
        } else {
            self.proxy.host.bytes(self.buffer, self.start + start, bytes_max)
        }
    }

    /// Puts other bytes in the place of these. They may be more or fewer: who does so on a body that was not held takes
    /// `content-length` out of the headers before.
    pub fn replace(&self, bytes: &[u8]) {
        let whole = self.start + self.length;
        if self.start == 0 {
            self.proxy.host.set_bytes(self.buffer, 0, whole, bytes);
        } else {
            let mut held = self.proxy.host.bytes(self.buffer, 0, self.start);
            held.extend_from_slice(bytes);
            self.proxy.host.set_bytes(self.buffer, 0, whole, &held);
        }
    }
}

impl<'call, H: Host> Whole<'call, H> {
    pub(crate) fn new(
        headers: Headers<'call, H>,
        body: Body<'call, H>,
        trailers: Option<Headers<'call, H>>,
    ) -> Self {
        Self { headers, body, trailers }
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> Headers<'call, H> {
        self.headers
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> Body<'call, H> {
        self.body
    }

    /// Its trailers, if there are any.
    #[must_use]
    pub fn trailers(&self) -> Option<Headers<'call, H>> {
        self.trailers
    }

    /// Gives it another body, and says its length in the headers.
    pub fn replace_body(&self, bytes: &[u8]) {
        self.headers.set("content-length", bytes.len().to_string());
        self.body.replace(bytes);
    }
}

impl<H> Clone for Body<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for Body<'_, H> {}

impl<'call, H> Deref for Body<'call, H> {
    type Target = Proxy<'call, H>;

    fn deref(&self) -> &Self::Target {
        &self.proxy
    }
}

impl<H> Clone for Whole<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for Whole<'_, H> {}

impl<'call, H> Deref for Whole<'call, H> {
    type Target = Proxy<'call, H>;

    fn deref(&self) -> &Self::Target {
        &self.headers
    }
}

/// The buffer that belongs to a map of headers.
pub(crate) fn buffer_of(map: MapType) -> BufferType {
    match map {
        MapType::ResponseHeaders | MapType::ResponseTrailers => BufferType::HttpResponseBody,
        _ => BufferType::HttpRequestBody,
    }
}
