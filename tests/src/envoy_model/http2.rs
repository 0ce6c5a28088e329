//! HTTP/2 by hand: frames with headers that no client library would send, and just enough of an answer.
//!
//! Headers go out as literals that are neither indexed nor compressed, so they may be any bytes. A
//! connection is used again until it ends.

use super::proxy::{Answer, PATIENCE};
use anyhow::{Context, Result, bail};
use chancery_policy_lang::request::RawRequest;
use loona_hpack::Decoder;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What fits a frame without asking (RFC 9113, section 4.2).
const FRAME_BYTES_MAX: usize = 16_384;
/// More than all answers of a test are long.
const WINDOW_BYTES: u32 = 1 << 30;
/// Streams after which a connection is not used any more.
const STREAMS_MAX: u32 = 10_000;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACKNOWLEDGE: u8 = 1;
const END_HEADERS: u8 = 4;

const SETTINGS_HEADER_TABLE_SIZE: u16 = 1;
const ERROR_CANCEL: u32 = 8;

/// The fields of a request in the order in which they are sent. An empty method, scheme or path is
/// not sent at all, and a `CONNECT` without path has no scheme either.
pub(super) fn fields(request: &RawRequest) -> Vec<(Vec<u8>, Vec<u8>)> {
    let is_connect = request.method == b"CONNECT" && request.path.is_empty();
    let scheme = Some(&request.scheme).filter(|_| !is_connect);
    let is_there = |text: &&Vec<u8>| !text.is_empty();
    let pseudo = [
        (":method", Some(&request.method).filter(is_there)),
        (":scheme", scheme.filter(is_there)),
        (":authority", request.authority.as_ref()),
        (":path", Some(&request.path).filter(is_there)),
    ];
    let pseudo = pseudo.into_iter().filter_map(|(name, value)| Some((name.into(), value?.clone())));
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = pseudo.collect();
    fields.extend(request.hosts.iter().map(|host| (b"host".to_vec(), host.clone())));
    fields.extend(request.headers.iter().cloned());
    fields
}

/// A client that keeps its connection as long as Envoy lets it.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    next_stream: u32,
    received: Vec<u8>,
}

/// A frame as it comes.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// What is answered to a request; `None` if the stream or the connection ends without an answer.
    pub(super) fn send(&mut self, request: &RawRequest) -> Result<Option<Answer>> {
        let fields = fields(request);
        if let Some(mut connection) = self.connection.take() {
            let answer = connection.exchange(&fields, request.has_body)?;
            if answer.is_some() {
                self.keep(connection);
                return Ok(answer);
            }
            // It may have ended because of an earlier request.
        }
        let mut connection = Connection::open(self.address)?;
        let answer = connection.exchange(&fields, request.has_body)?;
        if answer.is_some() {
            self.keep(connection);
        }
        Ok(answer)
    }

    fn keep(&mut self, connection: Connection) {
        self.connection = Some(connection).filter(|connection| connection.next_stream < STREAMS_MAX);
    }
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut settings = SETTINGS_HEADER_TABLE_SIZE.to_be_bytes().to_vec();
        settings.extend(0_u32.to_be_bytes());
        let mut first = PREFACE.to_vec();
        first.extend(frame(SETTINGS, 0, 0, &settings));
        first.extend(frame(WINDOW_UPDATE, 0, 0, &WINDOW_BYTES.to_be_bytes()));
        stream.write_all(&first)?;
        Ok(Self { stream, next_stream: 1, received: Vec::new() })
    }

    fn exchange(&mut self, fields: &[(Vec<u8>, Vec<u8>)], has_body: bool) -> Result<Option<Answer>> {
        let stream = self.next_stream;
        self.next_stream += 2;
        // Envoy may have closed before it has read all; then the answer shows it.
        if let Err(error) = self.stream.write_all(&request_frames(stream, fields, has_body))
            && !is_end(error.kind())
        {
            return Err(error.into());
        }
        let answer = self.answer(stream)?;
        if answer.is_some() && has_body {
            let reset = frame(RESET, 0, stream, &ERROR_CANCEL.to_be_bytes());
            let _may_be_closed = self.stream.write_all(&reset);
        }
        Ok(answer)
    }

    fn answer(&mut self, stream: u32) -> Result<Option<Answer>> {
        let mut answer = None;
        let mut block = Vec::new();
        let mut is_last = false;
        while let Some(frame) = self.next_frame()? {
            let has = |flag: u8| frame.flags & flag != 0;
            match frame.kind {
                GO_AWAY => return Ok(None),
                SETTINGS if !has(ACKNOWLEDGE) => {
                    let _may_be_closed =
                        self.stream.write_all(&super::http2::frame(SETTINGS, ACKNOWLEDGE, 0, &[]));
                }
                _ if frame.stream != stream => {}
                RESET => return Ok(None),
                HEADERS | CONTINUATION => {
                    is_last |= frame.kind == HEADERS && has(END_STREAM);
                    block.extend(frame.payload);
                    if has(END_HEADERS) {
                        answer = answer.or(final_answer(&std::mem::take(&mut block))?);
                    }
                }
                DATA => is_last = has(END_STREAM),
                _ => {}
            }
            if is_last && block.is_empty() {
                return Ok(answer);
            }
        }
        Ok(None)
    }

    /// The next frame; `None` when the connection has ended.
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let mut piece = [0; 16 * 1024];
        loop {
            if let Some(frame) = take_frame(&mut self.received) {
                return Ok(Some(frame));
            }
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(length) => self.received.extend_from_slice(piece.get(..length).unwrap_or_default()),
                Err(error) if is_end(error.kind()) => return Ok(None),
                Err(error) => return Err(error).context("no answer over HTTP/2"),
            }
        }
    }
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

