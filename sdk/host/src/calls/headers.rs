//! Header maps.
//!
//! A map that is not there now (request headers in a response callback) is a bad argument; only
//! asking for its pairs gives none, as in Envoy. Maps of answers to calls can be read only, and their size is not told.

use crate::HeaderMap;
use crate::abi::{MapType, Status, Version, pairs};
use crate::guest::{Answer, Guest, Stop};

/// The first value of a key; the others can be seen only with [`get_pairs`]. In version 0.1.0 a key that is not there has an
/// empty value.
pub(super) fn get(guest: &mut Guest<'_>, map: i32, key: i32, length: i32, to: i32, length_to: i32) -> Answer {
    let key = guest.read(key, length)?;
    let map_type = MapType::from_number(map).ok_or(Status::BadArgument)?;
    let state = guest.state();
    // While a stream is logged, a map that is not there is like an empty one.
    let is_logged = state.stream().is_some_and(|stream| stream.is_logged);
    let length = match state.header_map(map_type) {
        Some(map) => map.len(),
        None if is_logged => 0,
        None => return Err(Status::BadArgument.into()),
    };
    guest.charge(length as u64)?;
    let state = guest.state();
    let is_first_version = state.version == Version::V0_1_0;
    let value = state.header_map(map_type).and_then(|map| map.first(&key)).map(<[u8]>::to_vec);
    let value = match value {
        None if is_first_version => Vec::new(),
        value => value.ok_or(Status::NotFound)?,
    };
    guest.give(&value, to, length_to)
}

pub(super) fn add(guest: &mut Guest<'_>, map: i32, key: i32, length: i32, value: i32, bytes: i32) -> Answer {
    let (key, value) = (guest.read(key, length)?, guest.read(value, bytes)?);
    let map = find(guest, map)?;
    match map.first(&key).filter(|_| is_single(&key)) {
        None => map.add(&key, value),
        Some(_) if value.is_empty() => {}
        Some(first) => {
            let joined = [first, b",", value.as_slice()].concat();
            map.replace(&key, joined);
        }
    }
    Ok(())
}

pub(super) fn replace(
    guest: &mut Guest<'_>,
    map: i32,
    key: i32,
    length: i32,
    value: i32,
    bytes: i32,
) -> Answer {
    let (key, value) = (guest.read(key, length)?, guest.read(value, bytes)?);
    find(guest, map)?.replace(&key, value);
    Ok(())
}

pub(super) fn remove(guest: &mut Guest<'_>, map: i32, key: i32, length: i32) -> Answer {
    let key = guest.read(key, length)?;
    find(guest, map)?.remove(&key);
    Ok(())
}

pub(super) fn get_pairs(guest: &mut Guest<'_>, map: i32, to: i32, length_to: i32) -> Answer {
    let map_type = MapType::from_number(map).ok_or(Status::BadArgument)?;
    let size = guest.state().header_map(map_type).map_or(0, |map| map.size_bytes());
    guest.charge(size as u64)?;
    let bytes = match guest.state().header_map(map_type) {
        Some(map) if map.is_empty() => Vec::new(),
        Some(map) => pairs::encode(map.entries()).map_err(|_| Status::SerializationFailure)?,
        None => Vec::new(),
    };
    guest.give(&bytes, to, length_to)
}

/// Pairs that do not parse count as none, so they clear the map.
pub(super) fn set_pairs(guest: &mut Guest<'_>, map: i32, pointer: i32, length: i32) -> Answer {
    let bytes = guest.read(pointer, length)?;
    *find(guest, map)? = parse(&bytes);
    Ok(())
}

pub(super) fn get_size(guest: &mut Guest<'_>, map: i32, to: i32) -> Answer {
    let size = u32::try_from(find(guest, map)?.size_bytes()).map_err(|_| Status::InternalFailure)?;
    guest.write_u32(to, size)
}

/// Headers of which Envoy keeps one value: another one is put behind it with a comma.
const SINGLE: [&[u8]; 26] = [
    b":authority",
    b":method",
    b":path",
    b":protocol",
    b":scheme",
    b":status",
    b"connection",
    b"content-length",
    b"content-type",
    b"date",
    b"expect",
    b"grpc-message",
    b"grpc-status",
    b"grpc-timeout",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"transfer-encoding",
    b"upgrade",
    b"user-agent",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-request-id",
];

fn is_single(key: &[u8]) -> bool {
    SINGLE.iter().any(|name| key.eq_ignore_ascii_case(name))
}

/// Pairs of the module as headers; none if they do not parse.
pub(super) fn parse(bytes: &[u8]) -> HeaderMap {
    let pairs = pairs::decode(bytes).unwrap_or_default();
    pairs.into_iter().collect()
}

/// A map that the module may change now. Walking it is charged for: the module may have made it long.
fn find<'guest>(guest: &'guest mut Guest<'_>, map: i32) -> Result<&'guest mut HeaderMap, Stop> {
    let map_type = MapType::from_number(map).ok_or(Status::BadArgument)?;
    let length = guest.state().header_map_mut(map_type).ok_or(Status::BadArgument)?.len();
    guest.charge(length as u64)?;
    guest.state().header_map_mut(map_type).ok_or_else(|| Status::BadArgument.into())
}
