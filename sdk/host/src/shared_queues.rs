//! Queues that all VMs of a process share, each known by a VM's id and a name.
//!
//! Who registered a queue last is told when something comes in; anybody who has its token can put in and take out.

use crate::abi::Status;
use crate::limits::SHARED_QUEUES_BYTES_MAX;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared queues of one host. Clones are handles to the same queues.
#[derive(Clone, Debug, Default)]
pub struct SharedQueues {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    tokens: BTreeMap<(String, Vec<u8>), u32>,
    queues: BTreeMap<u32, Queue>,
    last_token: u32,
    last_plugin: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Queue {
    /// The plugin that is told.
    consumer: u64,
    items: VecDeque<Vec<u8>>,
    /// Items that the consumer was not told of.
    untold: usize,
}

impl SharedQueues {
    /// A number for a plugin, by which it can be told.
    pub(crate) fn join(&self) -> u64 {
        let mut inner = self.lock();
        inner.last_plugin += 1;
        inner.last_plugin
    }

    /// Makes a plugin the consumer of a queue, which is made if it is not there. What is in it stays.
    pub(crate) fn register(&self, vm_id: &str, name: &[u8], plugin: u64) -> Result<u32, Status> {
        let mut inner = self.lock();
        let key = (vm_id.to_owned(), name.to_vec());
        if let Some(token) = inner.tokens.get(&key).copied() {
            if let Some(queue) = inner.queues.get_mut(&token) {
                queue.consumer = plugin;
            }
            return Ok(token);
        }
        inner.reserve(name.len())?;
        inner.last_token = inner.last_token.checked_add(1).ok_or(Status::InternalFailure)?;
        let token = inner.last_token;
        inner.tokens.insert(key, token);
        inner.queues.insert(token, Queue { consumer: plugin, items: VecDeque::new(), untold: 0 });
        Ok(token)
    }

    /// The token of a queue that somebody registered.
    pub(crate) fn resolve(&self, vm_id: &str, name: &[u8]) -> Option<u32> {
        self.lock().tokens.get(&(vm_id.to_owned(), name.to_vec())).copied()
    }

    pub(crate) fn enqueue(&self, token: u32, item: Vec<u8>) -> Result<(), Status> {
        let mut inner = self.lock();
        if !inner.queues.contains_key(&token) {
            return Err(Status::NotFound);
        }
        inner.reserve(item.len())?;
        let queue = inner.queues.get_mut(&token).ok_or(Status::NotFound)?;
        queue.items.push_back(item);
        queue.untold += 1;
        Ok(())
    }

    pub(crate) fn dequeue(&self, token: u32) -> Result<Vec<u8>, Status> {
        let mut inner = self.lock();
        let queue = inner.queues.get_mut(&token).ok_or(Status::NotFound)?;
        let item = queue.items.pop_front().ok_or(Status::Empty)?;
        inner.bytes = inner.bytes.saturating_sub(ITEM_BYTES + item.len());
        Ok(item)
    }

    /// A queue of which a plugin is to be told that something came in: once for each item, as in Envoy.
    pub(crate) fn take_ready(&self, plugin: u64) -> Option<u32> {
        let mut inner = self.lock();
        let (token, queue) =
            inner.queues.iter_mut().find(|(_, queue)| queue.consumer == plugin && queue.untold > 0)?;
        queue.untold -= 1;
        Some(*token)
    }

    /// Forgets the queues of an id, when its last VM goes.
    pub(crate) fn forget(&self, vm_id: &str) {
        let mut inner = self.lock();
        let first = (vm_id.to_owned(), Vec::new());
        let of_id = inner.tokens.range(first..).take_while(|((id, _), _)| id == vm_id);
        let keys: Vec<(String, Vec<u8>)> = of_id.map(|(key, _)| key.clone()).collect();
        for key in keys {
            let Some(token) = inner.tokens.remove(&key) else { continue };
            let Some(queue) = inner.queues.remove(&token) else { continue };
            let items: usize = queue.items.iter().map(|item| ITEM_BYTES + item.len()).sum();
            inner.bytes = inner.bytes.saturating_sub(ITEM_BYTES + key.1.len() + items);
        }
    }

    /// No code that holds the lock can panic half way, so a poisoned lock still guards whole data.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an item or a name is counted as besides its bytes, so that empty ones are bounded, too.
const ITEM_BYTES: usize = 32;

impl Inner {
    fn reserve(&mut self, bytes: usize) -> Result<(), Status> {
        let bytes = self.bytes.saturating_add(ITEM_BYTES + bytes);
        if bytes > SHARED_QUEUES_BYTES_MAX {
            return Err(Status::InternalFailure);
        }
        self.bytes = bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_who_registered_is_told_once_for_each_item() {
        let queues = SharedQueues::default();
        let (first, second) = (queues.join(), queues.join());
        let token = queues.register("vm", b"q", first).unwrap_or(0);
        assert_eq!(queues.register("vm", b"q", second), Ok(token));
        assert_eq!(queues.resolve("vm", b"q"), Some(token));
        assert_eq!(queues.resolve("other", b"q"), None);
        assert_eq!(queues.enqueue(token, b"1".to_vec()), Ok(()));
        assert_eq!(queues.enqueue(token, b"2".to_vec()), Ok(()));
        assert_eq!(queues.take_ready(first), None);
        assert_eq!([(); 3].map(|()| queues.take_ready(second)), [Some(token), Some(token), None]);
        assert_eq!(queues.dequeue(token), Ok(b"1".to_vec()));
        assert_eq!(queues.dequeue(token), Ok(b"2".to_vec()));
        assert_eq!(queues.dequeue(token), Err(Status::Empty));
        assert_eq!(queues.enqueue(token + 1, Vec::new()), Err(Status::NotFound));
    }

    #[test]
    fn queues_go_with_their_id_and_give_their_room_back() {
        let queues = SharedQueues::default();
        let token = queues.register("vm", b"q", 1).unwrap_or(0);
        assert_eq!(queues.enqueue(token, b"item".to_vec()), Ok(()));
        queues.forget("vm");
        assert_eq!(queues.resolve("vm", b"q"), None);
        assert_eq!(queues.dequeue(token), Err(Status::NotFound));
        assert_eq!(queues.lock().bytes, 0);
    }
}
