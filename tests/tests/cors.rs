//! Pages of other origins in a real Envoy: what a browser is told before it asks, and with the answer.

use crate::command_line::transcript::CHANCERY;
use anyhow::Result;
use chancery_tests::mesh::wire::{Answer, Request};
use chancery_tests::mesh::{Member, Mesh, Sidecar};
use serde_json::{Value, json};
use std::path::Path;

const AUTH: &str =
    "auth who on service shop/orders { read: allow GET, PUT /orders/** from service shop/web }\n";
const CORS: &str = r#"
traffic pages on service shop/orders {
  cors origins "https://shop.example", "https://*.shop.example", "http://localhost:3000"
    methods PUT, DELETE headers X-Team, content-type expose x-total credentials age 10m
}
traffic everywhere on mesh { cors origins "*" }
"#;
const PAGE: &str = "https://shop.example";

/// A caller and the sidecar that it asks.
struct Pair {
    web: Sidecar,
    orders: Sidecar,
}

impl Pair {
    async fn ask(&self, request: Request) -> Answer {
        self.web.ask(&self.orders, &request).await.unwrap()
    }

    /// What a browser asks before it sends a PUT from a page.
    async fn preflight(&self, origin: &str) -> Answer {
        let request = Request::new("OPTIONS", "/orders/7").headers(&[
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-team"),
        ]);
        self.ask(request).await
    }
}

/// The origin that an answer allows.
fn allowed(answer: &Answer) -> Vec<&str> {
    answer.values("access-control-allow-origin")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_are_told_what_policies_say_of_pages() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let members = [Member::new("shop/web", "web")?, Member::new("shop/orders", "orders")?];
    let [web, orders] = mesh.join(members).await?;
    let pair = Pair { web, orders };

    mesh.apply(AUTH).await?;
    let answer = pair.preflight(PAGE).await;
    assert_eq!((answer.status, allowed(&answer)), (403, vec![]), "nobody says anything of pages yet");

    mesh.apply(&format!("{AUTH}{CORS}")).await?;
    let answer = pair.preflight(PAGE).await;
    assert_eq!((answer.status, allowed(&answer)), (200, vec![PAGE]), "{answer:?}");
    assert_eq!(answer.values("access-control-allow-methods"), ["DELETE,PUT"]);
    assert_eq!(answer.values("access-control-allow-headers"), ["content-type,x-team"]);
    assert_eq!(answer.values("access-control-max-age"), ["600"]);
    assert_eq!(answer.values("access-control-allow-credentials"), ["true"]);
    assert_eq!(answer.asked(), Value::Null, "the application is not asked");

    for origin in ["http://localhost:3000", "https://a.shop.example", "https://a.b-c.shop.example"] {
        let answer = pair.preflight(origin).await;
        assert_eq!((answer.status, allowed(&answer)), (200, vec![origin]));
    }
    for origin in [
        "https://shop.example.evil",
        "https://evilshop.example",
        "https://a.shop.example:8443",
        "https://.shop.example",
        "*",
    ] {
        let answer = pair.preflight(origin).await;
        assert_eq!((answer.status, allowed(&answer)), (403, vec![]), "`auth` decides about {origin}");
    }

    // What a page asks then, and what it may see of the answer.
    let get = |path: &str, origin: &str| Request::get(path).header("origin", origin);
    let answer = pair.ask(get("/orders/7", PAGE)).await;
    assert_eq!((answer.status, allowed(&answer)), (200, vec![PAGE]));
    assert_eq!(answer.values("access-control-expose-headers"), ["x-total"]);
    assert_eq!(answer.asked().pointer("/path"), Some(&json!("/orders/7")));
    let answer = pair.ask(get("/orders/7", "https://elsewhere.example")).await;
    assert_eq!((answer.status, allowed(&answer)), (200, vec![]), "a browser keeps it from the page");
    let answer = pair.ask(get("/secret", PAGE)).await;
    assert_eq!((answer.status, allowed(&answer)), (403, vec![PAGE]), "a page can see that it was refused");
    let answer = pair.ask(Request::new("OPTIONS", "/orders/7").header("origin", PAGE)).await;
    assert_eq!(answer.status, 403, "without the method that it asks for it is no preflight");

    // The wider scope counts where the narrower one is gone; and nothing but that needs no module.
    mesh.delete("pages").await?;
    mesh.delete("who").await?;
    let asked = pair.orders.entries().len();
    let answer = pair.preflight("https://elsewhere.example").await;
    assert_eq!((answer.status, allowed(&answer)), (200, vec!["https://elsewhere.example"]));
    let answer = pair.ask(get("/orders/7", PAGE)).await;
    assert_eq!((answer.status, answer.values("access-control-allow-credentials")), (200, vec![]));
    let entries = pair.orders.entries_after(asked, 2).await?;
    assert!(entries.iter().all(|entry| entry.get("rule").is_none_or(Value::is_null)), "{entries:#?}");
    Ok(())
}
