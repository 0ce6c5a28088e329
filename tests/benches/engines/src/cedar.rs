//! `cedar-policy`: a parsed policy set, and requests whose entities and contexts are made beforehand.

use crate::Engine;
use crate::workload::{Path, Request, Rule, Test, Workload};
use anyhow::{Context as _, Result};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request as CedarRequest,
    RestrictedExpression,
};
use std::str::FromStr;

/// Cedar with a policy set.
pub struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    requests: Vec<CedarRequest>,
}

impl Cedar {
    /// Parses the rules.
    ///
    /// # Errors
    /// When they are refused.
    pub fn new(workload: &Workload) -> Result<Self> {
        let texts: Vec<String> = workload.rules.iter().map(|rule| text(rule, workload)).collect();
        let requests = workload.requests.iter().map(|request| prepare(request, workload));
        Ok(Self {
            authorizer: Authorizer::new(),
            policies: PolicySet::from_str(&texts.join("\n"))?,
            entities: Entities::empty(),
            requests: requests.collect::<Result<_>>()?,
        })
    }
}

impl Engine for Cedar {
    fn name(&self) -> &'static str {
        "cedar-policy"
    }

    fn decide(&mut self, request: usize) -> Result<bool> {
        let request = self.requests.get(request).context("a request")?;
        let response = self.authorizer.is_authorized(request, &self.policies, &self.entities);
        Ok(response.decision() == Decision::Allow)
    }
}

/// The caller is the principal and the method the action, which Cedar looks at first.
fn text(rule: &Rule, workload: &Workload) -> String {
    let effect = if rule.denies { "forbid" } else { "permit" };
    let mut tests = rule.tests.as_slice();
    let principal = match (&rule.caller, tests) {
        (_, [Test::Is("x-user", user)]) if workload.user_is_principal => {
            tests = &[];
            format!("principal == Caller::{user:?}")
        }
        (Some(caller), _) => format!("principal == Caller::{caller:?}"),
        (None, _) => "principal".to_owned(),
    };
    let methods: Vec<String> = rule.methods.iter().map(|method| format!("Method::{method:?}")).collect();
    let action = match methods.as_slice() {
        [] => "action".to_owned(),
        [method] => format!("action == {}", method.replace("Method::", "Action::")),
        methods => format!("action in [{}]", methods.join(", ").replace("Method::", "Action::")),
    };
    let mut parts = vec![match &rule.path {
        Path::Exact(path) => format!("context.path == {path:?}"),
        Path::Below(path) => format!("context.folder like {:?}", format!("{path}/*")),
    }];
    let tests: Vec<String> = tests.iter().map(test).collect();
    match (tests.is_empty(), rule.denies) {
        (true, _) => {}
        (false, false) => parts.extend(tests),
        (false, true) => parts.push(format!("!({})", tests.join(" && "))),
    }
    format!("{effect}({principal}, {action}, resource) when {{ {} }};", parts.join(" && "))
}

fn test(test: &Test) -> String {
    match test {
        Test::Is(name, value) => {
            format!("context.headers has {name:?} && context.headers[{name:?}] == {value:?}")
        }
        Test::IsNot(name, value) => {
            format!("(!(context.headers has {name:?}) || context.headers[{name:?}] != {value:?})")
        }
        Test::Begins(name, value) => {
            let pattern = format!("{value}*");
            format!("context.headers has {name:?} && context.headers[{name:?}] like {pattern:?}")
        }
    }
}

fn prepare(request: &Request, workload: &Workload) -> Result<CedarRequest> {
    let string = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let headers = request.headers.iter().map(|(name, value)| (name.clone(), string(value)));
    let context = Context::from_pairs([
        ("path".to_owned(), string(&request.path)),
        ("folder".to_owned(), string(&request.folder())),
        ("headers".to_owned(), RestrictedExpression::new_record(headers)?),
    ])?;
    let caller = match request.header("x-user") {
        Some(user) if workload.user_is_principal => user,
        _ => &request.caller,
    };
    let entity = |kind: &str, name: &str| EntityUid::from_str(&format!("{kind}::{name:?}"));
    let principal = entity("Caller", caller)?;
    let action = entity("Action", request.method)?;
    let resource = entity("Service", "orders")?;
    Ok(CedarRequest::new(principal, action, resource, context, None)?)
}
