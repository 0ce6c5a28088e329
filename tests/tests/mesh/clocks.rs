//! Clocks and certificates: whatever is refused for its time is refused in the words of both clocks and tried again, and
//! a sidecar whose certificate ran out while nobody could renew it comes back without a token.

use crate::command_line::transcript::CHANCERY;
use chancery_tests::mesh::clock::Clock;
use chancery_tests::mesh::process::{Process, signal};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const HOUR: i64 = 3_600;
/// For how long a sidecar whose certificate is over is watched.
const WATCHED: Duration = Duration::from_secs(12);
/// How often it may have tried by then: with pauses that grow from half a second.
const TRIES_MAX: usize = 8;

/// Waits for a line of the log that has all of these words, and gives it.
async fn until_said(process: &mut Process, words: &[&str]) -> String {
    let has_all = |line: &str| words.iter().all(|word| line.contains(word)).then(|| line.to_owned());
    process.until_line(has_all).await.unwrap()
}

/// Waits until a sidecar is not ready for a reason that has these words, and gives it.
async fn until_not_ready(sidecar: &mut Sidecar, words: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (code, said) = sidecar.readiness().await.unwrap();
        let reason = said["reason"].as_str().unwrap_or_default();
        if code == 503 && reason.contains(words) {
            return reason.to_owned();
        }
        assert!(Instant::now() < deadline, "{code}: {said}");
        sleep(LOOK_AGAIN).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_wrong_is_said_with_the_other_one_and_everything_goes_on_when_it_is_right() {
    let mut mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let both =
        ["the clocks differ", "the clock of this machine says 20", "that of the control plane 20", " apart)"];

    // A sidecar that starts before its clock is set.
    let clock = Clock::new(mesh.folder(), "orders").unwrap();
    clock.set(-HOUR / 6).unwrap();
    let orders = Member::new("shop/orders", "orders").unwrap().going_by(&clock);
    let mut orders = mesh.start_sidecar(orders).await.unwrap();
    let said = until_said(&mut orders.process, &both).await;
    assert!(said.contains("is not valid before") && said.contains("trying again"), "{said}");
    assert!(
        said.contains("10m apart") || said.contains("10m 1s apart") || said.contains("9m 59s apart"),
        "{said}"
    );
    clock.set(0).unwrap();
    orders.until_ready().await.unwrap();
    let frontend = Member::new("shop/frontend", "frontend").unwrap().calling(&["shop/orders"]).unwrap();
    let [frontend] = mesh.join([frontend]).await.unwrap();
    let token = mesh.token("shop/cart", None).await.unwrap();

    // A control plane whose clock is an hour ahead.
    let clock = mesh.give_clock().unwrap();
    clock.set(HOUR).unwrap();
    mesh.kill_control_plane().await.unwrap();
    mesh.spawn_control_plane().unwrap();
    until_said(&mut orders.process, &["no stream to the control plane", both[0], both[1], both[2]]).await;
    let said = mesh.run(&["status"]).await.unwrap();
    let (code, said) = (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned());
    assert!(code == Some(1) && both.iter().skip(1).all(|word| said.contains(word)), "{code:?}: {said}");
    assert!(said.contains("help: set the clock that is wrong"), "{said}");
    let cart = Member::new("shop/cart", "cart").unwrap();
    let mut cart = mesh.start_sidecar_with(cart, &token).await.unwrap();
    until_said(&mut cart.process, &both).await;
    assert_eq!(frontend.call("shop/orders", &Request::get("/")).await.unwrap().status, 200);

    // Set right while it runs.
    clock.set(0).unwrap();
    cart.until_ready().await.unwrap();
    mesh.until_status(None, |status| status.connected == 3).await.unwrap();

    // Behind, to before the mesh began: nothing can be issued, and all that was issued is of the future.
    clock.set(-HOUR).unwrap();
    let late = Member::new("shop/cart", "late").unwrap();
    let mut late = mesh.start_sidecar_with(late, &token).await.unwrap();
    let said = until_said(&mut late.process, &["the authority of this mesh can issue nothing now"]).await;
    assert!(said.contains("the clock of the control plane says 20") && said.contains(both[1]), "{said}");
    clock.set(0).unwrap();
    late.until_ready().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_ran_out_while_the_control_plane_was_away_is_renewed_without_a_token() {
    let mut mesh = Mesh::start_with(Path::new(CHANCERY), &["--certificate-lifetime", "10s"]).await.unwrap();
    let mut sidecars = Vec::new();
    for (service, instance) in
        [("shop/frontend", "frontend"), ("shop/orders", "orders"), ("shop/cart", "cart")]
    {
        let member = Member::new(service, instance).unwrap().calling(&["shop/orders"]).unwrap();
        let token = mesh.token(service, Some(8)).await.unwrap();
        let mut sidecar = mesh.start_sidecar_with(member, &token).await.unwrap();
        sidecar.until_ready().await.unwrap();
        sidecars.push(sidecar);
    }
    let [mut frontend, mut orders, mut cart] = <[Sidecar; 3]>::try_from(sidecars).unwrap();
    assert_eq!(frontend.call("shop/orders", &Request::get("/")).await.unwrap().status, 200);
    // One that hears nothing of it is shut out meanwhile.
    signal("STOP", cart.process.pid().unwrap()).await.unwrap();
    let evicted = mesh.run(&["proxies", "evict", "shop/cart/cart"]).await.unwrap();
    assert!(evicted.status.success(), "{evicted:?}");
    mesh.kill_control_plane().await.unwrap();

    let reason = until_not_ready(&mut orders, "the certificate ended at 20").await;
    assert!(reason.contains("and the clock of this machine says 20"), "{reason}");
    until_not_ready(&mut frontend, "cannot be reached").await;
    let tries = |sidecar: &Sidecar| {
        sidecar.process.lines(|line| line.contains("the certificate is not renewed").then_some(())).len()
    };
    sleep(WATCHED).await;
    assert!(tries(&orders) <= TRIES_MAX, "{} tries", tries(&orders));

    mesh.start_control_plane().await.unwrap();
    for sidecar in [&mut frontend, &mut orders] {
        sidecar.until_ready().await.unwrap();
    }
    assert_eq!(frontend.call("shop/orders", &Request::get("/")).await.unwrap().status, 200);
    let out_of_time = ["renews a certificate that is out of its time", "shop/orders/orders"];
    until_said(mesh.control_plane().unwrap(), &out_of_time).await;

    // Who was shut out does not come back by this way, and its token is over, too.
    signal("CONT", cart.process.pid().unwrap()).await.unwrap();
    let reason = until_not_ready(&mut cart, "was evicted").await;
    assert!(reason.contains("it does not take the token: this token expired at 20"), "{reason}");
    assert!(reason.contains("the clock of the control plane says 20"), "{reason}");
    assert!(reason.contains("; the clock of this machine says 20"), "{reason}");
    let token = mesh.token("shop/cart", None).await.unwrap();
    std::fs::write(mesh.folder().join("cart.token"), token).unwrap();
    cart.until_ready().await.unwrap();
}
