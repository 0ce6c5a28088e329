//! HTTP/1.1 by hand: a client that sends pieces apart, and a server that answers so.

use super::Part;
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Between two pieces of a body, so that they come apart.
const PAUSE: Duration = Duration::from_millis(60);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A message as it is on the wire: the first line, the others, the body.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) first_line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Raw {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// As seen by whoever gets it: a request by method and path, an answer by status.
    pub(super) fn part(&self, is_request: bool) -> Part {
        let mut words = self.first_line.split(' ');
        let head = if is_request {
            words.by_ref().take(2).collect::<Vec<_>>().join(" ")
        } else {
            words.nth(1).unwrap_or_default().to_owned()
        };
        Part::new(head, self.headers.iter().cloned(), &self.body)
    }
}

/// Writes a message whose length is said, piece by piece.
pub(super) async fn write(
    stream: &mut TcpStream,
    first_line: &str,
    headers: &[(String, String)],
    pieces: &[String],
) -> Result<()> {
    let length: usize = pieces.iter().map(String::len).sum();
    let mut bytes = format!("{first_line}\r\n");
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    if !pieces.is_empty() {
        bytes.push_str(&format!("content-length: {length}\r\n"));
    }
    bytes.push_str("\r\n");
    let (first, rest) = pieces.split_first().map_or((None, pieces), |(first, rest)| (Some(first), rest));
    bytes.extend(first.cloned());
    stream.write_all(bytes.as_bytes()).await?;
    for piece in rest {
        stream.flush().await?;
        sleep(PAUSE).await;
        // Who got an answer already may have closed the connection.
        if stream.write_all(piece.as_bytes()).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Sends a request and reads the answer; `None` if the connection is closed without one.
pub(super) async fn exchange(
    address: SocketAddr,
    first_line: &str,
    headers: &[(String, String)],
    pieces: &[String],
) -> Result<Option<Raw>> {
    let mut stream = TcpStream::connect(address).await?;
    let sent = write(&mut stream, first_line, headers, pieces).await;
    let answer = timeout(PATIENCE, read(&mut stream, false)).await.context("no answer in time")?;
    sent.or_else(|error| if answer.is_ok() { Ok(()) } else { Err(error) })?;
    answer
}

/// Reads one message, `None` if there is none. A request without a length has no body.
pub(super) async fn read(stream: &mut TcpStream, is_request: bool) -> Result<Option<Raw>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break end;
        }
        // A connection may be reset instead of closed.
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return if bytes.is_empty() { Ok(None) } else { bail!("half a head: {bytes:?}") };
        }
    };
    let mut body = bytes.split_off(end + 4);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = head.trim_end().split("\r\n");
    let mut raw = Raw { first_line: lines.next().unwrap_or_default().to_owned(), ..Raw::default() };
    for line in lines {
        let (name, value) = line.split_once(':').with_context(|| format!("no header: {line}"))?;
        raw.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = raw.header("content-length").and_then(|length| length.parse::<usize>().ok());
    let is_chunked = raw.header("transfer-encoding").is_some();
    loop {
        let is_whole = match length {
            _ if is_chunked => find(&body, b"0\r\n\r\n").is_some(),
            Some(length) => body.len() >= length,
            None => is_request,
        };
        if is_whole || stream.read_buf(&mut body).await.unwrap_or(0) == 0 {
            break;
        }
    }
    raw.body = if is_chunked { unchunked(&body) } else { body };
    Ok(Some(raw))
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = find(bytes, b"\r\n") {
        let (line, rest) = bytes.split_at(end);
        let length =
            std::str::from_utf8(line).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let Some((chunk, rest)) = length.and_then(|length| rest.get(2..)?.split_at_checked(length)) else {
            break;
        };
        body.extend_from_slice(chunk);
        bytes = rest.get(2..).unwrap_or_default();
    }
    body
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
