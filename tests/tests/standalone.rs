//! `examples/standalone`: a compiled policy in a plain Envoy, as the example's README tells it.

use crate::command_line::transcript::CHANCERY;
use crate::tidy::{file, root};
use chancery_control::sidecar::envoy_binary::Search;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long Envoy may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

#[test]
fn a_plain_envoy_decides_by_a_compiled_policy_as_the_example_says() {
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path());
    let mut envoy = Envoy::start(folder.path());
    let rows = rows();
    for row in &rows {
        let answer = envoy.ask(row);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {} ", row.status)),
            "{} {}: expected {}, got\n{answer}",
            row.method,
            row.path,
            row.status
        );
    }
    let rules: Vec<String> = rows.iter().map(|row| row.rule.clone()).collect();
    assert_eq!(envoy.logged_rules(rules.len()), rules, "the rules in the access log");
    let counters = envoy.counters();
    for rule in &rules {
        assert!(counters.contains(&format!("{rule}: ")), "no counter of {rule}:\n{counters}");
    }
}

/// A row of the table in the example's README.
struct Row {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    status: u16,
    rule: String,
}

fn rows() -> Vec<Row> {
    let readme = file("examples/standalone/README.md").text;
    let rows: Vec<Row> = readme.lines().filter(|line| line.starts_with("| `")).map(row).collect();
    assert!(rows.len() > 5, "the README's table was not found");
    rows
}

/// `` | `GET /x` with `a: b`, `c: d` | 200 | policy/rule | ``
fn row(line: &str) -> Row {
    let mut cells = line.trim_matches('|').split('|').map(str::trim);
    let mut quoted = cells.next().unwrap().split('`').skip(1).step_by(2);
    let (method, path) = quoted.next().unwrap().split_once(' ').unwrap();
    let headers = quoted.map(|header| header.split_once(": ").unwrap());
    Row {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        status: cells.next().unwrap().parse().unwrap(),
        rule: cells.next().unwrap().to_owned(),
    }
}

/// The README's command, with the module in another folder.
fn compile(folder: &Path) {
    let output = Command::new(CHANCERY)
        .args(["compile", "examples/standalone/tickets.writ", "--on", "service", "support/tickets", "-o"])
        .arg(folder.join("tickets.wasm"))
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A running Envoy with the example's configuration on other ports.
struct Envoy {
    process: Child,
    listener: SocketAddr,
    admin: SocketAddr,
    access_log: std::path::PathBuf,
}

impl Envoy {
    fn start(folder: &Path) -> Self {
        let (listener, admin) = (free_address(), free_address());
        let configuration = file("examples/standalone/envoy.yaml")
            .text
            .replace("port_value: 8080", &format!("port_value: {}", listener.port()))
            .replace("port_value: 9901", &format!("port_value: {}", admin.port()));
        fs::write(folder.join("envoy.yaml"), configuration).unwrap();
        let access_log = folder.join("access.log");
        let binary = Search::from_environment(None).find_or_install(&mut |_| {}).unwrap().path;
        let process = Command::new(binary)
            .args(["-c", "envoy.yaml", "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"])
            .args(["--file-flush-interval-msec", "20"])
            .current_dir(folder)
            .stdout(Stdio::from(fs::File::create(&access_log).unwrap()))
            .spawn()
            .unwrap();
        let mut envoy = Self { process, listener, admin, access_log };
        let begun = Instant::now();
        while TcpStream::connect(listener).is_err() {
            assert_eq!(envoy.process.try_wait().unwrap(), None, "Envoy ended; its words are above");
            assert!(begun.elapsed() < PATIENCE, "Envoy does not listen");
            sleep(PAUSE);
        }
        envoy
    }

    fn ask(&self, row: &Row) -> String {
        let mut request = format!("{} {} HTTP/1.1\r\nhost: tickets\r\n", row.method, row.path);
        for (name, value) in &row.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        exchange(self.listener, &request)
    }

    /// The rules of the first lines of the access log, waiting for so many.
    fn logged_rules(&mut self, count: usize) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let text = fs::read_to_string(&self.access_log).unwrap();
            let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
            if lines.len() >= count {
                let rule = |line: &&str| {
                    let line: serde_json::Value = serde_json::from_str(line).unwrap();
                    line.get("rule").unwrap().as_str().unwrap_or("-").to_owned()
                };
                return lines.iter().map(rule).collect();
            }
            assert!(begun.elapsed() < PATIENCE, "{} of {count} requests were logged:\n{text}", lines.len());
            sleep(PAUSE);
        }
    }

    /// The counters of the policy, from the address that the README names.
    fn counters(&self) -> String {
        exchange(self.admin, "GET /stats?filter=writ HTTP/1.1\r\nhost: admin\r\n")
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has said then.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// Sends a request head as it stands, so that no library makes its path canonical, and reads all of the answer.
fn exchange(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
