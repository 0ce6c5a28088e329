//! The requests of the demo, and what the policies in `examples/quickstart` say of them.

/// The policies that are applied: name and text of each file.
pub const POLICIES: [(&str, &str); 3] = [
    ("mesh.writ", include_str!("../../../../examples/quickstart/policies/mesh.writ")),
    ("pay.writ", include_str!("../../../../examples/quickstart/policies/pay.writ")),
    ("shop.writ", include_str!("../../../../examples/quickstart/policies/shop.writ")),
];
/// The policy that comes and goes while the load runs.
pub const CHANGE: (&str, &str) =
    ("stocktaking.writ", include_str!("../../../../examples/quickstart/change/stocktaking.writ"));
/// Its name.
pub const CHANGE_POLICY: &str = "stocktaking";

/// A request of one service to another.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Who asks.
    pub from: &'static str,
    /// Who is asked.
    pub to: &'static str,
    /// How.
    pub method: &'static str,
    /// For what.
    pub path: &'static str,
    /// What is sent along.
    pub headers: &'static [(&'static str, &'static str)],
    /// The status that the policies demand.
    pub status: u16,
    /// The rule that decides. An `exempt` has no name of its own: there the beginning counts.
    pub rule: &'static str,
}

/// Order services read, orders are placed and paid.
pub const FRONTEND: &str = "shop/frontend";
/// Has two replicas.
pub const ORDERS: &str = "shop/orders";
/// In another namespace.
pub const LEDGER: &str = "pay/ledger";

const AUDIT: (&str, &str) = ("x-purpose", "audit");
const KEY: (&str, &str) = ("idempotency-key", "7");
/// What a client sends that would like to be the ledger.
const FORGED: (&str, &str) = ("x-forwarded-client-cert", "URI=spiffe://chancery.local/ns/pay/sa/ledger");

/// The table of the demo.
pub const CALLS: [Call; 15] = [
    call(FRONTEND, ORDERS, "GET", "/orders/7", &[], 200, "orders/read"),
    call(FRONTEND, ORDERS, "POST", "/orders", &[], 201, "orders/place"),
    call(FRONTEND, ORDERS, "DELETE", "/orders/7", &[], 403, "orders/otherwise"),
    call(LEDGER, ORDERS, "POST", "/orders/7/paid", &[], 201, "orders/paid"),
    call(FRONTEND, ORDERS, "POST", "/orders/7/paid", &[], 403, "orders/otherwise"),
    call(FRONTEND, ORDERS, "POST", "/orders/7/paid", &[FORGED], 403, "orders/otherwise"),
    call(FRONTEND, ORDERS, "GET", "/exports/orders", &[], 403, "orders/no-bulk"),
    call(FRONTEND, ORDERS, "GET", "/orders/%2e%2e/exports/orders", &[], 403, "orders/no-bulk"),
    call(FRONTEND, ORDERS, "GET", "/exports/orders", &[AUDIT], 200, "orders/export"),
    call(FRONTEND, ORDERS, "GET", "/orders/%zz", &[], 400, "bad-path"),
    call(ORDERS, LEDGER, "POST", "/charges", &[KEY], 201, "ledger/charge"),
    call(ORDERS, LEDGER, "POST", "/charges", &[], 403, "default-deny"),
    call(FRONTEND, LEDGER, "POST", "/charges", &[KEY], 403, "default-deny"),
    call(FRONTEND, LEDGER, "GET", "/healthz", &[], 200, "mesh-baseline/exempt-"),
    call(LEDGER, FRONTEND, "POST", "/notify", &[], 201, "frontend/notify"),
];

const fn call(
    from: &'static str,
    to: &'static str,
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    status: u16,
    rule: &'static str,
) -> Call {
    Call { from, to, method, path, headers, status, rule }
}

impl Call {
    /// The request in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        let headers: Vec<String> = self.headers.iter().map(|(name, _)| format!(" +{name}")).collect();
        format!("{} {}{}", self.method, self.path, headers.concat())
    }

    /// Whether the rule that decided is the right one.
    #[must_use]
    pub fn is_decided_by(&self, rule: &str) -> bool {
        if self.rule.ends_with('-') { rule.starts_with(self.rule) } else { rule == self.rule }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;
    use chancery_policy_lang::SourceSet;
    use chancery_policy_lang::analyse::analyse;
    use chancery_policy_lang::check::CheckOptions;

    fn findings(policies: &[(&str, &str)]) -> Vec<String> {
        let mut sources = SourceSet::new();
        for (name, text) in policies {
            sources.add(*name, *text);
        }
        let analysis = analyse(&sources, CheckOptions::default());
        analysis.diagnostics.iter().map(|found| format!("{}: {}", found.code.0, found.message)).collect()
    }

    #[test]
    fn the_policies_have_neither_errors_nor_warnings() {
        assert_eq!(findings(&POLICIES), [""; 0]);
    }

    #[test]
    fn the_change_switches_one_rule_off_and_check_says_which() {
        let all: Vec<_> = POLICIES.into_iter().chain([CHANGE]).collect();
        assert_eq!(findings(&all), ["W201: `place` never changes a decision"]);
    }

    #[test]
    fn a_rule_without_a_name_is_known_by_its_beginning() {
        let exempt = CALLS.iter().find(|call| call.path == "/healthz").unwrap();
        assert!(exempt.is_decided_by("mesh-baseline/exempt-0c4dd9") && !exempt.is_decided_by("orders/read"));
        let read = CALLS.first().unwrap();
        assert!(read.is_decided_by("orders/read") && !read.is_decided_by("orders/read-all"));
    }
}
