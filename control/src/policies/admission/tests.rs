//! What is admitted, what is refused, and what an apply changes.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::policies::in_force::Current;
use tokio_util::sync::CancellationToken;

const NOBODY: &BTreeSet<ServiceRef> = &BTreeSet::new();
const TERMS: Terms<'_> =
    Terms { today: "2026-11-23", skip_tests: false, invited: NOBODY, set: None, prune: false };
const ORDERS: &str =
    "auth orders on service shop/orders {\n  read: allow GET /api/** from service shop/web\n}\n";
const CART: &str = "auth cart on service shop/cart {\n  allow GET from namespace shop\n}\n";

fn file(name: &str, text: &str) -> Document {
    Document { name: name.to_owned(), text: text.into() }
}

fn preflight() -> Programs {
    Programs::new().unwrap()
}

fn unbounded() -> Effort {
    Effort::unless(CancellationToken::new())
}

fn known(state: &DesiredState) -> Arc<InForce> {
    Current::default().at(&Arc::new(state.clone()))
}

fn admit(
    state: &DesiredState,
    files: Vec<Document>,
    terms: Terms<'_>,
    programs: &Programs,
) -> Result<Admission, Refusal> {
    super::admit(&known(state), files, terms, programs, &unbounded())
}

fn outcomes(admission: &Admission) -> Vec<(&str, ApplyOutcome)> {
    admission.outcomes.iter().map(|applied| (applied.name.as_str(), applied.outcome)).collect()
}

/// The state after these files were applied one after the other.
fn after(steps: &[&[Document]]) -> DesiredState {
    let empty = DesiredState { trust_domain: "chancery.local".to_owned(), ..DesiredState::default() };
    steps.iter().fold(empty, |state, files| {
        let change = admit(&state, files.to_vec(), TERMS, &preflight()).unwrap().change.unwrap();
        change.apply_to(&state).unwrap()
    })
}

fn refused(state: &DesiredState, files: Vec<Document>) -> Vec<Finding> {
    match admit(state, files, TERMS, &preflight()).unwrap_err() {
        Refusal::Policies(diagnostics) => diagnostics,
        other => unreachable!("{other}"),
    }
}

#[test]
fn policies_are_created_changed_and_unchanged_by_what_they_say() {
    let state = after(&[&[file("all.writ", &format!("{ORDERS}{CART}"))]]);
    assert_eq!(state.policies.len(), 2);
    let same =
        admit(&state, vec![file("all.writ", &format!("{ORDERS}{CART}"))], TERMS, &preflight()).unwrap();
    assert!(same.change.is_none());

    let apart = [file("orders.writ", ORDERS), file("cart.writ", &CART.replace("GET", "POST"))];
    let admission = admit(&state, apart.to_vec(), TERMS, &preflight()).unwrap();
    assert_eq!(outcomes(&admission), [("cart", ApplyOutcome::Changed), ("orders", ApplyOutcome::Unchanged)]);
    let state = admission.change.unwrap().apply_to(&state).unwrap();
    assert_eq!(state.revision.0, 2);
    let revisions: Vec<_> = state.policies.values().map(|record| record.revision.0).collect();
    assert_eq!(revisions, [2, 1], "an unchanged policy keeps its revision");
    assert_eq!(state.documents.len(), 2, "the first document is gone");
}

#[test]
fn a_let_outside_of_a_policy_is_part_of_what_it_says() {
    let text = |limit: &str| {
        format!("let limit = {limit}\nauth a on mesh {{\n  allow GET when request.size < limit\n}}\n")
    };
    let state = after(&[&[file("a.writ", &text("10"))]]);
    let admission = admit(&state, vec![file("a.writ", &text("20"))], TERMS, &preflight()).unwrap();
    assert_eq!(outcomes(&admission), [("a", ApplyOutcome::Changed)]);
}

