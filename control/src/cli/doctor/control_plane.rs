//! The machine of a control plane.

use super::{Finding, machine};
use crate::cli::control_plane::Arguments;
use crate::policies::filters::signature::TrustedKeys;
use crate::server::{KEY_FILE, STORE_FILE};

/// So much room a disk should have, in bytes.
const ROOM_WANTED: u64 = 1024 * 1024 * 1024;

/// Looks at what a control plane with these options stands on.
pub(super) async fn look(options: &Arguments) -> Vec<Finding> {
    let data = &options.data_dir;
    let mut findings = vec![machine::private_folder("data", data)];
    let store = data.join(STORE_FILE);
    let is_new = !store.exists();
    // Whoever holds the lock of the store is a control plane.
    let lock = std::fs::File::open(data.join(format!("{STORE_FILE}.lock")));
    let runs =
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)));
    if is_new {
        findings.push(Finding::ok("store", "a new mesh will begin here"));
    } else {
        findings.push(machine::private_file("store", &store));
        let key = options.key_file.clone().unwrap_or_else(|| data.join(KEY_FILE));
        findings.push(machine::private_file("key", &key));
        findings.push(Finding::ok(
            "process",
            if runs { "a control plane runs here" } else { "no control plane runs here" },
        ));
    }
    findings.extend(room(options));
    findings.push(machine::port("port", options.listen, runs));
    if options.listen.ip().is_unspecified() && options.advertise.is_none() {
        findings.push(Finding::wrong(
            "advertise",
            format!("it would listen at {} and not say by which address others reach it", options.listen),
            "name a host with --advertise",
        ));
    } else if options.listen.ip().is_loopback() {
        findings.push(Finding::warning(
            "port",
            "only sidecars on this machine can reach it",
            "for others: --listen 0.0.0.0:5680 --advertise HOST",
        ));
    }
    if let Some(keys) = &options.filter_keys {
        findings.push(match TrustedKeys::read(keys) {
            Ok(_) => Finding::ok("filter keys", keys.display().to_string()),
            Err(error) => {
                Finding::wrong("filter keys", error.to_string(), "name a PEM file or a folder of *.pem")
            }
        });
    }
    findings.push(machine::open_files());
    findings.push(machine::envoy(None, options.require_envoy_validation).await);
    findings
}

/// Whether there is room on the disk.
fn room(options: &Arguments) -> Option<Finding> {
    let data = std::path::absolute(&options.data_dir).ok()?;
    let folder = data.ancestors().find(|folder| folder.is_dir())?;
    let disk = rustix::fs::statvfs(folder).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let seen = format!("{} MiB free at {}", free / (1024 * 1024), folder.display());
    Some(if free < ROOM_WANTED {
        Finding::warning("disk", seen, "without room nothing can be changed; what is in force goes on")
    } else {
        Finding::ok("disk", seen)
    })
}
