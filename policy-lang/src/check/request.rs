//! Requests and targets as people write them: in `given`, and for `explain` and `--on`.

use super::errors;
use super::errors::later;
use super::header_name::{HeaderName, header_name};
use super::peer;
use super::rule::METHODS;
use super::target::service_ref;
use crate::checked::{Peer, ServiceRef};
use crate::diagnostic::near::nearest;
use crate::diagnostic::{Diagnostic, Findings};
use crate::lex::literal;
use crate::linked::Workload;
use crate::parse;
use crate::path;
use crate::request::Request;
use crate::source::{FileId, Span};
use crate::syntax::SyntaxTree;
use crate::syntax::ast::{self, AstNode, TargetKind, WithKind};
use std::collections::BTreeMap;

/// The request that a text such as `GET /api/x from service shop/cart with header x-a = "1"` says.
/// Callers named by `service` are of this trust domain.
///
/// # Errors
/// What is wrong with the text.
pub fn request_of(file: FileId, text: &str, trust_domain: &str) -> Result<Request, Vec<Diagnostic>> {
    let parsed = parse::parse_request(file, text);
    let mut diagnostics = Findings::default();
    diagnostics.extend(parsed.diagnostics.clone());
    let request =
        parsed.request().and_then(|node| check(&node, &parsed.tree, trust_domain, &mut diagnostics));
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

/// The request of a node. The path is made what Envoy makes of it; one that Envoy or the module
/// refuses stays as it is written, and is decided as such.
pub(super) fn check(
    node: &ast::Request,
    tree: &SyntaxTree,
    trust_domain: &str,
    diagnostics: &mut Findings,
) -> Option<Request> {
    let (method, path_token) = (node.method()?, node.path()?);
    if !METHODS.contains(&method.text())
        && let Some(near) = nearest(method.text(), METHODS.iter().copied())
    {
        let place = tree.span(method.text_range());
        diagnostics.push(errors::warnings::unknown_method(place, method.text(), near));
    }
    let raw = path_token.text();
    if raw.contains(['{', '}']) {
        let place = tree.span(path_token.text_range());
        let message = "the path of a request is not a pattern";
        diagnostics.push(errors::request(place, message, "write the path that a client asks for"));
        return None;
    }
    let path = path::canonicalise(raw.as_bytes()).unwrap_or_else(|_| raw.as_bytes().to_vec());
    let mut request = Request { method: method.text().into(), path, ..Request::default() };
    let mut all_right = true;
    if let Some(caller) = node.peer() {
        all_right &= set_caller(&mut request, &caller, tree, trust_domain, diagnostics).is_some();
    }
    for with in node.withs() {
        all_right &= set_with(&mut request, &with, tree, diagnostics).is_some();
    }
    all_right.then_some(request)
}

fn set_caller(
    request: &mut Request,
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
        Peer::Service(service) => {
            format!("spiffe://{trust_domain}/ns/{}/sa/{}", service.namespace, service.name)
        }
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

/// The headers that announce a body.
const BODY_HEADERS: [&str; 2] = ["content-length", "transfer-encoding"];

fn set_with(
    request: &mut Request,
    node: &ast::With,
    tree: &SyntaxTree,
    diagnostics: &mut Findings,
) -> Option<()> {
    match node.kind()? {
        WithKind::Header => {
            let (name, value) = (node.name()?, node.value()?);
            let value = literal::string(value.text()).into_bytes();
            match header_name(name.text()) {
                HeaderName::Plain(name) => {
                    // A request with one of these has a body, as far as anybody can tell from its headers.
                    if BODY_HEADERS.contains(&name.as_str()) {
                        request.end_of_stream = false;
                    }
                    request.headers.push((name.into_bytes(), value));
                }
                // Only `host` can be written as a name; it is how clients say the authority.
                HeaderName::Attribute(_) => request.authority = value,
                HeaderName::Bad => {
                    diagnostics.push(errors::bad_header_name(tree.span(name.text_range()), name.text()));
                    return None;
                }
            }
        }
        WithKind::Ip => request.source.ip = node.address()?.text().parse().ok()?,
        WithKind::Jwt => {
            diagnostics.push(later::test(tree.span(node.range()), "`with jwt`"));
            return None;
        }
        WithKind::Response => {
            diagnostics.push(later::test(tree.span(node.range()), "`with response`"));
            return None;
        }
    }
    Some(())
}

fn refuse<T>(diagnostics: &mut Findings, span: Span, message: &str, help: &str) -> Option<T> {
    diagnostics.push(errors::request(span, message, help));
    None
}
