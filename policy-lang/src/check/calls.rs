//! The statements of `traffic` policies that callers' sidecars carry out.

use super::policy::Named;
use super::rule::{Around, Matched};
use super::scope::Captures;
use super::target::service_ref;
use super::{condition, errors, peer, redirect};
use crate::checked::{
    Attribute, Calls, Cause, Choice, Destination, Direction, Expr, Fault, FaultKind, Guard, Milliseconds,
    Mirror, PathPattern, Peer, Piece, Retry, Scope, Target, Template, Way, Weighted,
};
use crate::lex::literal;
use crate::literals::attributes_of;
use crate::path;
use crate::source::Span;
use crate::syntax::SyntaxToken;
use crate::syntax::ast::{self, AstNode, CallKind};
use std::collections::BTreeSet;
use std::sync::Arc;

/// All requests, in millionths of them.
pub(super) const ALL: u32 = 1_000_000;
/// The longest of the durations here: an hour.
pub(super) const DURATION_MS_MAX: u32 = 3_600_000;
/// The most retries of a request.
pub(super) const RETRIES_MAX: i64 = 10;
/// The most destinations of a route.
pub(super) const DESTINATIONS_MAX: usize = 32;
/// The statuses of a redirect, the usual one first.
const REDIRECTS: [u16; 5] = [302, 301, 303, 307, 308];

/// What a statement of one of the kinds does.
enum Does {
    Way(Way),
    Rewrite(Template),
    Mirror(Mirror),
    Timeout(Milliseconds),
    Ceiling(Milliseconds),
    Retry(Retry),
    Fault(Fault),
}

/// A statement of one of the kinds, as it stands in a policy.
pub(super) enum Stated {
    Way(Choice<Way>),
    Rewrite(Choice<Template>),
    Mirror(Choice<Mirror>),
    Timeout(Choice<Milliseconds>),
    Ceiling(Choice<Milliseconds>),
    Retry(Choice<Retry>),
    Fault(Choice<Fault>),
}

impl Stated {
    /// Its id and its place.
    pub(super) fn known_by(&self) -> (&Arc<str>, Span) {
        match self {
            Self::Way(choice) => (&choice.id, choice.span),
            Self::Rewrite(choice) => (&choice.id, choice.span),
            Self::Mirror(choice) => (&choice.id, choice.span),
            Self::Timeout(choice) | Self::Ceiling(choice) => (&choice.id, choice.span),
            Self::Retry(choice) => (&choice.id, choice.span),
            Self::Fault(choice) => (&choice.id, choice.span),
        }
    }

    /// Puts it behind those of its kind.
    pub(super) fn put(self, to: &mut Calls) {
        match self {
            Self::Way(choice) => to.ways.push(choice),
            Self::Rewrite(choice) => to.rewrites.push(choice),
            Self::Mirror(choice) => to.mirrors.push(choice),
            Self::Timeout(choice) => to.timeouts.push(choice),
            Self::Ceiling(choice) => to.ceilings.push(choice),
            Self::Retry(choice) => to.retries.push(choice),
            Self::Fault(choice) => to.faults.push(choice),
        }
    }
}

