//! What modules of callers tell Envoy, compared with what the evaluator says of the same requests.

use super::sketch::Sketch;
use super::{calls, policies, requests_of};
use crate::programs::{checked, linked_calls};
use crate::random::Random;
use anyhow::{Error, Result, bail};
use chancery_control::policies::course_runner::CourseRunner;
use chancery_policy_lang::checked::ServiceRef;
use chancery_policy_lang::eval::course;
use chancery_policy_lang::linked::{LinkedProgram, Workload};
use chancery_policy_lang::request::{Request, ServiceIdentity};
use chancery_sdk_host::{Host, Limits};
use std::collections::BTreeMap;

/// Who calls; a policy may name each.
const CALLERS: [(&str, &str); 2] = [("shop", "cart"), ("pay", "ledger")];

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Courses {
    /// Modules of callers.
    pub programs: usize,
    /// Texts that the checker or the linker refused.
    pub refused: usize,
    /// Pairs of module and request.
    pub pairs: usize,
    /// Of these: those of which something was said.
    pub steered: usize,
}

/// Compares so many generated modules of callers on so many requests each.
///
/// # Errors
/// The first difference.
pub fn compare_courses(seed: u64, programs: usize, requests: usize) -> Result<Courses> {
    let host = Host::for_few_calls(Limits::default())?;
    let mut random = Random::new(seed);
    let mut summary = Courses::default();
    while summary.programs < programs {
        let sketch = Sketch { policies: calls::policies(&mut random) };
        let requests = requests_of(&sketch, requests, &mut random);
        for (namespace, name) in CALLERS {
            let caller = ServiceRef { namespace: namespace.to_owned(), name: name.to_owned() };
            let target = Workload { labels: BTreeMap::new(), ..policies::target() };
            match checked(&sketch.text()).and_then(|policies| linked_calls(&policies, &target, &caller)) {
                Ok(Some(program)) if program.calls.decides() => {
                    let principal = ServiceIdentity::new(&target.trust_domain, &caller).to_string();
                    compare_program(&host, &sketch, &program, &requests, &principal, &mut summary)?;
                }
                Ok(_) => {}
                Err(_) => summary.refused += 1,
            }
        }
    }
    Ok(summary)
}

fn compare_program(
    host: &Host,
    sketch: &Sketch,
    program: &LinkedProgram,
    requests: &[Request],
    principal: &str,
    summary: &mut Courses,
) -> Result<()> {
    let module = super::module_of(program).map_err(|error| Error::msg(error.to_string()))?;
    let mut runner = CourseRunner::on_host(host, &module.bytes)?;
    summary.programs += 1;
    for request in requests {
        let mut request = request.clone();
        request.source.principal = Some(principal.as_bytes().to_vec());
        request.source.mtls = true;
        let defined = course(program, &request);
        let ran = runner.run(&request)?;
        if !ran.may_be(defined.as_ref(), program) {
            bail!(
                "the module says {ran:?}, which is defined as {defined:#?}\nof {request:#?}\nby\n{}",
                sketch.text()
            );
        }
        summary.pairs += 1;
        summary.steered += usize::from(ran.answer.is_some() || ran.key.is_some() || ran.path.is_some());
    }
    Ok(())
}
