//! One policy: its name, targets, mode and statements.

use super::scope::{FileScope, Phase};
use super::{CheckOptions, errors, filter, lets, log, outbound, plaintext, rule, sink, target};
use crate::checked::{AuthBody, Body, CheckedPolicy, Mode, Otherwise, Scope, Target, TrafficBody};
use crate::diagnostic::Findings;
use crate::source::Span;
use crate::syntax::SyntaxTree;
use crate::syntax::ast::{self, AstNode, ModeKind, Policy, PolicyKind, Statement};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The name under which a policy's `otherwise` decides; no rule may have it.
pub(super) const OTHERWISE: &str = "otherwise";

/// Where a policy stands and what it must not collide with.
pub(super) struct Place<'a> {
    /// The tree of its file.
    pub(super) tree: &'a SyntaxTree,
    /// What the checker was told.
    pub(super) options: CheckOptions<'a>,
    /// The policies so far, of all kinds and files.
    pub(super) names: &'a mut BTreeMap<String, Span>,
    /// The policies of which a statement was left out, because something is wrong in it.
    pub(super) incomplete: &'a mut BTreeSet<String>,
}

/// The policy, without what is wrong in it. `None` for a sink or a filter of which nothing is left then.
pub(super) fn check(
    node: &Policy,
    place: Place<'_>,
    scope: &mut FileScope,
    diagnostics: &mut Findings,
) -> Option<CheckedPolicy> {
    let tree = place.tree;
    let token = node.name()?;
    let name_span = tree.span(token.text_range());
    let name = token.text().to_owned();
    if name.len() > super::rule::NAME_BYTES_MAX {
        diagnostics.push(errors::name_too_long(name_span, name.len()));
    }
    if let Some(first) = place.names.get(&name) {
        diagnostics.push(errors::duplicate_policy(name_span, &name, *first));
    } else {
        place.names.insert(name.clone(), name_span);
    }
    let kind = node.kind()?;
    if kind == PolicyKind::Sink {
        let body = Body::Sink(sink::check(node, &name, name_span, (tree, diagnostics))?);
        let (targets, span) = (Vec::new(), tree.span(node.range()));
        return Some(CheckedPolicy { name, targets, mode: Mode::Enforce, body, span, name_span });
    }
    let targets = target::check(node, tree, diagnostics);
    let mode = mode(node, tree, place.options, diagnostics);
    if kind == PolicyKind::Filter {
        let body = Body::Filter(filter::check(node, name_span, tree, diagnostics)?);
        return Some(CheckedPolicy { name, targets, mode, body, span: tree.span(node.range()), name_span });
    }
    let of_lets = match kind {
        PolicyKind::Log => Phase::Log,
        PolicyKind::Traffic => Phase::Response,
        _ => Phase::Request,
    };
    let lets = lets::check_policy(node, tree, of_lets, scope, diagnostics);
    let narrow = targets.iter().find(|scope| !may_exempt(scope));
    let phase = if kind == PolicyKind::Log { Phase::Log } else { Phase::Request };
    let mut around = rule::Around { tree, policy: &name, scope, lets: &lets, phase, diagnostics };
    let (body, is_complete) = match kind {
        PolicyKind::Traffic => traffic_body(node, &targets, &mut around),
        PolicyKind::Log => log::body(node, &mut around),
        _ => auth_body(node, narrow, &mut around),
    };
    if !is_complete {
        place.incomplete.insert(name.clone());
    }
    let policy = CheckedPolicy { name, targets, mode, body, span: tree.span(node.range()), name_span };
    outbound::check(&policy, diagnostics);
    plaintext::warn(&policy, diagnostics);
    warn_unseen(&policy, node, tree, diagnostics);
    Some(policy)
}

/// What an `auth` policy says, and whether no statement had to be left out.
fn auth_body(node: &Policy, narrow: Option<&Scope>, around: &mut rule::Around<'_>) -> (Body, bool) {
    let mut rules = Vec::new();
    let mut names = Names::default();
    let mut otherwise = None;
    let mut plaintext = None;
    let mut is_complete = true;
    for statement in node.statements() {
        if around.diagnostics.is_full() {
            break;
        }
        match statement {
            Statement::Rule(node) => match around.rule(&node) {
                Some((rule, name)) => {
                    if names.admit(&rule.id, name, rule.span, around.diagnostics) {
                        rules.push(rule);
                    }
                }
                None => is_complete = false,
            },
            Statement::Exempt(node) => {
                around.exempt_is_at_home(&node, narrow);
                if let Some((rule, name)) = around.exempt(&node)
                    && names.admit(&rule.id, name, rule.span, around.diagnostics)
                {
                    rules.push(rule);
                }
            }
            Statement::Otherwise(node) => {
                add_otherwise(&mut otherwise, around.otherwise(&node), around.diagnostics)
            }
            Statement::Plaintext(node) => around.plaintext(&node, &mut plaintext),
            // The parser has said that a statement of another kind does not stand here.
            Statement::Mode(_) | Statement::Let(_) | Statement::Other(_) => {}
        }
    }
    (Body::Auth(AuthBody { rules, otherwise, plaintext }), is_complete)
}

