//! A whole mesh: what holds between real sidecars, however anybody tries to get around it.
//!
//! ```text
//! shop/frontend --+--> shop/orders (orders-1 with version=v1, orders-2 with version=v2)
//!                 +--> pay/ledger
//! ```

#![expect(clippy::indexing_slicing, reason = "a test that cannot go on shall say so")]

mod bystanders;
mod clocks;
mod decisions;
mod dry_runs;
mod eviction;
mod failures;
mod following;
mod identity;
mod joining;
mod logging;
mod moving;
mod one_document;
mod operating;
mod ports;
mod readiness;
mod rollout;
mod shown;
mod terminals;
mod unopened;
mod waiting;
mod words;

use crate::command_line::transcript::CHANCERY;
use chancery_tests::mesh::wire::{Answer, Request};
use chancery_tests::mesh::{Member, Mesh, Sidecar};
use std::path::Path;

/// The mesh of most tests.
struct Shop {
    mesh: Mesh,
    frontend: Sidecar,
    orders: Sidecar,
    orders_2: Sidecar,
    ledger: Sidecar,
}

impl Shop {
    async fn start() -> Self {
        let mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
        let frontend = Member::new("shop/frontend", "frontend").unwrap();
        let orders = |instance| Member::new("shop/orders", instance).unwrap();
        let members = [
            frontend.calling(&["shop/orders", "pay/ledger"]).unwrap(),
            orders("orders-1").labelled("version=v1"),
            orders("orders-2").labelled("version=v2"),
            Member::new("pay/ledger", "ledger").unwrap().calling(&["shop/orders"]).unwrap(),
        ];
        let [frontend, orders, orders_2, ledger] = mesh.join(members).await.unwrap();
        Self { mesh, frontend, orders, orders_2, ledger }
    }
}

/// A request and what must become of it.
struct Row<'a> {
    request: Request,
    status: u16,
    /// The rule that decides; `-` if Envoy refuses the request before any rule is asked.
    rule: &'a str,
}

fn row(request: Request, status: u16, rule: &str) -> Row<'_> {
    Row { request, status, rule }
}

/// Sends requests with the certificate of one sidecar to another, and compares status, rule and the
/// details of the answer with what must be. Gives the answers.
async fn check(from: &Sidecar, to: &Sidecar, rows: &[Row<'_>]) -> Vec<Answer> {
    let before = to.entries().len();
    let mut answers = Vec::new();
    for row in rows {
        let answer = from.ask(to, &row.request).await.unwrap();
        assert_eq!(answer.status, row.status, "{:?}\n{answer:?}", row.request);
        answers.push(answer);
    }
    let entries = to.entries_after(before, rows.len()).await.unwrap();
    assert_eq!(entries.len(), rows.len(), "{entries:#?}");
    for (row, entry) in rows.iter().zip(&entries) {
        let text = |field: &str| entry.get(field).and_then(|value| value.as_str()).unwrap_or("-");
        assert_eq!(text("rule"), row.rule, "{:?}\n{entry:#}", row.request);
        assert_eq!(entry["code"], row.status, "{:?}\n{entry:#}", row.request);
        if row.status != 200 && row.rule != "-" {
            assert_eq!(text("details"), row.rule, "{:?}\n{entry:#}", row.request);
        }
    }
    answers
}
