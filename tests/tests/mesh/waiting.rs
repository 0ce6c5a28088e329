//! Who is waited for: every sidecar that is registered, whether it answers, is frozen, or is away.

use crate::command_line::transcript::CHANCERY;
use chancery_tests::mesh::process::signal;
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{Member, Mesh, Sidecar};
use std::path::Path;

/// What a command said, and how it ended.
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

async fn run(mesh: &Mesh, arguments: &[&str]) -> Said {
    let output = mesh.run(arguments).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// How long is waited for those who will answer, and for those who will not.
const ANSWERED: &str = "50s";
const UNANSWERED: &str = "3s";

/// Applies a policy for a service that lets nothing but a path through, and waits.
async fn apply(mesh: &Mesh, service: &str, path: &str, timeout: &str) -> Said {
    let name = service.replace('/', "-");
    let file = mesh.folder().join(format!("{name}.writ"));
    std::fs::write(&file, format!("auth {name} on service {service} {{\n  allow GET {path}\n}}\n")).unwrap();
    run(mesh, &["apply", "-f", file.to_str().unwrap(), "--wait", "--timeout", timeout]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_called_in_force_that_a_registered_sidecar_has_not_acknowledged() {
    let mut mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let member = |service, instance| Member::new(service, instance).unwrap();
    let frontend = member("shop/frontend", "frontend").calling(&["shop/orders"]).unwrap();
    let members = [frontend, member("shop/orders", "orders-1"), member("shop/orders", "orders-2")];
    let [mut frontend, mut orders_1, mut orders_2] = mesh.join(members).await.unwrap();
    let said = apply(&mesh, "shop/orders", "/one", ANSWERED).await;
    assert_eq!(
        (said.code, said.stdout.ends_with("\n3/3 sidecars on revision 1\n")),
        (0, true),
        "{}",
        said.stdout
    );
    assert_eq!(run(&mesh, &["status"]).await.code, 0);

    // One whose launcher is frozen has a stream, and does not answer.
    let launcher = orders_2.process.pid().unwrap();
    signal("STOP", launcher).await.unwrap();
    let said = apply(&mesh, "shop/orders", "/two", UNANSWERED).await;
    assert_eq!(said.code, 4, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("2/3 sidecars on revision 2\n"), "{}", said.stdout);
    assert!(said.stderr.contains("shop/orders/orders-2 did not acknowledge it"), "{}", said.stderr);
    assert_eq!(answer(&frontend, &orders_2, "/one").await, 200, "it serves with what it had");
    assert_eq!(run(&mesh, &["status"]).await.code, 4);
    signal("CONT", launcher).await.unwrap();
    let said = run(&mesh, &["apply", "-f", mesh.folder().to_str().unwrap(), "--wait"]).await;
    assert_eq!(said.code, 0, "{}", said.stderr);

    // One that is away and has all of it stands in nobody's way, and is no success of `status`.
    orders_2.process.kill().await.unwrap();
    mesh.until_status(None, |status| status.away == 1).await.unwrap();
    let said = apply(&mesh, "shop/frontend", "/three", ANSWERED).await;
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert!(said.stderr.contains("1 sidecar is away, for which this changes nothing"), "{}", said.stderr);
    let said = run(&mesh, &["status"]).await;
    assert_eq!(said.code, 4);
    assert!(said.stdout.starts_with("2/3 sidecars on revision 3, 1 away;"), "{}", said.stdout);
    assert!(said.stdout.contains("\naway: shop/orders/orders-2\n"), "{}", said.stdout);

    // What is for it is not in force.
    for said in [
        apply(&mesh, "shop/orders", "/four", UNANSWERED).await,
        run(&mesh, &["delete", "policy", "shop-orders", "--wait", "--timeout", "1s"]).await,
        run(&mesh, &["rollback", "3", "--wait", "--timeout", "1s"]).await,
    ] {
        assert_eq!(said.code, 4, "{}{}", said.stdout, said.stderr);
        assert!(said.stdout.contains(", 1 away; away: shop/orders/orders-2\n"), "{}", said.stdout);
        assert!(said.stderr.contains("shop/orders/orders-2 is away"), "{}", said.stderr);
        assert!(said.stderr.contains("help: it stays applied"), "{}", said.stderr);
    }

    // It is back with what was changed meanwhile.
    orders_2.start_again().unwrap();
    orders_2.until_ready().await.unwrap();
    mesh.until_status(None, |status| status.on_revision == 3 && status.away == 0).await.unwrap();
    assert_eq!(run(&mesh, &["status"]).await.code, 0);

    // Whoever leaves properly does not count, and whoever is forgotten neither.
    orders_1.process.terminate().await.unwrap();
    assert!(orders_1.process.until_ended().await.unwrap().success());
    let said = run(&mesh, &["status"]).await;
    assert_eq!(
        (said.code, said.stdout.starts_with("2/2 sidecars on revision 6;")),
        (0, true),
        "{}",
        said.stdout
    );
    let said = run(&mesh, &["proxies", "forget", "shop/orders/orders-2"]).await;
    assert_eq!(said.code, 3, "{}", said.stdout);
    assert!(said.stderr.contains("is connected"), "{}", said.stderr);

    // A control plane that was started anew and whom nobody has called yet knows whom to expect.
    frontend.process.kill().await.unwrap();
    orders_2.process.kill().await.unwrap();
    mesh.kill_control_plane().await.unwrap();
    mesh.start_control_plane().await.unwrap();
    let said = run(&mesh, &["status"]).await;
    assert_eq!(said.code, 4, "{}", said.stdout);
    assert!(said.stdout.starts_with("0/2 sidecars on revision 6, 2 away;"), "{}", said.stdout);
    let said =
        run(&mesh, &["apply", "-f", mesh.folder().to_str().unwrap(), "--wait", "--timeout", "1s"]).await;
    assert_eq!(said.code, 4, "{}{}", said.stdout, said.stderr);
    assert!(said.stderr.contains("shop/frontend/frontend, shop/orders/orders-2 are away"), "{}", said.stderr);
    let said = run(&mesh, &["proxies", "forget", "shop/orders/orders-2", "shop/frontend/frontend"]).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(said.stdout, "proxy shop/orders/orders-2 forgotten\nproxy shop/frontend/frontend forgotten\n");
    assert_eq!(run(&mesh, &["status"]).await.code, 0);
    assert_eq!(run(&mesh, &["proxies", "forget", "shop/orders/orders-2"]).await.code, 3);
}

async fn answer(from: &Sidecar, to: &Sidecar, path: &str) -> u16 {
    from.ask(to, &Request::get(path)).await.unwrap().status
}
