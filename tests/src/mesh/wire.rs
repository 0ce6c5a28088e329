//! HTTP/1.1 as bytes on any stream, so that no library makes a request better than it is.

use super::PATIENCE;
use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// A request as it stands on the wire. Nothing of it is checked.
#[derive(Clone, Debug)]
pub struct Request {
    line: Vec<u8>,
    host: String,
    headers: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case and values.
    pub headers: Vec<(String, String)>,
    /// Everything behind the headers.
    pub body: String,
}

impl Request {
    /// A request with this method and path, both as bytes.
    #[must_use]
    pub fn new(method: &str, path: impl AsRef<[u8]>) -> Self {
        let line = [method.as_bytes(), b" ", path.as_ref()].concat();
        Self { line, host: "mesh.test".to_owned(), headers: String::new() }
    }

    /// A GET.
    #[must_use]
    pub fn get(path: impl AsRef<[u8]>) -> Self {
        Self::new("GET", path)
    }

    /// For this host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// With a header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// With several headers more.
    #[must_use]
    pub fn headers(self, headers: &[(&str, &str)]) -> Self {
        headers.iter().fold(self, |request, (name, value)| request.header(name, value))
    }

    /// Sends it and reads all of the answer.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn send(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Answer> {
        timeout(PATIENCE, self.exchange(stream)).await.context("no answer in time")?
    }

    /// Sends its head alone. What is read and written after that is the caller's affair.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn begin(&self, mut stream: impl AsyncWrite + Unpin) -> Result<()> {
        let mut bytes = self.line.clone();
        let host = &self.host;
        bytes.extend_from_slice(format!(" HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n").as_bytes());
        bytes.extend_from_slice(self.headers.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        Ok(stream.write_all(&bytes).await?)
    }

    async fn exchange(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Answer> {
        self.begin(&mut stream).await?;
        Answer::read_from(stream).await
    }
}

impl Answer {
    /// Reads all of an answer.
    ///
    /// # Errors
    /// When none comes.
    pub async fn read_from(mut stream: impl AsyncRead + Unpin) -> Result<Self> {
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        // Whoever refuses a request may end the connection roughly once the answer is out.
        match (end, Self::read(&answer)) {
            (_, Some(answer)) => Ok(answer),
            (Err(error), None) => Err(error.into()),
            (Ok(_), None) => Err(anyhow::anyhow!("not an answer: `{answer}`")),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let headers = head.split("\r\n").skip(1).filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        Some(Self { status, headers: headers.collect(), body: body.to_owned() })
    }

    /// The values of a header.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        let of_it = self.headers.iter().filter(|(known, _)| known == name);
        of_it.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of the first header with this lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }

    /// What the application says that it was asked; nothing if it did not answer.
    #[must_use]
    pub fn asked(&self) -> Value {
        let json = self.body.find('{').zip(self.body.rfind('}'));
        let json = json.and_then(|(first, last)| self.body.get(first..=last));
        json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }
}
