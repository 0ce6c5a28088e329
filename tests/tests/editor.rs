//! `chancery lsp` as an editor talks to it, and the grammar by which editors colour Writ.

#![expect(clippy::indexing_slicing, reason = "what is not there ends the test")]
#![expect(clippy::panic, reason = "a failure shows what was said")]

use crate::command_line::transcript::CHANCERY;
use chancery_policy_lang::parse::{Wish, wishes};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long a server is silent, whatever else the machine does, before it will say nothing more.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// An editor that does what a script says.
struct Editor {
    process: Child,
    stdin: ChildStdin,
    heard: Receiver<Value>,
    asked: i64,
    /// What was said of files, by address; the last word on each.
    said: std::collections::BTreeMap<String, Value>,
}

impl Editor {
    fn start(arguments: &[&str], capabilities: Value) -> Self {
        let mut process = Command::new(CHANCERY)
            .arg("lsp")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = process.stdin.take().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (said, heard) = channel();
        std::thread::spawn(move || listen(stdout).try_for_each(|message| said.send(message)));
        let mut editor = Self { process, stdin, heard, asked: 0, said: Default::default() };
        let answer = editor.ask("initialize", json!({"capabilities": capabilities}));
        assert_eq!(answer["serverInfo"]["name"], "chancery");
        editor.tell("initialized", json!({}));
        editor
    }

