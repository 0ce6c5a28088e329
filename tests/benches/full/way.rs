//! Ways through two proxies, and what requests on them cost.

use super::native::Pair;
use anyhow::{Context, Result, bail};
use chancery_tests::cost::{Rounds, cpu_time_ns};
use chancery_tests::mesh::Sidecar;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections that are loaded at a time.
const CONNECTIONS: usize = 8;
/// The rounds before those that count are this many times shorter.
const WARM_UP_SHARE: usize = 4;
/// How long one round of one way may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A way through two proxies.
pub(super) struct Way {
    pub(super) name: &'static str,
    address: SocketAddr,
    /// The Envoys on it.
    pids: Vec<u32>,
}

/// What is asked: method, path and headers.
type Ask = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Requests of a shop, all of which get to the application: most read, some pay, some are a canary's.
const ASKS: [Ask; 7] = [
    ("GET", "/api/items/7", &[("x-tenant", "blue"), ("x-user", "ann")]),
    ("GET", "/api/items/8?page=2&token=abc", &[("authorization", "Bearer abcdefgh"), ("x-user", "bob")]),
    ("POST", "/api/pay", &[("x-tenant", "red"), ("x-user", "ann"), ("x-email", "ann@shop.example")]),
    ("GET", "/api/items/9", &[("x-canary", "1"), ("x-user", "dan")]),
    ("GET", "/healthz", &[]),
    ("GET", "/public/terms", &[("x-chaos", "off"), ("x-tenant", "blue")]),
    ("DELETE", "/api/items/7", &[("x-user", "eve"), ("x-tenant", "green")]),
];

impl Way {
    /// Through the Envoys of sidecars, of which the first one is the caller's.
    pub(super) fn through(name: &'static str, sidecars: &[Sidecar; 4]) -> Result<Self> {
        let [web, one, two, _] = sidecars;
        let pids = [web, one, two].map(Sidecar::envoy).into_iter().collect::<Result<_>>()?;
        Ok(Self { name, address: web.outbound("shop/checkout")?, pids })
    }

    /// Through Envoys that are configured by hand.
    pub(super) async fn by_hand(name: &'static str, pair: &Pair) -> Result<Self> {
        let pids = vec![pair.caller.pid()?, pair.target.pid()?];
        Ok(Self { name, address: pair.caller.listener("out").await?, pids })
    }

    fn cpu_time_ns(&self) -> Result<u64> {
        self.pids.iter().map(|pid| cpu_time_ns(*pid)).sum()
    }
}

/// The CPU time of each request on each way, in nanoseconds, round by round.
pub(super) async fn measure_ways(ways: &[Way], rounds: usize, requests: usize) -> Result<Vec<Rounds>> {
    let mut costs = vec![Rounds::new(); ways.len()];
    for way in ways {
        load(way, requests / WARM_UP_SHARE).await.with_context(|| way.name)?;
    }
    for round in 0..rounds {
        for step in 0..ways.len() {
            let at = (round + step) % ways.len();
            let (Some(way), Some(costs)) = (ways.get(at), costs.get_mut(at)) else { continue };
            let before = way.cpu_time_ns()?;
            load(way, requests).await.with_context(|| way.name)?;
            let spent = way.cpu_time_ns()?.saturating_sub(before);
            costs.push(spent as f64 / requests as f64);
        }
    }
    Ok(costs)
}

async fn load(way: &Way, requests: usize) -> Result<()> {
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        let share = requests / CONNECTIONS + usize::from(number < requests % CONNECTIONS);
        connections.spawn(one_connection(way.address, number, share));
    }
    while let Some(ended) =
        timeout(PATIENCE, connections.join_next()).await.context("the load takes too long")?
    {
        ended??;
    }
    Ok(())
}

async fn one_connection(address: SocketAddr, first: usize, requests: usize) -> Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    for (method, path, headers) in ASKS.iter().cycle().skip(first).take(requests) {
        let mut request = Request::builder().method(*method).uri(*path).header("host", "checkout.shop");
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        for number in 0..6 {
            request = request.header(format!("x-other-{number}"), format!("value-{number}-of-some-length"));
        }
        sender.ready().await?;
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        if status != 200 {
            let words = String::from_utf8_lossy(&body);
            bail!("{method} {path} is answered {status} in the place of 200: {words}");
        }
    }
    drop(sender);
    driver.await??;
    Ok(())
}
