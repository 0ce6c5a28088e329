//! Refused extensions, remembered for ever: an item in the store for each.
//!
//! A proxy outlives a restart of the control plane. If what it refused were forgotten then, it
//! would be sent again, and Envoy would acknowledge it while the old policy goes on: the status
//! would be wrong. (Of other resources Envoy says again what is wrong with them.)

use super::{AckBoard, Entry};
use crate::delivery::snapshot::ResourceType;
use crate::mesh::model::ProxyId;
use crate::mesh::store::{Actor, Store, StoreError};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What keys of items begin with. The rest is `PROXY/VERSION/NAME`; a proxy's name has three parts.
const PREFIX: &str = "refused-extension/";

/// Keys of items and the proxies' words.
type Items = BTreeMap<String, String>;

/// Puts what was refused in the time of earlier processes on the board.
///
/// # Errors
/// If the store cannot be read.
pub async fn restore(store: &dyn Store, board: &AckBoard) -> Result<(), StoreError> {
    let items = store.items(PREFIX).await?;
    let mut entries = board.lock();
    for (key, message) in &items {
        let Some((proxy, version, name)) = read_key(key) else {
            tracing::warn!(key, "an item of the store is not understood");
            continue;
        };
        let entry = entries.proxies.entry(proxy).or_insert_with(|| Entry {
            // It counts as gone until it opens a stream.
            has_left: true,
            ..Entry::new(Timestamp::UNIX_EPOCH)
        });
        let message = String::from_utf8_lossy(message);
        entry.memory.restore(ResourceType::Extension, name, version, &message);
    }
    Ok(())
}

/// Keeps the items of the store as the board has them, until `stop`, and once more then.
pub async fn keep(store: Arc<dyn Store>, board: Arc<AckBoard>, stop: CancellationToken) {
    let mut changes = board.refusals.subscribe();
    loop {
        changes.borrow_and_update();
        let is_last = stop.is_cancelled();
        if let Err(error) = bring(&*store, items(&board)).await {
            tracing::error!(%error, "what a proxy refused will not be known after a restart");
        }
        if is_last {
            return;
        }
        tokio::select! {
            // The board has both ends of the channel: it cannot close.
            _ = changes.changed() => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn bring(store: &dyn Store, wanted: Items) -> Result<(), StoreError> {
    let kept = store.items(PREFIX).await?;
    for key in kept.keys().filter(|key| !wanted.contains_key(*key)) {
        store.remove_item(key, actor(key)).await?;
    }
    for (key, message) in wanted.into_iter().filter(|(key, _)| !kept.contains_key(key)) {
        let by = actor(&key);
        store.create_item(&key, message.into_bytes(), by).await?;
    }
    Ok(())
}

fn items(board: &AckBoard) -> Items {
    let entries = board.lock();
    let of_proxy = |(proxy, entry): (&ProxyId, &Entry)| {
        let refusals = entry.memory.refusals(ResourceType::Extension);
        let item = |(name, version, message): (&str, &str, &str)| {
            (format!("{PREFIX}{}/{version}/{name}", proxy.0), message.to_owned())
        };
        refusals.map(item).collect::<Vec<_>>()
    };
    entries.proxies.iter().flat_map(of_proxy).collect()
}

/// The proxy, the version and the name that a key names.
fn read_key(key: &str) -> Option<(ProxyId, &str, &str)> {
    let mut parts = key.strip_prefix(PREFIX)?.splitn(5, '/');
    let proxy = [parts.next()?, parts.next()?, parts.next()?].join("/");
    Some((ProxyId(proxy), parts.next()?, parts.next()?))
}

fn actor(key: &str) -> Actor {
    let name =
        read_key(key).map_or_else(|| "control plane".to_owned(), |(proxy, _, _)| format!("proxy {proxy}"));
    Actor { name, at: Timestamp::now() }
}
