//! Limits that replicas share: each lets pass its share, and what it counted goes on when it is told another number.

use crate::run::{headers, link_text, properties, request, validate};
use chancery_policy_lang::emit::compile;
use chancery_sdk_host::abi::{Action, guest_exports};
use chancery_sdk_host::{Host, Limits, LoadedModule, Plugin, PluginConfiguration};

const SECOND_NS: u64 = 1_000_000_000;

/// A proxy, whose shared data outlives its VMs.
struct Replica {
    loaded: LoadedModule,
    plugin: Plugin,
    now_ns: u64,
}

impl Replica {
    fn new(text: &str, numbers: &[u32]) -> Self {
        let bytes = compile(&link_text(text)).unwrap().bytes;
        validate(&bytes);
        let loaded = Host::new(Limits::default()).unwrap().load(&bytes).unwrap();
        let plugin = started(&loaded, numbers);
        let mut this = Self { loaded, plugin, now_ns: 0 };
        this.wait(1_000 * SECOND_NS);
        this
    }

    fn tell(&mut self, numbers: &[u32]) {
        let next = started(&self.loaded, numbers);
        self.plugin = next;
        self.wait(0);
    }

    fn wait(&mut self, ns: u64) {
        self.now_ns += ns;
        self.plugin.set_time_ns(self.now_ns);
    }

    /// How many of so many requests pass.
    fn pass(&mut self, path: &str, requests: usize) -> usize {
        let request = request("GET", path, Some("shop/cart"));
        let passes = |_: &usize| {
            let mut stream = self.plugin.open(properties(&request)).unwrap();
            let outcome = stream.on_request_headers(headers(&request), true).unwrap();
            stream.close().unwrap();
            outcome.action == Action::Continue
        };
        (0..requests).filter(passes).count()
    }
}

fn started(loaded: &LoadedModule, numbers: &[u32]) -> Plugin {
    let vm_configuration = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    loaded.start(PluginConfiguration { vm_configuration, ..PluginConfiguration::default() }).unwrap()
}

const LIMITS: &str = r#"traffic t on mesh {
  all: limit 30/s shared for /all
  own: limit 30/s for /own
  few: limit 1/h burst 2 shared for /few
  by-header: limit 3/h per headers["x-k"] shared for /key
}"#;

#[test]
fn each_replica_lets_pass_its_share() {
    let mut replica = Replica::new(LIMITS, &[3, 3]);
    assert_eq!(replica.pass("/all", 40), 10);
    assert_eq!(replica.pass("/own", 40), 30, "a limit that is not shared is whole");
    assert_eq!(replica.pass("/key", 40), 1);
    replica.wait(SECOND_NS / 2);
    assert_eq!(replica.pass("/all", 40), 5);
    // A share is one token at least.
    assert_eq!(replica.pass("/few", 40), 1);
    replica.wait(3 * 3_600 * SECOND_NS - 1);
    assert_eq!(replica.pass("/few", 40), 0, "and comes again thrice as late");
    replica.wait(1);
    assert_eq!(replica.pass("/few", 40), 1);
}

#[test]
fn without_a_number_there_is_one_replica() {
    for numbers in [&[][..], &[0, 0], &[1, 1], &[3], &[3, 3, 3]] {
        assert_eq!(Replica::new(LIMITS, numbers).pass("/all", 40), 30, "{numbers:?}");
    }
    let most = u32::MAX;
    assert_eq!(Replica::new(LIMITS, &[most, most]).pass("/all", 40), 1);
}

#[test]
fn what_was_counted_goes_on_when_replicas_come_and_go() {
    let mut replica = Replica::new(LIMITS, &[1, 1]);
    assert_eq!(replica.pass("/all", 15), 15);
    // Half full, of a third of the size.
    replica.tell(&[3, 3]);
    assert_eq!(replica.pass("/all", 40), 5);
    replica.tell(&[1, 1]);
    assert_eq!(replica.pass("/all", 40), 0);
    replica.wait(SECOND_NS / 3);
    assert_eq!(replica.pass("/all", 40), 10);

    // A bucket that was emptied for three is no full one for two or one.
    replica.tell(&[3, 3]);
    assert_eq!(replica.pass("/few", 40), 1);
    for number in [2, 1] {
        replica.tell(&[number, number]);
        assert_eq!(replica.pass("/few", 40), 0, "of {number}");
    }
}

#[test]
fn only_a_module_that_counts_for_long_is_told_of_the_start() {
    let name = guest_exports::ON_VM_START.name.as_bytes();
    let has_callback = |text: &str| {
        compile(&link_text(text)).unwrap().bytes.windows(name.len()).any(|window| window == name)
    };
    assert!(has_callback(LIMITS));
    assert!(has_callback("traffic t on mesh { limit 1/s }"));
    assert!(!has_callback("auth a on mesh { allow }"));
}
