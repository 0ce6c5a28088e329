//! `regorus`: rules compiled for its virtual machine, which is kept from request to request.

use crate::Engine;
use crate::workload::{Path, Request, Rule, Test, Workload};
use anyhow::{Context as _, Result, anyhow};
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::RegoVM;
use regorus::{PolicyModule, Rc, Value, compile_policy_with_entrypoint};
use std::collections::BTreeMap;

const DECISION: &str = "data.bench.allow";

/// Regorus with a compiled policy.
pub struct Rego {
    machine: RegoVM,
    requests: Vec<Value>,
}

impl Rego {
    /// Compiles the rules.
    ///
    /// # Errors
    /// When they are refused.
    pub fn new(workload: &Workload) -> Result<Self> {
        let rules: Vec<String> = workload.rules.iter().map(text).collect();
        let denies = if workload.rules.iter().any(|rule| rule.denies) { "not denied; " } else { "" };
        let text = format!(
            "package bench\nimport rego.v1\ndefault allow := false\nallow if {{ {denies}permitted }}\n{}\n",
            rules.join("\n")
        );
        let module = PolicyModule { id: "bench.rego".into(), content: text.as_str().into() };
        let entry: Rc<str> = DECISION.into();
        let policy = compile_policy_with_entrypoint(Value::new_object(), &[module], entry)?;
        let program =
            Compiler::compile_from_policy(&policy, &[DECISION]).map_err(|error| anyhow!("{error}"))?;
        let mut machine = RegoVM::new();
        machine.load_program(program);
        Ok(Self { machine, requests: workload.requests.iter().map(value).collect() })
    }
}

impl Engine for Rego {
    fn name(&self) -> &'static str {
        "regorus"
    }

    fn decide(&mut self, request: usize) -> Result<bool> {
        self.machine.set_input(self.requests.get(request).context("a request")?.clone());
        match self.machine.execute().map_err(|error| anyhow!("{error}"))? {
            Value::Bool(allow) => Ok(allow),
            other => Err(anyhow!("the policy gives {other:?}")),
        }
    }
}

/// The most selective test first.
fn text(rule: &Rule) -> String {
    let mut parts = vec![match &rule.path {
        Path::Exact(path) => format!("input.path == {path:?}"),
        Path::Below(path) => format!("startswith(input.folder, {:?})", format!("{path}/")),
    }];
    match rule.methods.as_slice() {
        [] => {}
        [method] => parts.push(format!("input.method == {method:?}")),
        methods => {
            let set: Vec<String> = methods.iter().map(|method| format!("{method:?}")).collect();
            parts.push(format!("input.method in {{{}}}", set.join(", ")));
        }
    }
    parts.extend(rule.caller.iter().map(|caller| format!("input.caller == {caller:?}")));
    // Each denying rule has one test, which must not hold.
    parts.extend(rule.tests.iter().map(|test| match (test, rule.denies) {
        (Test::Is(name, value), false) => format!("input.headers[{name:?}] == {value:?}"),
        (Test::Is(name, value), true) => format!("not input.headers[{name:?}] == {value:?}"),
        (Test::IsNot(name, value), false) => format!("not input.headers[{name:?}] == {value:?}"),
        (Test::IsNot(name, value), true) => format!("input.headers[{name:?}] == {value:?}"),
        (Test::Begins(name, value), false) => format!("startswith(input.headers[{name:?}], {value:?})"),
        (Test::Begins(name, value), true) => format!("not startswith(input.headers[{name:?}], {value:?})"),
    }));
    let head = if rule.denies { "denied" } else { "permitted" };
    format!("{head} if {{ {} }}", parts.join("; "))
}

fn value(request: &Request) -> Value {
    let text = |text: &str| Value::from(text.to_owned());
    let object = |fields: Vec<(&str, Value)>| {
        let fields: BTreeMap<Value, Value> =
            fields.into_iter().map(|(name, value)| (text(name), value)).collect();
        Value::from(fields)
    };
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), text(value)));
    object(vec![
        ("method", text(request.method)),
        ("path", text(&request.path)),
        ("folder", text(&request.folder())),
        ("caller", text(&request.caller)),
        ("headers", object(headers.collect())),
    ])
}
