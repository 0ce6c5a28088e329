//! An application behind a sidecar: answers everything, once it is there whole, with what it was asked,
//! as JSON. For `/headers/COUNT/BYTES` the answer has so many headers with values of so many bytes.

use anyhow::Result;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
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
                let answer = service_fn(move |request: Request<Incoming>| {
                    let mut response = Response::new(Full::new(Bytes::from(answer(&name, &request))));
                    add_headers(&mut response, request.uri().path());
                    async move {
                        let _whole = request.into_body().collect().await;
                        Ok::<_, Infallible>(response)
                    }
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

fn add_headers<B>(response: &mut Response<B>, path: &str) {
    let numbers = path.strip_prefix("/headers/").and_then(|rest| rest.split_once('/'));
    let Some((Ok(count), Ok(bytes))) = numbers.map(|(a, b)| (a.parse::<u32>(), b.parse())) else { return };
    for number in 0..count {
        let name = HeaderName::from_bytes(format!("x-{number}").as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&"v".repeat(bytes))) {
            response.headers_mut().append(name, value);
        }
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
