//! Between whom the requests of a test go: of policies of what leaves a workload one sender and one service that it
//! calls, for a program is made for such a pair.

use super::target::service_ref;
use super::{TEST_TRUST_DOMAIN, errors};
use crate::checked::{CheckedPolicy, Direction, Leaving, Scope, ServiceRef, Target, TestCase};
use crate::diagnostic::Findings;
use crate::link::covers;
use crate::linked::Workload;
use crate::request::ServiceIdentity;
use crate::syntax::SyntaxTree;
use crate::syntax::ast::{AstNode, Request, Test};
use crate::testing::{ANY_NAMESPACE, ANY_SERVICE, workload_of_scope};

/// Whether the first target of a policy is of what leaves it.
pub(super) fn scope_of(first: &CheckedPolicy) -> Option<&Scope> {
    first.targets.first().filter(|scope| scope.direction == Direction::Outbound)
}

/// Who sends the requests of a test of what leaves a scope, and to whom.
pub(super) fn check(node: &Test, scope: &Scope, tree: &SyntaxTree, findings: &mut Findings) -> Leaving {
    let (mut sender, mut to): (Option<ServiceRef>, Option<ServiceRef>) = (None, None);
    for request in node.cases().filter_map(|case| case.request()) {
        if let Some((service, peer)) = caller(&request) {
            let place = tree.span(peer.range());
            if !may_send(&scope.target, &service) {
                findings.push(errors::other_sender(place));
            } else if *sender.get_or_insert(service.clone()) != service {
                findings.push(errors::two_pairs(place));
            }
        }
        if let Some(called) = request.called()
            && let Some(service) = service_ref(&called)
        {
            let several = service.name == "*";
            if several || *to.get_or_insert(service.clone()) != service {
                findings.push(errors::two_pairs(tree.span(called.range())));
            }
        }
    }
    let any = || ServiceRef { namespace: ANY_NAMESPACE.to_owned(), name: ANY_SERVICE.to_owned() };
    let of_scope = workload_of_scope(&scope.target);
    let of_scope = ServiceRef { namespace: of_scope.namespace, name: of_scope.service };
    Leaving { sender: sender.unwrap_or(of_scope), to: to.unwrap_or_else(any) }
}

/// Says of a test of what comes in that its requests go to the target of the test.
pub(super) fn none(node: &Test, tree: &SyntaxTree, findings: &mut Findings) {
    for called in node.cases().filter_map(|case| case.request()?.called()) {
        findings.push(errors::stated_target(tree.span(called.range())));
    }
}

/// Lets the sender send the request of a case.
pub(super) fn send(case: &mut TestCase, leaving: &Leaving) {
    let principal = ServiceIdentity::new(TEST_TRUST_DOMAIN, &leaving.sender).to_string();
    case.request.source.principal = Some(principal.into_bytes());
    case.request.source.mtls = true;
}

fn caller(request: &Request) -> Option<(ServiceRef, crate::syntax::ast::Peer)> {
    let peer = request.peer()?;
    let service = service_ref(&peer.reference()?)?;
    Some((service, peer))
}

/// Whether a target covers a service, whatever labels it asks for.
fn may_send(target: &Target, service: &ServiceRef) -> bool {
    let labels = workload_of_scope(target).labels;
    let workload = Workload { labels, ..Workload::of_service(service, TEST_TRUST_DOMAIN) };
    covers(target, &workload).is_some()
}
