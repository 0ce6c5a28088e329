//! HTTP/1 by hand: a request exactly as stated, and just enough of an answer.
//!
//! Each request has a connection of its own, so that none is taken for the rest of another one.

use super::proxy::{Answer, PATIENCE};
use anyhow::{Context, Result, bail};
use chancery_policy_lang::request::RawRequest;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// How many bytes an answer may have.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The head of a request as it stands on the wire.
pub(super) fn head(request: &RawRequest) -> Vec<u8> {
    let mut head = Vec::new();
    let mut line = |parts: &[&[u8]]| {
        parts.iter().for_each(|part| head.extend_from_slice(part));
        head.extend_from_slice(b"\r\n");
    };
    line(&[&request.method, b" ", &request.path, b" HTTP/1.1"]);
    for host in &request.hosts {
        line(&[b"Host: ", host]);
    }
    for (name, value) in &request.headers {
        line(&[name, b": ", value]);
    }
    line(&[]);
    head
}

/// What is answered to a request; `None` if the connection is closed without an answer.
pub(super) fn send(address: SocketAddr, request: &RawRequest) -> Result<Option<Answer>> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    // Envoy may have seen enough, and closed, before it has read all.
    match connection.write_all(&head(request)) {
        Err(error) if !is_end(error.kind()) => return Err(error.into()),
        _ => {}
    }
    let mut received = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        if let Some(answer) = read(&received)? {
            return Ok(Some(answer));
        }
        match connection.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => received.extend_from_slice(piece.get(..length).unwrap_or_default()),
            Err(error) if is_end(error.kind()) => break,
            Err(error) => return Err(error).context("no answer over HTTP/1"),
        }
        if received.len() > ANSWER_BYTES_MAX {
            bail!("an answer has more than {ANSWER_BYTES_MAX} bytes");
        }
    }
    if received.is_empty() { Ok(None) } else { bail!("an answer ends early: {}", received.escape_ascii()) }
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

/// The status and the headers of a final answer, once they are there; its body is not read.
fn read(received: &[u8]) -> Result<Option<Answer>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let (head, behind) = received.split_at(end + 4);
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let status = std::str::from_utf8(status)?.parse().context("an answer has no status")?;
    if (100..200).contains(&status) {
        return read(behind);
    }
    let mut headers = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':').context("a header has no colon")?;
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        headers.push((name.to_ascii_lowercase(), value.trim_ascii().to_vec()));
    }
    Ok(Some(Answer { status, headers }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_behind_those_that_are_not_final() {
        let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\nX-A:  b \r\n\r\nbody";
        let answer = read(text).unwrap().unwrap();
        assert_eq!(answer.status, 403);
        assert_eq!(answer.headers, [(b"x-a".to_vec(), b"b".to_vec())]);
        assert!(read(b"HTTP/1.1 200 OK\r\n").unwrap().is_none());
    }
}
