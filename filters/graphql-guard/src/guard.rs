//! Whether requests pass: each document is read, counted and measured; the costs of all are added up.

use crate::config::{Allowed, Settings};
use crate::document::{Document, Kind};
use crate::measure::{Measure, Unmeasured, measure};
use crate::refusal::{Location, Refusal};
use crate::transport::GraphqlRequest;
use sha2::{Digest, Sha256};

/// Operations that a document may have: a client sends the one that it wants, and rarely others beside it.
const OPERATIONS_MAX: usize = 10;

/// Why a request does not pass, and where in its document if that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) location: Option<Location>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, location: None }
    }
}

/// Whether all requests of a message pass.
pub(crate) fn check(
    settings: &Settings,
    requests: &[GraphqlRequest],
    is_by_get: bool,
) -> Result<(), Refused> {
    let mut cost: u64 = 0;
    let mut tokens_left = settings.tokens_max;
    for request in requests {
        cost = cost.saturating_add(check_one(settings, request, is_by_get, &mut tokens_left)?);
        if cost > settings.cost_max {
            return Err(Refusal::Cost.into());
        }
    }
    Ok(())
}

/// Whether a request passes, and what it costs.
fn check_one(
    settings: &Settings,
    request: &GraphqlRequest,
    is_by_get: bool,
    tokens_left: &mut usize,
) -> Result<u64, Refused> {
    let Some(query) = &request.query else {
        // The operator vouches for what is known by its hash.
        let hashes = settings.allowed.as_ref().map(|allowed| &allowed.hashes);
        let is_known = request.hash.as_ref().is_some_and(|hash| hashes.is_some_and(|all| all.contains(hash)));
        return if is_known { Ok(0) } else { Err(Refusal::NoDocument.into()) };
    };
    let document = Document::read(query, *tokens_left, &settings.prices.sizes).map_err(|wrong| Refused {
        refusal: Refusal::of(wrong.what),
        location: Some(Location::of(query, wrong.at)),
    })?;
    *tokens_left = tokens_left.saturating_sub(document.tokens);
    count(settings, &document)?;
    if let Some(allowed) = &settings.allowed
        && !is_allowed(allowed, &document, query)
    {
        return Err(Refusal::NotAllowed.into());
    }
    choose(request, &document)?;
    if is_by_get && document.operations.iter().any(|operation| operation.kind == Kind::Mutation) {
        return Err(Refusal::Method.into());
    }
    // Whichever operation the service chooses, it is within the limits.
    let mut dearest = Measure::default();
    for operation in &document.operations {
        let one =
            measure(&document, operation, &request.variables, &settings.prices).map_err(|unmeasured| {
                match unmeasured {
                    Unmeasured::Cycle | Unmeasured::NoFragment => Refusal::Fragments,
                    Unmeasured::Levels => Refusal::Depth,
                }
            })?;
        dearest = Measure { depth: dearest.depth.max(one.depth), cost: dearest.cost.max(one.cost) };
    }
    if dearest.depth > settings.depth_max {
        return Err(Refusal::Depth.into());
    }
    Ok(dearest.cost)
}

/// Whether a document keeps to the limits of how many of each thing it has.
fn count(settings: &Settings, document: &Document<'_>) -> Result<(), Refusal> {
    let refusal = match document {
        // Each is measured, with all fragments.
        _ if document.operations.len() > OPERATIONS_MAX => Refusal::Malformed,
        _ if document.aliases > settings.aliases_max => Refusal::Aliases,
        _ if document.directives > settings.directives_max => Refusal::Directives,
        _ if document.fragments.len() > settings.fragments_max => Refusal::Fragments,
        _ if document.has_introspection && !settings.has_introspection => Refusal::Introspection,
        _ => return Ok(()),
    };
    Err(refusal)
}

/// Whether it is clear which operation is meant, as the specification says.
fn choose(request: &GraphqlRequest, document: &Document<'_>) -> Result<(), Refusal> {
    let names = document.operations.iter().map(|operation| operation.name);
    let is_clear = match (request.operation_name.as_deref(), document.operations.len()) {
        (_, 0) => false,
        (None | Some(""), count) => count == 1,
        (wanted, _) => names.filter(|name| *name == wanted).count() == 1,
    };
    if is_clear { Ok(()) } else { Err(Refusal::Malformed) }
}

/// Whether the document is one of those that are allowed, or all of its operations have names that are.
fn is_allowed(allowed: &Allowed, document: &Document<'_>, query: &str) -> bool {
    let is_named = |name: Option<&str>| name.is_some_and(|name| allowed.names.contains(name));
    let are_named = document.operations.iter().all(|operation| is_named(operation.name));
    let digest = || Sha256::digest(query).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    are_named || (!allowed.hashes.is_empty() && allowed.hashes.contains(&digest()))
}