/// What a `traffic` policy says, and whether no statement had to be left out.
fn traffic_body(node: &Policy, targets: &[Scope], around: &mut rule::Around<'_>) -> (Body, bool) {
    let mut body = TrafficBody::default();
    let mut names = Names::default();
    let mut is_complete = true;
    for statement in node.statements() {
        if around.diagnostics.is_full() {
            break;
        }
        // The parser has said that a statement of another kind does not stand here.
        let Statement::Other(statement) = statement else { continue };
        let found = if let Some(node) = ast::Call::of(&statement) {
            around.call(&node, targets).map(|(stated, name)| {
                let (id, span) = stated.known_by();
                if names.admit(id, name, span, around.diagnostics) {
                    stated.put(&mut body.calls);
                }
            })
        } else if let Some(node) = ast::Setting::of(&statement) {
            around.setting(&node, targets).map(|stated| {
                let (id, span) = stated.known_by();
                if names.admit(id, None, span, around.diagnostics) {
                    stated.put(&mut body.calls.settings);
                }
            })
        } else if let Some(node) = ast::Limit::of(&statement) {
            around.limit(&node).map(|(limit, name)| {
                if names.admit(&limit.id, name, limit.span, around.diagnostics) {
                    body.limits.push(limit);
                }
            })
        } else if let Some(node) = ast::HeaderOperation::of(&statement) {
            around.header_operation(&node).map(|(header, name)| {
                if names.admit(&header.id, name, header.span, around.diagnostics) {
                    body.headers.push(header);
                }
            })
        } else if let Some(node) = ast::Cors::of(&statement) {
            around.cors(&node).map(|(cors, name)| {
                if let Some(first) = body.cors.first() {
                    around.diagnostics.push(errors::second_cors(cors.span, first.span));
                } else if names.admit(&cors.id, name, cors.span, around.diagnostics) {
                    body.cors.push(cors);
                }
            })
        } else {
            // The parser has said what is missing.
            None
        };
        is_complete &= found.is_some();
    }
    (Body::Traffic(body), is_complete)
}

/// A statement and where its name stands, if it has one.
pub(super) type Named<T> = (T, Option<Span>);

fn add_otherwise(otherwise: &mut Option<Otherwise>, found: Option<Otherwise>, diagnostics: &mut Findings) {
    match (otherwise.as_ref(), found) {
        (Some(first), Some(second)) => {
            diagnostics.push(errors::second_otherwise(second.span, first.span));
        }
        (None, Some(found)) => *otherwise = Some(found),
        (_, None) => {}
    }
}

/// Where the ids of a policy's statements stand, whatever kinds these are of.
#[derive(Default)]
struct Names {
    places: BTreeMap<Arc<str>, Span>,
}

impl Names {
    /// Whether nothing has this id yet. Two statements that say the same in the same words are one, with a warning;
    /// two with one name are an error.
    fn admit(&mut self, id: &Arc<str>, name: Option<Span>, whole: Span, diagnostics: &mut Findings) -> bool {
        match (self.places.get(id), name) {
            (None, _) => {
                self.places.insert(id.clone(), name.unwrap_or(whole));
                return true;
            }
            (Some(first), Some(span)) => {
                let name = id.rsplit('/').next().unwrap_or_default();
                diagnostics.push(errors::duplicate_rule(span, name, *first));
            }
            (Some(first), None) => {
                diagnostics.push(errors::warnings::said_twice(whole, "this statement", *first));
            }
        }
        false
    }
}

/// Warns of a shadow policy of which callers' sidecars would carry something out: of that, nothing is reported.
fn warn_unseen(policy: &CheckedPolicy, node: &Policy, tree: &SyntaxTree, diagnostics: &mut Findings) {
    if !matches!(policy.mode, Mode::Shadow { .. }) {
        return;
    }
    let Some(calls) = policy.calls() else { return };
    let of_requests = calls.guards().map(|(_, id, span)| (id, span));
    let first = of_requests.chain(calls.settings.known_by()).min_by_key(|(_, span)| span.start);
    let stated = node.statements().find_map(|statement| match statement {
        Statement::Mode(mode) => Some(tree.span(mode.range())),
        _ => None,
    });
    if let (Some((id, span)), Some(stated)) = (first, stated) {
        diagnostics.push(errors::warnings::unseen_in_shadow(stated, id, span));
    }
}

/// The mode; `enforce` if none is stated.
fn mode(node: &Policy, tree: &SyntaxTree, options: CheckOptions<'_>, diagnostics: &mut Findings) -> Mode {
    let mut stated: Option<ast::Mode> = None;
    for statement in node.statements() {
        let Statement::Mode(mode) = statement else { continue };
        match &stated {
            Some(first) => {
                diagnostics.push(errors::second_mode(tree.span(mode.range()), tree.span(first.range())));
            }
            None => stated = Some(mode),
        }
    }
    let Some(stated) = stated else { return Mode::Enforce };
    match stated.kind() {
        Some(ModeKind::Shadow) => {
            let until = stated.until().map(|token| (token.text().to_owned(), tree.span(token.text_range())));
            // Dates are written YYYY-MM-DD, so the order of their texts is theirs.
            if let (Some((until, span)), Some(today)) = (&until, options.today)
                && until.as_str() < today
            {
                diagnostics.push(errors::warnings::shadow_is_over(*span, until));
            }
            Mode::Shadow { until: until.map(|(text, _)| text) }
        }
        Some(ModeKind::Off) => Mode::Off,
        Some(ModeKind::Enforce) | None => {
            if let Some(percent) = stated.percent() {
                diagnostics.push(errors::later::gradual(tree.span(percent.text_range())));
            }
            Mode::Enforce
        }
    }
}

/// Whether an `exempt` may stand in a policy with this target.
fn may_exempt(scope: &Scope) -> bool {
    matches!(scope.target, Target::Mesh | Target::Namespace(_))
}
