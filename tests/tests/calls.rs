//! What callers' sidecars do with requests, in a real mesh: routes, redirects, rewrites, mirrors, timeouts, retries, faults.

use crate::command_line::transcript::CHANCERY;
use crate::readme;
use anyhow::{Result, ensure};
use chancery_tests::figures;
use chancery_tests::mesh::load::{Call, Load};
use chancery_tests::mesh::wire::{Answer, Request};
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use hyper::Method;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A mesh in which `shop/web` and `shop/batch` call `shop/checkout`, of which there are two versions, beside
/// `shop/basket`, which nobody says to call.
async fn start() -> Result<(Mesh, [Sidecar; 5])> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let sidecars = mesh
        .join([
            Member::new("shop/web", "web")?.calling(&["shop/checkout"])?,
            Member::new("shop/batch", "batch")?.calling(&["shop/checkout"])?,
            Member::new("shop/checkout", "one")?.labelled("version=v1"),
            Member::new("shop/checkout", "two")?.labelled("version=v2"),
            Member::new("shop/basket", "basket")?,
        ])
        .await?;
    Ok((mesh, sidecars))
}

/// What the application says of a request.
fn asked(answer: &Answer, what: &str) -> String {
    answer.asked().get(what).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn instance(answer: &Answer) -> String {
    asked(answer, "instance")
}

/// Who answers, and how often, when a request is made so many times.
async fn answered_by(caller: &Sidecar, request: &Request, times: u32) -> Result<BTreeMap<String, u32>> {
    let mut answered = BTreeMap::new();
    for _ in 0..times {
        let answer = caller.call("shop/checkout", request).await?;
        ensure!(answer.status == 200, "{answer:?}");
        *answered.entry(instance(&answer)).or_default() += 1;
    }
    Ok(answered)
}

/// Waits until a caller has written of a request for a path, and gives the lines of all.
async fn until_sent(caller: &Sidecar, path: &str) -> Result<Vec<Value>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = caller.entries_of("outbound");
        if lines.iter().any(|line| line.get("path").is_some_and(|of| of == path)) {
            return Ok(lines);
        }
        ensure!(Instant::now() < deadline, "{lines:#?}");
        sleep(LOOK_AGAIN).await;
    }
}

