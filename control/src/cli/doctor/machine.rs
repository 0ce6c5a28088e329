//! What is looked at on any machine: clocks, files, ports, open files, Envoy.

use super::Finding;
use crate::server::api::client::clock_of;
use crate::sidecar::envoy_binary::Search;
use jiff::Timestamp;
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Clocks that differ by less are right.
const CLOCK_OK_SECONDS: i64 = 30;
/// A sidecar that is further behind does not join, for certificates are valid from so long before they are made.
const CLOCK_MAX_SECONDS: i64 = 5 * 60;
/// So many files a process should be able to open.
const FILES_WANTED: u64 = 32_768;

/// How the clock of this machine differs from that of a control plane.
pub(super) async fn clock(url: &str, root_pem: &str) -> Option<Finding> {
    let there = clock_of(url, root_pem).await?;
    let here = Timestamp::now();
    let behind = there.as_second() - here.as_second();
    let word = if behind > 0 { "behind" } else { "ahead of" };
    let seen = format!("{} s {word} that of the control plane", behind.abs());
    Some(if behind.abs() <= CLOCK_OK_SECONDS {
        Finding::ok("clock", "as that of the control plane")
    } else if behind.abs() <= CLOCK_MAX_SECONDS {
        Finding::warning("clock", seen, "set the one that is wrong, with NTP for good")
    } else {
        Finding::wrong(
            "clock",
            seen,
            "set the one that is wrong: certificates and tokens are good for a certain time",
        )
    })
}

/// Whether a file that only its owner should read is such.
pub(super) fn private_file(of: &'static str, path: &Path) -> Finding {
    let shown = path.display();
    match fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o077 == 0 => Finding::ok(of, format!("{shown}, readable by its owner alone")),
        Ok(mode) => Finding::warning(
            of,
            format!("others can read {shown} (mode {mode:o})"),
            format!("chmod 600 {shown}"),
        ),
        Err(error) => Finding::wrong(
            of,
            format!("{shown}: {error}"),
            "name a file that is there and that this user can read",
        ),
    }
}

/// Whether this user can keep private files in a folder.
pub(super) fn private_folder(of: &'static str, path: &Path) -> Finding {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return match nearest_folder(path) {
                Some(folder) if is_writable(&folder) => Finding::ok(of, format!("{shown} will be made")),
                _ => Finding::wrong(
                    of,
                    format!("{shown} is not there and cannot be made"),
                    "make it, owned by the user that runs this",
                ),
            };
        }
        Err(error) => {
            return Finding::wrong(
                of,
                format!("{shown}: {error}"),
                "name a folder that this user may look into",
            );
        }
    };
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.is_dir() {
        Finding::wrong(of, format!("{shown} is no folder"), "name a folder")
    } else if !is_writable(path) {
        let seen = format!("{shown} belongs to user {} and cannot be written", metadata.uid());
        Finding::wrong(of, seen, "run this as the user that owns it, or name another one")
    } else if mode & 0o022 != 0 {
        Finding::wrong(
            of,
            format!("others can write to {shown} (mode {mode:o})"),
            format!("chmod 700 {shown}"),
        )
    } else {
        Finding::ok(of, format!("{shown} (mode {mode:o})"))
    }
}

fn nearest_folder(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned)
}

fn is_writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

/// Whether something can listen at an address, or does because it is what is asked about.
pub(super) fn port(of: &'static str, address: SocketAddr, runs: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) if runs => {
            Finding::wrong(of, format!("nobody listens at {address}"), "look into the log of what should")
        }
        Ok(_) => Finding::ok(of, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let who = holder(address).map_or_else(
                || "another process".to_owned(),
                |(pid, name)| format!("process {pid} ({name})"),
            );
            let seen = format!("{address} is in use by {who}");
            if runs {
                Finding::ok(of, seen)
            } else {
                Finding::wrong(of, seen, "end that process, or name another port")
            }
        }
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => Finding::wrong(
            of,
            format!("{address} is no address of this machine"),
            "name one that is, or 0.0.0.0",
        ),
        Err(error) => Finding::wrong(
            of,
            format!("{address}: {error}"),
            "name another port, above 1023 unless it may have lower ones",
        ),
    }
}

