//! `/v1/policies/{name}/shadow`: what a policy in shadow mode would have decided otherwise, counted over the mesh.

use super::extract::{Json, Path};
use super::policies::{blocking, body, now};
use super::{Api, ApiError};
use crate::delivery::xds::Counts;
use crate::mesh::store::StoreError;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a policy in shadow mode would have decided otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShadowResponse {
    /// The policy.
    pub policy: String,
    /// How many sidecars have said what they counted, of those that are connected.
    pub sidecars: usize,
    /// Its statements that would have decided a request otherwise, by their ids.
    pub rules: Vec<ShadowRule>,
}

/// What one statement would have decided otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShadowRule {
    /// `POLICY/NAME`.
    pub rule: String,
    /// What it would have done.
    pub would: Would,
    /// How many requests, in sidecars that count since the policies of their service changed last.
    pub requests: u64,
    /// How many sidecars have seen one.
    pub sidecars: usize,
}

/// What a shadow decision would have done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Would {
    /// It would have passed.
    Allow,
    /// It would not have.
    Deny,
}

/// Counts.
pub(super) async fn show(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<ShadowResponse>, ApiError> {
    let state = now(&api);
    let (wanted, in_force, of) = (name.clone(), api.in_force.clone(), state.clone());
    let mode = blocking(move || Some(body(&in_force.at(&of), of.policies.get(&wanted)?).mode)).await?;
    match mode.as_deref() {
        None => return Err(StoreError::NoSuchPolicy(name).into()),
        Some("shadow") => {}
        Some(mode) => return Err(not_in_shadow(&name, mode)),
    }
    let counts = api.board.counts_of(state.proxies.keys());
    Ok(Json(added_up(&name, counts.values())))
}

fn not_in_shadow(name: &str, mode: &str) -> ApiError {
    let message = format!("policy `{name}` is not in shadow mode but `{mode}`: nothing is counted");
    ApiError::new(StatusCode::CONFLICT, "not-in-shadow", message)
        .help("apply it with `mode shadow` to see what it would decide before it does")
}

fn added_up<'a>(policy: &str, counts: impl Iterator<Item = &'a Arc<Counts>>) -> ShadowResponse {
    let mut rules = BTreeMap::<(String, Would), (u64, usize)>::new();
    let mut sidecars = 0;
    for counts in counts {
        sidecars += 1;
        for (name, requests) in &counts.shadows {
            let Some((would, rule)) = name.split_once('.') else { continue };
            let would = if would == "allowed" { Would::Allow } else { Would::Deny };
            if rule.split_once('/').is_some_and(|(of, _)| of == policy) {
                let (sum, seen) = rules.entry((rule.to_owned(), would)).or_default();
                *sum = sum.saturating_add(*requests);
                *seen += 1;
            }
        }
    }
    let rule = |((rule, would), (requests, sidecars))| ShadowRule { rule, would, requests, sidecars };
    ShadowResponse { policy: policy.to_owned(), sidecars, rules: rules.into_iter().map(rule).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sidecars_counted_is_added_up_by_statement() {
        let counts = |shadows: &[(&str, u64)]| {
            let shadows = shadows.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
            Arc::new(Counts { shadows, ..Counts::default() })
        };
        let all = [
            counts(&[("denied.strict/slow", 3), ("allowed.strict/open", 1), ("denied.stricter/slow", 9)]),
            counts(&[("denied.strict/slow", 4)]),
            counts(&[]),
        ];
        let rule = |rule: &str, would, requests, sidecars| ShadowRule {
            rule: rule.to_owned(),
            would,
            requests,
            sidecars,
        };
        let added = added_up("strict", all.iter());
        assert_eq!(added.sidecars, 3);
        let expected = [rule("strict/open", Would::Allow, 1, 1), rule("strict/slow", Would::Deny, 7, 2)];
        assert_eq!(added.rules, expected);
    }
}
