//! `cel`: a program a rule, or one program of all of them; both are compiled before anything is timed.

use crate::Engine;
use crate::workload::{Path, Request, Rule, Test, Workload};
use anyhow::{Context as _, Result, anyhow};
use cel::{Context, Program, Value};
use std::collections::HashMap;

/// One program a rule, asked in order.
pub struct Rules {
    denies: Vec<Program>,
    allows: Vec<Program>,
    requests: Vec<Context<'static, 'static>>,
}

/// One program of all rules.
pub struct Whole {
    program: Program,
    requests: Vec<Context<'static, 'static>>,
}

impl Rules {
    /// Compiles the rules.
    ///
    /// # Errors
    /// When one is refused.
    pub fn new(workload: &Workload) -> Result<Self> {
        let programs = |denies: bool| {
            let rules = workload.rules.iter().filter(|rule| rule.denies == denies);
            rules.map(|rule| compile(&text(rule))).collect::<Result<Vec<_>>>()
        };
        Ok(Self { denies: programs(true)?, allows: programs(false)?, requests: contexts(workload)? })
    }
}

impl Engine for Rules {
    fn name(&self) -> &'static str {
        "cel, a program a rule"
    }

    fn decide(&mut self, request: usize) -> Result<bool> {
        let context = self.requests.get(request).context("a request")?;
        for program in &self.denies {
            if holds(program, context)? {
                return Ok(false);
            }
        }
        for program in &self.allows {
            if holds(program, context)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Whole {
    /// Compiles all rules as one expression.
    ///
    /// # Errors
    /// When it is refused.
    pub fn new(workload: &Workload) -> Result<Self> {
        let any = |denies: bool| {
            let rules = workload.rules.iter().filter(|rule| rule.denies == denies);
            let texts: Vec<String> = rules.map(|rule| format!("({})", text(rule))).collect();
            balanced(&texts)
        };
        let program = compile(&format!("!({}) && ({})", any(true), any(false)))?;
        Ok(Self { program, requests: contexts(workload)? })
    }
}

impl Engine for Whole {
    fn name(&self) -> &'static str {
        "cel, one program"
    }

    fn decide(&mut self, request: usize) -> Result<bool> {
        holds(&self.program, self.requests.get(request).context("a request")?)
    }
}

/// The alternatives joined so that the expression is no deeper than it must be.
fn balanced(texts: &[String]) -> String {
    match texts {
        [] => "false".to_owned(),
        [only] => only.clone(),
        texts => {
            let (left, right) = texts.split_at(texts.len() / 2);
            format!("({} || {})", balanced(left), balanced(right))
        }
    }
}

fn holds(program: &Program, context: &Context<'_, '_>) -> Result<bool> {
    match program.execute(context) {
        Ok(Value::Bool(holds)) => Ok(holds),
        other => Err(anyhow!("an expression gives {other:?}")),
    }
}

fn compile(text: &str) -> Result<Program> {
    Program::compile(text).map_err(|error| anyhow!("{error}"))
}

/// The most selective test first.
fn text(rule: &Rule) -> String {
    let mut parts = vec![match &rule.path {
        Path::Exact(path) => format!("path == {path:?}"),
        Path::Below(path) => format!("folder.startsWith({:?})", format!("{path}/")),
    }];
    match rule.methods.as_slice() {
        [] => {}
        [method] => parts.push(format!("method == {method:?}")),
        methods => parts.push(format!("method in {methods:?}")),
    }
    parts.extend(rule.caller.iter().map(|caller| format!("caller == {caller:?}")));
    let tests: Vec<String> = rule.tests.iter().map(test).collect();
    match (tests.is_empty(), rule.denies) {
        (true, _) => {}
        (false, false) => parts.extend(tests),
        (false, true) => parts.push(format!("!({})", tests.join(" && "))),
    }
    parts.join(" && ")
}

fn test(test: &Test) -> String {
    match test {
        Test::Is(name, value) => format!("{name:?} in headers && headers[{name:?}] == {value:?}"),
        Test::IsNot(name, value) => format!("(!({name:?} in headers) || headers[{name:?}] != {value:?})"),
        Test::Begins(name, value) => {
            format!("{name:?} in headers && headers[{name:?}].startsWith({value:?})")
        }
    }
}

fn contexts(workload: &Workload) -> Result<Vec<Context<'static, 'static>>> {
    workload.requests.iter().map(context).collect()
}

fn context(request: &Request) -> Result<Context<'static, 'static>> {
    let mut context = Context::default();
    let headers: HashMap<String, String> = request.headers.iter().cloned().collect();
    context.add_variable_from_value("method", request.method.to_owned());
    context.add_variable_from_value("path", request.path.clone());
    context.add_variable_from_value("folder", request.folder());
    context.add_variable_from_value("caller", request.caller.clone());
    context.add_variable_from_value("headers", headers);
    Ok(context)
}
