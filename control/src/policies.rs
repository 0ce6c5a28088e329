//! Policies on their way into force: files, admission, trial runs, tests, explanations, and the set in force.

pub mod admission;
pub mod call_programs;
pub mod course_runner;
pub mod differences;
pub mod documents;
pub mod effort;
pub mod explained;
pub mod filters;
pub mod import;
pub mod in_force;
pub mod nowhere;
pub mod policy_runner;
pub mod population;
pub mod preflight;
pub mod programs;
pub mod sources;
pub mod test_run;
pub mod workloads;
