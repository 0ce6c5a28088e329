//! Both ends of a conversation in plain bytes: applications that do what no library would, and clients.

use super::PATIENCE;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// An application that follows a script on each connection. It ends with its value.
pub(super) struct Scripted {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

/// One end of a connection. What is read is `None` once the other end has closed it.
pub(super) struct Talker {
    stream: BufStream<TcpStream>,
}

impl Scripted {
    /// Starts one. A script ends, and with it its connection, when it gives `None` or is over.
    pub(super) async fn start<F, Script>(script: F) -> Self
    where
        F: Fn(Talker) -> Script + Send + 'static,
        Script: Future<Output = Option<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(script(Talker { stream: BufStream::new(stream) }));
            }
        });
        Self { address, task }
    }

    /// As `--inbound` names it.
    pub(super) fn name(&self) -> Option<String> {
        Some(self.address.to_string())
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Talker {
    pub(super) async fn connect(to: SocketAddr) -> Self {
        Self { stream: BufStream::new(TcpStream::connect(to).await.unwrap()) }
    }

    /// Writes a text in which lines end as people write them.
    pub(super) async fn say(&mut self, text: &str) -> Option<()> {
        self.send(text.replace('\n', "\r\n").as_bytes()).await
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).await.ok()?;
        self.stream.flush().await.ok()
    }

    /// Reads lines until an empty one, as in [`Talker::say`].
    pub(super) async fn head(&mut self) -> Option<String> {
        let mut head = String::new();
        while head != "\n" && !head.ends_with("\n\n") {
            head.push_str(&self.line().await?);
            head.push('\n');
        }
        Some(head)
    }

    /// Reads a line without its end.
    pub(super) async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let read = timeout(PATIENCE, self.stream.read_until(b'\n', &mut line)).await.ok()?.ok()?;
        (read > 0).then(|| String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Reads so many bytes.
    pub(super) async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        timeout(PATIENCE, self.stream.read_exact(&mut bytes)).await.ok()?.ok()?;
        Some(bytes)
    }

    /// Reads a chunk of a body; an empty one is the last.
    pub(super) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let length = usize::from_str_radix(&self.line().await?, 16).ok()?;
        let bytes = self.exactly(length).await?;
        if length > 0 {
            self.line().await?;
        }
        Some(bytes)
    }

    /// Writes a chunk of a body.
    pub(super) async fn say_chunk(&mut self, bytes: &[u8]) -> Option<()> {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.send(&chunk).await
    }

    /// Reads what comes until the other end closes the connection.
    pub(super) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _end = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    }
}
