//! Requests and targets as people write them: in `given`, and for `explain` and `--on`.

use super::errors;
use super::errors::later;
use super::peer;
use super::rule::near_method;
use super::target::service_ref;
use crate::checked::{Peer, ServiceRef};
use crate::diagnostic::{Diagnostic, Findings};
use crate::eval::Response;
use crate::lex::literal;
use crate::linked::Workload;
use crate::parse;
use crate::request::received::HOP_HEADERS;
use crate::request::{Protocol, RawRequest, ServiceIdentity};
use crate::response::FLAGS;
use crate::source::{FileId, Span};
use crate::syntax::ast::{self, AstNode, PeerKind, TargetKind, WithKind};
use crate::syntax::{SyntaxKind, SyntaxToken, SyntaxTree};
use std::collections::BTreeMap;

/// The status of an application's answer if nothing is said of it.
const ANSWERED: u16 = 200;
/// The statuses that an application can answer with.
const STATUSES: std::ops::RangeInclusive<u16> = 200..=599;

/// The request that a text such as `GET /api/x from service shop/cart with header x-a = "1"` says, as a
/// client sends it: [`received`](crate::request::received) makes of it what a filter is shown.
/// Callers named by `service` are of this trust domain.
///
/// # Errors
/// What is wrong with the text.
pub fn request_of(file: FileId, text: &str, trust_domain: &str) -> Result<RawRequest, Vec<Diagnostic>> {
    let parsed = parse::parse_request(file, text);
    let mut diagnostics = Findings::default();
    diagnostics.extend(parsed.diagnostics.clone());
    let node = parsed.request();
    let answers =
        node.iter().flat_map(ast::Request::withs).filter(|with| with.kind() == Some(WithKind::Response));
    for with in answers {
        let message = "a request has no answer yet";
        let help = "leave it out: what is answered stands in `given` of a test";
        diagnostics.push(errors::request(parsed.tree.span(with.range()), message, help));
    }
    if let Some(called) = node.as_ref().and_then(ast::Request::called) {
        let message = "the target of the request is stated apart";
        let help = "leave out `to service`, and name the service with `--on`";
        diagnostics.push(errors::request(parsed.tree.span(called.range()), message, help));
    }
    let request = node.and_then(|node| check(&node, &parsed.tree, trust_domain, &mut diagnostics));
    complete(request, diagnostics)
}

/// The workload that a text such as `service shop/orders` says, with these labels.
///
/// # Errors
/// What is wrong with the text; only one service is a workload.
pub fn target_of(
    file: FileId,
    text: &str,
    labels: BTreeMap<String, String>,
    trust_domain: &str,
) -> Result<Workload, Vec<Diagnostic>> {
    let parsed = parse::parse_target(file, text);
    let mut diagnostics = Findings::default();
    diagnostics.extend(parsed.diagnostics.clone());
    let service = parsed.target().and_then(|node| one_service(&node, &parsed.tree, &mut diagnostics));
    let target = service.map(|service| Workload {
        namespace: service.namespace,
        service: service.name,
        labels,
        trust_domain: trust_domain.to_owned(),
    });
    complete(target, diagnostics)
}

fn complete<T>(value: Option<T>, diagnostics: Findings) -> Result<T, Vec<Diagnostic>> {
    let diagnostics = diagnostics.into_vec();
    match value {
        Some(value) if !diagnostics.iter().any(Diagnostic::is_error) => Ok(value),
        _ => Err(diagnostics),
    }
}

fn one_service(node: &ast::Target, tree: &SyntaxTree, diagnostics: &mut Findings) -> Option<ServiceRef> {
    let service = node.reference().and_then(|reference| service_ref(&reference));
    match (node.kind()?, service) {
        (TargetKind::Service, Some(service)) if service.name != "*" => Some(service),
        (TargetKind::Service, None) => None,
        _ => {
            let place = tree.span(node.range());
            let message = "a program is made for one service";
            diagnostics.push(errors::request(place, message, "write `service namespace/name`"));
            None
        }
    }
}

