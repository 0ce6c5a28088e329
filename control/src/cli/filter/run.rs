//! `chancery filter run`: runs a module on a request in the wasmtime host, and shows what it does.
//!
//! What runs is the module with its bounds, as in a sidecar. The service's answer is stated, too; it is not asked for
//! where the module answers itself or holds the request.

use super::module_file;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::output::OutputArguments;
use crate::cli::terminal;
use crate::policies::filters::dry_run;
use chancery_sdk_admission::{Finding, Terms, admit};
use chancery_sdk_host::abi::{Action, Function, LogLevel, MapType, guest_exports as export};
use chancery_sdk_host::{
    HeaderMap, HostError, LocalResponse, LogLine, Outcome, Plugin, PluginConfiguration, Properties, Stream,
};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Arguments of `chancery filter run`.
#[derive(Args, Debug)]
#[command(
    after_help = "Each callback is a line: what the module did, and how much of its budget the host counted.\n\
    The exit code is 1 if a callback fails, and 2 if the module is refused.\n\n\
    Examples:\n  chancery filter run my.wasm --request 'GET /x' --header 'a: b' --config c.json\n  \
    chancery filter run my.wasm --request 'POST /x' --body body.json --status 404 -o json"
)]
pub(super) struct Arguments {
    /// The module
    #[arg(value_name = "MODULE")]
    module: PathBuf,
    /// The request: METHOD PATH
    #[arg(long, value_name = "REQUEST", default_value = "GET /", value_parser = request_line)]
    request: RequestLine,
    /// A header of the request, as `name: value`; may be repeated
    #[arg(long, value_name = "HEADER", value_parser = header)]
    header: Vec<Header>,
    /// The body of the request
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// What the module is configured with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The status of the service's answer
    #[arg(long, value_name = "STATUS", default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..600))]
    status: u16,
    /// A header of the service's answer, as `name: value`; may be repeated
    #[arg(long, value_name = "HEADER", value_parser = header)]
    answer_header: Vec<Header>,
    /// The body of the service's answer
    #[arg(long, value_name = "FILE")]
    answer_body: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Clone, Debug)]
struct RequestLine {
    method: String,
    path: String,
}

#[derive(Clone, Debug)]
struct Header {
    name: String,
    value: String,
}

fn request_line(text: &str) -> Result<RequestLine, String> {
    match text.split_once(' ') {
        Some((method, path)) if !method.is_empty() && path.starts_with('/') && !path.contains(' ') => {
            Ok(RequestLine { method: method.to_owned(), path: path.to_owned() })
        }
        _ => Err("write METHOD PATH, as in `GET /x`".to_owned()),
    }
}

fn header(text: &str) -> Result<Header, String> {
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() && !name.contains(' ') => {
            Ok(Header { name: name.to_owned(), value: value.trim().to_owned() })
        }
        _ => Err("write `name: value`".to_owned()),
    }
}

/// What the module did.
#[derive(Debug, Default, Serialize)]
struct Report {
    callbacks: Vec<Callback>,
    /// The answer that the module gave in the place of the service.
    answer: Option<Answer>,
    request_headers: Vec<(String, String)>,
    request_body: Option<String>,
    response_headers: Vec<(String, String)>,
    response_body: Option<String>,
    log: Vec<Line>,
    metrics: Vec<(String, u64)>,
    /// What failed.
    failure: Option<String>,
}

/// A callback that ran.
#[derive(Debug, Serialize)]
struct Callback {
    name: &'static str,
    /// `continue`, `pause` or `answer`.
    outcome: &'static str,
    /// What the host counted.
    instructions: u64,
}

#[derive(Debug, Serialize)]
struct Answer {
    status: u32,
    details: String,
    headers: Vec<(String, String)>,
    body: String,
}

#[derive(Debug, Serialize)]
struct Line {
    level: &'static str,
    message: String,
}

