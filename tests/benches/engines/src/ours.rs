//! Our module, in two hosts: `sdk/host`, and the barest one that still serves it.

use crate::Engine;
use crate::workload::{Path, Request, Rule, Test, Workload};
use anyhow::{Context as _, Result, bail};
use chancery_policy_lang::check::CheckOptions;
use chancery_policy_lang::checked::Direction;
use chancery_policy_lang::emit::{ModuleOptions, compile_with};
use chancery_policy_lang::link::link;
use chancery_policy_lang::linked::Workload as Target;
use chancery_policy_lang::{SourceSet, analyse};
use chancery_sdk_abi::{guest_exports, host_calls, pairs};
use chancery_sdk_host::{HeaderMap, Host, Limits, Plugin, PluginConfiguration, Properties, PropertyValue};
use std::collections::HashMap;
use std::fmt::Write as _;
use wasmtime::{Caller, Config, Linker, Memory, Module, Store, TypedFunc};

const TRUST_DOMAIN: &str = "chancery.local";
const URI_SAN: [&str; 2] = ["connection", "uri_san_peer_certificate"];

/// The policy as it is written.
#[must_use]
pub fn text(workload: &Workload) -> String {
    let mut text = String::from("auth bench on service shop/orders {\n");
    for (number, rule) in workload.rules.iter().enumerate() {
        let _infallible = writeln!(text, "  r{number}: {}", line(rule));
    }
    text + "}\n"
}

fn line(rule: &Rule) -> String {
    let path = match &rule.path {
        Path::Exact(path) => path.clone(),
        Path::Below(path) => format!("{path}/**"),
    };
    let caller = rule.caller.as_ref().map_or(String::new(), |caller| format!(" from service {caller}"));
    let tests: Vec<String> = rule
        .tests
        .iter()
        .map(|test| match test {
            Test::Is(name, value) => format!("headers[{name:?}] == {value:?}"),
            Test::IsNot(name, value) => format!("headers[{name:?}] != {value:?}"),
            Test::Begins(name, value) => format!("headers[{name:?}].startsWith({value:?})"),
        })
        .collect();
    let (effect, word) = if rule.denies { ("deny", "unless") } else { ("allow", "when") };
    let tests = if tests.is_empty() { String::new() } else { format!(" {word} {}", tests.join(" && ")) };
    format!("{effect} {} {path}{caller}{tests}", rule.methods.join(", "))
}

fn module(workload: &Workload, options: ModuleOptions) -> Result<Vec<u8>> {
    let mut sources = SourceSet::new();
    sources.add("bench.writ", text(workload));
    let analysis = analyse(&sources, CheckOptions::default());
    if let Some(error) = analysis.diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
        bail!("{}: {}", error.code.0, error.message);
    }
    let target = Target {
        namespace: "shop".to_owned(),
        service: "orders".to_owned(),
        labels: Default::default(),
        trust_domain: TRUST_DOMAIN.to_owned(),
    };
    let program = link(&analysis.policies, &target, Direction::Inbound)
        .ok()
        .flatten()
        .context("the policy does not link")?;
    Ok(compile_with(&program, options)?.bytes.to_vec())
}

fn headers(request: &Request) -> Vec<(String, String)> {
    let pseudo = [
        (":authority", "orders.shop.example"),
        (":path", &request.path),
        (":method", request.method),
        (":scheme", "https"),
    ];
    let pseudo = pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    pseudo.chain(request.headers.iter().cloned()).collect()
}

fn principal(request: &Request) -> Vec<u8> {
    let (namespace, service) = request.caller.split_once('/').unwrap_or_default();
    format!("spiffe://{TRUST_DOMAIN}/ns/{namespace}/sa/{service}").into_bytes()
}

/// The module in the host that the tools use: with fuel, limits and a fresh stream a request.
pub struct InHost {
    plugin: Plugin,
    requests: Vec<(HeaderMap, Properties)>,
}

impl InHost {
    /// Compiles and starts the policy.
    ///
    /// # Errors
    /// When it is refused or does not start.
    pub fn new(workload: &Workload) -> Result<Self> {
        let host = Host::new(Limits::default())?;
        let plugin =
            host.load(&module(workload, ModuleOptions::default())?)?.start(PluginConfiguration::default())?;
        let requests = workload.requests.iter().map(|request| {
            let mut properties = Properties::new();
            properties.set(&URI_SAN, PropertyValue::Bytes(principal(request)));
            let headers = headers(request);
            (headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect(), properties)
        });
        Ok(Self { plugin, requests: requests.collect() })
    }
}

