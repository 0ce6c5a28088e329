//! What was in force before: `history`, `diff`, `rollback`, dry runs, sets, and deleting what files state.

use super::process::{ControlPlane, Ended};
use chancery_control::cli::exit::Exit;
use chancery_control::server::api::types::{ApplyResponse, DiffResponse, RevisionList, RevisionStep};
use std::fs;
use tempfile::TempDir;

/// A control plane, and a folder with files of policies.
struct Desk {
    plane: ControlPlane,
    folder: TempDir,
}

fn policy(name: &str, methods: &str) -> String {
    format!("auth {name} on service shop/{name} {{\n  allow {methods} from service shop/web\n}}\n")
}

impl Desk {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plane = ControlPlane::start(&folder.path().join("data")).await;
        Self { plane, folder }
    }

    /// Writes a file of policies; gives its path.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs a command that has to end well; gives what it prints.
    async fn well(&self, arguments: &[&str]) -> String {
        let Ended { exit, stdout, stderr } = self.plane.run(arguments).await;
        assert_eq!(exit, Exit::Well, "{arguments:?}: {stderr}");
        stdout.replace(&format!("{}/", self.folder.path().display()), "")
    }

    async fn names(&self) -> Vec<String> {
        let list: chancery_control::server::api::types::PolicyList =
            self.plane.admin().get("/v1/policies").await.unwrap();
        list.policies.into_iter().map(|policy| policy.name).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_in_force_is_listed_compared_and_put_back() {
    let desk = Desk::open().await;
    assert!(desk.well(&["history"]).await.starts_with("no policy was ever in force"));
    let orders = desk.write("orders.writ", &policy("orders", "GET"));
    desk.well(&["apply", "-f", &orders]).await;
    desk.write("orders.writ", &policy("orders", "GET, POST"));
    let cart = desk.write("cart.writ", &policy("cart", "GET"));
    desk.well(&["apply", "-f", &orders, &cart]).await;
    desk.well(&["delete", "policy", "cart"]).await;

    let json = desk.well(&["history", "-o", "json"]).await;
    let list: RevisionList = serde_json::from_str(&json).unwrap();
    let steps: Vec<_> = list.revisions.iter().map(|of| (of.revision, of.policies.len())).collect();
    assert_eq!(steps, [(3, 1), (2, 2), (1, 1)]);
    let newest = list.revisions.first().unwrap();
    assert_eq!(newest.policies.first().unwrap().step, RevisionStep::Deleted);
    assert!(newest.actor.ends_with("(admin)"), "{json}");
    let table = desk.well(&["history", "--count", "2"]).await;
    assert!(table.lines().count() == 3 && table.contains("+cart ~orders"), "{table}");

    let since = "--- orders.writ\trevision 1\n+++ orders.writ\trevision 2\n@@ -1,3 +1,3 @@\n \
                 auth orders on service shop/orders {\n-  allow GET from service shop/web\n\
                 +  allow GET, POST from service shop/web\n }\n";
    let new = "--- /dev/null\n+++ cart.writ\trevision 2\n@@ -0,0 +1,3 @@\n+auth cart on service shop/cart {\n\
               +  allow GET from service shop/web\n+}\n";
    assert_eq!(desk.well(&["diff", "1", "2"]).await, format!("{new}{since}"));
    assert_eq!(desk.well(&["diff", "1"]).await, since.replace("revision 2", "revision 3"));
    assert!(desk.well(&["diff"]).await.starts_with("--- cart.writ\trevision 2\n+++ /dev/null\n"));
    assert_eq!(desk.well(&["diff", "3", "3"]).await, "");
    let files = desk.well(&["diff", "1", &cart, "-o", "json"]).await;
    let files: DiffResponse = serde_json::from_str(&files).unwrap();
    let names: Vec<_> = files.documents.iter().map(|document| document.policies.join(" ")).collect();
    assert_eq!(names, ["cart", "orders"], "what applying the file would make of revision 1");
    let too_many = desk.plane.run(&["diff", "1", "2", "3"]).await;
    assert_eq!(too_many.exit, Exit::BadInput);
    let unknown = desk.plane.run(&["diff", "9"]).await;
    assert_eq!(unknown.exit, Exit::Refused);
    assert!(unknown.stderr.contains("there is no revision 9: kept are 0 to 3"), "{}", unknown.stderr);

    let dry = desk.well(&["rollback", "1", "--dry-run"]).await;
    assert!(dry.starts_with("--- orders.writ\trevision 3\n"), "{dry}");
    assert!(dry.ends_with("policy orders changed\ndry run: revision 3 stays in force\n"), "{dry}");
    assert_eq!(
        desk.well(&["rollback", "2", "--wait"]).await,
        "policy cart created\nrevision 4\n0/0 sidecars on revision 4\n"
    );
    assert_eq!(desk.well(&["diff", "2", "4"]).await, "", "the policies are those of revision 2");
    assert_eq!(desk.well(&["rollback", "4"]).await, "revision 4\n", "nothing is to be done");
    assert_eq!(
        desk.well(&["rollback", "0"]).await,
        "policy cart deleted\npolicy orders deleted\nrevision 5\n"
    );
    let audit = desk.well(&["get", "audit"]).await;
    assert!(audit.contains("roll back to revision 2: apply policy `cart`"), "{audit}");
    desk.plane.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_of_a_renamed_file_changes_no_policy() {
    let desk = Desk::open().await;
    let text = policy("orders", "GET");
    let cart = desk.write("cart.writ", &policy("cart", "GET"));
    let orders = desk.write("orders.writ", &text);
    desk.well(&["apply", "-f", &orders, &cart]).await;
    let renamed = desk.write("renamed.writ", &format!("# elsewhere now\n{text}"));
    desk.write("cart.writ", &policy("cart", "GET, POST"));
    assert_eq!(
        desk.well(&["apply", "-f", &renamed, &cart]).await,
        "policy cart changed\npolicy orders unchanged\nrevision 2\n"
    );
    assert_eq!(
        desk.well(&["rollback", "1"]).await,
        "policy cart changed\npolicy orders unchanged\nrevision 3\n"
    );
    let list: RevisionList =
        serde_json::from_str(&desk.well(&["history", "--count", "1", "-o", "json"]).await).unwrap();
    let steps: Vec<_> = list.revisions.first().unwrap().policies.iter().map(|policy| policy.step).collect();
    assert_eq!(steps, [RevisionStep::Changed, RevisionStep::Moved]);
    desk.plane.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_runs_the_tests_of_what_it_brings_back() {
    let desk = Desk::open().await;
    let orders = desk.write("orders.writ", &policy("orders", "GET"));
    desk.well(&["apply", "-f", &orders]).await;
    desk.write("orders.writ", &policy("orders", "GET, POST"));
    desk.well(&["apply", "-f", &orders]).await;
    let guard = "auth gate on service shop/orders { deny from namespace evil }\n\
                 test \"posts\" for gate, orders { given POST / from service shop/web expect allow }\n";
    let gate = desk.write("gate.writ", guard);
    desk.well(&["apply", "-f", &gate]).await;
    let mut text = policy("orders", "GET");
    text.push_str("test \"gets\" for orders { given GET / from service shop/web expect allow }\n");
    let tested = desk.write("tested.writ", &text.replace("allow GET from", "allow GET, POST from"));
    assert!(desk.well(&["apply", "-f", &tested]).await.contains("1 test passed"));
    let back = desk.plane.run(&["rollback", "3"]).await;
    assert_eq!(
        (back.exit, back.stdout.as_str()),
        (Exit::Well, "policy orders unchanged\n1 test passed\nrevision 5\n")
    );
    desk.plane.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_may_ask_what_an_apply_would_do_and_do_nothing() {
    let desk = Desk::open().await;
    let orders = desk.write("orders.writ", &policy("orders", "GET"));
    let reader = desk.plane.run(&["token", "--role", "reader"]).await;
    let context = desk.write("reader.json", &reader.stdout);
    let as_reader = |arguments: &[&str]| {
        let all: Vec<String> =
            ["--context", &context].iter().chain(arguments).map(|word| (*word).to_owned()).collect();
        let plane = &desk.plane;
        async move { plane.run(&all.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let dry = as_reader(&["apply", "-f", &orders, "--dry-run"]).await;
    assert_eq!(dry.exit, Exit::Well, "{}", dry.stderr);
    assert!(dry.stdout.starts_with("--- /dev/null\n"), "{}", dry.stdout);
    assert!(
        dry.stdout.ends_with("policy orders created\ndry run: revision 0 stays in force\n"),
        "{}",
        dry.stdout
    );
    assert_eq!(as_reader(&["diff", &orders]).await.exit, Exit::Well);
    assert_eq!(as_reader(&["history"]).await.exit, Exit::Well);
    for arguments in [&["apply", "-f", &orders][..], &["rollback", "0"], &["delete", "-f", &orders]] {
        let refused = as_reader(arguments).await;
        assert_eq!(refused.exit, Exit::Refused, "{arguments:?}");
        assert!(refused.stderr.contains("needs the role `admin`"), "{}", refused.stderr);
    }
    assert!(desk.names().await.is_empty());
    desk.plane.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_policy_of_a_set_leaves_nothing_behind() {
    let desk = Desk::open().await;
    let shop = desk.write("shop.writ", &format!("{}{}", policy("orders", "GET"), policy("cart", "GET")));
    let other = desk.write("other.writ", &policy("other", "GET"));
    desk.well(&["apply", "-f", &shop, "--set", "shop"]).await;
    desk.well(&["apply", "-f", &other]).await;
    let table = desk.well(&["get", "policy"]).await;
    assert!(table.lines().any(|line| line.starts_with("cart") && line.contains(" shop ")), "{table}");

    let renamed = policy("orders", "GET").replace("auth orders", "auth new-orders");
    desk.write("shop.writ", &format!("{renamed}{}", policy("cart", "GET")));
    let apply = ["apply", "-f", &shop, "--set", "shop", "--prune", "-o", "json", "--dry-run"];
    let dry: ApplyResponse = serde_json::from_str(&desk.well(&apply).await).unwrap();
    assert_eq!((dry.documents.len(), dry.revision), (1, 2));
    let applied = desk.well(&apply[..6]).await;
    assert_eq!(
        applied,
        "policy cart unchanged\npolicy new-orders created\npolicy orders deleted\nrevision 3\n"
    );
    assert_eq!(desk.names().await, ["cart", "new-orders", "other"], "what is in no set stays");
    assert_eq!(
        desk.well(&apply[..6]).await,
        "policy cart unchanged\npolicy new-orders unchanged\nrevision 3\n"
    );

    let foreign = desk.plane.run(&["apply", "-f", &shop, "--set", "till"]).await;
    assert_eq!(foreign.exit, Exit::BadInput);
    assert!(foreign.stderr.contains("belongs to the set `shop`, not `till`"), "{}", foreign.stderr);
    assert_eq!(desk.plane.run(&["apply", "-f", &shop, "--prune"]).await.exit, Exit::BadInput);
    assert_eq!(desk.plane.run(&["apply", "-f", &shop, "--set", "a b"]).await.exit, Exit::BadInput);

    desk.well(&["apply", "-f", &other, "--set", "till"]).await;
    let history = desk.well(&["history", "--count", "1"]).await;
    assert!(history.contains(">other"), "the text is the same, the set is not: {history}");
    desk.plane.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_files_state_is_deleted_all_or_none() {
    let desk = Desk::open().await;
    let both = desk.write("both.writ", &format!("{}{}", policy("orders", "GET"), policy("cart", "GET")));
    let other = desk.write("other.writ", &policy("other", "GET"));
    desk.well(&["apply", "-f", &both, &other]).await;
    assert_eq!(
        desk.well(&["delete", "-f", &both]).await,
        "policy cart deleted\npolicy orders deleted\nrevision 2\n"
    );
    let refused = desk.plane.run(&["delete", "-f", &both, &other]).await;
    assert_eq!(refused.exit, Exit::Refused);
    assert!(refused.stderr.contains("there is no policy `cart`"), "{}", refused.stderr);
    assert_eq!(desk.names().await, ["other"]);
    assert_eq!(
        desk.plane.run(&["delete", "-f", &desk.write("none.writ", "# nothing\n")]).await.exit,
        Exit::BadInput
    );
    assert_eq!(desk.plane.run(&["delete"]).await.exit, Exit::BadInput);
    desk.plane.terminate().await;
}