#[test]
fn a_policy_that_moved_to_another_file_is_not_there_twice() {
    let both = format!("{ORDERS}{CART}");
    let state = after(&[&[file("all.writ", &both)], &[file("cart.writ", &CART.replace("GET", "PUT"))]]);
    let in_force = &known(&state).policies;
    assert_eq!(in_force.problem(), None);
    let cart = &in_force.get("cart").unwrap().policy;
    assert!(in_force.sources.snippet(cart.span).contains("PUT"));
    assert_eq!(in_force.sources.location(cart.span), "cart.writ:1");
}

#[test]
fn what_is_printed_of_the_documents_changes_nothing_when_it_is_applied_from_anywhere() {
    let with_schema = format!(
        "# Sizes.\nschema {{ header x-n: int }}\nlet large = headers[\"x-n\"] > 5\n\n{}{CART}\n\
         test \"large\" for orders {{\n  given GET /api/a with header x-n = \"6\" expect deny by no-large\n}}\n",
        ORDERS.replace("}\n", "  no-large: deny when large\n}\n")
    );
    let moved = CART.replace("GET", "PUT");
    let state = after(&[&[file("all.writ", &with_schema)], &[file("cart.writ", &moved)]]);
    let in_force = &known(&state).policies;
    let printed: Vec<Document> = state
        .documents
        .keys()
        .enumerate()
        .map(|(at, digest)| {
            file(&format!("dump/{at}.writ"), &in_force.standing(&state, digest).unwrap().text)
        })
        .collect();
    assert_eq!(printed.len(), 2);
    assert!(printed.iter().any(|file| file.text.contains("schema") && !file.text.contains("auth cart")));
    let again = admit(&state, printed.clone(), TERMS, &preflight()).unwrap();
    assert!(again.change.is_none());
    assert_eq!(outcomes(&again), [("cart", ApplyOutcome::Unchanged), ("orders", ApplyOutcome::Unchanged)]);
    for one in printed {
        assert!(admit(&state, vec![one], TERMS, &preflight()).unwrap().change.is_none());
    }
}

#[test]
fn a_comment_is_part_of_what_is_in_force() {
    let state = after(&[&[file("orders.writ", ORDERS)]]);
    let commented = format!("# Why.\n{ORDERS}");
    let admission = admit(&state, vec![file("orders.writ", &commented)], TERMS, &preflight()).unwrap();
    assert_eq!(outcomes(&admission), [("orders", ApplyOutcome::Unchanged)]);
    let state = admission.change.unwrap().apply_to(&state).unwrap();
    assert!(state.documents.values().all(|document| *document.text == *commented));
}

#[test]
fn an_error_in_one_file_refuses_all_with_its_place() {
    let state = after(&[&[file("orders.writ", ORDERS)]]);
    let found =
        refused(&state, vec![file("cart.writ", CART), file("bad.writ", "auth x on mesh {\n  alow GET\n}")]);
    let first = found.first().unwrap();
    assert_eq!((first.file.as_str(), first.line, first.is_error), ("bad.writ", 2, true));
    assert!(first.rendered.contains("alow GET"), "{}", first.rendered);
}

#[test]
fn a_conflict_with_a_policy_in_force_is_refused_and_points_at_both() {
    let open = "auth open on service shop/orders { otherwise allow }";
    let shut = "auth shut on service shop/orders { otherwise deny }";
    let state = after(&[&[file("open.writ", open)]]);
    let found = refused(&state, vec![file("shut.writ", shut)]);
    let rendered = &found.first().unwrap().rendered;
    assert!(rendered.contains("open.writ") && rendered.contains("shut.writ"), "{rendered}");
    let replaced =
        admit(&state, vec![file("open.writ", &open.replace("allow", "deny"))], TERMS, &preflight()).unwrap();
    assert_eq!(
        outcomes(&replaced),
        [("open", ApplyOutcome::Changed)],
        "a policy does not conflict with itself"
    );
}