impl Around<'_> {
    /// A statement that callers' sidecars carry out. `None` if something in it is wrong.
    pub(super) fn call(&mut self, node: &ast::Call, targets: &[Scope]) -> Option<Named<Stated>> {
        let span = self.tree.span(node.syntax().text_range());
        let matched = match node.matcher() {
            Some(matcher) => self.matched(&matcher),
            None => Some(Matched { guard: Guard::default(), captures: Captures::default() }),
        };
        let condition = match &matched {
            Some(Matched { guard, captures }) => condition::check(node.conditions(), guard, captures, self),
            None => None,
        };
        let does = match &matched {
            Some(Matched { guard, captures }) => self.what_it_does(node, guard, captures),
            None => None,
        };
        let name = self.statement_name(node.name(), word(node.kind()), node.syntax())?;
        let condition = condition?;
        if let Some(expr) = &condition {
            condition::warn_constant(expr, &name.shown, self.diagnostics);
        }
        let guard = Guard { condition, ..matched?.guard };
        self.callers_know(&guard, node, targets)?;
        let (id, at) = (name.id, name.span);
        let stated = match does? {
            Does::Way(does) => {
                let choice = Choice { id, guard, does, span };
                redirect::warn(&choice, self.diagnostics);
                Stated::Way(choice)
            }
            Does::Rewrite(does) => Stated::Rewrite(Choice { id, guard, does, span }),
            Does::Mirror(does) => Stated::Mirror(Choice { id, guard, does, span }),
            Does::Timeout(does) => Stated::Timeout(Choice { id, guard, does, span }),
            Does::Ceiling(does) => Stated::Ceiling(Choice { id, guard, does, span }),
            Does::Retry(does) => Stated::Retry(Choice { id, guard, does, span }),
            Does::Fault(does) => Stated::Fault(Choice { id, guard, does, span }),
        };
        Some((stated, at))
    }

    fn what_it_does(&mut self, node: &ast::Call, guard: &Guard, captures: &Captures) -> Option<Does> {
        Some(match node.kind() {
            CallKind::Route => Does::Way(Way::Route(self.weighted(node)?)),
            CallKind::Redirect => {
                let location = self.location(&node.template()?, guard, captures);
                let status = match node.number() {
                    Some(token) => self.redirect_status(&token),
                    None => REDIRECTS.first().copied(),
                };
                Does::Way(Way::Redirect { location: location?, status: status? })
            }
            CallKind::Rewrite => Does::Rewrite(self.path_template(&node.template()?, guard, captures)?),
            CallKind::Mirror => {
                let destination = node.destinations().next()?;
                if let Some(share) = destination.share() {
                    self.diagnostics.push(errors::share_of_mirror(self.tree.span(share.text_range())));
                    return None;
                }
                let share = literal::percent_millionths(node.share()?.text())?;
                Does::Mirror(Mirror { share, to: self.destination(&destination)? })
            }
            CallKind::Timeout => {
                let limit = self.duration(&node.duration()?)?;
                if node.at_most().is_some() { Does::Ceiling(limit) } else { Does::Timeout(limit) }
            }
            CallKind::Retry => Does::Retry(self.retry(node)?),
            CallKind::Fault => {
                let share = literal::percent_millionths(node.share()?.text())?;
                let kind = match (node.delay(), node.abort()) {
                    (Some(token), _) => FaultKind::Delay(self.duration(&token)?),
                    (None, Some(token)) => FaultKind::Abort(self.status(&token)?),
                    (None, None) => return None,
                };
                Does::Fault(Fault { share, kind })
            }
        })
    }

    /// Says of what a statement asks and no caller's sidecar can know.
    fn callers_know(&mut self, guard: &Guard, node: &ast::Call, targets: &[Scope]) -> Option<()> {
        let word = word(node.kind());
        let narrow = targets.iter().find(|scope| is_of_replicas(scope));
        if let Some(scope) = narrow {
            self.diagnostics.push(errors::choice_of_a_replica(scope.span, word));
            return None;
        }
        let mut all_known = true;
        if let Some(condition) = &guard.condition {
            let mut unknown = BTreeSet::new();
            attributes_of(condition, &mut unknown);
            unknown.retain(|attribute| {
                matches!(attribute, Attribute::SourceIp | Attribute::SourcePort | Attribute::TargetLabel(_))
            });
            if let Some(attribute) = unknown.first() {
                let text = crate::literals::attribute_text(attribute);
                let span = place_of(condition, attribute).unwrap_or(condition.span);
                self.diagnostics.push(errors::unknown_to_callers(span, &text, word));
                all_known = false;
            }
        }
        if guard.peers.iter().any(|peer| matches!(peer, Peer::Ip(_))) {
            let span =
                self.tree.span(node.matcher().map_or(node.syntax().text_range(), |matcher| matcher.range()));
            self.diagnostics.push(errors::unknown_to_callers(span, "from ip", word));
            all_known = false;
        }
        all_known.then_some(())
    }

    /// The destinations of a route, whose shares are all requests together.
    fn weighted(&mut self, node: &ast::Call) -> Option<Vec<Weighted>> {
        let nodes: Vec<ast::Destination> = node.destinations().collect();
        let place = self.tree.span(node.syntax().text_range());
        if nodes.len() > DESTINATIONS_MAX {
            self.diagnostics.push(errors::many_destinations(place, DESTINATIONS_MAX));
            return None;
        }
        let mut weighted: Vec<Weighted> = Vec::new();
        let mut all_right = true;
        for destination in &nodes {
            let place = self.tree.span(destination.range());
            let share = match destination.share() {
                Some(token) => literal::percent_millionths(token.text()),
                None if nodes.len() == 1 => Some(ALL),
                None => {
                    self.diagnostics.push(errors::no_share(place));
                    None
                }
            };
            let to = self.destination(destination);
            let (Some(share), Some(to)) = (share, to) else {
                all_right = false;
                continue;
            };
            if weighted.iter().any(|other| other.to == to) {
                self.diagnostics.push(errors::destination_twice(place, &to.to_string()));
                all_right = false;
            }
            weighted.push(Weighted { to, share });
        }
        if !all_right || weighted.is_empty() {
            return None;
        }
        // At most so many as there may be destinations, of a million each.
        let sum: u32 = weighted.iter().map(|weighted| weighted.share).sum();
        if sum != ALL {
            self.diagnostics.push(errors::shares_do_not_add_up(place, sum));
            return None;
        }
        weighted.sort();
        Some(weighted)
    }

    fn destination(&mut self, node: &ast::Destination) -> Option<Destination> {
        let reference = node.service()?;
        let place = self.tree.span(reference.range());
        let names = [reference.namespace(), reference.name(), node.version()];
        names.iter().flatten().for_each(|name| peer::check_length(name, self.tree, self.diagnostics));
        let service = service_ref(&reference)?;
        if service.name == "*" {
            self.diagnostics.push(errors::route_to_all(place));
            return None;
        }
        Some(Destination { service, version: node.version().map(|token| token.text().to_owned()) })
    }

    pub(super) fn duration(&mut self, token: &SyntaxToken) -> Option<Milliseconds> {
        let ms = literal::duration_ms(token.text()).and_then(|ms| u32::try_from(ms).ok());
        let fitting = ms.filter(|ms| (1..=DURATION_MS_MAX).contains(ms));
        if fitting.is_none() {
            self.diagnostics.push(errors::bad_duration(self.tree.span(token.text_range())));
        }
        fitting.map(Milliseconds)
    }

    fn redirect_status(&mut self, token: &SyntaxToken) -> Option<u16> {
        let status = literal::int(token.text()).and_then(|status| u16::try_from(status).ok());
        let known = status.filter(|status| REDIRECTS.contains(status));
        if known.is_none() {
            self.diagnostics.push(errors::bad_redirect(self.tree.span(token.text_range())));
        }
        known
    }

    fn retry(&mut self, node: &ast::Call) -> Option<Retry> {
        let token = node.number()?;
        let times = literal::int(token.text()).filter(|times| (1..=RETRIES_MAX).contains(times));
        if times.is_none() {
            let place = self.tree.span(token.text_range());
            self.diagnostics.push(errors::bad_bound(
                place,
                literal::int(token.text()).unwrap_or(i64::MAX),
                RETRIES_MAX,
                "retries",
            ));
        }
        let mut on = BTreeSet::new();
        let mut all_known = true;
        for token in node.causes() {
            match Cause::ALL.iter().find(|(word, _)| *word == token.text()) {
                Some((_, cause)) => {
                    on.insert(*cause);
                }
                None => {
                    self.diagnostics
                        .push(errors::unknown_cause(self.tree.span(token.text_range()), token.text()));
                    all_known = false;
                }
            }
        }
        let each = node.each().map(|token| self.duration(&token));
        let backoff = node.backoff().map(|token| self.duration(&token));
        if !all_known || on.is_empty() {
            return None;
        }
        Some(Retry {
            times: u32::try_from(times?).ok()?,
            on: on.into_iter().collect(),
            each: each.map_or(Some(None), |each| each.map(Some))?,
            backoff: backoff.map_or(Some(None), |backoff| backoff.map(Some))?,
        })
    }

    /// Where a redirect leads: a path, or a URL whose host no client chooses.
    fn location(&mut self, token: &SyntaxToken, guard: &Guard, captures: &Captures) -> Option<Template> {
        let place = self.tree.span(token.text_range());
        let text = literal::string(token.text());
        let behind_scheme = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let host = behind_scheme.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        let is_place = match host {
            Some(host) => !host.is_empty() && !host.contains(['{', '}', '@', '*']),
            None => text.starts_with('/') && !text.starts_with("//"),
        };
        if !is_place
            || !text.bytes().all(|byte| byte.is_ascii_graphic())
            || text.contains(['"', '<', '>', '\\', '#'])
        {
            self.diagnostics.push(errors::bad_location(place));
            return None;
        }
        // A segment may have what means something in a query.
        if text.split_once('?').is_some_and(|(_, query)| query.contains('{')) {
            self.diagnostics.push(errors::bad_template(place, "a segment of a path is none of a query"));
            return None;
        }
        self.template(&text, place, guard, captures)
    }

    /// The path of a rewrite.
    fn path_template(&mut self, token: &SyntaxToken, guard: &Guard, captures: &Captures) -> Option<Template> {
        let place = self.tree.span(token.text_range());
        let text = token.text();
        if text.contains('?') {
            self.diagnostics.push(errors::bad_template(place, "the query of the request stays as it is"));
            return None;
        }
        let template = self.template(text, place, guard, captures)?;
        // As the sidecar of the service will see it.
        let example: String = template
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Segment(_) => "a",
                Piece::Rest(_) => "/a",
            })
            .collect();
        if let Err(refusal) = path::decode(example.as_bytes()) {
            self.diagnostics.push(errors::bad_template(place, refusal.as_str()));
            return None;
        }
        Some(template)
    }

    /// A text with `{captures}` of the paths in it, and perhaps `/**` at its end: what the `**` of the paths stands for.
    fn template(&mut self, text: &str, place: Span, guard: &Guard, captures: &Captures) -> Option<Template> {
        let (front, has_rest) = match text.strip_suffix("/**") {
            Some(front) => (front, true),
            None => (text, false),
        };
        let mut pieces = Vec::new();
        let mut left = front;
        while let Some((before, behind)) = left.split_once('{') {
            let Some((name, after)) = behind.split_once('}') else {
                self.diagnostics.push(errors::bad_template(place, "a `{` has no `}`"));
                return None;
            };
            let Some(segment) = captures.segments.get(name) else {
                self.diagnostics.push(errors::unknown_in_template(place, name));
                return None;
            };
            pieces.extend(text_piece(before));
            pieces.push(Piece::Segment(*segment));
            left = after;
        }
        if left.contains(['*', '}']) || front.contains('*') {
            self.diagnostics.push(errors::bad_template(place, "`*` and `}` stand for nothing here"));
            return None;
        }
        pieces.extend(text_piece(left));
        if has_rest {
            let Some(behind) = common_rest(&guard.paths) else {
                let reason =
                    "`**` stands for what the paths' own `**` stands for, at one depth in all of them";
                self.diagnostics.push(errors::bad_template(place, reason));
                return None;
            };
            pieces.push(Piece::Rest(behind));
        }
        Some(Template { pieces })
    }
}

