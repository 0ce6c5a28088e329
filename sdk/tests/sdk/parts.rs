//! Configuration, metrics, shared data, attributes, ticks, and the end of a stream.

use chancery_sdk::testing::{Plugin, Reply};
use chancery_sdk::{
    Call, CallAnswer, ConfigError, Counter, Ended, Gauge, Headers, Histogram, Host, HttpFilter, Level, Next,
    Proxy,
};
use std::time::Duration;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    seconds: u64,
}

/// Numbers all requests of all workers, and fetches something every few seconds.
struct Numbering {
    requests: Counter,
    last: Gauge,
    paths: Histogram,
}

impl<H: Host> HttpFilter<H> for Numbering {
    type Config = Config;
    type State = u64;

    fn configure(config: Config, proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        if config.seconds == 0 {
            return Err(ConfigError::at("seconds", "must be at least 1"));
        }
        proxy.set_tick_period(Duration::from_secs(config.seconds));
        Ok(Self {
            requests: proxy.counter("requests"),
            last: proxy.gauge("last"),
            paths: proxy.histogram("paths"),
        })
    }

    fn request_headers(&self, number: &mut u64, request: Headers<'_, H>) -> Next {
        let increase = |old: Option<&[u8]>| {
            let old = old.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
            *number = old + 1;
            Some(number.to_le_bytes().to_vec())
        };
        if request.update_shared("number", increase).is_err() {
            request.log(Level::Warn, format_args!("request {number} has no number of its own"));
        }
        let port = request.number_property(&["source", "port"]).unwrap_or_default();
        let from = request.text_property(&["source", "address"]).unwrap_or_default();
        request.log(
            Level::Info,
            format_args!("{number} from {from}, port {port}, at {}", request.unix_seconds()),
        );
        request.count(self.requests, 1);
        request.set_gauge(self.last, *number);
        request.record(self.paths, request.first(":path").unwrap_or_default().len() as u64);
        Next::Continue
    }

    fn finished(&self, number: &mut u64, ended: Ended<'_, H>) {
        let status = ended.response_headers().first(":status").unwrap_or_default().to_vec();
        let path = ended.request_headers().first(":path").unwrap_or_default().to_vec();
        let (path, status) = (path.escape_ascii(), status.escape_ascii());
        ended.log(Level::Info, format_args!("{number}: {path} gave {status}"));
    }

    fn tick(&self, proxy: Proxy<'_, H>) {
        let call = Call::new("keys", "GET", "keys.mesh", "/keys", Duration::from_secs(1));
        if let Err(error) = proxy.call(&call) {
            proxy.log(Level::Error, format_args!("{error}"));
        }
    }

    fn tick_called(&self, answer: CallAnswer<'_, H>) {
        answer.set_shared("keys", answer.body());
    }
}

fn start(text: &str) -> Result<Plugin<Numbering>, String> {
    Plugin::start(text).map_err(|error| error.to_string())
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_with_its_place() {
    assert_eq!(start(r#"{"seconds": 0}"#).unwrap_err(), "`seconds`: must be at least 1");
    assert_eq!(
        start(r#"{"seconds": "1"}"#).unwrap_err(),
        "`seconds`: invalid type: string \"1\", expected u64 at line 1 column 15"
    );
    assert_eq!(start("").unwrap_err(), "missing field `seconds` at line 1 column 2");
    assert!(start(r#"{"seconds": 1}"#).is_ok());
}

#[test]
fn workers_share_data_and_have_metrics_of_their_own() {
    let first = start(r#"{"seconds": 1}"#).unwrap();
    let second = first.start_beside(r#"{"seconds": 1}"#).unwrap();
    for (worker, path) in [(&first, "/a"), (&second, "/long"), (&first, "/")] {
        worker.exchange().request(&[(":path", path)], "");
    }
    assert_eq!((first.metric("requests"), second.metric("requests")), (2, 1));
    assert_eq!((first.metric("last"), second.metric("last")), (3, 2));
    assert_eq!(first.recorded("paths"), [2, 1]);
}

#[test]
fn attributes_and_time_are_what_the_test_says() {
    let plugin = start(r#"{"seconds": 1}"#).unwrap();
    plugin.set_unix_seconds(1_800_000_000);
    plugin.set_property(&["source", "address"], "10.0.0.7:4711");
    plugin.set_property(&["source", "port"], 4711_i64.to_le_bytes());
    let mut exchange = plugin.exchange();
    exchange.request(&[(":path", "/x")], "");
    exchange.response(&[(":status", "204")], "");
    exchange.finish();
    let lines: Vec<String> = plugin.take_log().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["1 from 10.0.0.7:4711, port 4711, at 1800000000", "1: /x gave 204"]);
}

#[test]
fn a_plugin_is_ticked_and_can_call_by_itself() {
    let plugin = start(r#"{"seconds": 30}"#).unwrap();
    assert_eq!(plugin.tick_period(), Some(Duration::from_secs(30)));
    plugin.tick();
    let calls = plugin.calls();
    assert_eq!(calls[0].cluster, "keys");
    plugin.answer_tick_call(&calls[0], Some(Reply::new(200).body("k1")));
    plugin.forget_cluster("keys");
    plugin.tick();
    assert_eq!(plugin.take_log(), [(Level::Error, "the proxy has no cluster of this name".to_owned())]);
}