impl Engine for InHost {
    fn name(&self) -> &'static str {
        "ours in sdk/host"
    }

    fn decide(&mut self, request: usize) -> Result<bool> {
        let (headers, properties) = self.requests.get(request).context("a request")?;
        let mut stream = self.plugin.open(properties.clone())?;
        let outcome = stream.on_request_headers(headers.clone(), true)?;
        stream.close()?;
        Ok(outcome.local_response.is_none())
    }
}

/// The module in a host that only copies: headers and properties lie ready in their wire form, counters are
/// counted, and what the module says is taken. No fuel, no limits, no streams.
pub struct Bare {
    name: &'static str,
    store: Store<Served>,
    on_request_headers: TypedFunc<(i32, i32, i32), i32>,
}

/// What the bare host serves and takes.
#[derive(Default)]
struct Served {
    memory: Option<Memory>,
    malloc: Option<TypedFunc<i32, i32>>,
    requests: Vec<ReadyRequest>,
    current: usize,
    metrics: HashMap<Vec<u8>, i32>,
    counts: Vec<u64>,
    rule: Vec<u8>,
    status: Option<i32>,
}

struct ReadyRequest {
    pairs: Vec<u8>,
    principal: Vec<u8>,
}

impl Bare {
    /// Compiles and starts the policy; `says_rule` is whether it leaves the rule in filter state, for access logs,
    /// and does not only decide.
    ///
    /// # Errors
    /// When it is refused or does not start.
    pub fn new(workload: &Workload, says_rule: bool) -> Result<Self> {
        let requests = workload.requests.iter().map(|request| {
            let pairs = pairs::encode(&headers(request))?;
            Ok(ReadyRequest { pairs, principal: principal(request) })
        });
        let served = Served { requests: requests.collect::<Result<_>>()?, ..Served::default() };
        let module = module(workload, ModuleOptions { rule_in_filter_state: says_rule, ..ModuleOptions::default() })?;
        let name = if says_rule { "ours, saying the rule" } else { "ours" };
        Self::start(name, &module, served).map_err(of_wasmtime)
    }

    fn start(name: &'static str, module: &[u8], served: Served) -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::new(&Config::new())?;
        let module = Module::new(&engine, module)?;
        let mut linker = Linker::new(&engine);
        let env = chancery_sdk_abi::ENV_MODULE;
        linker.func_wrap(env, host_calls::GET_HEADER_MAP_PAIRS.name, get_pairs)?;
        linker.func_wrap(env, host_calls::GET_PROPERTY.name, get_property)?;
        linker.func_wrap(env, host_calls::SET_PROPERTY.name, set_property)?;
        linker.func_wrap(env, host_calls::DEFINE_METRIC.name, define_metric)?;
        linker.func_wrap(env, host_calls::INCREMENT_METRIC.name, increment_metric)?;
        linker.func_wrap(env, host_calls::SEND_LOCAL_RESPONSE.name, send_local_response)?;
        let mut store = Store::new(&engine, served);
        let instance = linker.instantiate(&mut store, &module)?;
        let malloc = instance.get_typed_func(&mut store, guest_exports::MALLOC.name)?;
        let on_request_headers =
            instance.get_typed_func(&mut store, guest_exports::ON_REQUEST_HEADERS.name)?;
        let memory = instance.get_memory(&mut store, chancery_sdk_abi::MEMORY);
        store.data_mut().memory = memory;
        store.data_mut().malloc = Some(malloc);
        Ok(Self { name, store, on_request_headers })
    }
}

fn of_wasmtime(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:?}")
}

impl Engine for Bare {
    fn name(&self) -> &'static str {
        self.name
    }

    fn decide(&mut self, request: usize) -> Result<bool> {
        let served = self.store.data_mut();
        served.current = request;
        served.status = None;
        self.on_request_headers.call(&mut self.store, (2, 0, 1)).map_err(of_wasmtime)?;
        Ok(self.store.data().status.is_none())
    }
}

const OK: i32 = 0;
const NOT_FOUND: i32 = 1;