/// Who listens at an address, as far as this user can see: the process and its name.
fn holder(address: SocketAddr) -> Option<(u32, String)> {
    let port = format!(":{:04X}", address.port());
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().find_map(|line| {
            let mut fields = line.split_whitespace();
            // The second field is the own address, the fourth the state, of which 0A is listening, the tenth the inode.
            let is_it = fields.nth(1)?.ends_with(&port) && fields.nth(1)? == "0A";
            is_it.then(|| fields.nth(5).map(str::to_owned)).flatten()
        })
    })?;
    let wanted = PathBuf::from(format!("socket:[{inode}]"));
    fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut open = fs::read_dir(process.path().join("fd")).ok()?.filter_map(Result::ok);
        open.any(|file| fs::read_link(file.path()).is_ok_and(|link| link == wanted)).then_some(())?;
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        Some((pid, name.trim().to_owned()))
    })
}

/// How many files a process may open.
pub(super) fn open_files() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    match limit {
        Some(limit) if limit < FILES_WANTED => Finding::warning(
            "open files",
            format!("a process may have {limit} open"),
            format!("allow {FILES_WANTED}: LimitNOFILE= of systemd, or ulimit -n"),
        ),
        Some(limit) => Finding::ok("open files", format!("a process may have {limit} open")),
        None => Finding::ok("open files", "a process may have any number open"),
    }
}

/// Which Envoy would run; none is got.
pub(super) async fn envoy(explicit: Option<PathBuf>, is_needed: bool) -> Finding {
    let found = tokio::task::spawn_blocking(move || Search::from_environment(explicit).find()).await;
    let missing = "chancery envoy install gets one; or name one with --envoy or CHANCERY_ENVOY";
    match found {
        Ok(Ok(Some(found))) => Finding::ok(
            "envoy",
            format!("{} at {} ({})", found.version, found.path.display(), found.origin.as_str()),
        ),
        Ok(Ok(None)) if is_needed => {
            Finding::warning("envoy", "there is none yet: the first start downloads it", missing)
        }
        Ok(Ok(None)) => Finding::ok("envoy", "there is none; on this machine none is needed"),
        Ok(Err(error)) => Finding::wrong("envoy", error.to_string(), missing),
        Err(error) => Finding::wrong("envoy", error.to_string(), missing),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_port_is_free_or_somebody_has_it() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let taken = port("port", address, false);
        assert_eq!(taken.state, State::Wrong);
        assert!(taken.seen.contains(&format!("in use by process {} (", std::process::id())), "{taken:?}");
        assert_eq!(port("port", address, true).state, State::Ok);
        drop(held);
        assert_eq!(port("port", address, false).state, State::Ok);
        assert_eq!(port("port", address, true).state, State::Wrong);
        assert!(
            port("port", "203.0.113.7:1".parse().unwrap(), false).seen.contains("no address of this machine")
        );
    }

    #[test]
    fn files_and_folders_are_their_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let file = folder.path().join("token");
        assert_eq!(private_file("token", &file).state, State::Wrong);
        fs::write(&file, "").unwrap();
        mode(&file, 0o644);
        assert_eq!(private_file("token", &file).state, State::Warning);
        mode(&file, 0o600);
        assert_eq!(private_file("token", &file).state, State::Ok);
        let data = folder.path().join("data");
        assert!(private_folder("data", &data).seen.ends_with("will be made"));
        assert_eq!(private_folder("data", &file).state, State::Wrong);
        fs::create_dir(&data).unwrap();
        mode(&data, 0o777);
        assert!(private_folder("data", &data).remedy.unwrap().starts_with("chmod 700"));
        mode(&data, 0o700);
        assert_eq!(private_folder("data", &data).state, State::Ok);
    }
}
