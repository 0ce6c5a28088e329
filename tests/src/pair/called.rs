//! What the line of a caller's sidecar must say of a request.

use super::fate::{By, Fate};
use super::same;
use super::shown::{Shown, shown_of_path};
use anyhow::{Context as _, Result, ensure};
use chancery_policy_lang::request::Request;
use serde_json::Value;
use std::collections::BTreeSet;

/// What Envoy says where there is no flag.
pub(super) const NO_FLAG: &str = "-";

/// A request as it left, and what became of it.
#[derive(Debug)]
pub(super) struct Called<'a> {
    /// As the caller's Envoy shows it to its filters.
    pub(super) request: &'a Request,
    /// What must become of it.
    pub(super) fate: &'a Fate,
    /// The status that its client got.
    pub(super) status: u16,
    /// Whether it was cut off, or its last try could have been followed by another one.
    pub(super) end: End,
}

/// How the tries of a request end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With an answer.
    Answered,
    /// It took too long.
    CutOff,
    /// There were as many as there may be, and the last one failed, too.
    GivenUp,
}

impl Called<'_> {
    /// What is wrong with a line about it.
    ///
    /// # Errors
    /// That.
    pub(super) fn check(&self, line: &Value, shown: &Shown) -> Result<()> {
        let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
        same("the line's code", &line.get("code"), &Some(&Value::from(self.status)))?;
        same("the line's direction", &text("direction"), &"outbound")?;
        same("the line's target", &text("target"), &"shop/orders")?;
        shown.check_revision(line)?;
        ensure!(line.get("time").is_some_and(Value::is_string), "it has no time");
        ensure!(line.get("duration").is_some_and(Value::is_number), "it has no duration");
        // The application says nothing of itself to its own sidecar.
        shown.check(line, "principal", b"")?;
        let path = self.fate.path().unwrap_or(&self.request.path);
        shown.check(line, "method", &self.request.method)?;
        shown.check(line, "path", shown_of_path(path))?;
        let is_hidden = shown.hidden.contains_key("request_id");
        ensure!(is_hidden || !text("request_id").is_empty(), "it has no id");
        let by = match self.fate {
            Fate::Answered { by, .. } => Some(by),
            Fate::Sent(_) | Fate::Refused => None,
        };
        match by {
            Some(By::Statement(ids)) => {
                let answered = text("answered");
                ensure!(ids.iter().any(|id| **id == *answered), "`{answered}` answered, not {ids:?}");
                same("the line's details", &text("details"), &answered)?;
            }
            Some(By::Refusal(rule)) => same("the line's details", &text("details"), rule)?,
            Some(By::Envoy | By::NoReplica) | None => {
                same("the line's answered", &text("answered"), &"")?;
                same("the line's rule", &text("rule"), &"")?;
            }
        }
        if by.is_some() {
            same("the line's upstream", &text("upstream"), &"")?;
        }
        if let Some(route) = self.fate.route() {
            same("the line's route", &text("route"), &route)?;
        }
        let flags: BTreeSet<&str> = text("flags").split(',').filter(|flag| *flag != NO_FLAG).collect();
        same("the line's flags", &flags, &self.flags())
    }

    fn flags(&self) -> BTreeSet<&'static str> {
        let mut flags = BTreeSet::new();
        let (delays, is_nowhere) = match self.fate {
            Fate::Answered { by, delays, .. } => (*delays, *by == By::NoReplica),
            Fate::Sent(sent) => (sent.delays, false),
            Fate::Refused => (false, false),
        };
        flags.extend(delays.then_some("DI"));
        flags.extend(is_nowhere.then_some("UH"));
        flags.extend(match self.end {
            End::Answered => None,
            End::CutOff => Some("UT"),
            End::GivenUp => Some("URX"),
        });
        flags
    }
}

/// The line of a request of which Envoy shows nothing to its filters: that it was refused, and by which status.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_refused(line: &Value, status: u16, shown: &Shown) -> Result<()> {
    same("the line's code", &line.get("code"), &Some(&Value::from(status)))?;
    same("the line's target", &line.get("target"), &Some(&Value::from("shop/orders")))?;
    // Of what is no message of HTTP, Envoy looks for no route, and knows neither the revision nor what it is.
    let is_known = line.get("method").is_some();
    if is_known || line.get("revision").is_some() {
        shown.check_revision(line)?;
    }
    same("the line's upstream", &line.get("upstream"), &None)?;
    let details = line.get("details").and_then(Value::as_str).context("it does not say why")?;
    ensure!(!details.is_empty(), "it does not say why");
    ensure!(line.get("rule").is_none(), "no rule was asked");
    Ok(())
}
