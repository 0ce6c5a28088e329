//! What a worker takes in hand of a large bucket, and what it knows of an empty one: all workers together let pass what is
//! stated, and less is left in hand than a hundredth.

use crate::run::{headers, link_text, properties, request, validate, with};
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::request::Request;
use chancery_sdk_host::abi::Action;
use chancery_sdk_host::{Host, Limits, Plugin, PluginConfiguration};

const SECOND_NS: u64 = 1_000_000_000;
const BURST: usize = 5_120;

/// Workers of a proxy.
struct Workers(Vec<Plugin>);

impl Workers {
    fn new(text: &str, count: usize) -> Self {
        let bytes = compile(&link_text(text)).unwrap().bytes;
        validate(&bytes);
        let loaded = Host::new(Limits::default()).unwrap().load(&bytes).unwrap();
        let start = |_| loaded.start(PluginConfiguration::default()).unwrap();
        let mut this = Self((0..count).map(start).collect());
        this.set_time(1_000 * SECOND_NS);
        this
    }

    fn set_time(&mut self, now_ns: u64) {
        self.0.iter_mut().for_each(|worker| worker.set_time_ns(now_ns));
    }

    fn passes(&mut self, worker: usize, request: &Request) -> bool {
        let worker = self.0.get_mut(worker).unwrap();
        let mut stream = worker.open(properties(request)).unwrap();
        let outcome = stream.on_request_headers(headers(request), true).unwrap();
        stream.close().unwrap();
        outcome.action == Action::Continue
    }

    fn pass(&mut self, worker: usize, request: &Request, requests: usize) -> usize {
        (0..requests).filter(|_| self.passes(worker, request)).count()
    }
}

fn get(key: &str) -> Request {
    with(request("GET", "/a", None), "x-k", key)
}

#[test]
fn all_workers_together_let_pass_what_is_stated() {
    for key in ["", " per headers[\"x-k\"]"] {
        let text = format!("traffic t on mesh {{ limit 3600/h burst {BURST}{key} }}");
        let mut workers = Workers::new(&text, 4);
        let passed: usize = (0..2 * BURST).map(|turn| workers.pass(turn % 4, &get("a"), 1)).sum();
        assert_eq!(passed, BURST, "{key}");
        workers.set_time(1_007 * SECOND_NS);
        let passed: usize = (0..40).map(|turn| workers.pass(turn % 4, &get("a"), 1)).sum();
        assert_eq!(passed, 7, "{key}");
    }
}

#[test]
fn a_worker_that_used_up_what_it_had_in_hand_takes_more() {
    let mut workers = Workers::new("traffic t on mesh { limit 5120/s }", 1);
    assert_eq!(workers.pass(0, &get("a"), BURST + 100), BURST);
    workers.set_time(1_000 * SECOND_NS + SECOND_NS / 2);
    assert_eq!(workers.pass(0, &get("a"), BURST), BURST / 2);
}

#[test]
fn what_others_have_in_hand_is_less_than_a_hundredth() {
    let mut workers = Workers::new(&format!("traffic t on mesh {{ limit 1/h burst {BURST} }}"), 4);
    for worker in 1..4 {
        assert_eq!(workers.pass(worker, &get("a"), 1), 1);
    }
    let passed = workers.pass(0, &get("a"), 2 * BURST) + 3;
    assert!(passed > BURST - BURST / 100 && passed < BURST, "{passed}");
    assert_eq!(passed + (1..4).map(|worker| workers.pass(worker, &get("a"), BURST)).sum::<usize>(), BURST);
}

#[test]
fn a_key_has_in_hand_what_is_its_own() {
    // More keys than a worker knows of.
    let mut workers = Workers::new("traffic t on mesh { limit 1/h burst 600 per headers[\"x-k\"] }", 2);
    let keys: Vec<Request> = (0..1_500).map(|number| get(&number.to_string())).collect();
    for _ in 0..3 {
        for key in &keys {
            assert_eq!(workers.pass(0, key, 1), 1);
        }
    }
    for key in keys.iter().step_by(100) {
        let passed = workers.pass(0, key, 700) + workers.pass(1, key, 10);
        assert_eq!(passed, 597);
    }
}

#[test]
fn an_empty_bucket_is_known_until_a_token_comes_whatever_the_clock_does() {
    let mut workers = Workers::new("traffic t on mesh { limit 1/m burst 60 }", 2);
    assert_eq!(workers.pass(0, &get("a"), 70), 60);
    assert_eq!(workers.pass(1, &get("a"), 1), 0);
    workers.set_time(1_059 * SECOND_NS);
    assert_eq!([0, 1].map(|worker| workers.pass(worker, &get("a"), 2)), [0, 0]);
    workers.set_time(1_060 * SECOND_NS);
    assert_eq!([0, 1].map(|worker| workers.pass(worker, &get("a"), 2)), [1, 0]);
    // As if nothing had been before; and nothing is known any more of what was.
    workers.set_time(100 * SECOND_NS);
    assert_eq!(workers.pass(0, &get("a"), 30), 30);
    workers.set_time(1_060 * SECOND_NS);
    assert_eq!(workers.pass(0, &get("a"), 70), 30 + 16);
}