/// The request of a node, as a client sends it: over HTTP/2, unless it says what only HTTP/1 has.
pub(super) fn check(
    node: &ast::Request,
    tree: &SyntaxTree,
    trust_domain: &str,
    diagnostics: &mut Findings,
) -> Option<RawRequest> {
    let (method, path) = (node.method()?, node.path()?);
    let is_quoted = method.text().contains(['"', '\'']);
    if !is_quoted && let Some(near) = near_method(method.text()) {
        let place = tree.span(method.text_range());
        diagnostics.push(errors::warnings::unknown_method(place, method.text(), near));
    }
    let is_string = path.kind() == SyntaxKind::String;
    if !is_string && path.text().contains(['{', '}']) {
        let place = tree.span(path.text_range());
        let message = "the path of a request is not a pattern";
        diagnostics.push(errors::request(place, message, "write the path that a client asks for"));
        return None;
    }
    let path = if is_string { literal::string(path.text()) } else { path.text().to_owned() };
    let method = if is_quoted { literal::string(method.text()) } else { method.text().to_owned() };
    let mut request = RawRequest { method: method.into(), path: path.into(), ..RawRequest::default() };
    let mut all_right = true;
    if let Some(caller) = node.peer() {
        all_right &= set_caller(&mut request, &caller, tree, trust_domain, diagnostics).is_some();
    }
    let addresses = node.withs().filter(|with| with.kind() == Some(WithKind::Ip));
    let from_ip = node.peer().filter(|caller| caller.kind() == Some(PeerKind::Ip));
    let mut said = from_ip.map(|caller| caller.range()).into_iter().chain(addresses.map(|with| with.range()));
    if let (Some(first), Some(second)) = (said.next(), said.next()) {
        diagnostics.push(errors::second_address(tree.span(second), tree.span(first)));
        all_right = false;
    }
    for with in node.withs() {
        all_right &= set_with(&mut request, &with, tree, diagnostics).is_some();
    }
    complete_form(&mut request);
    all_right.then_some(request)
}

/// Makes a request of HTTP/1 or HTTP/2 of what is said: by its headers, by how many hosts it names, and by what
/// it asks for: a whole URL, or a host to be connected with.
fn complete_form(request: &mut RawRequest) {
    let names = |name: &[u8], known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let is_hop = |name: &[u8]| HOP_HEADERS.iter().any(|hop| names(name, hop));
    let is_url = request
        .path
        .windows(3)
        .position(|three| three == b"://")
        .is_some_and(|at| request.path.iter().take(at).all(u8::is_ascii_alphabetic));
    let is_tunnel =
        request.method == b"CONNECT" && !request.path.is_empty() && !request.path.starts_with(b"/");
    let has_hop = request.headers.iter().any(|(name, _)| is_hop(name));
    let is_http1 = has_hop || request.hosts.len() > 1 || is_url || is_tunnel;
    if is_http1 {
        request.protocol = Protocol::Http1;
        let authority = request.authority.take();
        if request.hosts.is_empty() {
            request.hosts.extend(authority);
        }
        return;
    }
    if !request.hosts.is_empty() {
        request.authority = request.hosts.pop();
    }
    // A client of HTTP/2 writes names in small letters.
    for (name, _) in &mut request.headers {
        name.make_ascii_lowercase();
    }
    let is_length =
        |name: &[u8], value: &[u8]| name == b"content-length" && value.iter().any(|byte| *byte != b'0');
    request.has_body = request.headers.iter().any(|(name, value)| is_length(name, value));
}

fn set_caller(
    request: &mut RawRequest,
    node: &ast::Peer,
    tree: &SyntaxTree,
    trust_domain: &str,
    diagnostics: &mut Findings,
) -> Option<()> {
    let span = tree.span(node.range());
    let principal = match peer::check_one(node, tree, diagnostics)? {
        Peer::Service(service) if service.name == "*" => {
            return refuse(diagnostics, span, "a request comes from one service", "name the service");
        }
        Peer::Service(service) => ServiceIdentity::new(trust_domain, &service).to_string(),
        Peer::Namespace(namespace) => {
            let help = format!("name a service of it: `from service {namespace}/name`");
            return refuse(diagnostics, span, "a request comes from one service", &help);
        }
        Peer::Spiffe(id) => id,
        Peer::Ip(network) if network.prefix_len() == network.max_prefix_len() => {
            request.source.ip = network.addr();
            return Some(());
        }
        Peer::Ip(_) => {
            return refuse(diagnostics, span, "a request comes from one address", "write the address");
        }
        Peer::Anyone => return Some(()),
    };
    request.source.principal = Some(principal.into_bytes());
    request.source.mtls = true;
    Some(())
}

