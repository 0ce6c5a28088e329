//! What is shown of a difference: everything that is needed to see it again.

use super::sketch::Sketch;
use chancery_control::policies::policy_runner::Ran;
use chancery_policy_lang::request::Request;
use std::fmt;
use std::sync::Arc;

/// Where the module does not do as the evaluator.
#[derive(Clone, Debug)]
pub enum Difference {
    /// The host cannot be set up.
    Host(String),
    /// The module of a program does not start.
    NoModule {
        /// The policies.
        sketch: Sketch,
        /// Why.
        error: String,
    },
    /// They decide differently.
    Decision {
        /// The policies, as few as possible.
        sketch: Sketch,
        /// The request, as plain as possible.
        request: Box<Request>,
        /// What the evaluator says.
        expected: Box<Ran>,
        /// What the module says.
        got: Result<Box<Ran>, String>,
    },
    /// Two operations on one header at one scope say different things of a request, which the linker refuses.
    Meeting {
        /// The policies.
        sketch: Sketch,
        /// The request.
        request: Box<Request>,
        /// The operations.
        operations: [Arc<str>; 2],
    },
    /// A decision takes more steps than the module says.
    Cost {
        /// The policies.
        sketch: Sketch,
        /// The request.
        request: Box<Request>,
        /// The most steps for a request of that size.
        bound: u64,
        /// The steps that it took.
        taken: u64,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => write!(out, "the host cannot be set up: {error}"),
            Self::NoModule { sketch, error } => {
                write!(out, "the module does not start: {error}\n--- policy\n{}", sketch.text())
            }
            Self::Meeting { sketch, request, operations: [one, other] } => {
                writeln!(out, "`{one}` and `{other}` meet, and were said never to")?;
                write!(out, "--- policy\n{}\n--- request\n{}", sketch.text(), Literal(request))
            }
            Self::Cost { sketch, request, bound, taken } => {
                writeln!(out, "{taken} steps where at most {bound} are promised")?;
                write!(out, "--- policy\n{}\n--- request\n{}", sketch.text(), Literal(request))
            }
            Self::Decision { sketch, request, expected, got } => {
                writeln!(out, "evaluator and module differ\n--- policy, for shop/orders\n{}", sketch.text())?;
                writeln!(out, "--- request\n{}", Literal(request))?;
                writeln!(out, "--- evaluator\n{expected:?}\n--- module")?;
                match got {
                    Ok(got) => write!(out, "{got:?}"),
                    Err(error) => write!(out, "{error}"),
                }
            }
        }
    }
}

/// A request as a Rust expression.
struct Literal<'a>(&'a Request);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = self.0;
        let bytes = |bytes: &[u8]| format!("b\"{}\".to_vec()", bytes.escape_ascii());
        writeln!(out, "Request {{")?;
        writeln!(out, "    method: {},", bytes(&request.method))?;
        writeln!(out, "    path: {},", bytes(&request.path))?;
        writeln!(out, "    authority: {},", bytes(&request.authority))?;
        writeln!(out, "    scheme: {},", bytes(&request.scheme))?;
        writeln!(out, "    protocol: {},", bytes(&request.protocol))?;
        writeln!(out, "    headers: vec![")?;
        for (name, value) in &request.headers {
            writeln!(out, "        ({}, {}),", bytes(name), bytes(value))?;
        }
        writeln!(out, "    ],")?;
        writeln!(out, "    end_of_stream: {},", request.end_of_stream)?;
        let source = &request.source;
        let principal = match &source.principal {
            Some(principal) => format!("Some({})", bytes(principal)),
            None => "None".to_owned(),
        };
        writeln!(
            out,
            "    source: Source {{ principal: {principal}, ip: \"{}\".parse().unwrap(), port: {}, mtls: {} }},",
            source.ip, source.port, source.mtls
        )?;
        write!(out, "}}")
    }
}
