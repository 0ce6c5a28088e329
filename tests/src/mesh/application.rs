//! An application behind a sidecar: answers everything with what it was asked, as JSON.

use anyhow::Result;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A running application. It ends with its value.
#[derive(Debug)]
pub struct Application {
    /// Where it listens.
    pub address: SocketAddr,
    task: AbortHandle,
}

impl Application {
    /// Starts one that calls itself `name`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(name: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let name = Arc::<str>::from(name);
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let name = name.clone();
                let answer = service_fn(move |request| {
                    let body = answer(&name, &request);
                    async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body)))) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), answer));
            }
        });
        Ok(Self { address, task: task.abort_handle() })
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(name: &str, request: &Request<Incoming>) -> String {
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (header, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(header.as_str()).or_default().push(value);
    }
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    json!({"instance": name, "method": request.method().as_str(), "path": path, "headers": headers})
        .to_string()
}
