//! What policies decide in real sidecars, and how it is told.

use super::{Shop, check, row};
use chancery_tests::mesh::wire::Request;

fn get(path: impl AsRef<[u8]>) -> Request {
    Request::get(path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_decision_is_told_in_the_answer_the_log_and_the_counters() {
    let shop = Shop::start().await;
    let Shop { mesh, frontend, orders, .. } = &shop;
    let policy = r#"
        auth baseline on mesh { exempt GET /healthz }
        auth orders on service shop/orders {
          read:    allow GET /orders/**
          no-bulk: deny GET /orders/all respond 429 "one at a time"
        }
        auth tighter on service shop/orders {
          mode shadow
          office: deny GET /orders/** unless headers["x-office"] == "1"
        }
        auth unfinished on service shop/orders {
          mode off
          nothing: deny /** from anyone respond 418
        }
    "#;
    mesh.apply(policy).await.unwrap();
    let office = ("x-office", "1");
    let answers = check(
        frontend,
        orders,
        &[
            row(get("/orders/7").headers(&[office]), 200, "orders/read"),
            row(get("/orders/7"), 200, "orders/read"),
            row(get("/orders/8?q=1"), 200, "orders/read"),
            row(get("/orders/all").headers(&[office]), 429, "orders/no-bulk"),
            row(get("/elsewhere"), 403, "default-deny"),
            row(get("/orders/%zz"), 400, "bad-path"),
        ],
    )
    .await;
    assert_eq!(answers[3].body, "one at a time");

    // What the shadow policy would have decided stands beside what was decided, where it differs.
    let shadows: Vec<_> = orders.entries().into_iter().map(|mut entry| entry["shadow"].take()).collect();
    let office = serde_json::Value::from("tighter/office");
    assert_eq!(shadows[..3], [serde_json::Value::Null, office.clone(), office]);

    let counters = orders.stats("writ.").await.unwrap();
    let of = |name: &str| {
        let found = counters.iter().find(|(counter, _)| counter.ends_with(name));
        found.map_or(0, |(_, count)| *count)
    };
    assert_eq!(of("writ.allowed.orders/read"), 3, "{counters:#?}");
    assert_eq!(of("writ.denied.orders/no-bulk"), 1, "{counters:#?}");
    assert_eq!(of("writ.default-denied.default-deny"), 1, "{counters:#?}");
    assert_eq!(of("writ.refused.bad-path"), 1, "{counters:#?}");
    assert_eq!(of("writ.shadow-denied.tighter/office"), 2, "{counters:#?}");
    assert!(counters.keys().all(|name| !name.contains("unfinished")), "{counters:#?}");

    // The shadow becomes real by its mode alone.
    mesh.apply(&policy.replace("mode shadow", "mode enforce")).await.unwrap();
    check(
        frontend,
        orders,
        &[
            row(get("/orders/7"), 403, "tighter/office"),
            row(get("/orders/7").header("x-office", "1"), 200, "orders/read"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeating_a_header_neither_satisfies_a_rule_nor_gets_around_it() {
    let shop = Shop::start().await;
    let Shop { mesh, frontend, orders, .. } = &shop;
    mesh.apply(
        r#"auth orders on service shop/orders {
          one:    allow GET /allowed when headers["x-role"] == "admin"
          two:    deny GET /denied unless headers["x-role"] == "admin"
          joined: allow GET /joined when headers["x-role"] == "admin,admin"
          first:  allow GET /denied
        }"#,
    )
    .await
    .unwrap();
    let (admin, user) = (("x-role", "admin"), ("x-role", "user"));
    check(
        frontend,
        orders,
        &[
            row(get("/allowed").headers(&[admin]), 200, "orders/one"),
            row(get("/allowed").headers(&[admin, user]), 403, "default-deny"),
            row(get("/allowed").headers(&[user, admin]), 403, "default-deny"),
            row(get("/allowed").headers(&[admin, admin]), 403, "default-deny"),
            row(get("/denied").headers(&[admin]), 200, "orders/first"),
            row(get("/denied").headers(&[admin, user]), 403, "orders/two"),
            row(get("/denied").headers(&[user, admin]), 403, "orders/two"),
            row(get("/denied").headers(&[("X-Role", "admin"), ("x-role", "")]), 403, "orders/two"),
            row(get("/joined").headers(&[admin, admin]), 200, "orders/joined"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_path_gets_around_a_rule() {
    let shop = Shop::start().await;
    let Shop { mesh, frontend, orders, .. } = &shop;
    mesh.apply("auth orders on service shop/orders {\n  secret: deny /b, /a/b\n  otherwise allow\n}")
        .await
        .unwrap();
    // Other spellings of the two paths.
    let secret: [&[u8]; 9] = [
        b"/b",
        b"/a/../b",
        b"/../../b",
        b"/%2e%2e/b",
        b"/a/%2E%2e/b",
        b"/a/..;/b",
        b"//b?x=/ok",
        b"/a\\b",
        b"http://elsewhere.test/x/../b",
    ];
    let rows: Vec<_> = secret.iter().map(|path| row(get(path), 403, "orders/secret")).collect();
    check(frontend, orders, &rows).await;

    // Paths with no single meaning, refused by Envoy or by the policy.
    let by_envoy: [&[u8]; 9] =
        [b"/a%2fb", b"/a%2Fb", b"/a%5cb", b"/a%5Cb", b"/%00", b"/a#b", "/\u{e9}".as_bytes(), b"/a b", b"*"];
    let rows: Vec<_> = by_envoy.iter().map(|path| row(get(path), 400, "-")).collect();
    check(frontend, orders, &rows).await;
    let by_policy: [&[u8]; 4] = [b"/a%", b"/a%zz", b"/a%252fb", b"/a%2541"];
    let rows: Vec<_> = by_policy.iter().map(|path| row(get(path), 400, "bad-path")).collect();
    check(frontend, orders, &rows).await;

    // Odd paths that have one meaning reach the application with it.
    let fine: [(&[u8], &str); 6] = [
        (b"/%41bc", "/Abc"),
        (b"//a", "/a"),
        (b"/a//c/", "/a/c/"),
        (b"/a;x=1/b", "/a;x=1/b"),
        (b"/%c3%a9", "/%c3%a9"),
        (b"/ok?x=/../b&y=%2f", "/ok?x=/../b&y=%2f"),
    ];
    let rows: Vec<_> = fine.iter().map(|(path, _)| row(get(path), 200, "orders/otherwise")).collect();
    let answers = check(frontend, orders, &rows).await;
    for ((_, expected), answer) in fine.iter().zip(&answers) {
        assert_eq!(answer.asked()["path"], *expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_target_concerns_the_right_sidecars() {
    let shop = Shop::start().await;
    let Shop { mesh, frontend, orders, orders_2, ledger } = &shop;
    mesh.apply(
        r#"
        auth everywhere on mesh { m: deny /mesh
          otherwise allow }
        auth in-shop on namespace shop { n: deny /namespace }
        auth on-orders on service shop/orders { s: deny /service }
        auth on-v2 on workload shop { version: "v2" } { w: deny /workload }
        "#,
    )
    .await
    .unwrap();
    let paths = ["/mesh", "/namespace", "/service", "/workload"];
    let rules = ["everywhere/m", "in-shop/n", "on-orders/s", "on-v2/w"];
    for (to, concerned) in [(orders_2, 4), (orders, 3), (frontend, 2), (ledger, 1)] {
        let rows: Vec<_> = (paths.iter().zip(rules).enumerate())
            .map(|(number, (path, rule))| match number < concerned {
                true => row(get(path), 403, rule),
                false => row(get(path), 200, "everywhere/otherwise"),
            })
            .collect();
        check(frontend, to, &rows).await;
    }

    // A new replica has from the first request on what its labels say.
    let member = chancery_tests::mesh::Member::new("shop/orders", "orders-3").unwrap();
    let [orders_3] = mesh.join([member.labelled("version=v2")]).await.unwrap();
    check(frontend, &orders_3, &[row(get("/workload"), 403, "on-v2/w")]).await;
}