#[test]
fn the_order_of_files_does_not_matter() {
    let files = vec![file("b.writ", CART), file("a.writ", ORDERS)];
    let empty = DesiredState::default();
    let one =
        admit(&empty, files.clone(), TERMS, &preflight()).unwrap().change.unwrap().apply_to(&empty).unwrap();
    let other = files.into_iter().rev().collect();
    let other = admit(&empty, other, TERMS, &preflight()).unwrap().change.unwrap().apply_to(&empty).unwrap();
    assert_eq!(one, other);
}

#[test]
fn a_request_that_is_none_is_refused_with_the_remedy() {
    let empty = DesiredState::default();
    let large = "#".repeat(SOURCE_BYTES_MAX + 1);
    for files in [
        vec![],
        vec![file("a.writ", "# nothing")],
        vec![file("", ORDERS)],
        vec![file("a\nb", ORDERS)],
        vec![file("a.writ", ORDERS), file("a.writ", CART)],
        vec![file("a.writ", &large)],
    ] {
        let refusal = admit(&empty, files, TERMS, &preflight()).unwrap_err();
        assert!(matches!(&refusal, Refusal::Request { help, .. } if !help.is_empty()), "{refusal}");
    }
}

const TESTED: &str = "\
auth orders on service shop/orders {
  read: allow GET /api/** from service shop/web
}

test \"only the web reads\" for orders {
  given GET /api/a from service shop/web  expect allow by read
  given GET /api/a from service shop/cart expect deny
}
";

/// The failed tests of a refusal.
fn failed(state: &DesiredState, files: &[Document]) -> Vec<String> {
    match admit(state, files.to_vec(), TERMS, &preflight()).unwrap_err() {
        Refusal::Tests { failed, .. } => failed
            .iter()
            .map(|case| format!("{}:{}: {}", case.file, case.line, case.failures.join(", ")))
            .collect(),
        other => unreachable!("{other}"),
    }
}

#[test]
fn a_test_that_fails_refuses_the_files_with_what_came_instead() {
    let empty = DesiredState::default();
    let wide = TESTED.replace("from service shop/web\n}", "from namespace shop\n}");
    assert_eq!(
        failed(&empty, &[file("orders.writ", &wide)]),
        ["orders.writ:7: expected deny, got allow by orders/read"]
    );
    let skipping = Terms { skip_tests: true, ..TERMS };
    let admission = admit(&empty, vec![file("orders.writ", &wide)], skipping, &preflight()).unwrap();
    assert_eq!(admission.tests, None);
    let change = admission.change.unwrap();
    assert_eq!(change.describe(), "apply policy `orders` without running their tests");
}

#[test]
fn tests_of_other_files_guard_the_policies_that_they_name() {
    let guard = "auth gate on service shop/orders { deny from namespace evil }\n\
         test \"the web reads\" for gate, orders { given GET /api/a from service shop/web expect allow }\n";
    let state = after(&[&[file("orders.writ", ORDERS)], &[file("guard.writ", guard)]]);
    let closed = ORDERS.replace("shop/web", "shop/cart");
    assert_eq!(
        failed(&state, &[file("orders.writ", &closed)]),
        ["guard.writ:2: expected allow, got deny 403 by default-deny"]
    );
    // What names a rule that is not there any more is told as what it is.
    let named = guard.replace("expect allow", "expect allow by read");
    let state = after(&[&[file("orders.writ", ORDERS)], &[file("guard.writ", &named)]]);
    let found = refused(&state, vec![file("orders.writ", &ORDERS.replace("read:", "see:"))]);
    assert_eq!(found.first().map(|found| (found.code, found.file.as_str())), Some(("E223", "guard.writ")));
    // A change of a policy that no test names runs none.
    let admission = admit(&state, vec![file("cart.writ", CART)], TERMS, &preflight()).unwrap();
    assert_eq!(admission.tests, Some(0));
}

#[test]
fn a_test_is_left_behind_with_the_old_text_of_its_policy() {
    let both = format!("{TESTED}{CART}");
    let state = after(&[&[file("all.writ", &both)]]);
    let wide = ORDERS.replace("from service shop/web", "from namespace shop");
    let admission = admit(&state, vec![file("orders.writ", &wide)], TERMS, &preflight()).unwrap();
    let left: Vec<_> =
        admission.left_out.iter().map(|left| (left.left.name.as_str(), left.left.line)).collect();
    assert_eq!(left, [("only the web reads", 5)]);
    let state = admission.change.unwrap().apply_to(&state).unwrap();
    let again = admit(&state, vec![file("orders.writ", &wide)], TERMS, &preflight()).unwrap();
    assert!(again.left_out.is_empty(), "it is told once");
}

#[test]
fn tests_that_name_a_deleted_policy_do_not_count_any_more() {
    let guard = "auth gate on service shop/orders { deny from namespace evil }\n\
         test \"the web reads\" for gate, orders { given GET /api/a from service shop/web expect allow }\n";
    let state = after(&[&[file("orders.writ", ORDERS)], &[file("guard.writ", guard)]]);
    let deletion =
        admit_deletion(&known(&state), &["orders".to_owned()].into(), &preflight(), &unbounded()).unwrap();
    assert_eq!(deletion.left_out.first().map(|left| left.left.line), Some(2));
    let state = deletion.change.apply_to(&state).unwrap();
    // When the policy comes back, the test is there again.
    let closed = ORDERS.replace("shop/web", "shop/cart");
    assert_eq!(failed(&state, &[file("orders.writ", &closed)]).len(), 1);
}

#[test]
fn tests_may_not_take_for_ever() {
    let case = "  given 1000 x GET /api/a from service shop/web expect allow\n";
    let many = ORDERS.to_owned() + "test \"many\" for orders {\n" + &case.repeat(101) + "}\n";
    let found = refused(&DesiredState::default(), vec![file("a.writ", &many)]);
    assert_eq!(found.iter().map(|found| found.code).collect::<Vec<_>>(), ["E509"]);
}

#[test]
fn a_policy_for_a_service_that_nobody_runs_is_a_warning_once_anybody_is_known() {
    let slip = ORDERS.replace("shop/orders", "shop/ordres");
    let codes = |terms, state: &DesiredState| {
        let admission = admit(state, vec![file("orders.writ", &slip)], terms, &preflight()).unwrap();
        let warnings = admission.warnings.into_iter();
        warnings.map(|found| (found.code, found.column, found.help.unwrap_or_default())).collect::<Vec<_>>()
    };
    let mut state = DesiredState::default();
    assert_eq!(codes(TERMS, &state), [], "a new mesh knows nobody");
    let service = |name: &str| ServiceRef { namespace: "shop".to_owned(), name: name.to_owned() };
    let invited = [service("web")].into();
    let proxy = crate::mesh::model::ProxyRegistration {
        token: None,
        check: None,
        readiness: crate::mesh::model::Readiness::Starting,
        id: crate::mesh::model::ProxyId("shop/orders/1".to_owned()),
        service: service("orders"),
        labels: Arc::default(),
        inbound: None,
        outbounds: Vec::new(),
    };
    state.register(Arc::new(proxy));
    assert_eq!(
        codes(Terms { invited: &invited, ..TERMS }, &state),
        [("W121", 24, "did you mean `shop/orders`?".to_owned())]
    );
}

#[test]
fn a_test_that_leaves_out_a_policy_in_force_which_turns_it_round_is_a_warning() {
    let state = after(&[&[file("base.writ", "auth base on mesh { deny unless source.mtls }")]]);
    let open = "auth a on service shop/a { allow GET }\ntest \"t\" for a { given GET / expect allow }\n";
    let admission = admit(&state, vec![file("a.writ", open)], TERMS, &preflight()).unwrap();
    let found = admission.warnings.first().unwrap();
    assert_eq!((found.code, found.file.as_str(), found.line), ("W120", "a.writ", 2));
    assert!(found.help.as_ref().unwrap().contains("`for a, base`"));
}
