//! What is offered, said and found at a place, which a `|` in the text marks.

use super::{CompletionKind, EntryKind, completions, definition, hover, outline};
use crate::analyse::analyse;
use crate::check::CheckOptions;
use crate::{Analysis, FileId, SourceSet};

const SHOP: &str = r#"
schema { header x-team: enum("blue", "red") }
let team = headers["x-team"] == "blue"
auth orders on service shop/orders {
  let inner = request.method == "GET"
  read: allow GET /api/{item} from service shop/frontend when team && path.item != "x"
  otherwise deny
}
log lines on mesh { send to store }
sink store { stdout }
test "reads" for orders {
  given GET /api/7 from service shop/frontend with header x-team = "blue" expect allow by read
}
"#;

/// The shop, and a file with a mark in it.
struct Marked {
    sources: SourceSet,
    analysis: Analysis,
    file: FileId,
    offset: u32,
}

impl Marked {
    fn new(text: &str) -> Self {
        Self::beside(Some(SHOP), text)
    }

    fn beside(other: Option<&str>, text: &str) -> Self {
        let offset = text.find('|').unwrap_or(text.len());
        let mut sources = SourceSet::new();
        if let Some(text) = other {
            sources.add("shop.writ", text);
        }
        let file = sources.add("here.writ", text.replacen('|', "", 1));
        let analysis = analyse(&sources, CheckOptions::default());
        Self { sources, analysis, file, offset: u32::try_from(offset).unwrap_or(u32::MAX) }
    }

    fn offered(&self) -> Vec<String> {
        let found = completions(&self.sources, &self.analysis.trees, self.file, self.offset);
        found.into_iter().map(|found| found.label).collect()
    }

    fn meaning(&self) -> Option<(String, String)> {
        let span = definition(&self.analysis.trees, self.file, self.offset)?;
        let file = self.sources.get(span.file)?;
        let line = file.text.lines().nth(file.line_column(span.start).line as usize - 1)?;
        Some((self.sources.snippet(span).to_owned(), line.trim().to_owned()))
    }

    fn said(&self) -> Option<String> {
        hover(&self.analysis.trees, self.file, self.offset).map(|hover| hover.text)
    }
}

#[track_caller]
fn offers(text: &str, wanted: &[&str], unwanted: &[&str]) {
    let offered = Marked::new(text).offered();
    for name in wanted {
        assert!(offered.iter().any(|offer| offer == name), "`{name}` is missing at {text}: {offered:?}");
    }
    for name in unwanted {
        assert!(!offered.iter().any(|offer| offer == name), "`{name}` is offered at {text}");
    }
}

#[test]
fn what_can_follow_is_offered() {
    offers("|", &["auth", "traffic", "log", "test", "schema", "let"], &["allow", "route"]);
    offers("auth a |", &["on"], &["auth"]);
    offers("auth a on |", &["mesh", "service", "namespace"], &["allow"]);
    offers(
        "auth a on service shop/x { |",
        &["allow", "deny", "otherwise", "mode", "let"],
        &["route", "auth"],
    );
    offers("traffic a on mesh { |", &["route", "limit", "retry", "mode"], &["allow", "sample"]);
    offers("log a on mesh { |", &["sample", "fields", "redact", "send"], &["limit"]);
    offers("auth a on mesh { allow |", &["GET", "from", "when", "respond"], &["backoff"]);
    offers("auth a on mesh { allow GET /x |", &["from", "when", "allow", "otherwise"], &["GET"]);
    offers("auth a on mesh { allow from |", &["service", "namespace", "anyone"], &["when"]);
    offers("traffic a on mesh { limit 5/s |", &["burst", "per", "shared", "for", "when"], &["backoff"]);
    offers("traffic a on mesh { limit 5/s burst 7 |", &["per", "route"], &["burst"]);
    offers("traffic a on mesh { retry 2 on 5xx |", &["each", "backoff", "for"], &["burst"]);
    offers("traffic a on mesh { balance |", &["round_robin", "maglev"], &["by"]);
    offers("test \"t\" for orders { |", &["given"], &["allow"]);
    offers(
        "test \"t\" for orders { given GET / expect |",
        &["allow", "deny", "limited", "logged"],
        &["given"],
    );
}

#[test]
fn a_word_that_is_begun_is_replaced() {
    let marked = Marked::new("auth a on mesh { allow GET /x fr|");
    let found = completions(&marked.sources, &marked.analysis.trees, marked.file, marked.offset);
    let from = found.iter().find(|found| found.label == "from");
    assert_eq!(from.map(|from| marked.sources.snippet(from.span)), Some("fr"));
    assert!(from.is_some_and(|from| from.says.as_ref().is_some_and(|says| says.contains("who calls"))));
}