fn only(name: &str, times: u32) -> BTreeMap<String, u32> {
    BTreeMap::from([(name.to_owned(), times)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_where_routes_say() -> Result<()> {
    let (mesh, sidecars) = start().await?;
    let [web, batch, ..] = &sidecars;
    mesh.apply(
        r#"traffic checkout on service shop/checkout {
  canary: route /** when headers["x-canary"] == "1" -> service shop/checkout@v2
  batch:  route /** from service shop/batch -> service shop/checkout@v2
  basket: route GET /basket/** -> service shop/basket
  split:  route /split -> service shop/checkout@v1 75%, service shop/checkout@v2 25%
  rest:   route /** -> service shop/checkout@v1
}"#,
    )
    .await?;
    assert_eq!(answered_by(web, &Request::get("/a"), 20).await?, only("one", 20));
    let canary = Request::get("/a").header("x-canary", "1");
    assert_eq!(answered_by(web, &canary, 20).await?, only("two", 20));
    assert_eq!(answered_by(batch, &Request::get("/a"), 20).await?, only("two", 20));
    assert_eq!(answered_by(web, &Request::get("/basket/7"), 5).await?, only("basket", 5));
    assert_eq!(answered_by(web, &Request::new("POST", "/basket/7"), 5).await?, only("one", 5));
    let split = answered_by(web, &Request::get("/split"), 400).await?;
    let of = |name: &str| split.get(name).copied().unwrap_or_default();
    assert!((260..=340).contains(&of("one")) && of("one") + of("two") == 400, "{split:?}");
    // What the module says to Envoy, nobody else can.
    let forged = Request::get("/a").header("route", "x").header("x-envoy-upstream-alt-stat-name", "y");
    assert_eq!(answered_by(web, &forged, 5).await?, only("one", 5));

    // Each request is counted where it is sent, by the route that leads it.
    let counted = web.stats("wasmcustom.writ.route.").await?;
    for (route, times) in [("canary", 20), ("basket", 5), ("split", 400)] {
        assert_eq!(
            counted.get(&format!("wasmcustom.writ.route.checkout/{route}")),
            Some(&times),
            "{counted:?}"
        );
    }
    // Where it speaks of all requests of a caller, by Envoy.
    let own = "vhost.outbound/shop/checkout.route.checkout/batch.upstream_rq_completed";
    let native = batch.stats("vhost.").await?;
    assert_eq!(native.get(own), Some(&20), "{native:#?}");
    let last = "vhost.outbound/shop/checkout.route.checkout/rest.upstream_rq_completed";
    let native = web.stats("vhost.").await?;
    assert_eq!(native.get(last), Some(&30), "{native:#?}");
    let metrics = web.admin("/stats/prometheus").await?;
    let labelled = |line: &&str| {
        ["writ_route", "policy=\"checkout\"", "statement=\"canary\""].iter().all(|part| line.contains(part))
    };
    let line = metrics.lines().find(labelled).unwrap_or_default();
    assert!(line.ends_with("} 20"), "{line}");

    // A host that cannot be said is refused as before.
    let answer = web.call("shop/checkout", &Request::get("/a").host("user@host")).await?;
    assert_eq!(answer.status, 400, "{answer:?}");

    mesh.delete("checkout").await?;
    let both = answered_by(web, &Request::get("/a"), 40).await?;
    assert_eq!(both.len(), 2, "{both:?}");

    // Nobody has this version, and this service is nowhere: applied nevertheless.
    mesh.apply(
        "traffic checkout on service shop/checkout {
  route /v9 -> service shop/checkout@v9
  route /gone -> service shop/gone
}",
    )
    .await?;
    for path in ["/v9", "/gone"] {
        let answer = web.call("shop/checkout", &Request::get(path)).await?;
        assert_eq!(answer.status, 503, "{answer:?}");
    }
    answered_by(web, &Request::get("/a"), 5).await?;

    // Who gets nothing is told by which route, and so is who reads the log.
    mesh.apply(
        r#"traffic checkout on service shop/checkout {
  v9:   route /v9 -> service shop/checkout@v9
  gone: route /gone when headers["x-a"] == "1" -> service shop/gone
  moved: redirect /moved -> "/last"
}
auth web-rules on service shop/web outbound { all: allow GET }
log web-log on service shop/web outbound { fields headers["x-a"] as a }"#,
    )
    .await?;
    for (path, route) in [("/v9", "checkout/v9"), ("/gone", "checkout/gone")] {
        let answer = web.call("shop/checkout", &Request::get(path).header("x-a", "1")).await?;
        assert_eq!((answer.status, answer.body), (503, format!("no healthy upstream (route {route})")));
    }
    web.call("shop/checkout", &Request::get("/moved")).await?;
    web.call("shop/checkout", &Request::get("/last")).await?;
    let lines = until_sent(web, "/last").await?;
    let said = |path: &str, field: &str| {
        let line = lines.iter().rev().find(|line| line.get("path").is_some_and(|of| of == path));
        line.and_then(|line| line.get(field)?.as_str()).unwrap_or_default().to_owned()
    };
    for (path, route, answered) in [
        ("/v9", "checkout/v9", ""),
        ("/gone", "checkout/gone", ""),
        ("/moved", "all", "checkout/moved"),
        ("/last", "all", ""),
    ] {
        let fields = ["route", "answered", "rule"].map(|field| said(path, field));
        assert_eq!(fields, [route, answered, "web-rules/all"], "{path}: {lines:#?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_redirected_and_paths_rewritten() -> Result<()> {
    let (mesh, sidecars) = start().await?;
    let [web, ..] = &sidecars;
    mesh.apply(
        r#"traffic checkout on service shop/checkout {
  moved: redirect GET /cart/{id} -> "https://shop.example/basket/{id}" 308
  home:  redirect /home/** -> "/welcome/**"
  old:   rewrite /v1/** -> /v2/**
  user:  rewrite /users/{id}/posts/{post} when headers["x-new"] == "1" -> /p/{post}/of/{id}
}"#,
    )
    .await?;
    for (path, status, location) in [
        ("/cart/7", 308, "https://shop.example/basket/7"),
        ("/cart/7?x=1&y", 308, "https://shop.example/basket/7?x=1&y"),
        ("/cart/a%20b%e9", 308, "https://shop.example/basket/a%20b%E9"),
        ("/home", 302, "/welcome"),
        ("/home/a/b?q", 302, "/welcome/a/b?q"),
    ] {
        let answer = web.call("shop/checkout", &Request::get(path)).await?;
        assert_eq!(
            (answer.status, answer.header("location")),
            (status, Some(location)),
            "{path}: {answer:?}"
        );
    }
    for (path, new, sent) in [
        ("/v1", "0", "/v2"),
        // What the module sees is what the target's sees.
        ("/v1//a/../b", "0", "/v2/b"),
        ("/v1/a/b%3f?x=%201", "0", "/v2/a/b%3F?x=%201"),
        ("/users/7/posts/a", "0", "/users/7/posts/a"),
        ("/users/7/posts/a?q", "1", "/p/a/of/7?q"),
    ] {
        let answer = web.call("shop/checkout", &Request::get(path).header("x-new", new)).await?;
        assert_eq!((answer.status, asked(&answer, "path").as_str()), (200, sent), "{path}: {answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_in_time_and_requests_are_tried_again() -> Result<()> {
    let (mesh, sidecars) = start().await?;
    let [web, ..] = &sidecars;
    mesh.apply(
        r#"traffic mesh-limits on mesh {
  timeout at_most 2s
}
traffic checkout on service shop/checkout {
  timeout 5s
  timeout 300ms for GET /slow/**
  retry 2 on 5xx backoff 10ms for GET
  retry 1 on gateway-error for GET /failing/2/once
}"#,
    )
    .await?;
    let call = async |path: &str, forged: bool| {
        let request = Request::get(path);
        let request = if forged { request.header("x-envoy-upstream-rq-timeout-ms", "9000") } else { request };
        let begun = Instant::now();
        let answer = web.call("shop/checkout", &request).await?;
        Ok::<_, anyhow::Error>((answer.status, begun.elapsed()))
    };
    assert_eq!(call("/slow/50", false).await?.0, 200);
    for forged in [false, true] {
        let (status, took) = call("/slow/4500", forged).await?;
        assert!(status == 504 && took < Duration::from_millis(4000), "{status} after {took:?}");
    }
    // The mesh cuts what the service states.
    let begun = Instant::now();
    let answer = web.call("shop/checkout", &Request::new("POST", "/slow/4900")).await?;
    assert!(
        answer.status == 504 && begun.elapsed() < Duration::from_millis(4500),
        "{answer:?} {:?}",
        begun.elapsed()
    );

    assert_eq!(call("/failing/1/twice", false).await?.0, 200);
    assert_eq!(call("/failing/9/always", false).await?.0, 503);
    let answer = web.call("shop/checkout", &Request::new("POST", "/failing/1/post")).await?;
    assert_eq!(answer.status, 503);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_happen_by_their_share_and_copies_are_sent() -> Result<()> {
    let (mesh, sidecars) = start().await?;
    let [web, .., basket] = &sidecars;
    mesh.apply(
        r#"traffic checkout on service shop/checkout {
  never: fault 0% abort 503 for /never
  some:  fault 50% abort 418 for /some
  all:   fault 100% abort 503 for /all when headers["x-chaos"] == "on"
  slow:  fault 100% delay 400ms for /late
  mirror 100% -> service shop/basket for GET /copied
}"#,
    )
    .await?;
    // Over one connection: Envoy waits a second before it closes one on which it answered by itself.
    let client = reqwest::Client::new();
    let base = format!("http://{}", web.outbound("shop/checkout")?);
    let status = async |path: &str, chaos: &str| {
        let answer = client.get(format!("{base}{path}")).header("x-chaos", chaos).send().await?;
        Ok::<u16, anyhow::Error>(answer.status().as_u16())
    };
    for _ in 0..20 {
        assert_eq!(status("/never", "on").await?, 200);
        assert_eq!(status("/all", "off").await?, 200);
        assert_eq!(status("/all", "on").await?, 503);
    }
    let mut aborted = 0;
    for _ in 0..200 {
        aborted += u32::from(status("/some", "").await? == 418);
    }
    assert!((60..=140).contains(&aborted), "{aborted} of 200");
    let mut counted = web.stats("wasmcustom.writ.fault.").await?;
    counted.retain(|_, times| *times > 0);
    let wanted = [("all", 20), ("some", u64::from(aborted))];
    let wanted = wanted.map(|(fault, times)| (format!("wasmcustom.writ.fault.checkout/{fault}"), times));
    assert_eq!(counted, BTreeMap::from(wanted), "those that happened");
    let begun = Instant::now();
    assert_eq!(status("/late", "").await?, 200);
    // Envoy's clock is a little coarser.
    assert!(begun.elapsed() >= Duration::from_millis(390), "{:?}", begun.elapsed());
    // A client cannot make a request wait.
    let begun = Instant::now();
    let forged = Request::get("/a").header("x-envoy-fault-delay-request", "20000");
    assert_eq!(web.call("shop/checkout", &forged).await?.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    assert_eq!(status("/copied", "").await?, 200);
    let entries = basket.entries_after(0, 1).await?;
    assert!(entries.iter().any(|entry| entry["path"] == "/copied"), "{entries:#?}");
    Ok(())
}

#[test]
fn the_examples_say_what_their_commands_do() {
    readme::says_what_its_commands_do("examples/canary", 3, "in the caller");
    readme::says_what_its_commands_do("examples/resilience", 2, "in the caller");
}

/// How often the policies change under load, unless this variable says otherwise.
const CHANGES: usize = 24;
const CHANGES_VARIABLE: &str = "CHANCERY_CALL_CHANGES";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_what_callers_do_fail_no_request() -> Result<()> {
    let (mesh, sidecars) = start().await?;
    let [web, ..] = &sidecars;
    let calls = [
        Call { method: Method::GET, path: "/a", statuses: &[200] },
        Call { method: Method::GET, path: "/old/b", statuses: &[200] },
        Call { method: Method::POST, path: "/c", statuses: &[200] },
    ];
    let load = Load::start(web.outbound("shop/checkout")?, &calls);
    let stated = std::env::var(CHANGES_VARIABLE).ok();
    let changes = stated.map_or(Ok(CHANGES), |stated| stated.parse())?;
    for change in 0..changes {
        // Routes, versions and a service come and go, and so does the module, on either side.
        let text = match change % 6 {
            0 => "timeout 5s".to_owned(),
            1 => format!(
                "route /a -> service shop/checkout@v2 {}%, service shop/basket {}%",
                60 + change % 40,
                40 - change % 40
            ),
            2 => {
                "rewrite /old/** -> /new/**  timeout 4s for GET  route POST -> service shop/basket".to_owned()
            }
            3 => "route /** from service shop/web -> service shop/checkout@v1  retry 2 on 5xx for GET"
                .to_owned(),
            _ => "health GET /healthz every 1s  limit 100000/s per source  mirror 50% -> service shop/basket"
                .to_owned(),
        };
        let rate = change * 7 % 100;
        let (how, target) = match change % 3 {
            0 => ("drop", "service shop/checkout"),
            1 => ("mask", "mesh"),
            _ => ("hash", "service shop/web outbound"),
        };
        mesh.apply(&format!(
            "traffic checkout on service shop/checkout {{ {text} }}
             log lines on {target} {{
               sample {rate}% allowed
               fields headers[\"x-a\"] as a, headers[\"x-b\"] as b
               redact headers[\"x-b\"] with {how}
             }}"
        ))
        .await?;
    }
    mesh.delete("lines").await?;
    mesh.delete("checkout").await?;
    let tally = load.finish().await;
    let what = format!(
        "requests that failed of {}, while traffic and log policies changed {changes} times",
        tally.sent()
    );
    figures::print(&what, tally.failed);
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
    assert!(tally.sent() > 500, "{tally:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_hides_a_replica_that_is_killed() -> Result<()> {
    let (mesh, mut sidecars) = start().await?;
    mesh.apply(
        "traffic checkout on service shop/checkout { retry 3 on reset, connect, gateway-error for GET }",
    )
    .await?;
    let [web, _, _, two, _] = &mut sidecars;
    let calls = [Call { method: Method::GET, path: "/slow/20", statuses: &[200] }];
    let load = Load::start(web.outbound("shop/checkout")?, &calls);
    sleep(Duration::from_secs(1)).await;
    let before = load.so_far().sent();
    two.process.kill().await?;
    sleep(Duration::from_secs(3)).await;
    let tally = load.finish().await;
    let what = format!("requests that failed of {}, while one of two replicas was killed", tally.sent());
    figures::print(&what, tally.failed);
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
    assert!(tally.sent() > before + 50, "{before} before, {tally:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_treat_replicas_as_is_stated() -> Result<()> {
    let (mesh, sidecars) = start().await?;
    let [web, ..] = &sidecars;

    // Who asks for one user asks one replica, of two; who asks for many asks both.
    for way in ["ring_hash", "maglev"] {
        let text = format!("balance {way} by headers[\"x-user\"]");
        mesh.apply(&format!("traffic checkout on service shop/checkout {{ {text} }}")).await?;
        let one = answered_by(web, &Request::get("/a").header("x-user", "ann"), 20).await?;
        assert_eq!(one.len(), 1, "{way}: {one:?}");
        let mut all = BTreeMap::new();
        for user in 0..30 {
            all.extend(answered_by(web, &Request::get("/a").header("x-user", &user.to_string()), 1).await?);
        }
        assert_eq!(all.len(), 2, "{way}: {all:?}");
    }
    for way in ["round_robin", "least_request", "random"] {
        mesh.apply(&format!("traffic checkout on service shop/checkout {{ balance {way} }}")).await?;
        let both = answered_by(web, &Request::get("/a"), 40).await?;
        assert_eq!(both.len(), 2, "{way}: {both:?}");
    }

    // Of many requests at a time two are sent on, and the rest is refused before these are answered.
    mesh.apply("traffic checkout on service shop/checkout { connections at_most 10 requests 2 }").await?;
    let to = web.outbound("shop/checkout")?;
    let mut slow = JoinSet::new();
    for _ in 0..8 {
        slow.spawn(async move {
            let answer = Request::get("/slow/3000").send(TcpStream::connect(to).await?).await?;
            Ok::<_, anyhow::Error>(answer.status)
        });
    }
    let mut statuses = Vec::new();
    while let Some(status) = slow.join_next().await {
        statuses.push(status??);
    }
    assert_eq!(statuses, [503, 503, 503, 503, 503, 503, 200, 200]);

    // A replica that fails, or hangs, is left alone, so that a request fails but a few times.
    for (path, how) in [("/failing-at/two", "answers 500"), ("/hanging-at/two", "hangs")] {
        mesh.apply(
            "traffic checkout on service shop/checkout { timeout 250ms  eject after 2 errors for 30s at_most 50% }",
        )
        .await?;
        let mut failed = 0;
        for _ in 0..60 {
            let answer = web.call("shop/checkout", &Request::get(path)).await?;
            failed += u32::from(answer.status != 200);
        }
        figures::print(
            &format!("requests that failed of 60, `eject after 2 errors` and a replica that {how}"),
            failed,
        );
        assert!((1..=12).contains(&failed), "{failed} of 60 failed where one {how}");
        // Another cluster knows nothing of what was ejected.
        mesh.apply("traffic checkout on service shop/checkout { balance random }").await?;
    }

    // Who is not well gets nothing: not even the first request once that is known.
    for (path, how) in [("/failing-at/two", "answers 500"), ("/hanging-at/two", "hangs")] {
        mesh.apply(&format!(
            "traffic checkout on service shop/checkout {{ health GET {path} every 100ms timeout 200ms fall 1 rise 1 }}"
        ))
        .await?;
        sleep(Duration::from_secs(1)).await;
        let answered = answered_by(web, &Request::get("/a"), 60).await?;
        let what = format!("requests of 60 that got to a replica that {how} to `health`");
        figures::print(&what, answered.get("two").copied().unwrap_or_default());
        assert_eq!(answered, only("one", 60));
        mesh.delete("checkout").await?;
        sleep(Duration::from_millis(300)).await;
        let both = answered_by(web, &Request::get("/a"), 40).await?;
        assert_eq!(both.len(), 2, "{both:?}");
    }

    // A version that is new to callers serves at once, however long the first answer about its health takes.
    let slow = "health GET /slow/2500 every 1s timeout 5s";
    mesh.apply(&format!("traffic checkout on service shop/checkout {{ {slow} }}")).await?;
    let load = Load::start(
        web.outbound("shop/checkout")?,
        &[Call { method: Method::GET, path: "/a", statuses: &[200] }],
    );
    mesh.apply(&format!(
        "traffic checkout on service shop/checkout {{ {slow}  route /a -> service shop/checkout@v2 }}"
    ))
    .await?;
    assert_eq!(answered_by(web, &Request::get("/a"), 20).await?, only("two", 20));
    sleep(Duration::from_secs(1)).await;
    let tally = load.finish().await;
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
    Ok(())
}
