//! A log that cannot be written costs lines of the log and nothing else.

use crate::command_line::transcript::CHANCERY;
use chancery_tests::mesh::process::{Log, Process};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use std::path::Path;
use tokio::time::{Instant, sleep};

/// Requests and changes of policy that fill a small pipe several times over.
const REQUESTS: usize = 100;
const CHANGES: usize = 20;

struct Pair {
    mesh: Mesh,
    frontend: Sidecar,
    orders: Sidecar,
}

impl Pair {
    async fn start(log: Log) -> Self {
        let mesh = Mesh::start_logging(Path::new(CHANCERY), log).await.unwrap();
        let frontend = Member::new("shop/frontend", "frontend").unwrap().logging(log);
        let orders = Member::new("shop/orders", "orders").unwrap().logging(log);
        let frontend = frontend.calling(&["shop/orders"]).unwrap();
        let [frontend, orders] = mesh.join([frontend, orders]).await.unwrap();
        Self { mesh, frontend, orders }
    }

    /// Everything goes on: requests, changes of policy, joining, readiness, and an orderly end.
    async fn check(mut self) {
        let get = async || self.frontend.call("shop/orders", &Request::get("/x")).await;
        for _ in 0..REQUESTS {
            assert_eq!(get().await.unwrap().status, 200);
        }
        for number in 0..CHANGES {
            let open =
                format!("auth orders on service shop/orders {{\n  n{number}: deny /n\n  otherwise allow\n}}");
            self.mesh.apply(&open).await.unwrap();
        }
        let closed = "auth orders on service shop/orders { all: deny respond 410 \"closed\" }";
        self.mesh.apply(closed).await.unwrap();
        assert_eq!(get().await.unwrap().status, 410);
        let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
        let ready = format!("{}/readyz", self.mesh.context().unwrap().url);
        let ready = client.get(ready).timeout(PATIENCE).send().await.unwrap();
        assert_eq!(ready.status(), 200);
        assert_eq!(self.orders.readiness().await.unwrap().0, 200);
        let [_cart] = self.mesh.join([Member::new("shop/cart", "cart").unwrap()]).await.unwrap();

        ends_well(&mut self.orders.process).await;
        let gone = |status: &chancery_control::server::api::types::StatusResponse| {
            status.proxies.iter().all(|proxy| proxy.id != "shop/orders/orders")
        };
        self.mesh.until_status(None, gone).await.unwrap();
        ends_well(&mut self.frontend.process).await;
        ends_well(self.mesh.control_plane().unwrap()).await;
    }
}

async fn ends_well(process: &mut Process) {
    process.terminate().await.unwrap();
    let status = process.until_ended().await.unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_stops_nothing() {
    Pair::start(Log::Unread).await.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_log_that_went_away_stops_nothing() {
    let mut pair = Pair::start(Log::Unread).await;
    pair.mesh.control_plane().unwrap().close_log();
    pair.frontend.process.close_log();
    pair.orders.process.close_log();
    pair.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_for_the_log_stops_nothing() {
    Pair::start(Log::DiskFull).await.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_one_object_in_the_log_of_either_side() {
    let Pair { mesh: _mesh, frontend, orders } = Pair::start(Log::Kept).await;
    let quotes = format!("/{}", "\"".repeat(15_000));
    let odd = ["/", "/a\"b\\c", "/{\"rule\":1}", "/?secret=1", "/a%0ab", "/%zz", "/a%2fb", quotes.as_str()];
    for path in odd {
        frontend.call("shop/orders", &Request::get(path)).await.unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    // The caller's own sidecar refuses an escaped slash, so it never arrives.
    let refused = odd.iter().filter(|path| path.contains("%2f")).count();
    let sides = [(&frontend, "outbound", odd.len()), (&orders, "inbound", odd.len() - refused)];
    for (side, direction, count) in sides {
        while side.entries_of(direction).len() < count {
            let entries = side.entries_of(direction);
            assert!(Instant::now() < deadline, "{direction}: {entries:#?}");
            sleep(LOOK_AGAIN).await;
        }
        assert_eq!(side.entries_of(direction).len(), count, "{direction}");
        assert!(side.entries_of(direction).iter().all(|entry| entry["code"].is_number()), "{direction}");
    }
    let said = frontend.entries_of("outbound");
    // The path is logged as the sidecar normalised it.
    assert_eq!(said[1]["path"], "/a%22b/c");
    assert_eq!(said[0]["upstream"], orders.inbound().unwrap().to_string());
    assert!(!format!("{said:?}").contains("secret"));
}