#[test]
fn names_of_all_files_are_offered() {
    offers("auth a on service |", &["shop/orders", "shop/frontend"], &["orders"]);
    offers("auth a on service shop/o|", &["shop/orders"], &[]);
    offers("test \"t\" for |", &["orders", "lines"], &["store", "read"]);
    offers("test \"t\" for orders { given GET / expect allow by |", &["read", "default-deny"], &["orders"]);
    offers("log l on mesh { send to |", &["store"], &["orders", "lines"]);
}

#[test]
fn what_an_expression_can_ask_is_offered() {
    let allow = |rest: &str| format!("let mine = 1\nauth a on mesh {{ allow /a/{{id}} when {rest} }}");
    offers(&allow("|"), &["request", "headers", "source", "has", "mine"], &["allow", "team", "jwt"]);
    offers(&allow("request.|"), &["method", "path", "host"], &["service"]);
    offers(&allow("source.service == \"a\" && request.me|"), &["method"], &["mtls"]);
    offers(&allow("path.|"), &["id"], &["startsWith"]);
    offers(&allow("request.host.|"), &["startsWith", "matches", "size"], &["method"]);
    let marked = Marked::new(&allow("request.|"));
    let found = completions(&marked.sources, &marked.analysis.trees, marked.file, marked.offset);
    assert!(found.iter().all(|found| found.kind == CompletionKind::Attribute && found.says.is_some()));
}

#[test]
fn nothing_is_offered_in_comments_strings_and_paths() {
    for text in
        ["# auth |", "auth a on mesh { allow when request.host == \"a |", "auth a on mesh { allow /x.|"]
    {
        assert_eq!(Marked::new(text).offered(), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn names_lead_to_their_meaning() {
    let at = |wanted: &str, before: &str| {
        let offset = SHOP.find(before).map(|at| at + before.len()).unwrap_or_default();
        let (head, tail) = SHOP.split_at(offset);
        let marked = Marked::beside(None, &format!("{head}|{tail}"));
        let (name, line) = marked.meaning().unwrap_or_default();
        assert_eq!(format!("{name}: {line}"), wanted, "behind {before}");
    };
    let read = "allow GET /api/{item} from service shop/frontend when team && path.item != \"x\"";
    at("team: let team = headers[\"x-team\"] == \"blue\"", "when te");
    at(&format!("item: read: {read}"), "path.it");
    at(&format!("read: read: {read}"), "allow by re");
    at("orders: auth orders on service shop/orders {", "\"reads\" for ord");
    at("store: sink store { stdout }", "send to sto");
    at("x-team: schema { header x-team: enum(\"blue\", \"red\") }", "let team = headers[\"x-");
    assert_eq!(Marked::beside(None, "auth |a on mesh { }").meaning(), None);
}

#[test]
fn words_are_explained() {
    let says = |text: &str, wanted: &str| {
        let said = Marked::new(text).said().unwrap_or_default();
        assert!(said.contains(wanted), "{text}: {said}");
    };
    says("auth a on mesh { al|low /x }", "lets requests pass");
    says("auth a on mesh { allow when request.me|thod == \"GET\" }", "request.method: string");
    says("auth a on mesh { allow when headers[\"a\"].starts|With(\"b\") }", "s.startsWith(t): bool");
    says("test \"t\" for ord|ers { }", "read: allow GET");
    says("let a = 1\nauth b on mesh { allow when |a == 1 }", "let a = 1");
    assert_eq!(Marked::new("auth na|me on mesh { }").said(), None);
}

#[test]
fn an_outline_has_what_has_a_name() {
    let marked = Marked::beside(None, SHOP);
    let found: Vec<_> = marked.analysis.trees.iter().flat_map(outline).collect();
    let shown: Vec<_> = found.iter().map(|entry| (entry.kind, entry.name.as_str())).collect();
    let wanted = [
        (EntryKind::Schema, "schema"),
        (EntryKind::Let, "team"),
        (EntryKind::Policy, "orders"),
        (EntryKind::Policy, "lines"),
        (EntryKind::Policy, "store"),
        (EntryKind::Test, "reads"),
    ];
    assert_eq!(shown, wanted);
    let inner: Vec<_> =
        found.iter().flat_map(|entry| &entry.children).map(|entry| entry.name.as_str()).collect();
    assert_eq!(inner, ["read"]);
}

#[test]
fn no_place_in_any_text_is_too_much() {
    let texts = [SHOP, "auth a on { { {", "\"", "é|ü auth é", "let a = request.", "test for by /"];
    for text in texts {
        let marked = Marked::beside(None, text);
        for offset in 0..=u32::try_from(text.len() + 1).unwrap_or_default() {
            let trees = &marked.analysis.trees;
            let _ = (hover(trees, marked.file, offset), definition(trees, marked.file, offset));
            let _ = completions(&marked.sources, trees, marked.file, offset);
        }
    }
}
