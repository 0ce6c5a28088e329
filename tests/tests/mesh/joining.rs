//! Who may not join, and what it is told.

use crate::command_line::transcript::CHANCERY;
use chancery_control::mesh::identity::join_token::JoinToken;
use chancery_tests::mesh::{Member, Mesh};
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_no_good_is_refused_at_once_and_clearly() {
    let mut mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let good = mesh.token("shop/orders", None).await.unwrap();
    let other = mesh.token("shop/cart", None).await.unwrap();
    let short = mesh.token("shop/orders", Some(1)).await.unwrap();
    let revoked = mesh.token("shop/orders", None).await.unwrap();
    let revoked_id = JoinToken::parse(&revoked).unwrap().id;
    let revoke = mesh.run(&["token", "--revoke", &revoked_id]).await.unwrap();
    assert!(revoke.status.success(), "{revoke:?}");
    let signature_of_another =
        format!("{}.{}", good.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1);
    sleep(Duration::from_millis(2_100)).await;
    let cases = [
        ("garbage", "no token at all", 2, "not a token of Chancery"),
        ("cut", good.get(..good.len() / 2).unwrap(), 2, "not a token of Chancery"),
        ("other-service", &other, 2, "it is for the service shop/cart, not for shop/orders"),
        ("wrong", &signature_of_another, 3, "was not signed by this control plane"),
        ("expired", &short, 3, "and the clock of the control plane says 20"),
        ("expired-here", &short, 3, "; the clock of this machine says 20"),
        ("revoked", &revoked, 3, "was revoked"),
    ];
    for (name, token, code, words) in cases {
        refused(&mesh, name, token, code, words).await;
    }

    // Nobody was let in, until one comes with the right token.
    assert_eq!(mesh.status(None).await.unwrap().proxies, []);
    let member = Member::new("shop/orders", "good").unwrap();
    mesh.start_sidecar_with(member, &good).await.unwrap().until_ready().await.unwrap();

    // Another mesh is at the address of the one that made the token.
    mesh.kill_control_plane().await.unwrap();
    std::fs::remove_dir_all(mesh.folder().join("control-plane")).unwrap();
    mesh.start_control_plane().await.unwrap();
    refused(&mesh, "foreign", &good, 3, "is not of the mesh").await;
    assert_eq!(mesh.status(None).await.unwrap().proxies, []);
}

/// Starts a sidecar with a token and compares how it ends.
async fn refused(mesh: &Mesh, name: &str, token: &str, code: i32, words: &str) {
    let member = Member::new("shop/orders", name).unwrap();
    let mut sidecar = mesh.start_sidecar_with(member, token).await.unwrap();
    let status = sidecar.process.until_ended().await.unwrap();
    let said = sidecar.process.lines(|line| Some(line.to_owned())).join("\n");
    assert_eq!(status.code(), Some(code), "{name}: {said}");
    assert!(said.contains(words), "{name}: {said}");
    let tries = said.matches("trying again").count() + said.matches("started Envoy").count();
    assert_eq!(tries, 0, "{name}: {said}");
}
