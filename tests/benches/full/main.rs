//! What a request costs on its way through the caller's and the target's sidecar with everything in force that a mesh
//! of some age has: rules, defaults, a canary, retries, a limit, a fault, a mirror, headers and logs; beside the same
//! written natively by hand, and beside plain proxies. `docs/performance.md` says how to read it.
//!
//! `CHANCERY_BENCH_ROUNDS` and `CHANCERY_BENCH_REQUESTS` set how much is measured.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

mod always;
mod native;
mod way;

use anyhow::{Context, Result};
use chancery_tests::cost::{added, median, setting};
use chancery_tests::mesh::{Member, Mesh, Sidecar};
use std::path::Path;
use way::{Way, measure_ways};

/// The command, as cargo builds it for this benchmark.
const CHANCERY: &str = env!("CARGO_BIN_EXE_chancery-under-test");
/// Rounds without another wish.
const ROUNDS: usize = 15;
/// Requests of a round without another wish.
const REQUESTS: usize = 4_000;

const PLAIN: &str = "plain proxies";
const NATIVE: &str = "natively by hand";
const BARE: &str = "sidecars without policies";
const FULL: &str = "sidecars with all policies";

const POLICIES: &str = r#"
auth mesh-baseline on mesh {
  exempt GET /healthz, /readyz
  no-plaintext: deny unless source.mtls
  no-legacy:    deny from namespace legacy unless request.path.startsWith("/public/")
  otherwise deny respond 403 "no policy allows this call"
}
auth checkout-callers on service shop/checkout, service shop/checkout-shadow {
  web: allow from service shop/web
}
traffic mesh-defaults on mesh {
  timeout at_most 30s
  timeout 10s
  retry 2 on connect, refused for GET, HEAD
  connections at_most 1000 pending 100 retries 20%
  remove response header server
  set request header x-forwarded-tenant = headers["x-tenant"] when has(headers["x-tenant"])
}
log mesh-lines on mesh {
  fields source.service
  redact headers["authorization"], query["token"] with drop
  redact headers["x-email"] with hash
  sample 100% denied
  sample 0.1% allowed
}
traffic checkout on service shop/checkout {
  let beta = headers["x-canary"] == "1"
  moved:  redirect GET /cart/{id} -> "https://shop.example/basket/{id}" 308
  canary: route /** when beta -> service shop/checkout@v2
  split:  route /**           -> service shop/checkout@v1 95%, service shop/checkout@v2 5%
  timeout 2s
  timeout 15s for POST /api/pay
  retry 2 on 5xx, reset each 500ms backoff 50ms for GET
  burst: limit 1000000/s burst 1000000 per headers["x-user"] for POST /api/pay respond 429 "slow down"
  chaos: fault 1% delay 300ms for /api/** when headers["x-chaos"] == "on"
  mirror 5% -> service shop/checkout-shadow for GET
}
"#;

fn main() -> Result<()> {
    let rounds = setting("CHANCERY_BENCH_ROUNDS", ROUNDS)?;
    let requests = setting("CHANCERY_BENCH_REQUESTS", REQUESTS)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        pairs(rounds, requests).await?;
        always::run(rounds, requests).await
    })
}

async fn pairs(rounds: usize, requests: usize) -> Result<()> {
    let (_mesh, full) = mesh(Some(POLICIES)).await?;
    let (_other, bare) = mesh(None).await?;
    let (native, plain) = native::pairs().await?;
    let ways = [
        Way::by_hand(PLAIN, &plain).await?,
        Way::by_hand(NATIVE, &native).await?,
        Way::through(BARE, &bare)?,
        Way::through(FULL, &full)?,
    ];
    let costs = measure_ways(&ways, rounds, requests).await?;
    let of = |wanted: &str| {
        let at = ways.iter().position(|way| way.name == wanted);
        at.and_then(|at| costs.get(at)).with_context(|| format!("no row {wanted}"))
    };
    let (plain, native) = (of(PLAIN)?, of(NATIVE)?);
    println!("A request through two sidecars: CPU time of their Envoys, medians of {rounds} rounds");
    println!("{:30} {:>9} {:>9} {:>10}", "", "all µs", "added µs", "/ native");
    for way in &ways {
        let own = of(way.name)?;
        let more = median(&added(own, plain)) / 1_000.0;
        let ratio = median(own) / median(native);
        println!("{:30} {:9.2} {more:9.2} {ratio:10.2}", way.name, median(own) / 1_000.0);
    }
    let more = |costs: &[f64]| median(&added(costs, plain));
    println!("added by all policies / added natively {:.2}", more(of(FULL)?) / more(native));
    Ok(())
}

/// A mesh in which `shop/web` calls `shop/checkout`, of which there are two versions; copies go to another service.
async fn mesh(policies: Option<&str>) -> Result<(Mesh, [Sidecar; 4])> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let sidecars = mesh
        .join([
            Member::new("shop/web", "web")?.calling(&["shop/checkout"])?,
            Member::new("shop/checkout", "one")?.labelled("version=v1"),
            Member::new("shop/checkout", "two")?.labelled("version=v2"),
            Member::new("shop/checkout-shadow", "shadow")?,
        ])
        .await?;
    if let Some(policies) = policies {
        mesh.apply(policies).await?;
    }
    Ok((mesh, sidecars))
}
