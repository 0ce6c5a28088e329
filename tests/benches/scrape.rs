//! What it costs requests that `/metrics` of both sidecars on their way, and of the control plane, is read each second.
//! `docs/performance.md` says how to read it.
//!
//! Rounds with and without alternate, so that what else the machine does meets both. The mesh is made of this program, in
//! the profile of the benchmark, and of real Envoys.
//!
//! `CHANCERY_BENCH_ROUNDS` sets how many there are of each.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

use anyhow::{Result, ensure};
use chancery_tests::cost::median;
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{Member, Mesh};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};

/// Rounds of each kind without another wish.
const ROUNDS: usize = 15;
/// How long a round takes.
const ROUND: Duration = Duration::from_secs(3);
/// How often it is read.
const EVERY: Duration = Duration::from_secs(1);
/// Of how many requests in a hundred the slowest is told.
const SLOW: usize = 99;

/// What is in the way of the requests: so that counters of policies are there to be read.
const POLICIES: &str = "auth orders on service shop/orders { read: allow GET /api/** from service shop/web \
                        otherwise deny }\ntraffic orders-limits on service shop/orders { limit 100000/s per source.service }\n";

type Caller = Client<HttpConnector, Empty<Bytes>>;

fn main() -> Result<ExitCode> {
    // Cargo gives a benchmark no argument but this one; the others are those of the command.
    if std::env::args().skip(1).any(|argument| argument != "--bench") {
        return Ok(chancery_control::run(std::env::args_os()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure_all())?;
    Ok(ExitCode::SUCCESS)
}

/// What requests took in microseconds: in the middle, and the slowest but one in a hundred.
#[derive(Default)]
struct Times {
    middle: Vec<f64>,
    slow: Vec<f64>,
}

async fn measure_all() -> Result<()> {
    let rounds =
        std::env::var("CHANCERY_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let mesh = Mesh::start(&std::env::current_exe()?).await?;
    let members =
        [Member::new("shop/web", "web")?.calling(&["shop/orders"])?, Member::new("shop/orders", "orders")?];
    let [mut web, mut orders] = mesh.join(members).await?;
    mesh.apply(POLICIES).await?;
    let scraped = [web.says_at().await?, orders.says_at().await?];
    let control_plane = mesh.admin()?;
    let url = format!("http://{}/api/items", web.outbound("shop/orders")?);
    let caller: Caller = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    round(&caller, &url).await?;

    let (mut quiet, mut read) = (Times::default(), Times::default());
    for _ in 0..rounds {
        quiet.take(round(&caller, &url).await?);
        let reading = async {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                for address in scraped {
                    metrics(address).await?;
                }
                ensure!(control_plane.get_text("/metrics").await?.contains("chancery_"), "it says nothing");
            }
        };
        tokio::select! {
            times = round(&caller, &url) => read.take(times?),
            ended = reading => ended?,
        }
    }
    println!("{:<28} {:>10} {:>10}", "request, us", "median", "99 of 100");
    let row = |name: &str, times: &Times| {
        println!("{name:<28} {:>10.0} {:>10.0}", median(&times.middle), median(&times.slow))
    };
    row("nobody reads", &quiet);
    row("read each second", &read);
    println!(
        "{:<28} {:>10.3} {:>10.3}",
        "ratio",
        median(&read.middle) / median(&quiet.middle),
        median(&read.slow) / median(&quiet.slow)
    );
    Ok(())
}

impl Times {
    fn take(&mut self, mut times: Vec<f64>) {
        times.sort_by(f64::total_cmp);
        self.slow.extend(times.get(times.len() * SLOW / 100));
        self.middle.push(median(&times));
    }
}

async fn metrics(address: SocketAddr) -> Result<()> {
    let answer = Request::get("/metrics").send(TcpStream::connect(address).await?).await?;
    ensure!(answer.body.contains("chancery_envoy_up 1"), "the sidecar says nothing of its Envoy");
    Ok(())
}

/// Sends requests one after the other, and gives what each took in microseconds.
async fn round(caller: &Caller, url: &str) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        let sent = Instant::now();
        let answer = caller.get(url.parse()?).await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        answer.into_body().collect().await?;
        times.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}
