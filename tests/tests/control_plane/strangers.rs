//! Nobody in the way: what strangers, and holders of one token, can do to a control plane and to everybody else.

use super::process::ControlPlane;
use chancery_control::cli::exit::Exit;
use chancery_tests::strangers::{Strangers, address, connect, flood_of_joins, join_token, joins};
use std::fs;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long anybody else's command may take meanwhile; far more than it does.
const ANSWERED: Duration = Duration::from_secs(5);
/// How long who has proven nothing stays, and some time for a busy machine.
const ENDED: Duration = Duration::from_secs(10 + 8);
/// How much the memory of the control plane may grow by twenty connections of strangers.
const GROWTH_MIB_MAX: u64 = 48;

async fn must_answer(plane: &ControlPlane) {
    let begun = Instant::now();
    let status = plane.run(&["status"]).await;
    assert_eq!(status.exit, Exit::Well, "{}", status.stderr);
    assert!(begun.elapsed() < ANSWERED, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_of_strangers_shut_nobody_out_and_end() {
    let folder = tempfile::tempdir().unwrap();
    // With so few files, four times as many strangers as there is room for come from one address.
    let plane = ControlPlane::start_with_files(folder.path(), 256).await;
    let mut strangers = Strangers::idle(&plane.context(), 300).await.unwrap();
    must_answer(&plane).await;
    assert!(strangers.held() <= 256 / 8, "{} are held", strangers.held());
    let begun = Instant::now();
    while strangers.held() > 0 {
        assert!(begun.elapsed() < ENDED, "{} are still held", strangers.held());
        sleep(Duration::from_millis(100)).await;
    }
    plane.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_stranger_leaves_out_its_connection_ends() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(folder.path()).await;
    let context = plane.context();
    let mut bare = TcpStream::connect(address(&context).unwrap()).await.unwrap();
    let mut silent = connect(&context, &[b"http/1.1"]).await.unwrap();
    let mut headless = connect(&context, &[b"http/1.1"]).await.unwrap();
    headless.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut bodyless = connect(&context, &[b"http/1.1"]).await.unwrap();
    let head =
        b"POST /v1/join HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    bodyless.write_all(head).await.unwrap();
    let mut rest = Vec::new();
    // How they end does not matter; that they do does.
    drop(timeout(ENDED, bare.read_to_end(&mut rest)).await.unwrap());
    drop(timeout(ENDED, silent.read_to_end(&mut rest)).await.unwrap());
    drop(timeout(ENDED, headless.read_to_end(&mut rest)).await.unwrap());
    drop(timeout(ENDED, bodyless.read_to_end(&mut rest)).await.unwrap());
    plane.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_never_end_take_little_memory_and_nobodys_turn() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(folder.path()).await;
    must_answer(&plane).await;
    let before = plane.resident_mib();
    let mut strangers = Strangers::with_endless_bodies(&plane.context(), 20).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(strangers.held(), 20);
    let growth = plane.resident_mib().saturating_sub(before);
    assert!(growth < GROWTH_MIB_MAX, "{growth} MiB more than {before} MiB");
    must_answer(&plane).await;
    plane.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_token_lets_only_so_many_in_and_policies_are_applied_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(&folder.path().join("data")).await;
    let file = folder.path().join("version.writ");
    fs::write(&file, "auth version on service shop/a {\n  old: deny when target.version == \"v0\"\n}\n")
        .unwrap();
    let context = plane.context();
    let flood = tokio::spawn(async move { flood_of_joins(&context, "shop/a", 2_000).await });
    sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    let applied = plane.run(&["apply", "-f", file.to_str().unwrap()]).await;
    assert_eq!(applied.exit, Exit::Well, "{}", applied.stderr);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let (let_in, refused) = flood.await.unwrap().unwrap();
    // Four register at a time, and each counts.
    assert_eq!(let_in, 100);
    assert!(refused.is_some_and(|code| code == "too-often" || code == "too-many-proxies"));
    plane.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_no_replica_out_while_the_others_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(folder.path()).await;
    let token = join_token(&plane.context(), "shop/a").await.unwrap();
    let (let_in, refused) = joins(&plane.context(), "shop/a", &token, 0..120).await.unwrap();
    assert!((100..=103).contains(&let_in), "{let_in}");
    assert_eq!(refused.as_deref(), Some("too-many-proxies"));
    plane.kill().await;
    let plane = ControlPlane::start(folder.path()).await;
    assert_eq!(joins(&plane.context(), "shop/a", &token, 200..220).await.unwrap(), (20, None));
    plane.terminate().await;
}