/// The number of segments in front of the `/**` of all these paths, if they agree.
fn common_rest(paths: &[PathPattern]) -> Option<u16> {
    let first = paths.first()?;
    let agree = paths.iter().all(|path| path.rest && path.segments.len() == first.segments.len());
    if agree { u16::try_from(first.segments.len()).ok() } else { None }
}

fn text_piece(text: &str) -> Option<Piece> {
    (!text.is_empty()).then(|| Piece::Text(text.to_owned()))
}

/// Where an attribute stands in an expression.
pub(super) fn place_of(expr: &Arc<Expr>, wanted: &Attribute) -> Option<Span> {
    match &expr.kind {
        crate::checked::ExprKind::Attribute(attribute) if attribute == wanted => Some(expr.span),
        _ => expr.parts().into_iter().find_map(|part| place_of(part, wanted)),
    }
}

/// Whether a scope means requests to some replicas of services.
pub(super) fn is_of_replicas(scope: &Scope) -> bool {
    scope.direction == Direction::Inbound && matches!(scope.target, Target::Workload { .. })
}

fn word(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Route => "route",
        CallKind::Redirect => "redirect",
        CallKind::Rewrite => "rewrite",
        CallKind::Mirror => "mirror",
        CallKind::Timeout => "timeout",
        CallKind::Retry => "retry",
        CallKind::Fault => "fault",
    }
}
