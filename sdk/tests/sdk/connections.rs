//! Filters of TCP connections.

use chancery_sdk::testing::{Connection, Plugin, Reply};
use chancery_sdk::{Body, Call, CallAnswer, ConfigError, Host, Level, NoConfig, Proxy, TcpFilter, TcpNext};
use std::time::Duration;

/// Lets a client in whose first line is known to a judge; hides what the server says after `-`.
struct Door;

#[derive(Default)]
struct State {
    is_open: bool,
}

impl<H: Host> TcpFilter<H> for Door {
    type Config = NoConfig;
    type State = State;

    fn configure(_config: NoConfig, _proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    fn client_sent(&self, state: &mut State, bytes: Body<'_, H>) -> TcpNext {
        if state.is_open {
            return TcpNext::Continue;
        }
        let read = bytes.read();
        let Some(end) = read.iter().position(|&byte| byte == b'\n') else { return TcpNext::More };
        let name = String::from_utf8_lossy(read.get(..end).unwrap_or_default()).into_owned();
        if name.is_empty() {
            return TcpNext::Wait;
        }
        let call = Call::new("judge", "GET", "judge.mesh", &name, Duration::from_secs(1));
        if bytes.call(&call).is_ok() { TcpNext::Wait } else { TcpNext::Close }
    }

    fn server_sent(&self, _state: &mut State, bytes: Body<'_, H>) -> TcpNext {
        match bytes.read().first() {
            Some(b'-') => bytes.replace(b"-hidden"),
            Some(b'?') => return TcpNext::Wait,
            _ => {}
        }
        TcpNext::Continue
    }

    fn called(&self, state: &mut State, answer: CallAnswer<'_, H>) -> TcpNext {
        state.is_open = answer.status() == Some(200);
        if state.is_open { TcpNext::Continue } else { TcpNext::Close }
    }

    fn finished(&self, state: &mut State, proxy: Proxy<'_, H>) {
        proxy.log(Level::Info, format_args!("open: {}", state.is_open));
    }
}

fn door() -> Plugin<Door> {
    Plugin::start_tcp("").unwrap()
}

/// A connection that waits for the judge.
fn waiting(plugin: &Plugin<Door>) -> Connection<'_, Door> {
    let mut connection = plugin.connection();
    assert!(!connection.client_sends("/an", false));
    assert!(!connection.client_sends("na\nhello", false));
    connection
}

#[test]
fn bytes_are_held_until_there_are_enough_and_until_a_call_is_answered() {
    let plugin = door();
    let mut connection = waiting(&plugin);
    assert!(!connection.client_sends(" again", false));
    assert_eq!(plugin.calls().len(), 1, "what comes while a connection waits is not shown");
    assert_eq!(connection.upstream(), b"");
    connection.answer_call(&plugin.calls()[0], Some(Reply::new(200)));
    assert_eq!(connection.upstream(), b"/anna\nhello again");
    assert!(connection.client_sends("!", true));
    assert_eq!(connection.upstream(), b"/anna\nhello again!");
    connection.finish();
    assert_eq!(plugin.take_log(), [(Level::Info, "open: true".to_owned())]);
}

#[test]
fn a_connection_that_is_refused_is_closed_and_nothing_went_on() {
    let plugin = door();
    let mut connection = waiting(&plugin);
    connection.answer_call(&plugin.calls()[0], None);
    assert!(connection.is_closed());
    assert!(!connection.client_sends("more", false));
    assert_eq!(connection.upstream(), b"");
}

#[test]
fn a_client_that_ends_too_early_is_closed() {
    let plugin = door();
    let mut connection = plugin.connection();
    assert!(!connection.client_sends("/an", true));
    assert!(connection.is_closed());
}

#[test]
fn bytes_of_the_server_can_be_replaced() {
    let plugin = door();
    let mut connection = plugin.connection();
    assert!(connection.server_sends("+ok", false));
    assert!(connection.server_sends("-secret", false));
    assert_eq!(connection.downstream(), b"+ok-hidden");
}

#[test]
fn waiting_for_nothing_is_a_mistake_that_closes() {
    let plugin = door();
    let mut client = plugin.connection();
    assert!(!client.client_sends("\n", false));
    let mut server = plugin.connection();
    assert!(!server.server_sends("?", false));
    assert!(client.is_closed() && server.is_closed());
    let lines: Vec<String> = plugin.take_log().into_iter().map(|(_, line)| line).collect();
    assert_eq!(
        lines,
        [
            "the filter waits, but has no call under way; the connection is closed",
            "the filter lets bytes of the server wait for a call; the connection is closed",
        ]
    );
}