fn get_pairs(mut caller: Caller<'_, Served>, _map: i32, to: i32, length_to: i32) -> wasmtime::Result<i32> {
    let length = caller.data().requests.get(caller.data().current).map_or(0, |request| request.pairs.len());
    give(&mut caller, length, to, length_to, |request| &request.pairs)
}

/// Only the caller's certificate is a property of these policies.
fn get_property(
    mut caller: Caller<'_, Served>,
    path: i32,
    path_length: i32,
    to: i32,
    length_to: i32,
) -> wasmtime::Result<i32> {
    let memory = memory(&caller)?;
    if text_of(memory.data(&caller), path, path_length) != b"connection\0uri_san_peer_certificate" {
        return Ok(NOT_FOUND);
    }
    let length =
        caller.data().requests.get(caller.data().current).map_or(0, |request| request.principal.len());
    give(&mut caller, length, to, length_to, |request| &request.principal)
}

/// Copies a text of the request into memory that the module gives.
fn give(
    caller: &mut Caller<'_, Served>,
    length: usize,
    to: i32,
    length_to: i32,
    find: impl Fn(&ReadyRequest) -> &[u8],
) -> wasmtime::Result<i32> {
    // Taken for the call: to clone a function costs more than to call it.
    let malloc = caller.data_mut().malloc.take().ok_or_else(|| wasmtime::Error::msg("no allocator"))?;
    let at = malloc.call(&mut *caller, i32::try_from(length)?)?;
    caller.data_mut().malloc = Some(malloc);
    let (bytes, served) = memory(caller)?.data_and_store_mut(caller);
    let text = served.requests.get(served.current).map(find).unwrap_or_default();
    let mut put = |at: i32, text: &[u8]| {
        let start = at.cast_unsigned() as usize;
        bytes.get_mut(start..start + text.len()).map(|place| place.copy_from_slice(text))
    };
    put(at, text);
    put(to, &at.to_le_bytes());
    put(length_to, &i32::try_from(length)?.to_le_bytes());
    Ok(OK)
}

fn set_property(
    mut caller: Caller<'_, Served>,
    _path: i32,
    _path_length: i32,
    value: i32,
    length: i32,
) -> wasmtime::Result<i32> {
    let (bytes, served) = memory(&caller)?.data_and_store_mut(&mut caller);
    served.rule.clear();
    served.rule.extend_from_slice(text_of(bytes, value, length));
    Ok(OK)
}

fn define_metric(
    mut caller: Caller<'_, Served>,
    _kind: i32,
    name: i32,
    length: i32,
    to: i32,
) -> wasmtime::Result<i32> {
    let (bytes, served) = memory(&caller)?.data_and_store_mut(&mut caller);
    let next = i32::try_from(served.counts.len())?;
    let id = *served.metrics.entry(text_of(bytes, name, length).to_vec()).or_insert(next);
    if id == next {
        served.counts.push(0);
    }
    let start = to.cast_unsigned() as usize;
    if let Some(place) = bytes.get_mut(start..start + 4) {
        place.copy_from_slice(&id.to_le_bytes());
    }
    Ok(OK)
}

fn increment_metric(mut caller: Caller<'_, Served>, id: i32, difference: i64) -> i32 {
    if let Some(count) = caller.data_mut().counts.get_mut(id.cast_unsigned() as usize) {
        *count = count.wrapping_add_signed(difference);
    }
    OK
}

#[expect(clippy::too_many_arguments, reason = "the call of proxy-wasm has so many")]
fn send_local_response(
    mut caller: Caller<'_, Served>,
    status: i32,
    _details: i32,
    _details_length: i32,
    _body: i32,
    _body_length: i32,
    _pairs: i32,
    _pairs_length: i32,
    _grpc_status: i32,
) -> i32 {
    caller.data_mut().status = Some(status);
    OK
}

fn memory(caller: &Caller<'_, Served>) -> wasmtime::Result<Memory> {
    caller.data().memory.ok_or_else(|| wasmtime::Error::msg("no memory"))
}

fn text_of(bytes: &[u8], at: i32, length: i32) -> &[u8] {
    let start = at.cast_unsigned() as usize;
    bytes.get(start..start + length.cast_unsigned() as usize).unwrap_or_default()
}
