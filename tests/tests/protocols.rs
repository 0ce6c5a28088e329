//! What else than a request and an answer of HTTP/1.1 goes through the mesh, and as what policies see it.
//!
//! ```text
//! client --- HTTP/1.0, 1.1, h2c ---> [shop/frontend] --- mTLS, HTTP/2 ---> [shop/orders] ---> HTTP/1.1 or h2c
//! ```

#![expect(clippy::indexing_slicing, reason = "a test that cannot go on shall say so")]

mod grpc;
mod http2;
mod messages;
mod old_clients;
mod script;
mod streams;
mod websockets;

use crate::command_line::transcript::CHANCERY;
use chancery_tests::mesh::{Member, Mesh, Sidecar};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// How long anything may take.
const PATIENCE: Duration = chancery_tests::mesh::PATIENCE;

/// A caller and one replica of what it calls.
struct Pair {
    mesh: Mesh,
    frontend: Sidecar,
    orders: Sidecar,
}

impl Pair {
    /// With an application that is named as `--inbound` has it; `None` is one that answers with what it was asked.
    async fn start(application: Option<String>) -> Self {
        Self::start_with(application, &[]).await
    }

    /// As [`Pair::start`], with options of the control plane.
    async fn start_with(application: Option<String>, options: &[&str]) -> Self {
        let mesh = Mesh::start_with(Path::new(CHANCERY), options).await.unwrap();
        let frontend = Member::new("shop/frontend", "frontend").unwrap().calling(&["shop/orders"]).unwrap();
        let orders = Member::new("shop/orders", "orders").unwrap();
        let orders = match application {
            Some(application) => orders.before(application),
            None => orders,
        };
        let [frontend, orders] = mesh.join([frontend, orders]).await.unwrap();
        Self { mesh, frontend, orders }
    }

    /// Where the application beside the caller reaches the service.
    fn outbound(&self) -> SocketAddr {
        self.frontend.outbound("shop/orders").unwrap()
    }

    /// The rules that decided requests, in their order, of which there are so many by now.
    async fn rules(&self, count: usize) -> Vec<String> {
        let entries = self.orders.entries_after(0, count).await.unwrap();
        entries.iter().map(|entry| entry["rule"].as_str().unwrap_or("-").to_owned()).collect()
    }
}
