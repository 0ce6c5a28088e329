//! What operators are told of their mistakes: a golden file of commands, run against a control plane and what is wrong with it.
//!
//! Commands run in `tests/cases/mistakes`; `$TMP` is a folder of the test with contexts and tokens of all kinds, `$LISTEN` where the
//! control plane listens. With `UPDATE_CASES=1` the file is written anew.

use crate::command_line::transcript::{CHANCERY, words};
use anyhow::{Context as _, Result, ensure};
use chancery_control::server::api::types::{Role, TokenRequest, TokenResponse};
use chancery_control::server::context::Context;
use chancery_control::sidecar::envoy_binary::Search;
use chancery_tests::mesh::clock::Clock;
use chancery_tests::mesh::{Mesh, PATIENCE, ports};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// How long a token lives that has ended when it is shown.
const SHORT_SECONDS: u64 = 1;

/// A token of a kind, and its id.
async fn token(mesh: &Mesh, request: &TokenRequest) -> Result<(String, String)> {
    let token: TokenResponse = mesh.admin()?.post("/v1/tokens", request).await?;
    Ok((token.token, token.id))
}

/// Lays out in the folder of the mesh what the commands need.
async fn prepare(mesh: &Mesh) -> Result<PathBuf> {
    let folder = mesh.folder().to_owned();
    let join = |service: &str, lifetime_seconds| TokenRequest::Join {
        service: service.to_owned(),
        lifetime_seconds,
    };
    let role = |lifetime_seconds| TokenRequest::Role { role: Role::Reader, lifetime_seconds };
    let context = |token: String| -> Result<Context> { Ok(Context { token, ..mesh.context()? }) };
    let write = |name: &str, text: &str| fs::write(folder.join(name), text);

    for service in ["orders", "web"] {
        write(&format!("{service}.token"), &token(mesh, &join(&format!("shop/{service}"), None)).await?.0)?;
    }
    write("expired.token", &token(mesh, &join("shop/web", Some(SHORT_SECONDS))).await?.0)?;
    context(token(mesh, &role(Some(SHORT_SECONDS))).await?.0)?.write(&folder.join("expired.json"))?;
    context(token(mesh, &role(None)).await?.0)?.write(&folder.join("reader.json"))?;
    let (revoked, join_id) = token(mesh, &join("shop/web", None)).await?;
    write("revoked.token", &revoked)?;
    let (revoked, role_id) = token(mesh, &role(None)).await?;
    context(revoked)?.write(&folder.join("revoked.json"))?;
    for id in [join_id, role_id] {
        let output = mesh.run(&["token", "--revoke", &id]).await?;
        ensure!(output.status.success(), "{output:?}");
    }

    // Of another mesh; its directory stays when it has ended.
    let mut other = Mesh::start(Path::new(CHANCERY)).await?;
    let foreign = other.context()?;
    Context { url: mesh.context()?.url, ..foreign.clone() }.write(&folder.join("foreign.json"))?;
    write("foreign.token", &other.token("shop/web", None).await?)?;
    other.kill_control_plane().await?;
    let moved = fs::rename(other.folder().join("control-plane"), folder.join("stopped"));
    moved.context("both are in the folder of temporary files")?;

    let down = format!("https://{}", ports::free()?);
    Context { url: down, ..mesh.context()? }.write(&folder.join("down.json"))?;
    Context { url: "https://control.invalid:5680".to_owned(), ..mesh.context()? }
        .write(&folder.join("moved.json"))?;
    write("file", "")?;
    let open = folder.join("open");
    fs::create_dir(&open)?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777))?;
    let search = || Search::from_environment(None).find_or_install(&mut |_| {});
    let envoy = tokio::task::spawn_blocking(search).await?.context("no Envoy")?;
    symlink(envoy.path, folder.join("envoy"))?;
    sleep(Duration::from_secs(SHORT_SECONDS + 1)).await;
    Ok(folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_are_told_the_place_and_the_remedy_of_mistakes() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let folder = prepare(&mesh).await?;
    // Takes connections, and says nothing.
    let hung = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("https://{}", hung.local_addr()?);
    Context { url: url.clone(), ..mesh.context()? }.write(&folder.join("hung.json"))?;

    let clock = Clock::new(&folder, "own")?;
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/mistakes");
    let path = cases.join("mistakes.txt");
    let shown = fs::read_to_string(&path)?;
    let own = mesh.context()?.url;
    let listen = own.trim_start_matches("https://");
    let down = Context::read(&folder.join("down.json"))?.url;
    let temporary = folder.display().to_string();
    let replaced = [
        (temporary.as_str(), "$TMP"),
        (url.trim_start_matches("https://"), "$HUNG"),
        (down.trim_start_matches("https://"), "$DOWN"),
        (listen, "$LISTEN"),
        ("chancery-under-test", "chancery"),
    ];
    let mut replayed = String::new();
    for line in shown.lines().filter(|line| line.is_empty() || line.starts_with(['#', '$'])) {
        replayed.push_str(&format!("{line}\n"));
        let Some(command) = line.strip_prefix("$ ") else { continue };
        let mut words = words(&command.replace("$TMP", &temporary).replace("$LISTEN", listen));
        let shift = words.first().and_then(|word| word.strip_prefix("CLOCK=")?.parse().ok());
        words.drain(..usize::from(shift.is_some()));
        let mut child = Command::new(CHANCERY);
        child
            .args(words.iter().skip(1))
            .current_dir(&cases)
            .env_clear()
            .stdin(Stdio::null())
            .kill_on_drop(true);
        child.env("COLUMNS", "100").env("CHANCERY_CONTEXT", folder.join("control-plane/admin.json"));
        if let Some(seconds) = shift {
            clock.set(seconds)?;
            child.envs(clock.environment());
        }
        let output = timeout(PATIENCE, child.output())
            .await
            .with_context(|| format!("`{command}` does not end"))??;
        let text = |bytes: Vec<u8>| -> Result<String> {
            let text = String::from_utf8(bytes)?;
            Ok(replaced.iter().fold(text, |text, (from, to)| text.replace(from, to)))
        };
        for (mark, text) in [("", text(output.stdout)?), ("! ", text(output.stderr)?)] {
            // Its port is any.
            for line in text.lines().filter(|line| !line.starts_with("readiness http://")) {
                // The rest is the resolver's words.
                let line = line.split_once(" dns error").map_or(line, |(before, _)| before);
                let line: Vec<_> = line.split(' ').map(steady).collect();
                // A line that begins as those of the file do is none of them.
                replayed.push_str(format!("> {mark}{}", line.join(" ")).trim_end());
                replayed.push('\n');
            }
        }
        match output.status.code() {
            Some(0) => {}
            code => replayed.push_str(&format!("> [exit {}]\n", code.context("ended by a signal")?)),
        }
    }
    if std::env::var_os("UPDATE_CASES").is_some() {
        return Ok(fs::write(path, replayed)?);
    }
    assert!(replayed == shown, "{}: another output; all of it now:\n{replayed}", path.display());
    Ok(())
}

/// A word, without what differs from run to run: times, and ids of tokens.
fn steady(word: &str) -> String {
    let core = word.trim_end_matches([',', '.', ';', ')', ':']);
    let rest = word.get(core.len()..).unwrap_or_default();
    let is_time =
        core.len() >= 19 && core.ends_with('Z') && core.get(4..5) == Some("-") && core.contains('T');
    let is_id = core.len() == 12
        && core.bytes().all(|byte| byte.is_ascii_hexdigit())
        && core.bytes().any(|byte| byte.is_ascii_digit());
    let bare = core.trim_matches('`');
    let is_quoted_id = bare.len() == 12 && bare != core && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (is_time, is_id || is_quoted_id) {
        (true, _) => format!("TIME{rest}"),
        (_, true) => format!("ID{rest}"),
        _ => word.to_owned(),
    }
}