fn set_with(
    request: &mut RawRequest,
    node: &ast::With,
    tree: &SyntaxTree,
    diagnostics: &mut Findings,
) -> Option<()> {
    match node.kind()? {
        WithKind::Header => {
            let (name, value) = header_of(node)?;
            if name.eq_ignore_ascii_case("host") {
                request.hosts.push(value);
            } else {
                request.headers.push((name.into_bytes(), value));
            }
        }
        WithKind::Host => request.hosts.push(literal::string(node.value()?.text()).into_bytes()),
        WithKind::Ip => request.source.ip = node.address()?.text().parse().ok()?,
        WithKind::Jwt => {
            diagnostics.push(later::test(tree.span(node.range()), "`with jwt`"));
            return None;
        }
        // What a request is answered is no part of it.
        WithKind::Response | WithKind::Upstream => {}
    }
    Some(())
}

/// The header that a `with` gives a request or an answer.
pub(super) fn header_of(node: &ast::With) -> Option<(String, Vec<u8>)> {
    let (name, value) = (node.name()?, node.value()?);
    let name = match name.kind() {
        SyntaxKind::String => literal::string(name.text()),
        _ => name.text().to_owned(),
    };
    Some((name, literal::string(value.text()).into_bytes()))
}

/// What the application answers to a request, and what becomes of that: 200 at once, if nothing is said. `None` if
/// something in it is wrong.
pub(super) fn response(
    node: &ast::Request,
    tree: &SyntaxTree,
    diagnostics: &mut Findings,
) -> Option<Response> {
    let mut response = Response { code: ANSWERED, attempts: 1, ..Response::default() };
    for with in node.withs() {
        match with.kind()? {
            WithKind::Response if with.is_header_of_response() => {
                let (name, value) = header_of(&with)?;
                response.headers.push((name.to_ascii_lowercase().into_bytes(), value));
            }
            WithKind::Response => of_response(&with, tree, &mut response, diagnostics)?,
            WithKind::Upstream => {
                let text = |token: SyntaxToken| literal::string(token.text()).into_bytes();
                response.upstream = Some(text(with.upstream()?));
                response.failure = with.failure().map(text);
                if let Some(attempts) = with.attempts() {
                    response.attempts = count(&attempts)?;
                }
            }
            WithKind::Jwt | WithKind::Header | WithKind::Host | WithKind::Ip => {}
        }
    }
    Some(response)
}

/// Takes in what a `with response` says that is about no header.
fn of_response(
    with: &ast::With,
    tree: &SyntaxTree,
    response: &mut Response,
    diagnostics: &mut Findings,
) -> Option<()> {
    if let Some(size) = with.size() {
        response.size = count(&size)?;
    }
    for token in with.flags() {
        let name = literal::string(token.text());
        match FLAGS.iter().position(|flag| *flag == name) {
            Some(bit) => response.flags |= 1 << bit,
            None => {
                let help = format!("the flags are {}", FLAGS.join(", "));
                let place = tree.span(token.text_range());
                return refuse(diagnostics, place, "no answer has this flag", &help);
            }
        }
    }
    if let Some(status) = with.status() {
        let code = literal::int(status.text()).and_then(|code| u16::try_from(code).ok());
        let Some(code) = code.filter(|code| STATUSES.contains(code)) else {
            let place = tree.span(status.text_range());
            return refuse(diagnostics, place, "this is no status of an answer", "write one of 200 to 599");
        };
        response.code = code;
    }
    if let Some(after) = with.after() {
        response.duration_ms = u64::try_from(literal::duration_ms(after.text())?).ok()?;
    }
    Some(())
}

fn count(token: &SyntaxToken) -> Option<u64> {
    literal::int(token.text()).and_then(|count| u64::try_from(count).ok())
}

fn refuse<T>(diagnostics: &mut Findings, span: Span, message: &str, help: &str) -> Option<T> {
    diagnostics.push(errors::request(span, message, help));
    None
}
