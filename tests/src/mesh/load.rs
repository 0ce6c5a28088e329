//! A steady load through one address, and what became of it.

use anyhow::{Result, bail};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Callers at once, each with a connection that it keeps.
const CALLERS: usize = 4;
/// How long a caller rests between two requests.
const REST: Duration = Duration::from_millis(2);
/// A request that takes longer has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Failures that are kept in words.
const FAILURES_SHOWN_MAX: usize = 5;

/// A kind of request of a load, and the statuses that it may be answered with.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: &'static str,
    /// What is no failure.
    pub statuses: &'static [u16],
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many were answered so, by path and status.
    pub answers: BTreeMap<(&'static str, u16), u64>,
    /// How many were not answered, or otherwise than they may be.
    pub failed: u64,
    /// Some of these, in words.
    pub failures: Vec<String>,
}

impl Tally {
    /// All requests.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.answers.values().sum::<u64>() + self.failed
    }

    /// How many requests for a path were answered so.
    #[must_use]
    pub fn of(&self, path: &'static str, status: u16) -> u64 {
        self.answers.get(&(path, status)).copied().unwrap_or_default()
    }

    fn count(&mut self, call: &Call, outcome: Result<u16>) {
        match outcome {
            Ok(status) if call.statuses.contains(&status) => {
                *self.answers.entry((call.path, status)).or_default() += 1;
            }
            other => {
                self.failed += 1;
                if self.failures.len() < FAILURES_SHOWN_MAX {
                    self.failures.push(format!("{} {}: {other:?}", call.method, call.path));
                }
            }
        }
    }
}

/// A running load. It ends with its value.
#[derive(Debug)]
pub struct Load {
    callers: JoinSet<()>,
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
}

impl Load {
    /// Begins to send these, one after the other and again and again, by several callers at once.
    #[must_use]
    pub fn start(to: SocketAddr, calls: &[Call]) -> Self {
        let (tally, stop) = (Arc::<Mutex<Tally>>::default(), CancellationToken::new());
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(call_until(stop.clone(), to, calls.to_vec(), tally.clone()));
        }
        Self { callers, tally, stop }
    }

    /// What became of the requests so far.
    #[must_use]
    pub fn so_far(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the last answers, and gives what became of all.
    pub async fn finish(mut self) -> Tally {
        self.stop.cancel();
        while self.callers.join_next().await.is_some() {}
        self.so_far()
    }
}

type Http = Client<HttpConnector, Empty<Bytes>>;

async fn call_until(stop: CancellationToken, to: SocketAddr, calls: Vec<Call>, tally: Arc<Mutex<Tally>>) {
    let http: Http = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
    while !stop.is_cancelled() {
        for call in &calls {
            let outcome = send(&http, to, call).await;
            tally.lock().unwrap_or_else(PoisonError::into_inner).count(call, outcome);
            sleep(REST).await;
        }
    }
}

async fn send(http: &Http, to: SocketAddr, call: &Call) -> Result<u16> {
    let request = Request::builder().method(&call.method).uri(format!("http://{to}{}", call.path));
    let exchange = async {
        let response = http.request(request.body(Empty::new())?).await?;
        let status = response.status().as_u16();
        response.into_body().collect().await?;
        anyhow::Ok(status)
    };
    match timeout(ANSWER_TIMEOUT, exchange).await {
        Ok(outcome) => outcome,
        Err(_) => bail!("no answer within {ANSWER_TIMEOUT:?}"),
    }
}
