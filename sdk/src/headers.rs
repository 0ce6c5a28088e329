//! Headers and trailers: one value, or all of them at once.

use crate::Proxy;
use crate::abi::MapType;
use crate::host::{Host, Pairs};
use std::ops::Deref;

/// The headers or trailers that a callback is about.
#[derive(Debug)]
pub struct Headers<'call, H> {
    proxy: Proxy<'call, H>,
    map: MapType,
    is_last: bool,
}

/// A copy of all headers at one moment: one host call, whoever asks for how many of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderMap(Pairs);

/// A header that may occur once occurs several times, so that none of its values can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header occurs {0} times")]
pub struct Repeated(pub usize);

impl<'call, H: Host> Headers<'call, H> {
    pub(crate) fn new(proxy: Proxy<'call, H>, map: MapType, is_last: bool) -> Self {
        Self { proxy, map, is_last }
    }

    /// Whether neither body nor trailers follow.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    /// The first value of a name. **Not for decisions:** a client can repeat a header, and a service may read the
    /// other value. Ask [`only`](Self::only).
    #[must_use]
    pub fn first(&self, name: &str) -> Option<Vec<u8>> {
        self.proxy.host.first(self.map, name)
    }

    /// The value of a name that may occur once. Who asks for several headers takes [`all`](Self::all) of them.
    ///
    /// # Errors
    /// If it occurs several times.
    pub fn only(&self, name: &str) -> Result<Option<Vec<u8>>, Repeated> {
        self.all().only(name).map(|value| value.map(<[u8]>::to_vec))
    }

    /// All headers, in one host call.
    #[must_use]
    pub fn all(&self) -> HeaderMap {
        HeaderMap(self.proxy.host.pairs(self.map))
    }

    /// Makes this the only value of a name.
    pub fn set(&self, name: &str, value: impl AsRef<[u8]>) {
        self.proxy.host.set(self.map, name, value.as_ref());
    }

    /// Adds a value behind those that are there.
    pub fn add(&self, name: &str, value: impl AsRef<[u8]>) {
        self.proxy.host.add(self.map, name, value.as_ref());
    }

    /// Removes all values of a name.
    pub fn remove(&self, name: &str) {
        self.proxy.host.remove(self.map, name);
    }
}

impl<H> Clone for Headers<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for Headers<'_, H> {}

impl<'call, H> Deref for Headers<'call, H> {
    type Target = Proxy<'call, H>;

    fn deref(&self) -> &Self::Target {
        &self.proxy
    }
}

impl HeaderMap {
    pub(crate) fn new(pairs: Pairs) -> Self {
        Self(pairs)
    }

    /// The first value of a name, whose letters are small. See [`Headers::first`].
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// The value of a name that may occur once.
    ///
    /// # Errors
    /// If it occurs several times.
    pub fn only(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        let mut values = self.values(name);
        let first = values.next();
        match values.count() {
            0 => Ok(first),
            more => Err(Repeated(more + 1)),
        }
    }

    /// All values of a name in order.
    pub fn values<'map>(&'map self, name: &str) -> impl Iterator<Item = &'map [u8]> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_header_is_no_single_one() {
        let pairs = [("a", "1"), ("b", "2"), ("a", "3")];
        let map = HeaderMap(pairs.map(|(name, value)| (name.to_owned(), value.into())).to_vec());
        assert_eq!(map.only("a"), Err(Repeated(2)));
        assert_eq!(map.only("b"), Ok(Some(&b"2"[..])));
        assert_eq!(map.only("c"), Ok(None));
        assert_eq!(map.first("a"), Some(&b"1"[..]));
        assert_eq!(map.values("a").count(), 2);
    }
}
