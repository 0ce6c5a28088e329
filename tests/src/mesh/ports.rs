//! Ports that nobody else takes before the one they are meant for does.
//!
//! They lie below those that the kernel gives to outgoing connections: of these, one may be in use
//! by the time that an Envoy wants to listen there.

use anyhow::{Result, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Where the ports begin, and how many there are.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;
/// How far apart two test processes that run at once begin.
const STRIDE: u32 = 97;

static TAKEN: AtomicU16 = AtomicU16::new(0);

/// An address on loopback where nobody listens, different each time.
///
/// # Errors
/// When there is none.
pub fn free() -> Result<SocketAddr> {
    let begin = u16::try_from(std::process::id().wrapping_mul(STRIDE) % u32::from(COUNT))?;
    for _ in 0..COUNT {
        let offset = (u32::from(begin) + u32::from(TAKEN.fetch_add(1, Ordering::Relaxed))) % u32::from(COUNT);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + u16::try_from(offset)?));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free")
}
