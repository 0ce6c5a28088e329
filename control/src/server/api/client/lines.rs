//! An answer that comes line by line and has no end of its own.

use super::{Client, ClientError};
use crate::server::api::logs::EMPTY_LINE_EVERY;
use reqwest::{Method, Response};
use std::time::Duration;
use tokio::time::timeout;

/// How long such an answer may take as a whole: as good as for ever.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long nothing may come: some of the empty lines that the control plane sends.
const SILENCE_MAX: Duration = EMPTY_LINE_EVERY.saturating_mul(3);
/// The longest line.
const LINE_BYTES_MAX: usize = 1 << 20;

/// The lines of an answer.
#[derive(Debug)]
pub struct Lines {
    response: Response,
    client: Client,
    /// What has come of the next lines.
    buffer: Vec<u8>,
}

impl Client {
    /// `GET`, line by line.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let response = self.send(self.request(Method::GET, path).timeout(WHOLE_TIMEOUT)).await?;
        Ok(Lines { response, client: self.clone(), buffer: Vec::new() })
    }
}

impl Lines {
    /// The next line that is not empty; `None` if the control plane has ended the answer.
    ///
    /// # Errors
    /// If nothing comes any more, or what comes is no line.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                let line = String::from_utf8(line).map_err(|error| self.odd(error.to_string()))?;
                if !line.trim_end().is_empty() {
                    return Ok(Some(line.trim_end().to_owned()));
                }
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(self.odd("a line has no end".to_owned()));
            }
            match timeout(SILENCE_MAX, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => self.buffer.extend_from_slice(&bytes),
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(self.client.unreachable(&error).await),
                Err(_) => {
                    let detail = format!("nothing came for {} seconds", SILENCE_MAX.as_secs());
                    return Err(ClientError::Unreachable { url: self.client.url.clone(), detail });
                }
            }
        }
    }

    fn odd(&self, detail: String) -> ClientError {
        ClientError::Odd { url: self.client.url.clone(), detail }
    }
}