/// Runs the module and prints what it did.
///
/// # Errors
/// Bad input if a file cannot be read or the module is refused; failed if a callback fails.
pub(super) fn run(arguments: &Arguments) -> CommandResult {
    let bytes = module_file::read_module(&arguments.module)?;
    let exchange = Exchange::read(arguments)?;
    let terms = Terms::default();
    let admission = admit(&bytes, &terms);
    let Some(module) = admission.module else {
        terminal::print_error(module_file::shown(&admission.findings).trim_end());
        return Err(Failure::silent(Exit::BadInput));
    };
    say_warnings(&admission.findings);
    let failed = |error: HostError| Failure::failed(error.to_string());
    let host = dry_run::host(&terms).map_err(failed)?;
    let loaded = host.load(&module.bytes).map_err(failed)?;
    let mut report = Report::default();
    match loaded.start(exchange.configuration()) {
        Ok(mut plugin) => {
            let mut run = Run { plugin: &mut plugin, report: &mut report, exported: &module.allowed };
            if let Err(error) = exchange.run(&mut run) {
                report.failure = Some(error.to_string());
            }
            report.log.extend(plugin.take_log().into_iter().map(Line::from));
            report.metrics =
                plugin.metrics().iter().map(|(_, name, value)| (name.to_owned(), value)).collect();
        }
        Err(error @ HostError::Refused { .. }) if arguments.config.is_none() => {
            return Err(Failure::failed(error.to_string()).help("give it one: `--config FILE`"));
        }
        Err(error) => report.failure = Some(error.to_string()),
    }
    terminal::print_words(&arguments.output.render(&report, text)?)?;
    match report.failure {
        Some(failure) => Err(Failure::failed(failure)),
        None => Ok(Exit::Well),
    }
}

fn say_warnings(findings: &[Finding]) {
    if !findings.is_empty() {
        terminal::print_error(module_file::shown(findings).trim_end());
    }
}

/// A request and the service's answer.
struct Exchange {
    request: HeaderMap,
    body: Option<Vec<u8>>,
    response: HeaderMap,
    answer_body: Option<Vec<u8>>,
    configuration: Vec<u8>,
}

impl Exchange {
    fn read(arguments: &Arguments) -> Result<Self, Failure> {
        let read = |path: &Option<PathBuf>| path.as_deref().map(module_file::read_text).transpose();
        let mut request = HeaderMap::new();
        request.add(b":method", arguments.request.method.as_str());
        request.add(b":path", arguments.request.path.as_str());
        request.add(b":scheme", "http");
        let has_host =
            |header: &&Header| ["host", ":authority"].contains(&header.name.to_ascii_lowercase().as_str());
        let host = arguments.header.iter().find(has_host).map_or("localhost", |header| header.value.as_str());
        request.add(b":authority", host);
        for header in arguments.header.iter().filter(|header| !has_host(header)) {
            request.add(header.name.as_bytes(), header.value.as_str());
        }
        let mut response = HeaderMap::new();
        response.add(b":status", arguments.status.to_string());
        for header in &arguments.answer_header {
            response.add(header.name.as_bytes(), header.value.as_str());
        }
        Ok(Self {
            request,
            body: read(&arguments.body)?,
            response,
            answer_body: read(&arguments.answer_body)?,
            configuration: read(&arguments.config)?.unwrap_or_default(),
        })
    }

    /// All lines of the log are shown, and the time is now.
    fn configuration(&self) -> PluginConfiguration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        PluginConfiguration {
            configuration: self.configuration.clone(),
            log_level: LogLevel::Trace,
            time_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            ..PluginConfiguration::default()
        }
    }

    fn run(&self, run: &mut Run<'_>) -> Result<(), HostError> {
        let context = run.plugin.open(Properties::new())?.context();
        let goes_on = self.request(run, context)?;
        if goes_on && self.response(run, context)? {
            run.report.response_body = run.plugin.stream(context)?.response_body().map(lossy);
        }
        let stream = run.plugin.stream(context)?;
        run.report.request_body = stream.request_body().map(lossy);
        run.report.request_headers =
            stream.header_map(MapType::RequestHeaders).map(pairs).unwrap_or_default();
        run.report.response_headers =
            stream.header_map(MapType::ResponseHeaders).map(pairs).unwrap_or_default();
        stream.close()?;
        Ok(())
    }

    fn request(&self, run: &mut Run<'_>, context: u32) -> Result<bool, HostError> {
        let headers = self.request.clone();
        let ends = self.body.is_none();
        let goes_on =
            run.step(context, export::ON_REQUEST_HEADERS, |stream| stream.on_request_headers(headers, ends))?;
        match self.body.clone().filter(|_| goes_on) {
            Some(body) => {
                run.step(context, export::ON_REQUEST_BODY, |stream| stream.on_request_body(body, true))
            }
            None => Ok(goes_on),
        }
    }

    fn response(&self, run: &mut Run<'_>, context: u32) -> Result<bool, HostError> {
        let headers = self.response.clone();
        let ends = self.answer_body.is_none();
        let goes_on = run
            .step(context, export::ON_RESPONSE_HEADERS, |stream| stream.on_response_headers(headers, ends))?;
        match self.answer_body.clone().filter(|_| goes_on) {
            Some(body) => {
                run.step(context, export::ON_RESPONSE_BODY, |stream| stream.on_response_body(body, true))
            }
            None => Ok(goes_on),
        }
    }
}

