//! Signals that tell a process to end: SIGTERM, SIGINT, and SIGHUP unless it was started with that ignored.

use crate::cli::exit::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Where Linux tells which signals a process ignores.
const STATUS_FILE: &str = "/proc/self/status";
/// The line of it, and in its number the bit of SIGHUP.
const IGNORED: &str = "SigIgn:";
const HANG_UP_BIT: u64 = 1;

/// The signals.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<Signal>,
}

/// Cancels `stop` when the process is told to end, and `hurry` when it is told so again.
///
/// # Errors
/// When the system does not let it.
pub(super) fn cancel_on_signal(stop: &CancellationToken, hurry: &CancellationToken) -> Result<(), Failure> {
    // `nohup` means that the end of the terminal is not the end of the process.
    let hang_up = if ignores_hang_up() { None } else { Some(signal(SignalKind::hangup())?) };
    let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut signals = Signals { terminate, interrupt, hang_up };
    let (stop, hurry) = (stop.clone(), hurry.clone());
    tokio::spawn(async move {
        signals.next().await;
        stop.cancel();
        signals.next().await;
        hurry.cancel();
    });
    Ok(())
}

impl Signals {
    async fn next(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hang_up => {}
        }
    }
}

fn ignores_hang_up() -> bool {
    std::fs::read_to_string(STATUS_FILE).is_ok_and(|status| is_hang_up_ignored(&status))
}

fn is_hang_up_ignored(status: &str) -> bool {
    let mut lines = status.lines();
    let number = lines.find_map(|line| line.strip_prefix(IGNORED));
    number.is_some_and(|number| {
        u64::from_str_radix(number.trim(), 16).is_ok_and(|ignored| ignored & HANG_UP_BIT != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_does_is_seen() {
        assert!(is_hang_up_ignored("Name:\tchancery\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"));
        assert!(!is_hang_up_ignored("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"));
        assert!(!is_hang_up_ignored("odd"));
    }
}
