//! A module in the wasmtime host, between a client and services that say what a case states.

use super::case::{CALLED, Case, Metrics, Module, Part, SERVICE, Seen};
use anyhow::{Context, Result};
use chancery_sdk_host::abi::{LogLevel, MetricType};
use chancery_sdk_host::{
    Call, Clusters, Exchange, HeaderMap, Host, HttpAnswer, LogLine, Message, PluginConfiguration, Properties,
    Proxy, Script, ScriptedAnswer,
};

/// The status of an answer that has no length either.
const NO_CONTENT: u16 = 204;

/// A module that was started, to run cases on.
#[derive(Debug)]
pub struct InHost {
    proxy: Proxy,
}

impl InHost {
    /// Starts a module.
    ///
    /// # Errors
    /// When it does not load or start.
    pub fn start(host: &Host, module: &Module) -> Result<Self> {
        let loaded = host.load(&module.bytes).with_context(|| format!("{} does not load", module.name))?;
        let clusters = [SERVICE, CALLED].map(str::to_owned).into();
        let mut plugin = loaded
            .start(PluginConfiguration {
                name: module.name.clone(),
                root_id: module.root_id.clone(),
                vm_id: module.name.clone(),
                configuration: module.configuration.clone().into_bytes(),
                clusters: Clusters::Only(clusters),
                log_level: LogLevel::Trace,
                time_ns: 1_700_000_000_000_000_000,
                ..PluginConfiguration::default()
            })
            .with_context(|| format!("{} does not start", module.name))?;
        plugin.take_log();
        Ok(Self { proxy: Proxy::new(plugin, Script::new()) })
    }

    /// Runs a case. Where a callback fails, what the client gets of it is seen.
    ///
    /// # Errors
    /// When the module failed before.
    pub fn run(&mut self, case: &Case) -> Result<Seen> {
        let headers = [(":status".to_owned(), "200".to_owned())];
        let length = [("content-length".to_owned(), case.called_body.len().to_string())];
        let answer = HttpAnswer {
            headers: headers.into_iter().chain(length).collect(),
            body: case.called_body.clone().into_bytes(),
            trailers: HeaderMap::new(),
        };
        let mut script = Script::new();
        script.add(CALLED, ScriptedAnswer { after_ms: 1, answer: Ok(answer) });
        self.proxy.set_script(script);
        let exchanged = self.proxy.exchange(exchange(case))?;
        let calls = exchanged.calls.iter().filter_map(|call| match call {
            Call::Http(call) => Some(part(&call.headers, &call.body, true)),
            _ => None,
        });
        let log = self.proxy.plugin().take_log();
        Ok(Seen {
            reply: exchanged.reply.map(|reply| part(&reply.headers, &reply.body(), false)),
            forwarded: exchanged.forwarded.map(|request| part(&request.headers, &request.body(), true)),
            called: calls.collect(),
            log: log.iter().map(shown).collect(),
        })
    }

    /// The module's metrics so far.
    pub fn metrics(&mut self) -> Metrics {
        let metrics = self.proxy.plugin().metrics();
        let numbers = metrics.iter().filter(|(of, _, value)| *of != MetricType::Histogram && *value > 0);
        numbers.map(|(_, name, value)| (name.to_owned(), value)).collect()
    }
}

/// A line as Envoy's log has it, of which only the first line of several is known to be a module's.
fn shown(line: &LogLine) -> String {
    let first = line.message.lines().next().unwrap_or_default();
    format!("{:?}: {first}", line.level).to_lowercase()
}

/// A case as a filter gets it: what the connection manager makes of a request is put before it.
fn exchange(case: &Case) -> Exchange {
    let (method, path) = case.request.split_once(' ').unwrap_or((&case.request, "/"));
    let mut request = HeaderMap::new();
    request.add(b":authority", "test.example");
    request.add(b":path", path);
    request.add(b":method", method);
    request.add(b":scheme", "http");
    add(&mut request, &case.request_headers, &case.request_body);
    request.add(b"x-forwarded-proto", "http");
    let mut response = HeaderMap::new();
    response.add(b":status", case.status.to_string());
    add(&mut response, &case.response_headers, &case.response_body);
    if case.response_body.is_empty() && case.status != NO_CONTENT {
        response.add(b"content-length", "0");
    }
    let message =
        |headers, pieces: &[String]| Message { headers, pieces: as_they_come(pieces), trailers: None };
    Exchange {
        properties: Properties::new(),
        request: message(request, &case.request_body),
        response: message(response, &case.response_body),
    }
}

/// Pieces, and behind them the end, which Envoy's HTTP/1.1 tells for itself.
fn as_they_come(pieces: &[String]) -> Vec<Vec<u8>> {
    let end = (!pieces.is_empty()).then(Vec::new);
    pieces.iter().map(|piece| piece.clone().into_bytes()).chain(end).collect()
}

fn add(map: &mut HeaderMap, headers: &[(String, String)], pieces: &[String]) {
    for (name, value) in headers {
        map.add(name.as_bytes(), value.as_str());
    }
    if !pieces.is_empty() {
        map.add(b"content-length", pieces.iter().map(String::len).sum::<usize>().to_string());
    }
}

/// A message as the other side sees it: `:authority` is `host` on the wire.
fn part(map: &HeaderMap, body: &[u8], is_request: bool) -> Part {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let first = |name: &[u8]| map.first(name).map(text).unwrap_or_default();
    let head =
        if is_request { format!("{} {}", first(b":method"), first(b":path")) } else { first(b":status") };
    let headers = map.entries().iter().filter_map(|(name, value)| match name.as_slice() {
        b":authority" => Some(("host".to_owned(), text(value))),
        name if name.starts_with(b":") => None,
        name => Some((text(name), text(value))),
    });
    Part::new(head, headers, body)
}
