//! What people and sidecars say is shown at a terminal, and does nothing to it.

use super::words::refuse;
use crate::command_line::transcript::CHANCERY;
use chancery_tests::mesh::Mesh;
use std::path::Path;

/// A comment that would title the window, clear it, colour it and turn letters round.
const HOSTILE: &str = "# \x1b]0;pwned\x07\x1b[2J\u{9b}31m \u{202e}evil\x08\n\
                       auth mallory on service evil/mallory { otherwise deny }\n";

/// What a terminal is shown of the escape sequence that begins the comment.
const ESCAPED: &str = "\\u{1b}]0;pwned\\u{7}\\u{1b}[2J\\u{9b}31m \\u{202e}evil\\u{8}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_of_others_do_nothing_to_a_terminal() {
    let mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let stream = refuse(&mesh).await;
    mesh.until_status(None, |status| status.proxies.iter().any(|proxy| !proxy.rejections.is_empty()))
        .await
        .unwrap();
    let file = mesh.folder().join("mallory.writ");
    let file = file.to_str().unwrap();
    std::fs::write(file, HOSTILE).unwrap();

    // Whether the words are in the text, each time as an escape, or only do not get in it.
    let rows: [(&[&str], bool); 9] = [
        (&["apply", "-f", file, "--dry-run"], true),
        (&["apply", "-f", file], false),
        (&["get", "policy"], false),
        (&["get", "policy", "mallory"], true),
        (&["get", "audit", "--machines"], false),
        (&["history"], false),
        (&["diff", "0", "1"], true),
        (&["proxies"], false),
        (&["status"], false),
    ];
    for (arguments, is_shown) in rows {
        let shown = mesh.run_at_terminal(arguments).await.unwrap();
        let is_harmful = |character: char| {
            (character.is_control() && !"\n\t".contains(character)) || character == '\u{202e}'
        };
        assert!(!shown.contains(is_harmful), "{arguments:?}: {shown:?}");
        assert_eq!(shown.contains(ESCAPED), is_shown, "{arguments:?}: {shown}");
        assert!(shown.lines().count() > 0, "{arguments:?} says nothing");
    }
    // A program gets the file as it is.
    let text = mesh.run(&["get", "policy", "mallory"]).await.unwrap();
    assert_eq!(String::from_utf8(text.stdout).unwrap(), HOSTILE);
    drop(stream);
}
