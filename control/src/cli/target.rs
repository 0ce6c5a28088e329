//! The workload that `explain` and `compile` are asked about: `--on service shop/orders`.

use crate::cli::exit::Failure;
use crate::mesh::identity::spiffe;
use chancery_policy_lang::lex::is_name;
use chancery_policy_lang::linked::Workload;
use clap::Args;
use std::collections::BTreeMap;

/// The trust domain of a mesh that states no other.
pub const DEFAULT_TRUST_DOMAIN: &str = "chancery.local";

/// The options that name a workload.
#[derive(Args, Clone, Debug)]
pub struct TargetArguments {
    /// The workload that receives the requests, such as `--on service shop/orders`
    #[arg(long, num_args = 2, value_names = ["KIND", "NAMESPACE/NAME"])]
    on: Vec<String>,
    /// A label of the workload; can be given several times
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// The SPIFFE trust domain whose identities are services
    #[arg(long, value_name = "DOMAIN", default_value = DEFAULT_TRUST_DOMAIN)]
    trust_domain: String,
}

impl TargetArguments {
    /// The workload.
    ///
    /// # Errors
    /// Bad input if it is not a service, a label is not `NAME=VALUE` or is given twice, or the trust
    /// domain is none.
    pub fn workload(&self) -> Result<Workload, Failure> {
        let service = match self.on.as_slice() {
            [kind, name] if kind == "service" => spiffe::parse_service(name).map_err(Failure::bad_input)?,
            [kind, _] => {
                return Err(Failure::bad_input(format!("`--on {kind}` is not supported"))
                    .help("requests reach a workload of a service: write `--on service NAMESPACE/NAME`"));
            }
            _ => {
                return Err(Failure::bad_input("for which workload is not said")
                    .help("add `--on service NAMESPACE/NAME`"));
            }
        };
        for part in [&service.namespace, &service.name] {
            if !is_name(part) {
                return Err(Failure::bad_input(format!("`{part}` is no name that a policy can write")).help(
                    "a name is letters, digits and `_`, with `-` inside, and begins with a letter or `_`",
                ));
            }
        }
        let labels = labels(&self.labels)?;
        if !spiffe::is_trust_domain(&self.trust_domain) {
            return Err(Failure::bad_input(format!("`{}` is not a trust domain", self.trust_domain))
                .help("it is written in lower-case letters, digits, `.`, `_` and `-`"));
        }
        Ok(Workload {
            namespace: service.namespace,
            service: service.name,
            labels,
            trust_domain: self.trust_domain.clone(),
        })
    }
}

/// Labels as they are written on the command line.
///
/// # Errors
/// Bad input if one is not `NAME=VALUE` or is given twice.
pub fn labels(written: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut labels = BTreeMap::new();
    for label in written {
        let Some((name, value)) = label.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Failure::bad_input(format!("the label `{label}` has not the form `NAME=VALUE`")));
        };
        if labels.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::bad_input(format!("the label `{name}` is given twice")));
        }
    }
    Ok(labels)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        target: TargetArguments,
    }

    fn workload(line: &str) -> Result<Workload, String> {
        let words = std::iter::once("x").chain(line.split(' '));
        Line::try_parse_from(words).unwrap().target.workload().map_err(|failure| failure.message)
    }

    #[test]
    fn a_workload_is_a_service_with_labels() {
        let workload = workload("--on service shop/orders --label version=v2 --label a=").unwrap();
        assert_eq!((workload.namespace.as_str(), workload.service.as_str()), ("shop", "orders"));
        assert_eq!(workload.labels.get("version").map(String::as_str), Some("v2"));
        assert_eq!(workload.trust_domain, DEFAULT_TRUST_DOMAIN);
    }

    #[test]
    fn what_is_no_workload_is_refused() {
        for (line, message) in [
            ("--on service orders", "`orders` is not the name of a service"),
            ("--on service shop/1", "`1` is no name that a policy can write"),
            ("--on service my.shop/orders", "`my.shop` is no name that a policy can write"),
            ("--on mesh shop/orders", "`--on mesh` is not supported"),
            ("--on service a/b --label x", "the label `x` has not the form `NAME=VALUE`"),
            ("--on service a/b --label x=1 --label x=2", "the label `x` is given twice"),
            ("--on service a/b --trust-domain A/b", "`A/b` is not a trust domain"),
        ] {
            let said = workload(line).unwrap_err();
            assert!(said.starts_with(message), "{line}: {said}");
        }
    }
}
