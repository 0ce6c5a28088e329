//! The filter `my-filter`: connections whose first bytes are not those of TLS are closed, and counted.

use chancery_sdk::{Body, ConfigError, Counter, Host, NoConfig, Proxy, TcpFilter, TcpNext};

/// How a record of a TLS handshake begins: its type, and the major version.
const HANDSHAKE: [u8; 2] = [0x16, 0x03];

/// The filter: one in each worker of a proxy.
#[derive(Debug)]
pub struct MyFilter {
    closed: Counter,
}

impl<H: Host> TcpFilter<H> for MyFilter {
    type Config = NoConfig;
    /// Whether the beginning was looked at already.
    type State = bool;

    fn configure(_config: NoConfig, proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        Ok(Self { closed: proxy.counter("my-filter.closed") })
    }

    fn client_sent(&self, is_known: &mut bool, bytes: Body<'_, H>) -> TcpNext {
        if *is_known {
            return TcpNext::Continue;
        }
        let begin = bytes.read_part(0, HANDSHAKE.len());
        if !HANDSHAKE.starts_with(&begin) {
            bytes.count(self.closed, 1);
            return TcpNext::Close;
        }
        *is_known = begin.len() == HANDSHAKE.len();
        if *is_known { TcpNext::Continue } else { TcpNext::More }
    }
}

chancery_sdk::tcp_filter!(MyFilter);
