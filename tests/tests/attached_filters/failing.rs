//! Filters that fail: for a request, when they are loaded, when they are started.

use super::{STILLBORN, Shop, probe, seen};
use anyhow::Result;

fn attach(name: &str, version: &str, failure: &str) -> String {
    format!(
        "filter {name} on service shop/orders {{ use {name} \"{version}\" phase last on failure {failure} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_fails_for_a_request_does_what_its_policy_says() -> Result<()> {
    let shop = Shop::start().await?;
    shop.push("strict", "1.0.0", &probe("strict", "")).await?;
    shop.push("lax", "1.0.0", &probe("lax", "")).await?;

    shop.mesh.apply(&attach("strict", "1.0.0", "deny")).await?;
    shop.until("/ok", |answer| seen(answer) == ["strict"]).await?;
    for path in ["/crash", "/loop"] {
        assert_eq!(shop.get(path).await?.status, 503, "{path}");
        shop.until("/ok", |answer| seen(answer) == ["strict"]).await?;
    }
    let metrics = shop.orders.admin("/stats/prometheus?filter=vm_reload").await?;
    let is_counted = |line: &str| line.contains("vm_reload_success") && line.contains("policy=\"strict\"");
    assert!(metrics.lines().any(is_counted), "{metrics}");
    shop.mesh.delete("strict").await?;
    shop.until("/ok", |answer| answer.status == 200 && seen(answer).is_empty()).await?;

    shop.mesh.apply(&attach("lax", "1.0.0", "allow")).await?;
    shop.until("/ok", |answer| seen(answer) == ["lax"]).await?;
    for path in ["/crash", "/ok", "/loop", "/ok", "/crash"] {
        assert_eq!(shop.get(path).await?.status, 200, "{path} passes as if there were no filter");
    }
    // Another version brings it back, where it was given up, too.
    shop.push("lax", "1.1.0", &probe("newer", "")).await?;
    shop.mesh.apply(&attach("lax", "1.1.0", "allow")).await?;
    for _ in 0..20 {
        assert_eq!(seen(&shop.get("/ok").await?), ["newer"]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_does_not_start_does_what_its_policy_says_and_is_blamed() -> Result<()> {
    let shop = Shop::start().await?;
    for (name, status) in [("strict", 403), ("lax", 200)] {
        shop.push(name, "1.0.0", &probe(name, STILLBORN)).await?;
        shop.push(name, "1.1.0", &probe(name, "")).await?;
        let failure = if name == "strict" { "deny" } else { "allow" };

        // None before it: what is said of failures holds.
        let refused = apply_refused(&shop, &attach(name, "1.0.0", failure)).await?;
        let blamed = format!("refuses extension `filter-inbound/{name}` of policy {name}");
        assert!(refused.contains(&blamed), "{refused}");
        shop.until("/ok", |answer| answer.status == status).await?;
        for _ in 0..5 {
            assert_eq!(shop.get("/ok").await?.status, status, "{name}");
        }

        // A better one takes its place, and a worse one does not take that one's.
        shop.mesh.apply(&attach(name, "1.1.0", failure)).await?;
        shop.until("/ok", |answer| seen(answer) == [name]).await?;
        let refused = apply_refused(&shop, &attach(name, "1.0.0", failure)).await?;
        assert!(refused.contains(&blamed), "{refused}");
        assert_eq!(seen(&shop.get("/ok").await?), [name], "what served goes on");
        shop.mesh.delete(name).await?;
        shop.until("/ok", |answer| answer.status == 200 && seen(answer).is_empty()).await?;
    }
    Ok(())
}

/// Applies what a sidecar will refuse; gives what is said of that.
async fn apply_refused(shop: &Shop, text: &str) -> Result<String> {
    let file = shop.mesh.folder().join("bad.writ");
    std::fs::write(&file, text)?;
    let path = file.display().to_string();
    let output = shop.mesh.run(&["apply", "-f", &path, "--wait", "--timeout", "50s"]).await?;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    Ok(String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?)
}
