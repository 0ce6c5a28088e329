//! The policy whose decisions are compared: something of everything that a request can be asked.

use crate::programs::{linked, workload};
use anyhow::{Error, Result};
use chancery_policy_lang::linked::LinkedProgram;

/// The policy. Requests are generated around its constants.
pub const POLICY: &str = r#"
schema { header x-groups: list<string, 4> }
auth desk on service shop/desk {
  root:     allow GET /
  a:        allow /a
  a-slash:  allow /a/
  a-b:      allow /a/b
  b:        allow /b
  foo:      allow /foo when headers["x-foo"] == "foo"
  empty:    allow /empty when headers["x-foo"] == ""
  present:  allow /present when has(headers["x-foo"])
  absent:   allow /present unless has(headers["x-foo"])
  tree:     allow /tree/**
  dots:     allow /v1.0/*/~x_y-z
  me:       allow /u/{id} when path.id == "me"
  long:     allow /u/{id} when size(path.id) > 6
  api:      allow GET, POST /api/** when headers["x-team"] == "blue" && headers["x-role"] != "guest"
  admins:   allow /admin/{what} when "admin" in headers["x-groups"] && path.what != "secret"
  search:   allow GET, HEAD /search when query["q"].contains("café") || query["q"] == "a b"
  host:     deny /host when request.host == "deny.example"
  hosts:    allow /host when request.host.endsWith("example")
  v6:       allow /host when request.host == "[::1]"
  upload:   allow POST /upload when request.size <= 1024
  large:    deny /upload when request.size > 1024 respond 413
  secure:   allow /scheme when request.scheme == "https"
  plain:    allow /scheme when request.scheme == "http"
  two:      allow /protocol when request.protocol == "HTTP/2"
  one:      allow /protocol when request.protocol == "HTTP/1.1"
  agent:    allow /agent when headers["user-agent"] == "x,y"
  purge:    allow PURGE from ip 127.0.0.0/8
  verb:     allow /verb when request.method == "PROPFIND" || request.method == "propfind"
  no-trace: deny TRACE respond 405
  teapot:   deny /teapot respond 418 "short and stout"
  version:  deny GET /v/** when headers["x-version"].matches("^v[0-9]+$")
  evil:     deny when request.path.contains(";evil") || request.path.endsWith("%3Bevil")
  otherwise deny respond 404
}
auth tried-out on mesh {
  mode shadow
  stricter: deny /tree/old/**
}
"#;

/// The program of [`POLICY`], or of another text, for the service `shop/desk`.
///
/// # Errors
/// What is wrong with it.
pub fn program(text: &str) -> Result<LinkedProgram> {
    linked(text, &workload("shop", "desk")).map_err(Error::msg)
}