fn request_frames(stream: u32, fields: &[(Vec<u8>, Vec<u8>)], has_body: bool) -> Vec<u8> {
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    let mut frames = Vec::new();
    let mut pieces = block.chunks(FRAME_BYTES_MAX).peekable();
    let mut kind = HEADERS;
    let mut flags = if has_body { 0 } else { END_STREAM };
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            flags |= END_HEADERS;
        }
        frames.extend(frame(kind, flags, stream, piece));
        (kind, flags) = (CONTINUATION, 0);
    }
    frames
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = length.get(1..).unwrap_or_default().to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A field that is neither indexed nor compressed (RFC 7541, section 6.2.2).
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        push_length(&mut bytes, text.len());
        bytes.extend_from_slice(text);
    }
    bytes
}

/// A length in a prefix of seven bits (RFC 7541, section 5.1).
fn push_length(bytes: &mut Vec<u8>, length: usize) {
    const PREFIX_MAX: usize = 127;
    if length < PREFIX_MAX {
        bytes.push(u8::try_from(length).unwrap_or(0));
        return;
    }
    bytes.push(0x7f);
    let mut rest = length - PREFIX_MAX;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128 + 128).unwrap_or(0));
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap_or(0));
}

/// The first frame of what was received, if all of it is there.
fn take_frame(received: &mut Vec<u8>) -> Option<Frame> {
    let (head, _) = received.split_first_chunk::<9>()?;
    let [a, b, c, kind, flags, s1, s2, s3, s4] = *head;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    let payload = received.get(9..9 + length)?.to_vec();
    received.drain(..9 + length);
    Some(Frame { kind, flags, stream: u32::from_be_bytes([s1, s2, s3, s4]), payload })
}

/// The answer that a block of headers begins; `None` for one that is not final.
fn final_answer(block: &[u8]) -> Result<Option<Answer>> {
    let mut headers = match Decoder::new().decode(block) {
        Ok(headers) => headers,
        Err(error) => bail!("the headers of an answer cannot be read: {error:?}"),
    };
    let at = headers.iter().position(|(name, _)| name == b":status").context("an answer has no status")?;
    let (_, status) = headers.remove(at);
    let status: u16 = std::str::from_utf8(&status)?.parse().context("an answer has no status")?;
    Ok((status >= 200).then_some(Answer { status, headers }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_has_its_length_in_several_bytes() {
        let mut bytes = Vec::new();
        push_length(&mut bytes, 126);
        push_length(&mut bytes, 127);
        push_length(&mut bytes, 1337);
        assert_eq!(bytes, [126, 0x7f, 0, 0x7f, 0xba, 9]);
    }

    #[test]
    fn a_frame_is_taken_when_all_of_it_is_there() {
        let whole = frame(DATA, END_STREAM, 3, b"abc");
        let mut received = whole.get(..10).unwrap().to_vec();
        assert!(take_frame(&mut received).is_none());
        received.extend_from_slice(whole.get(10..).unwrap());
        received.push(7);
        let frame = take_frame(&mut received).unwrap();
        assert_eq!(
            (frame.kind, frame.flags, frame.stream, frame.payload),
            (DATA, END_STREAM, 3, b"abc".to_vec())
        );
        assert_eq!(received, [7]);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let block: Vec<u8> =
            [literal(b":status", b"403"), literal(b"x", b"\xff")].into_iter().flatten().collect();
        let answer = final_answer(&block).unwrap().unwrap();
        assert_eq!(answer.status, 403);
        assert_eq!(answer.headers, [(b"x".to_vec(), b"\xff".to_vec())]);
        assert!(final_answer(&literal(b":status", b"100")).unwrap().is_none());
    }
}
