//! Properties: the stream's table first, then what follows from its headers, then filter state.

use crate::HeaderMap;
use crate::abi::{MapType, Status};
use crate::guest::{Answer, Guest};
use crate::property::PropertyValue;
use crate::state::{State, StreamState};
use std::collections::BTreeMap;

pub(super) fn get(guest: &mut Guest<'_>, path: i32, length: i32, to: i32, length_to: i32) -> Answer {
    let path = guest.read(path, length)?;
    let path = path.strip_suffix(b"\0").unwrap_or(&path);
    // Some properties are made from all headers: walking them is charged for.
    let headers = guest.state().header_map(MapType::RequestHeaders).map_or(0, HeaderMap::size_bytes);
    guest.charge(headers as u64)?;
    let value = find(guest.state(), path)?;
    guest.give(&value, to, length_to)
}

/// Writes filter state `wasm.<path>`; the root has none.
pub(super) fn set(guest: &mut Guest<'_>, path: i32, length: i32, value: i32, bytes: i32) -> Answer {
    let (path, value) = (guest.read(path, length)?, guest.read(value, bytes)?);
    let held: usize = guest.state().stream().map_or(0, |stream| stream.filter_state.len());
    guest.charge(held as u64)?;
    let stream = guest.state().stream().ok_or(Status::NotFound)?;
    stream.set_filter_state(path, value).map_err(Into::into)
}

fn find(state: &mut State, path: &[u8]) -> Result<Vec<u8>, Status> {
    match path {
        b"" => return Err(Status::SerializationFailure),
        b"plugin_name" => return Ok(state.configuration.name.clone().into_bytes()),
        b"plugin_root_id" => return Ok(state.configuration.root_id.clone().into_bytes()),
        b"plugin_vm_id" => return Ok(state.configuration.vm_id.clone().into_bytes()),
        _ => {}
    }
    let stream = state.stream().ok_or(Status::NotFound)?;
    if let Some(value) = stream.properties.find(path) {
        return value.encode();
    }
    if let Some(value) = from_headers(stream, path) {
        return value.encode();
    }
    if let Some(value) = stream.filter_state.get(path) {
        return Ok(value.clone());
    }
    let is_root = matches!(path, b"request" | b"response") || stream.properties.has_below(path);
    Err(if is_root { Status::SerializationFailure } else { Status::NotFound })
}

/// Properties that Envoy reads from the header maps, so that they change with them.
fn from_headers(stream: &StreamState, path: &[u8]) -> Option<PropertyValue> {
    if let Some(rest) = path.strip_prefix(b"request\0") {
        return request(stream.readable(MapType::RequestHeaders)?, rest);
    }
    let rest = path.strip_prefix(b"response\0")?;
    // The status outlasts the headers that the module could see.
    if rest == b"code" {
        let status = stream.response_headers.map.as_ref()?.first(b":status")?;
        return Some(PropertyValue::Int(number(status)?));
    }
    let headers = stream.readable(MapType::ResponseHeaders)?;
    header_property(headers, rest)
}

fn request(headers: &HeaderMap, name: &[u8]) -> Option<PropertyValue> {
    let header = match name {
        b"path" => headers.first(b":path")?,
        b"url_path" => split_query(headers.first(b":path")?).0,
        b"query" => split_query(headers.first(b":path")?).1,
        b"host" => headers.first(b":authority")?,
        b"scheme" => headers.first(b":scheme")?,
        b"method" => headers.first(b":method")?,
        b"referer" => headers.first(b"referer")?,
        b"useragent" => headers.first(b"user-agent")?,
        b"id" => headers.first(b"x-request-id")?,
        b"size" => {
            let length = headers.first(b"content-length").and_then(number);
            return Some(PropertyValue::Int(length.unwrap_or(0)));
        }
        _ => return header_property(headers, name),
    };
    Some(PropertyValue::Bytes(header.to_vec()))
}

/// `headers` as a map, or `headers\0name`; a repeated header is joined with commas.
fn header_property(headers: &HeaderMap, name: &[u8]) -> Option<PropertyValue> {
    if name == b"headers" {
        let mut values = BTreeMap::<Vec<u8>, Vec<&[u8]>>::new();
        for (name, value) in headers.entries() {
            values.entry(name.clone()).or_default().push(value);
        }
        let joined =
            values.into_iter().map(|(name, values)| (name, PropertyValue::Bytes(values.join(&b","[..]))));
        return Some(PropertyValue::Map(joined.collect()));
    }
    headers.joined(name.strip_prefix(b"headers\0")?).map(PropertyValue::Bytes)
}

fn split_query(path: &[u8]) -> (&[u8], &[u8]) {
    let at = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
    let (path, query) = path.split_at_checked(at).unwrap_or((path, b""));
    (path, query.strip_prefix(b"?").unwrap_or(query))
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
