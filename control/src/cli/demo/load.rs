//! A steady load on one service, and what became of it.

use super::application::GREETING;
use super::client::{Answer, Client};
use hyper::Method;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Callers at once.
const CALLERS: usize = 4;
/// How long a caller rests between two requests.
const REST: Duration = Duration::from_millis(4);
/// Failures that are kept, to be shown.
const FAILURES_SHOWN_MAX: usize = 5;
/// What the policy of the change answers.
const CLOSED: &str = "closed for stocktaking";

/// A request of a load.
#[derive(Clone, Debug)]
pub struct Request {
    /// How.
    pub method: Method,
    /// For what.
    pub path: &'static str,
    /// What is sent along.
    pub headers: &'static [(&'static str, &'static str)],
}

/// Reading and placing orders.
pub const READ_AND_PLACE: [Request; 2] = [
    Request { method: Method::GET, path: "/orders/7", headers: &[] },
    Request { method: Method::POST, path: "/orders", headers: &[] },
];

/// What became of the requests of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answered by the service.
    pub served: u64,
    /// Answered by the policy.
    pub refused: u64,
    /// Anything else.
    pub failed: u64,
    /// Some of what failed, in words.
    pub failures: Vec<String>,
}

impl Tally {
    /// All requests.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.served + self.refused + self.failed
    }

    fn count(&mut self, method: &Method, outcome: &anyhow::Result<Answer>) {
        match outcome {
            Ok(answer) if is_service(method, answer) => self.served += 1,
            Ok(answer) if is_policy(method, answer) => self.refused += 1,
            Ok(answer) => self.fail(format!("{method}: {} {}", answer.status, answer.body.trim())),
            Err(error) => self.fail(format!("{method}: {error:#}")),
        }
    }

    fn fail(&mut self, what: String) {
        self.failed += 1;
        if self.failures.len() < FAILURES_SHOWN_MAX {
            self.failures.push(what);
        }
    }
}

fn is_service(method: &Method, answer: &Answer) -> bool {
    let status = if method == Method::POST { 201 } else { 200 };
    answer.status == status && answer.body.starts_with(GREETING)
}

/// Reading is always allowed; only placing an order may be refused, in the policy's own words.
fn is_policy(method: &Method, answer: &Answer) -> bool {
    method == Method::POST && answer.status == 423 && answer.body == CLOSED
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    callers: JoinSet<()>,
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
}

impl Load {
    /// Begins to send these to this address, one after the other and again and again.
    #[must_use]
    pub fn start(to: SocketAddr, requests: &'static [Request]) -> Self {
        let (tally, stop) = (Arc::<Mutex<Tally>>::default(), CancellationToken::new());
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(call_until(to, requests, tally.clone(), stop.clone()));
        }
        Self { callers, tally, stop }
    }

    /// Ends it, waits for the last answers, and gives what became of all.
    pub async fn finish(self) -> Tally {
        self.stop.cancel();
        self.callers.join_all().await;
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn call_until(
    to: SocketAddr,
    requests: &'static [Request],
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
) {
    let client = Client::default();
    while !stop.is_cancelled() {
        for Request { method, path, headers } in requests {
            let outcome = client.send(to, method.clone(), path, headers).await;
            tally.lock().unwrap_or_else(PoisonError::into_inner).count(method, &outcome);
        }
        sleep(REST).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_service_and_the_policy_are_right_answers() {
        let mut tally = Tally::default();
        let mut count = |method: Method, status, body: &str| {
            tally.count(&method, &Ok(Answer { status, body: body.to_owned() }));
        };
        count(Method::GET, 200, "this is orders-1\n");
        count(Method::POST, 201, "this is orders-1\n");
        count(Method::POST, 423, CLOSED);
        count(Method::GET, 423, CLOSED);
        count(Method::GET, 503, "upstream connect error");
        count(Method::POST, 403, "");
        count(Method::GET, 200, "");
        tally.count(&Method::GET, &Err(anyhow::anyhow!("connection refused")));
        assert_eq!((tally.served, tally.refused, tally.failed, tally.sent()), (2, 1, 5, 8));
        assert_eq!(tally.failures.len(), FAILURES_SHOWN_MAX);
    }
}