/// A module at work, and what it did so far.
struct Run<'a> {
    plugin: &'a mut Plugin,
    report: &'a mut Report,
    /// The callbacks that the module has.
    exported: &'a BTreeSet<String>,
}

impl Run<'_> {
    /// Makes one callback and notes what came of it; gives whether the exchange goes on.
    fn step(
        &mut self,
        context: u32,
        callback: Function,
        call: impl FnOnce(&mut Stream<'_>) -> Result<Outcome, HostError>,
    ) -> Result<bool, HostError> {
        let outcome = call(&mut self.plugin.stream(context)?);
        self.report.log.extend(self.plugin.take_log().into_iter().map(Line::from));
        let outcome = outcome?;
        let goes_on = outcome.action == Action::Continue;
        let word = match (&outcome.local_response, goes_on) {
            (Some(_), _) => "answer",
            (None, true) => "continue",
            (None, false) => "pause",
        };
        if self.exported.contains(callback.name) {
            let instructions = self.plugin.fuel_used();
            self.report.callbacks.push(Callback { name: callback.name, outcome: word, instructions });
        }
        self.report.answer = outcome.local_response.as_ref().map(Answer::from);
        Ok(goes_on)
    }
}

/// The report for people.
fn text(report: &Report) -> String {
    let mut text = String::new();
    for line in &report.log {
        text.push_str(&format!("log {}: {}\n", line.level, line.message));
    }
    for Callback { name, outcome, instructions } in &report.callbacks {
        text.push_str(&format!("{name}: {outcome} ({instructions} instructions)\n"));
    }
    text.push_str(&section("request headers", &report.request_headers));
    text.extend(report.request_body.as_ref().map(|body| format!("request body: {body}\n")));
    if let Some(answer) = &report.answer {
        text.push_str(&format!("answer {} ({})\n", answer.status, answer.details));
        answer.headers.iter().for_each(|(name, value)| text.push_str(&format!("  {name}: {value}\n")));
        text.push_str(&format!("  {}\n", answer.body));
    }
    text.push_str(&section("response headers", &report.response_headers));
    text.extend(report.response_body.as_ref().map(|body| format!("response body: {body}\n")));
    for (name, value) in &report.metrics {
        text.push_str(&format!("metric {name}: {value}\n"));
    }
    text
}

fn section(title: &str, headers: &[(String, String)]) -> String {
    if headers.is_empty() {
        return String::new();
    }
    let lines: String = headers.iter().map(|(name, value)| format!("  {name}: {value}\n")).collect();
    format!("{title}\n{lines}")
}

fn pairs(map: &HeaderMap) -> Vec<(String, String)> {
    map.entries().iter().map(|(name, value)| (lossy(name), lossy(value))).collect()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl From<LogLine> for Line {
    fn from(line: LogLine) -> Self {
        let level = match line.level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
            LogLevel::Critical => "critical",
        };
        Self { level, message: line.message }
    }
}

impl From<&LocalResponse> for Answer {
    fn from(answer: &LocalResponse) -> Self {
        Self {
            status: answer.status,
            details: lossy(&answer.details),
            headers: pairs(&answer.headers),
            body: lossy(&answer.body),
        }
    }
}
