//! What a request costs Envoy: its CPU time while a fixed number of requests pass, in rounds.
//!
//! The variants that are compared are listeners of one Envoy. Each round loads all of them one
//! after the other, in an order that changes, so that whatever else the machine does falls on all
//! alike; medians over the rounds are what is reported.

use crate::envoy::Envoy;
use anyhow::{Context, Result, bail};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections that are loaded at a time.
const CONNECTIONS: usize = 8;
/// How long one round of one variant may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The round before the first that counts is this many times shorter.
const WARM_UP_SHARE: usize = 4;

/// Names and values.
pub type Headers = Vec<(String, String)>;

/// One variant: a listener, and what it is asked.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The listener.
    pub listener: String,
    /// The path of the requests.
    pub path: String,
    /// Headers of the requests.
    pub headers: Headers,
    /// Headers that differ from request to request, such as signatures.
    pub varying: Option<fn() -> Headers>,
    /// The body; of a request without one the method is `GET`, otherwise `POST`.
    pub body: Bytes,
    /// What must be answered; anything else ends the measurement.
    pub status: StatusCode,
    /// Requests of one round.
    pub requests: usize,
}

/// The CPU time of each request of a variant, in nanoseconds, round by round.
pub type Rounds = Vec<f64>;

/// Loads the variants in so many rounds, and gives the cost of each in each round.
///
/// # Errors
/// When Envoy ends, or answers otherwise than stated.
pub async fn measure(envoy: &Envoy, variants: &[Variant], rounds: usize) -> Result<Vec<Rounds>> {
    let mut costs = vec![Rounds::new(); variants.len()];
    let mut addresses = Vec::new();
    for variant in variants {
        let address = envoy.listener(&variant.listener).await?;
        load(address, variant, variant.requests / WARM_UP_SHARE).await?;
        addresses.push(address);
    }
    for round in 0..rounds {
        for step in 0..variants.len() {
            let at = (round + step) % variants.len();
            let (Some(variant), Some(address), Some(costs)) =
                (variants.get(at), addresses.get(at), costs.get_mut(at))
            else {
                continue;
            };
            let before = cpu_time_ns(envoy.pid()?)?;
            load(*address, variant, variant.requests).await?;
            let spent = cpu_time_ns(envoy.pid()?)?.saturating_sub(before);
            costs.push(spent as f64 / variant.requests as f64);
        }
    }
    Ok(costs)
}

/// How much is measured, as a variable of the environment says or as stated otherwise.
///
/// # Errors
/// When the variable is no number.
pub fn setting(variable: &str, otherwise: usize) -> Result<usize> {
    let set = std::env::var(variable).ok();
    let parsed = set.map(|text| text.parse().with_context(|| format!("{variable}={text} is no number")));
    Ok(parsed.transpose()?.unwrap_or(otherwise))
}

/// The middle value; of an even number the mean of the two in the middle; 0 of none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = |at: usize| sorted.get(at).copied().unwrap_or_default();
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { middle(half) } else { (middle(half.saturating_sub(1)) + middle(half)) / 2.0 }
}

/// How much more a variant costs than another one, round by round.
#[must_use]
pub fn added(costs: &[f64], over: &[f64]) -> Rounds {
    costs.iter().zip(over).map(|(cost, over)| cost - over).collect()
}

/// The time that all threads of a process have run, in nanoseconds.
///
/// `/proc/<pid>/stat` counts in steps of 10 ms, of which a round has too few; the scheduler's own
/// account is exact.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time_ns(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path().join("schedstat");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let first = text.split_whitespace().next().context("schedstat is empty")?;
        sum += first.parse::<u64>()?;
    }
    Ok(sum)
}

async fn load(address: SocketAddr, variant: &Variant, requests: usize) -> Result<()> {
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        let share = requests / CONNECTIONS + usize::from(number < requests % CONNECTIONS);
        connections.spawn(one_connection(address, variant.clone(), share));
    }
    while let Some(ended) =
        timeout(PATIENCE, connections.join_next()).await.context("the load takes too long")?
    {
        ended??;
    }
    Ok(())
}

async fn one_connection(address: SocketAddr, variant: Variant, requests: usize) -> Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    for _ in 0..requests {
        let method = if variant.body.is_empty() { Method::GET } else { Method::POST };
        let mut request =
            Request::builder().method(method).uri(variant.path.as_str()).header("host", "bench.example");
        let varying = variant.varying.map(|varying| varying()).unwrap_or_default();
        for (name, value) in variant.headers.iter().chain(&varying) {
            request = request.header(name, value);
        }
        sender.ready().await?;
        let response = sender.send_request(request.body(Full::new(variant.body.clone()))?).await?;
        if response.status() != variant.status {
            bail!(
                "listener {} answers {} in the place of {}",
                variant.listener,
                response.status(),
                variant.status
            );
        }
    }
    drop(sender);
    driver.await??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }
}
