//! Operations on headers in a real Envoy: what the application and the caller get.

use crate::command_line::transcript::CHANCERY;
use anyhow::Result;
use chancery_tests::mesh::wire::{Answer, Request};
use chancery_tests::mesh::{Member, Mesh, Sidecar};
use serde_json::{Value, json};
use std::path::Path;

const POLICY: &str = r#"
auth who on service shop/orders {
  no:   deny /no
  seen: deny /seen when headers["x-caller"] == "shop/web"
  otherwise allow
}
traffic narrow on service shop/orders {
  caller: set request header x-caller = source.service
  fixed:  set request header X-Tenant = "fixed" for /fixed
  team:   set request header x-group = headers["x-team"] when has(headers["x-team"])
  path:   add request header x-path = request.path
  query:  set request header x-q = query["q"]
  debug:  remove request header x-debug
  server: remove response header server
  frame:  set response header x-frame-options = "DENY"
  vary:   add response header vary = "x-team" for GET
  item:   set response header x-item = path.id for /items/{id}
  echo:   set response header x-echo = headers["x-team"]
  once:   limit 1/d for /once
}
traffic wide on mesh {
  tenant: set request header x-tenant = "wide" for /fixed, /wide
  frame:  set response header x-frame-options = "SAMEORIGIN"
}
"#;

/// The values of a header that the application got.
fn values(answer: &Answer, header: &str) -> Value {
    answer.asked().pointer(&format!("/headers/{header}")).cloned().unwrap_or_default()
}

/// A caller and the sidecar that it asks.
struct Pair {
    web: Sidecar,
    orders: Sidecar,
}

impl Pair {
    async fn ask(&self, request: Request) -> Answer {
        self.web.ask(&self.orders, &request).await.unwrap()
    }

    /// The values of a header that the application gets.
    async fn got(&self, request: Request, header: &str) -> Value {
        let answer = self.ask(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        values(&answer, header)
    }
}

fn get(path: impl AsRef<[u8]>) -> Request {
    Request::get(path)
}

async fn start() -> Result<(Mesh, Pair)> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let [web, orders] =
        mesh.join([Member::new("shop/web", "web")?, Member::new("shop/orders", "orders")?]).await?;
    mesh.apply(POLICY).await?;
    Ok((mesh, Pair { web, orders }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_gets_the_headers_that_policies_say() -> Result<()> {
    let (_mesh, pair) = start().await?;

    // What a client says of itself is overwritten, as often and however it says it.
    let forged = get("/a").headers(&[("X-Caller", "shop/boss"), ("x-caller", "shop/boss"), ("X-CALLER", "")]);
    assert_eq!(pair.got(forged, "x-caller").await, json!(["shop/web"]));
    // Rules and conditions look at the request as it came.
    assert_eq!(pair.got(get("/seen"), "x-caller").await, json!(["shop/web"]));
    assert_eq!(pair.ask(get("/seen").header("x-caller", "shop/web")).await.status, 403);

    // Where a condition does not hold, a client's own passes.
    let team = |value| get("/a").headers(&[("x-team", value), ("x-group", "own")]);
    assert_eq!(pair.got(team("red"), "x-group").await, json!(["red"]));
    assert_eq!(pair.got(get("/a").header("x-group", "own"), "x-group").await, json!(["own"]));
    assert_eq!(pair.got(team(""), "x-group").await, json!([""]));

    // The narrowest scope that matches.
    assert_eq!(pair.got(get("/fixed").header("x-tenant", "own"), "x-tenant").await, json!(["fixed"]));
    assert_eq!(pair.got(get("/wide").header("x-tenant", "own"), "x-tenant").await, json!(["wide"]));
    assert_eq!(pair.got(get("/a").header("x-tenant", "own"), "x-tenant").await, json!(["own"]));

    assert_eq!(pair.got(get("/a/b").header("x-path", "own"), "x-path").await, json!(["own", "/a/b"]));
    let debug = get("/a").headers(&[("x-debug", "1"), ("X-Debug", "2")]);
    assert_eq!(pair.got(debug, "x-debug").await, Value::Null);

    // No value becomes another header.
    for query in ["a%0d%0ax-admin:+1", "a%0ax-admin:+1", "%00", "a%7f"] {
        let answer = pair.ask(get(format!("/a?q={query}")).header("x-q", "own")).await;
        assert_eq!(answer.status, 200);
        assert_eq!([values(&answer, "x-q"), values(&answer, "x-admin")], [Value::Null, Value::Null]);
    }
    assert_eq!(pair.got(get("/a?q=+a%09b+"), "x-q").await, json!(["a\tb"]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_gets_the_headers_that_policies_say() -> Result<()> {
    let (_mesh, mut pair) = start().await?;
    let answer = pair
        .ask(get("/items/7").headers(&[
            ("x-team", "red"),
            ("x-answer", "server: application"),
            ("x-answer", "vary: accept"),
            ("x-answer", "x-frame-options: ALLOWALL"),
        ]))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.values("server"), [""; 0]);
    assert_eq!(answer.values("x-frame-options"), ["DENY"]);
    // Envoy joins the values of headers that it knows.
    assert_eq!(answer.values("vary"), ["accept,x-team"]);
    assert_eq!(answer.values("x-item"), ["7"]);
    assert_eq!(answer.values("x-echo"), ["red"]);

    // An absent value is no value, and a condition that does not hold leaves the application's own.
    let answer = pair
        .ask(
            Request::new("DELETE", "/a").headers(&[("x-answer", "x-echo: own"), ("x-answer", "x-item: own")]),
        )
        .await;
    assert_eq!((answer.values("x-echo"), answer.values("x-item")), (vec![], vec!["own"]));
    assert_eq!(answer.values("vary"), [""; 0]);

    // What policies refuse is answered as they say, and nothing else.
    let denied = pair.ask(get("/no")).await;
    assert_eq!((denied.status, denied.values("x-frame-options")), (403, vec![]));
    assert_eq!(pair.ask(get("/once")).await.values("x-frame-options"), ["DENY"]);
    let limited = pair.ask(get("/once")).await;
    assert_eq!((limited.status, limited.values("x-frame-options")), (429, vec![]));

    // Where there is no application, Envoy answers a request that passed.
    pair.orders.application_mut().stop().await;
    let alone = pair.ask(get("/items/7")).await;
    assert_eq!((alone.status, alone.values("x-frame-options")), (503, vec!["DENY"]));
    assert_eq!(alone.values("x-item"), ["7"]);
    Ok(())
}
