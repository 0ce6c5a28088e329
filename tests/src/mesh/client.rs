//! Requests as bytes over one connection, which is kept: Envoy takes a second to close one on which it answered by itself.

use super::PATIENCE;
use super::wire::Answer;
use anyhow::{Context, Result, bail};
use chancery_policy_lang::request::RawRequest;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest line of an answer, and its longest body.
const BYTES_MAX: usize = 1 << 20;

/// A client of one address.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// One that is not connected yet.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// What is answered to a request with a body of so many bytes.
    ///
    /// # Errors
    /// When it is not answered in time.
    pub async fn ask(&mut self, request: &RawRequest, body_bytes: usize) -> Result<Answer> {
        let mut bytes = head(request);
        bytes.resize(bytes.len() + body_bytes, b'x');
        timeout(PATIENCE, self.exchange(&bytes, request.method == b"HEAD"))
            .await
            .context("no answer in time")?
    }

    async fn exchange(&mut self, bytes: &[u8], is_head: bool) -> Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(self.address).await?),
        };
        connection.write_all(bytes).await?;
        let answer = read(&mut connection, is_head).await?;
        if answer.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

/// The head of a request as it stands on the wire.
fn head(request: &RawRequest) -> Vec<u8> {
    let mut head = [&request.method, b" ".as_slice(), &request.path, b" HTTP/1.1\r\n"].concat();
    let hosts = request.hosts.iter().map(|host| (b"host".as_slice(), host));
    let others = request.headers.iter().map(|(name, value)| (name.as_slice(), value));
    for (name, value) in hosts.chain(others) {
        head.extend([name, b": ", value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    head
}

async fn read(connection: &mut BufReader<TcpStream>, is_head: bool) -> Result<Answer> {
    let line = line(connection).await?;
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status: u16 = status.with_context(|| format!("`{line}` is no answer"))?;
    let mut headers = Vec::new();
    loop {
        let line = self::line(connection).await?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').with_context(|| format!("`{line}` is no header"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: String::new() };
    if !is_head && status != 204 && status != 304 {
        answer.body = body(connection, &answer).await?;
    }
    Ok(answer)
}

async fn body(connection: &mut BufReader<TcpStream>, answer: &Answer) -> Result<String> {
    let mut body = Vec::new();
    if answer.header("transfer-encoding").is_some() {
        loop {
            let size = usize::from_str_radix(&line(connection).await?, 16)?;
            take(connection, size, &mut body).await?;
            line(connection).await?;
            if size == 0 {
                break;
            }
        }
    } else {
        let length = answer.header("content-length").context("an answer has no length")?.parse()?;
        take(connection, length, &mut body).await?;
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

async fn take(connection: &mut BufReader<TcpStream>, bytes: usize, into: &mut Vec<u8>) -> Result<()> {
    if bytes > BYTES_MAX {
        bail!("an answer has {bytes} bytes");
    }
    let start = into.len();
    into.resize(start + bytes, 0);
    connection.read_exact(into.get_mut(start..).unwrap_or_default()).await?;
    Ok(())
}

async fn line(connection: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = Vec::new();
    connection.take(BYTES_MAX as u64).read_until(b'\n', &mut line).await?;
    if line.pop() != Some(b'\n') {
        bail!("the connection ends within an answer");
    }
    Ok(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned())
}