    fn send(&mut self, message: Value) {
        let text = message.to_string();
        write!(self.stdin, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        self.stdin.flush().unwrap();
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.send(json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    fn read(&mut self) -> Value {
        let heard = self.heard.recv_timeout(SILENCE_MAX);
        let message = heard.unwrap_or_else(|error| panic!("{error}; said was {:?}", self.said));
        if message["method"] == "textDocument/publishDiagnostics" {
            let uri = message["params"]["uri"].as_str().unwrap().to_owned();
            self.said.insert(uri, message["params"]["diagnostics"].clone());
        }
        message
    }

    fn ask_whatever(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let message = self.read();
            if message["id"] == id {
                return message;
            }
        }
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let answer = self.ask_whatever(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn open(&mut self, uri: &str, text: &str) {
        let document = json!({"uri": uri, "languageId": "writ", "version": 1, "text": text});
        self.tell("textDocument/didOpen", json!({"textDocument": document}));
    }

    fn change(&mut self, uri: &str, text: &str) {
        let document = json!({"uri": uri, "version": 2});
        self.tell(
            "textDocument/didChange",
            json!({"textDocument": document, "contentChanges": [{"text": text}]}),
        );
    }

    /// Reads until these codes are what is said of a file.
    fn await_codes(&mut self, uri: &str, wanted: &[&str]) {
        loop {
            let said = self.said.get(uri).and_then(Value::as_array);
            let codes: Option<Vec<_>> =
                said.map(|said| said.iter().map(|found| found["code"].clone()).collect());
            if codes.is_some_and(|codes| codes == wanted) {
                return;
            }
            self.read();
        }
    }

    fn ask_at(&mut self, method: &str, uri: &str, line: u32, character: u32) -> Value {
        let position = json!({"line": line, "character": character});
        self.ask(method, json!({"textDocument": {"uri": uri}, "position": position}))
    }

    fn shut_down(mut self) {
        assert_eq!(self.ask("shutdown", Value::Null), Value::Null);
        self.tell("exit", Value::Null);
        assert!(self.process.wait().unwrap().success());
    }
}

/// The messages on a stream, up to its end.
fn listen(mut stream: impl BufRead) -> impl Iterator<Item = Value> {
    std::iter::from_fn(move || {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("Content-Length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        Some(serde_json::from_slice(&body).unwrap())
    })
}

fn labels(offered: &Value) -> Vec<&str> {
    offered.as_array().unwrap().iter().map(|item| item["label"].as_str().unwrap()).collect()
}

#[test]
fn an_editor_is_told_what_is_wrong_and_what_can_follow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    std::fs::write(
        path.join("orders.writ"),
        "auth orders on service shop/orders {\n  read: allow GET /api/** from service shop/cart\n}\n",
    )
    .unwrap();
    let uri = |name: &str| format!("file://{}", path.join(name).display());
    let (here, orders) = (uri("here.writ"), uri("orders.writ"));
    let mut editor = Editor::start(&[], json!({}));

    // What is wrong is said as it is written, and gone when it is mended.
    editor.open(&here, "test \"é\" for orders { given GET /api/x expect denny }\n");
    editor.await_codes(&here, &["E111"]);
    let said = editor.said[&here][0].clone();
    // Columns count units of UTF-16: the `é` is one.
    assert_eq!(said["range"]["start"], json!({"line": 0, "character": 46}), "{said}");
    assert!(said["message"].as_str().unwrap().contains("deny"), "{said}");
    editor.change(
        &here,
        "test \"é\" for orders { given GET /api/x from service shop/cart expect allow by read }\n",
    );
    editor.await_codes(&here, &[]);
    assert_eq!(editor.said[&orders], json!([]), "the other file of the folder is checked, too");

    // What is wrong where policies meet comes after a pause.
    editor.change(&here, "auth more on service shop/orders {\n  otherwise allow\n}\nauth yet-more on service shop/orders {\n  otherwise deny\n}\n");
    editor.await_codes(&here, &["E401"]);

    let text = "test \"é\" for orders {\n  given GET /api/x from service shop/cart expect allow by read\n}\n";
    editor.change(&here, text);
    let found = editor.ask_at("textDocument/definition", &here, 1, 60);
    assert_eq!(
        found,
        json!({"uri": orders, "range": {"start": {"line": 1, "character": 2}, "end": {"line": 1, "character": 6}}})
    );
    let found = editor.ask_at("textDocument/definition", &here, 0, 16);
    assert_eq!(found["range"]["start"], json!({"line": 0, "character": 5}));
    let said = editor.ask_at("textDocument/hover", &here, 1, 45);
    assert!(
        said["contents"]["value"].as_str().unwrap().contains("what must become of the request"),
        "{said}"
    );
    assert_eq!(editor.ask_at("textDocument/hover", &here, 2, 1), Value::Null);

    editor.change(&here, "auth a on service shop/");
    let offered = editor.ask_at("textDocument/completion", &here, 0, 23);
    assert_eq!(labels(&offered), ["shop/cart", "shop/orders"]);
    assert_eq!(offered[0]["textEdit"]["range"]["start"]["character"], 18);
    editor.change(&here, "traffic t on mesh { li");
    let offered = editor.ask_at("textDocument/completion", &here, 0, 22);
    assert!(labels(&offered).contains(&"limit"), "{offered}");

    editor.change(&here, "auth a   on mesh {allow GET\n}");
    let asked = json!({"textDocument": {"uri": here}, "options": {"tabSize": 4, "insertSpaces": true}});
    let edits = editor.ask("textDocument/formatting", asked);
    assert_eq!(edits[0]["newText"], "auth a on mesh {\n  allow GET\n}\n");
    let symbols = editor.ask("textDocument/documentSymbol", json!({"textDocument": {"uri": orders}}));
    assert_eq!(symbols[0]["name"], "orders");
    assert_eq!(symbols[0]["children"][0]["name"], "read");
    editor.shut_down();
}

#[test]
fn an_editor_that_counts_bytes_or_says_what_is_odd_is_served() {
    let mut editor =
        Editor::start(&["--stdio"], json!({"general": {"positionEncodings": ["utf-8", "utf-16"]}}));
    let unsaved = "untitled:Untitled-1";
    editor.open(unsaved, "let a = \"é\" == 1\n");
    editor.await_codes(unsaved, &["W101", "E305"]);
    let answer = editor.ask_whatever("textDocument/hover", json!({"textDocument": 7}));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let answer = editor.ask_whatever("textDocument/rename", json!({}));
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
    let far = editor.ask_at("textDocument/completion", unsaved, 4_000_000_000, 4_000_000_000);
    assert!(labels(&far).contains(&"auth"), "{far}");
    let of_nothing = editor.ask_at("textDocument/hover", "file:///nowhere/to/be/found.writ", 0, 0);
    assert_eq!(of_nothing, Value::Null);
    editor.tell("textDocument/didChange", json!("what is no change"));
    editor.tell("textDocument/didClose", json!({"textDocument": {"uri": unsaved}}));
    editor.await_codes(unsaved, &[]);
    editor.shut_down();
}

#[test]
fn an_editor_that_goes_away_ends_the_server() {
    let editor = Editor::start(&[], json!({}));
    let Editor { mut process, stdin, .. } = editor;
    drop(stdin);
    assert_eq!(process.wait().unwrap().code(), Some(1));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The words that may stand somewhere in the language's examples.
fn words_of_the_language() -> BTreeSet<&'static str> {
    let folder = root().join("policy-lang/tests/cases/print/ok");
    let mut words = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for (at, _) in text.match_indices(' ') {
            words.extend(wishes(text.get(..at).unwrap()).into_iter().filter_map(|wish| match wish {
                Wish::Word(word) => Some(word),
                _ => None,
            }));
        }
    }
    words
}

#[test]
fn editors_colour_every_word_of_the_language() {
    let grammar =
        std::fs::read_to_string(root().join("examples/editor/vscode/syntaxes/writ.tmLanguage.json")).unwrap();
    let grammar: Value = serde_json::from_str(&grammar).unwrap();
    let keywords = grammar["repository"]["keyword"]["match"].as_str().unwrap();
    let coloured: BTreeSet<&str> =
        keywords.split(|character: char| !character.is_ascii_alphanumeric() && character != '_').collect();
    let missing: Vec<_> =
        words_of_the_language().into_iter().filter(|word| !coloured.contains(word)).collect();
    assert!(missing.is_empty(), "not coloured: {missing:?}");
}
