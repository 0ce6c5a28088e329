//! What becomes of a request in its caller's Envoy.

use chancery_control::policies::course_runner::key;
use chancery_policy_lang::checked::{Cause, Destination, FaultKind, Milliseconds, Retry, Way, Weighted};
use chancery_policy_lang::eval::{Course, course};
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::request::{Protocol, RawRequest, Request, Source, received};
use chancery_policy_lang::routes::table;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// A timeout below this is one that a request must meet or stay far from.
const SHORT_MS: u32 = 5_000;
/// All of a share.
pub(super) const ALL: u32 = 1_000_000;
/// What Envoy answers to a host that it cannot say over HTTP/2.
const BAD_HOST: u16 = 400;
/// What Envoy answers where there is no replica.
const NO_REPLICA: u16 = 503;
/// A route is named after so many of the statements that state it.
const NAMED_MAX: usize = 3;

/// Where a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The replica of version `v1`.
    One,
    /// The replica of version `v2`.
    Two,
    /// The other service.
    Basket,
    /// Whom copies are sent to.
    Copies,
}

impl Place {
    /// The service that the replica is of.
    pub(super) fn service(self) -> &'static str {
        match self {
            Self::One | Self::Two => "shop/orders",
            Self::Basket => "shop/basket",
            Self::Copies => "shop/copies",
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// The caller's sidecar answers it.
    Answered {
        /// With one of these.
        statuses: Vec<u16>,
        /// And with this header `location`.
        location: Option<Vec<u8>>,
        /// Who answers.
        by: By,
        /// Which route it has all the same.
        route: String,
        /// Under which path it would have been sent, if another.
        path: Option<Vec<u8>>,
        /// Whether it waits before.
        delays: bool,
    },
    /// It is sent.
    Sent(Box<Sent>),
    /// The caller's Envoy refuses it, and shows it to none of its filters.
    Refused,
}

/// Who answers in the caller's sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// One of these statements.
    Statement(Vec<Arc<str>>),
    /// The module, for the request has no single meaning, with this in the place of a rule.
    Refusal(&'static str),
    /// Envoy's routes.
    Envoy,
    /// Envoy, for there is nobody to send it to.
    NoReplica,
}

impl Fate {
    /// The name of its route.
    pub(super) fn route(&self) -> Option<&str> {
        match self {
            Self::Answered { route, .. } => Some(route),
            Self::Sent(sent) => Some(&sent.route),
            Self::Refused => None,
        }
    }

    /// Its path, if it became another one in the caller's sidecar.
    pub(super) fn path(&self) -> Option<&Vec<u8>> {
        match self {
            Self::Answered { path, .. } => path.as_ref(),
            Self::Sent(sent) => Some(&sent.request.path),
            Self::Refused => None,
        }
    }
}

/// A request that is sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// As it comes to the other sidecar.
    pub(super) request: RawRequest,
    /// To one of these.
    pub(super) to: Vec<Place>,
    /// When it is sent again.
    pub(super) retry: Option<Retry>,
    /// Whether its answer must not take long.
    pub(super) is_short: bool,
    /// Whether a copy is sent.
    pub(super) is_copied: bool,
    /// Whether it waits before.
    pub(super) delays: bool,
    /// The name of its route.
    pub(super) route: String,
    /// The weights of where it may go, if there are several.
    pub(super) weights: Vec<Weighted>,
}

impl Sent {
    /// How often it is tried at most, and whether an answer with this status is tried again.
    pub(super) fn tries(&self) -> (u32, impl Fn(u16) -> bool) {
        let causes: Vec<Cause> = self.retry.iter().flat_map(|retry| retry.on.clone()).collect();
        let is_retried = move |status: u16| {
            causes.iter().any(|cause| match cause {
                Cause::ServerError => status >= 500,
                Cause::GatewayError => (502..=504).contains(&status),
                Cause::Connect | Cause::Refused | Cause::Reset => false,
            })
        };
        (1 + self.retry.as_ref().map_or(0, |retry| retry.times), is_retried)
    }
}

/// The identity of a caller, as its sidecar shows it.
fn source(principal: &str) -> Source {
    Source {
        principal: Some(principal.as_bytes().to_vec()),
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 0,
        mtls: true,
    }
}

/// The request as the caller's Envoy shows it to its filters; `None` if it refuses it by itself.
pub(super) fn seen_by_caller(raw: &RawRequest, principal: &str) -> Option<Request> {
    let request = received(raw.clone()).ok()?;
    Some(Request { source: source(principal), ..request })
}

