//! An application behind a sidecar: answers everything, once it is there whole, with what it was asked,
//! as JSON; for each header `x-answer` of the request, `NAME: VALUE`, the answer has that one.
//!
//! ```text
//! /headers/COUNT/BYTES    the answer has so many headers with values of so many bytes
//! /slow/MS                it comes after so many milliseconds
//! /failing/TIMES/NAME     it is 503 so many times for this name, and then 200
//! /failing-at/INSTANCE    it is 500 if this application is that one
//! /hanging-at/INSTANCE    it does not come within a minute if this application is that one
//! ```
//!
//! Headers ask for the same whatever the path is: `x-fails: TIMES/NAME` and `x-slow: MS`. What reached it last can be
//! asked for.

use anyhow::Result;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// How long an application hangs.
const HANGS: Duration = Duration::from_secs(60);
/// So many of the requests that reached it last are remembered.
const HEARD_MAX: usize = 4_096;

/// A running application. It ends with its value.
#[derive(Debug)]
pub struct Application {
    /// Where it listens.
    pub address: SocketAddr,
    name: Arc<str>,
    heard: Heard,
    /// `None` while it is stopped.
    task: Option<JoinHandle<()>>,
}

impl Application {
    /// Starts one that calls itself `name`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(name: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut application = Self { address, name: name.into(), heard: Heard::default(), task: None };
        application.serve(listener);
        Ok(application)
    }

    /// What it was asked since it was asked for that last, each as it answers it; the last ones if that were many.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// Ends it, with all its connections, as if it were killed.
    pub async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _aborted = task.await;
        }
    }

    /// Starts it again where it was.
    ///
    /// # Errors
    /// When its port is taken.
    pub async fn start_again(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.serve(listener);
        Ok(())
    }

    fn serve(&mut self, listener: TcpListener) {
        let name = self.name.clone();
        let heard = self.heard.clone();
        let failed = Failed::default();
        self.task = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let name = name.clone();
                let failed = failed.clone();
                let heard = heard.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let body = answer(&name, &request);
                    remember(&heard, &body);
                    let mut response = Response::new(Full::new(Bytes::from(body)));
                    let path = request.uri().path().to_owned();
                    add_headers(&mut response, &path);
                    let failing = asked_for(&request, "x-fails").unwrap_or_default();
                    if fails(&failed, &path, "/failing/") || fails(&failed, &failing, "") {
                        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    }
                    if path.strip_prefix("/failing-at/") == Some(&*name) {
                        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    }
                    let hangs = path.strip_prefix("/hanging-at/") == Some(&*name);
                    add_asked(&mut response, &request);
                    let slow = asked_for(&request, "x-slow").and_then(|ms| ms.parse().ok());
                    async move {
                        let _whole = request.into_body().collect().await;
                        if hangs {
                            sleep(HANGS).await;
                        }
                        if let Some(ms) = path.strip_prefix("/slow/").and_then(|ms| ms.parse().ok()).or(slow)
                        {
                            sleep(Duration::from_millis(ms)).await;
                        }
                        Ok::<_, Infallible>(response)
                    }
                });
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), answer));
            }
        }));
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// How often each path has failed.
type Failed = Arc<Mutex<BTreeMap<String, u32>>>;

/// What it was asked, the last behind.
type Heard = Arc<Mutex<VecDeque<String>>>;

fn remember(heard: &Heard, body: &str) {
    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    if heard.len() == HEARD_MAX {
        heard.pop_front();
    }
    heard.push_back(body.to_owned());
}

/// The value of a header by which something is asked for.
fn asked_for<B>(request: &Request<B>, name: &str) -> Option<String> {
    Some(request.headers().get(name)?.to_str().ok()?.to_owned())
}

/// Whether a request is to fail this time: `TIMES/NAME` stands behind the beginning.
fn fails(failed: &Failed, path: &str, beginning: &str) -> bool {
    let times = path.strip_prefix(beginning).and_then(|rest| rest.split('/').next()?.parse::<u32>().ok());
    let Some(times) = times else { return false };
    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
    let so_far = failed.entry(path.to_owned()).or_default();
    *so_far += 1;
    *so_far <= times
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

/// Adds the headers that a request asks for.
fn add_asked<A, B>(response: &mut Response<A>, request: &Request<B>) {
    for asked in request.headers().get_all("x-answer") {
        let parts = asked.to_str().ok().and_then(|text| text.split_once(": "));
        let header = parts.map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()), value.parse()));
        if let Some((Ok(name), Ok(value))) = header {
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
