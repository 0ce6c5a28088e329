//! Data that all VMs of one id share in a process, with compare-and-swap.

use crate::abi::Status;
use crate::limits::SHARED_DATA_BYTES_MAX;
use crate::shared_queues::SharedQueues;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared data of all VM ids of one host. Clones are handles to the same data.
#[derive(Clone, Debug, Default)]
pub struct SharedData {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<(String, Vec<u8>), Entry>,
    bytes: usize,
    versions: u32,
    /// By id, how many VMs there are.
    vms: BTreeMap<String, usize>,
}

/// A VM's part in the data and the queues of its id. As in Envoy, they go with the last VM.
#[derive(Debug)]
pub(crate) struct Share {
    data: SharedData,
    queues: SharedQueues,
    vm_id: String,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    version: u32,
}

impl SharedData {
    /// The value of a key, and its version.
    #[must_use]
    pub fn get(&self, vm_id: &str, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        let inner = self.lock();
        let entry = inner.entries.get(&(vm_id.to_owned(), key.to_vec()))?;
        Some((entry.value.clone(), entry.version))
    }

    /// Sets the value of a key. If `version` is not 0 and the key is there with another version,
    /// nothing happens and the answer is [`Status::CasMismatch`]; a key that is not there is
    /// created whatever the version, as in Envoy.
    pub fn set(&self, vm_id: &str, key: &[u8], value: Vec<u8>, version: u32) -> Result<(), Status> {
        let mut inner = self.lock();
        let full_key = (vm_id.to_owned(), key.to_vec());
        let old = inner.entries.get(&full_key);
        if version != 0 && old.is_some_and(|entry| entry.version != version) {
            return Err(Status::CasMismatch);
        }
        let freed = old.map_or(0, |entry| key.len() + entry.value.len());
        let bytes = inner.bytes - freed + key.len() + value.len();
        if bytes > SHARED_DATA_BYTES_MAX {
            return Err(Status::InternalFailure);
        }
        inner.bytes = bytes;
        inner.versions = inner.versions.checked_add(1).unwrap_or(1);
        let version = inner.versions;
        inner.entries.insert(full_key, Entry { value, version });
        Ok(())
    }

    /// Lets a VM take part in the data and the queues of an id, until what is given is dropped.
    pub(crate) fn share(&self, queues: &SharedQueues, vm_id: &str) -> Share {
        *self.lock().vms.entry(vm_id.to_owned()).or_default() += 1;
        Share { data: self.clone(), queues: queues.clone(), vm_id: vm_id.to_owned() }
    }

    /// No code that holds the lock can panic half way, so a poisoned lock still guards whole data.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut inner = self.data.lock();
        let left = inner.vms.get(&self.vm_id).map_or(0, |count| count - 1);
        if left > 0 {
            inner.vms.insert(self.vm_id.clone(), left);
            return;
        }
        inner.vms.remove(&self.vm_id);
        self.queues.forget(&self.vm_id);
        let first = (self.vm_id.clone(), Vec::new());
        let of_id = inner.entries.range(first..).take_while(|((vm_id, _), _)| *vm_id == self.vm_id);
        let keys: Vec<(String, Vec<u8>)> = of_id.map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(entry) = inner.entries.remove(&key) {
                inner.bytes -= key.1.len() + entry.value.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_with_the_last_vm_of_its_id() {
        let shared = SharedData::default();
        let queues = SharedQueues::default();
        let [first, second, other] = ["vm", "vm", "vm2"].map(|vm_id| shared.share(&queues, vm_id));
        assert_eq!(shared.set("vm", b"k", b"1".to_vec(), 0), Ok(()));
        assert_eq!(shared.set("vm2", b"k", b"2".to_vec(), 0), Ok(()));
        drop(first);
        assert!(shared.get("vm", b"k").is_some());
        drop(second);
        assert_eq!(shared.get("vm", b"k"), None);
        assert!(shared.get("vm2", b"k").is_some());
        drop(other);
        assert_eq!(shared.lock().bytes, 0);
    }

    #[test]
    fn an_outdated_version_changes_nothing() {
        let shared = SharedData::default();
        assert_eq!(shared.set("vm", b"k", b"1".to_vec(), 9), Ok(()));
        let version = shared.get("vm", b"k").map_or(0, |(_, version)| version);
        assert_eq!(shared.set("vm", b"k", b"2".to_vec(), version), Ok(()));
        assert_eq!(shared.set("vm", b"k", b"3".to_vec(), version), Err(Status::CasMismatch));
        assert_eq!(shared.get("vm", b"k").map(|(value, _)| value), Some(b"2".to_vec()));
        assert_eq!(shared.get("other", b"k"), None);
    }

    #[test]
    fn the_bytes_of_all_values_are_limited() {
        let shared = SharedData::default();
        assert_eq!(shared.set("vm", b"", vec![0; SHARED_DATA_BYTES_MAX], 0), Ok(()));
        assert_eq!(shared.set("vm", b"k", Vec::new(), 0), Err(Status::InternalFailure));
        assert_eq!(shared.set("vm", b"", Vec::new(), 0), Ok(()));
        assert_eq!(shared.set("vm", b"k", Vec::new(), 0), Ok(()));
    }
}