/// What becomes of a request by what the caller's sidecar is told, if it is told something.
pub(super) fn fate(program: Option<&LinkedProgram>, request: &Request) -> Fate {
    let answered = |statuses, by| Fate::Answered {
        statuses,
        location: None,
        by,
        route: route(program, None, request),
        path: None,
        delays: false,
    };
    let course = match program {
        // Without something to decide there is no module that refuses.
        Some(program) => match (course(program, request), program.refusal(request)) {
            (Some(course), _) => course,
            (None, Some(refusal)) if program.calls.decides() => {
                let status = refusal.decision().respond.map_or(0, |respond| respond.status);
                return answered(vec![status], By::Refusal(refusal.rule()));
            }
            (None, _) => course_without_module(program),
        },
        None => Course::default(),
    };
    let aborts = course.faults.iter().filter_map(|fault| match fault.does.kind {
        FaultKind::Abort(status) if fault.does.share == ALL => Some((status, fault.id.clone())),
        _ => None,
    });
    let (aborts, ids): (Vec<u16>, Vec<Arc<str>>) = aborts.unzip();
    if !aborts.is_empty() {
        return answered(aborts, By::Statement(ids));
    }
    let delays = course
        .faults
        .iter()
        .any(|fault| fault.does.share == ALL && matches!(fault.does.kind, FaultKind::Delay(_)));
    if let (Some(way), Some(location)) = (&course.way, &course.location)
        && let Way::Redirect { status, .. } = &way.does
    {
        return Fate::Answered {
            statuses: vec![*status],
            location: Some(location.clone()),
            by: By::Statement(vec![way.id.clone()]),
            route: route(program, None, request),
            path: None,
            delays: false,
        };
    }
    let route = route(program, Some(&course), request);
    let answered = |status, by| Fate::Answered {
        statuses: vec![status],
        location: None,
        by,
        route: route.clone(),
        path: course.path.clone(),
        delays,
    };
    if request.authority.is_empty() || request.authority.contains(&b'@') {
        return answered(BAD_HOST, By::Envoy);
    }
    let sent = sent(&course, request, delays, route.clone());
    if sent.to.is_empty() {
        return answered(NO_REPLICA, By::NoReplica);
    }
    Fate::Sent(Box::new(sent))
}

/// The name of a request's route, where this is done with it.
fn route(program: Option<&LinkedProgram>, course: Option<&Course>, request: &Request) -> String {
    if request.authority.is_empty() {
        return "no-host".to_owned();
    }
    if request.authority.contains(&b'@') {
        return "user-in-host".to_owned();
    }
    let name = || {
        let program = program?;
        let table = table(&program.calls).ok()?;
        let key = course.and_then(|course| key(course, program));
        let entry = key.and_then(|key| table.entries.get(&key)).unwrap_or(&table.default);
        let ids: Vec<&str> = entry.stated_by.iter().map(|id| &**id).take(NAMED_MAX).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    };
    name().unwrap_or_else(|| "all".to_owned())
}

/// What holds for requests of which no module decides.
fn course_without_module(program: &LinkedProgram) -> Course {
    let calls = &program.calls;
    let timeouts = [calls.timeouts.otherwise.clone(), calls.ceilings.otherwise.clone()];
    Course {
        way: calls.ways.otherwise.clone(),
        mirror: calls.mirrors.otherwise.clone(),
        timeout: timeouts.into_iter().flatten().min_by_key(|choice| choice.does),
        retry: calls.retries.otherwise.clone(),
        ..Course::default()
    }
}

fn sent(course: &Course, request: &Request, delays: bool, route: String) -> Sent {
    let mut weights = Vec::new();
    let to = match course.way.as_ref().map(|way| &way.does) {
        Some(Way::Route(weighted)) => {
            weights.clone_from(weighted);
            let possible = weighted.iter().filter(|weighted| weighted.share > 0);
            let mut places: Vec<Place> = possible.flat_map(|weighted| places(&weighted.to)).collect();
            places.sort_unstable();
            places.dedup();
            places
        }
        _ => vec![Place::One, Place::Two],
    };
    let path = course.path.clone().unwrap_or_else(|| request.path.clone());
    Sent {
        request: RawRequest {
            protocol: Protocol::Http2,
            method: request.method.clone(),
            path,
            authority: Some(request.authority.clone()),
            hosts: Vec::new(),
            scheme: request.scheme.clone(),
            headers: request.headers.clone(),
            has_body: !request.end_of_stream,
            source: request.source.clone(),
        },
        to,
        retry: course.retry.as_ref().map(|retry| retry.does.clone()),
        is_short: course.timeout.as_ref().is_some_and(|timeout| timeout.does < Milliseconds(SHORT_MS)),
        is_copied: course.mirror.as_ref().is_some_and(|mirror| mirror.does.share == ALL),
        delays,
        route,
        weights,
    }
}

/// Where a destination is.
pub(super) fn places(to: &Destination) -> Vec<Place> {
    match (to.service.name.as_str(), to.version.as_deref()) {
        ("basket", _) => vec![Place::Basket],
        ("nowhere", _) => Vec::new(),
        (_, Some("v1")) => vec![Place::One],
        (_, Some("v2")) => vec![Place::Two],
        (_, Some(_)) => Vec::new(),
        (_, None) => vec![Place::One, Place::Two],
    }
}
