//! Completion in a shell: verbs, options, and names of the mesh.

use crate::command_line::transcript::CHANCERY;
use anyhow::{Result, ensure};
use chancery_tests::mesh::{Member, Mesh};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// What bash offers for the last word of a line, asked as bash asks it.
fn offered(words: &[&str], context: Option<&Path>) -> Result<Vec<String>> {
    let folder = Path::new(CHANCERY).parent().unwrap_or(Path::new("/"));
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source <(chancery completion bash) && COMP_WORDS=({}) && COMP_CWORD={} && COMP_TYPE=9 \\
         && _clap_complete_chancery chancery \"${{COMP_WORDS[COMP_CWORD]}}\" && printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1
    );
    let mut bash = Command::new("bash");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH")?);
    bash.args(["--norc", "-c", &script]).env("PATH", path).env_remove("CHANCERY_CONTEXT").current_dir("/");
    if let Some(context) = context {
        bash.env("CHANCERY_CONTEXT", context);
    }
    let Output { status, stdout, stderr } = bash.output()?;
    ensure!(status.success() && stderr.is_empty(), "{status}: {}", String::from_utf8_lossy(&stderr));
    let text = String::from_utf8(stdout)?;
    Ok(text.lines().map(|word| word.trim_end().to_owned()).filter(|word| !word.is_empty()).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_is_offered_verbs_options_and_names_of_the_mesh() -> Result<()> {
    let mut mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let _sidecars = mesh
        .join([
            Member::new("shop/orders", "o-1")?,
            Member::new("shop/cart", "c-1")?.calling(&["shop/orders"])?,
        ])
        .await?;
    mesh.apply("auth orders on mesh { otherwise deny }\nauth other on mesh { deny /x }\n").await?;
    let file = mesh.folder().join("control-plane/admin.json");
    let context = Some(file.as_path());

    assert_eq!(offered(&["chancery", "snap"], None)?, ["snapshot"]);
    assert!(offered(&["chancery", "sidecar", "--pro"], None)?.contains(&"--probes".to_owned()));
    for (words, names) in [
        (&["chancery", "get", "policy", "o"][..], &["orders", "other"][..]),
        (&["chancery", "delete", "policy", "oth"], &["other"]),
        (&["chancery", "describe", "proxy", ""], &["shop/cart/c-1", "shop/orders/o-1"]),
        (&["chancery", "proxies", "evict", "shop/orders/o-1", "shop/c"], &["shop/cart/c-1"]),
        (&["chancery", "token", "--service", "shop/o"], &["shop/orders"]),
        (&["chancery", "logs", "--policy", "ord"], &["orders"]),
    ] {
        let offers = offered(words, context)?;
        assert!(names.iter().all(|name| offers.iter().any(|offer| offer == name)), "{words:?}: {offers:?}");
        let typed = words.last().copied().unwrap_or_default();
        assert!(offers.iter().all(|offer| offer.starts_with(typed) || offer.starts_with('-')), "{offers:?}");
    }
    // The context that stands in the line goes before that of the environment.
    let named = file.display().to_string();
    let words = ["chancery", "--context", &named, "get", "policy", "oth"];
    assert_eq!(offered(&words, Some(Path::new("/none")))?, ["other"]);

    // Without a control plane there are no names, soon and without a word.
    mesh.kill_control_plane().await?;
    let begun = Instant::now();
    let offers = offered(&["chancery", "get", "policy", "o"], context)?;
    assert!(!offers.iter().any(|offer| offer == "orders"), "{offers:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "it is waited for a second, and this machine may be slow"
    );
    assert!(offered(&["chancery", "get", "policy", "o"], None)?.is_empty(), "nor without a context");
    Ok(())
}
