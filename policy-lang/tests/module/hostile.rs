//! Hostile requests and hosts: whatever comes, a module answers and does not trap.

use crate::run::{Pair, headers, link_text, properties, request, with};
use chancery_policy_lang::emit::{ModuleOptions, compile_with};
use chancery_policy_lang::request::Request;
use chancery_sdk_host::abi::pairs;
use proptest::prelude::*;
use wasmtime::{Caller, Engine, Extern, Instance, Linker, Memory, Module, Store, TypedFunc};

const POLICY: &str = r#"
auth p on mesh {
  exempt GET /healthz
  cart:   deny /cart/** from namespace legacy
  user:   allow GET /api/*/x when headers["x-user"] == "u1" || headers["x-user"].startsWith("admin-")
  long:   deny when headers["x-user"].lowerAscii().contains(headers["x-needle"])
  query:  deny when query["q"] == "x,y"
  port:   deny when source.port == 7 || request.protocol == "x"
  near:   allow from ip 10.0.0.0/8, service shop/cart
  names:  allow when headers["abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz"] == "1"
}
"#;

#[test]
fn odd_paths_are_judged_alike() {
    let mut pair = Pair::of_text(POLICY);
    for path in [
        "",
        "/",
        "*",
        "//",
        "/a//b",
        "/.",
        "/..",
        "/./a",
        "/a/..",
        "/a/.",
        "/a/..b",
        "/a/.b",
        "/...",
        "/a/...",
        "/%",
        "/%2",
        "/%2f",
        "/%2F",
        "/%5c",
        "/%00",
        "/%25",
        "/%252",
        "/%2541",
        "/%25%41",
        "/%c3%a9",
        "/a\\b",
        "/a?b//c\\%2f",
        "/?",
        "?",
        "/a;b",
        "/a;/..;b",
        "/..;a",
        "/%41",
        "/a/%2e",
        "a",
        "/cart",
        "/cart/",
        "/cartx",
        "/cart/a",
        "/api//x",
        "/api/a/x",
        "/api/a/x/",
        "/api/a/b/x",
        "/api/x",
        "/api/a%2fb/x",
        "/healthz?x",
        "/healthz/",
        "/%zz",
        "/a%",
        "/a%2?f",
        "/a/.?x",
        "/a/..?x",
        "/a/?x",
        "/.?",
    ] {
        for caller in [None, Some("legacy/x")] {
            pair.agree(&request("GET", path, caller));
        }
    }
    for byte in 0..=255_u8 {
        let mut odd = request("GET", "/", None);
        odd.path = [b"/cart/".as_slice(), &[byte], b"x"].concat();
        pair.agree(&odd);
        odd.path = [b"/cart/%4".as_slice(), &[byte]].concat();
        pair.agree(&odd);
    }
}

#[test]
fn escapes_in_paths_are_judged_alike() {
    let mut pair = Pair::of_text(
        r#"auth p on mesh {
          verb:  deny /v1/users:delete, "/Orders(5)/**", /caf%C3%A9
          query: deny when query["q"] == "x y"
          seg:   deny /seg/{it}/** when path.it == "a?b" || path.it.contains("%")
          long:  deny when request.path.endsWith("/%") || request.path.contains(";")
          rest:  allow
        }"#,
    );
    let pieces = [
        "/",
        "//",
        "a",
        "%61",
        ":",
        "%3a",
        "%3A",
        "%2F",
        "%5c",
        "%00",
        "%25",
        "%",
        "%4",
        "41",
        ".",
        "..",
        "%2e",
        ";",
        "%3b",
        "%3f",
        "?",
        "?q=x%20y",
        "v1/users",
        "delete",
        "Orders",
        "%28",
        "(5)",
        "%29",
        "caf%c3%a9",
        "\\",
        "seg/",
        "é",
        "abcdefgh",
        "\0",
    ];
    // Each two and three pieces behind each other, with lengths that the eight bytes of a step do not divide.
    for (number, first) in pieces.iter().enumerate() {
        for second in pieces {
            let third = pieces.iter().cycle().nth(number * 7 + second.len()).unwrap();
            for path in [
                format!("/{first}{second}"),
                format!("/v1/{first}{second}{third}"),
                format!("{first}{second}/{third}"),
            ] {
                let mut odd = request("GET", "/", None);
                odd.path = path.into_bytes();
                pair.agree(&odd);
            }
        }
    }
    for byte in 0..=255_u8 {
        for escape in [format!("/a%{byte:02x}b"), format!("/a/%{byte:02X}"), format!("/%25{byte:02x}")] {
            pair.agree(&request("GET", &escape, None));
        }
    }
    let long = format!("/{}%3a{}?q=x%20y", "s".repeat(10_000), "/t".repeat(3_000));
    assert_eq!(pair.agree(&request("GET", &long, None)).rule(), "p/query");
}

#[test]
fn odd_methods_hosts_and_sizes_are_judged_alike() {
    let mut pair = Pair::of_text(
        r#"auth p on mesh {
          host: deny when request.host == "shop.example" && request.port != 81
          port: deny when request.port == 81
          size: deny when request.size > 9
          rest: allow
        }"#,
    );
    let hosts = [
        "",
        ".",
        "..",
        "shop.example",
        "Shop.Example.",
        "shop.example..:81",
        "shop.example:",
        "shop.example:0081",
        "shop.example:65535",
        "shop.example:65536",
        "shop.example:x",
        "shop.example:8 1",
        "a,b",
        "u@a",
        "[",
        "[]",
        "]",
        "[::1]",
        "[::1]:81",
        "[::1",
        "[::1]x",
        "::1",
        "a:1:2",
        " shop.example ",
        "a%20",
        "é",
        "a_b-c",
        "A:81",
    ];
    for host in hosts {
        let mut odd = request("GET", "/", None);
        odd.authority = host.as_bytes().to_vec();
        pair.agree(&odd);
    }
    for byte in 0..=255_u8 {
        let mut odd = request("GET", "/", None);
        odd.authority = vec![b'a', byte, b'b'];
        pair.agree(&odd);
        odd.authority = vec![byte];
        pair.agree(&odd);
        odd.authority = b"localhost".to_vec();
        odd.method = vec![b'G', byte, b'T'];
        pair.agree(&odd);
        odd.method = b"GET".to_vec();
        let blank = with(odd, "content-length", [b'1', byte]);
        pair.agree(&blank);
    }
    for length in [
        "",
        "0",
        "9",
        "10",
        "00010",
        " 10 ",
        "1,1",
        "-1",
        "+1",
        "9223372036854775807",
        "9223372036854775808",
        "9999999999999999999",
        "18446744073709551616",
        "99999999999999999999999999999999",
        "000000000000000000000000001",
    ] {
        for end_of_stream in [false, true] {
            let mut sized = with(request("POST", "/", None), "content-length", length);
            sized.end_of_stream = end_of_stream;
            pair.agree(&sized);
            pair.agree(&with(sized, "content-length", "3"));
        }
    }
}

#[test]
fn a_value_of_a_repeated_header_never_stands_for_all() {
    let mut pair = Pair::of_text(POLICY);
    let base = request("GET", "/api/a/x", None);
    for values in [
        &["u1"][..],
        &["u1", "u2"],
        &["u2", "u1"],
        &["u1", ""],
        &["", "u1"],
        &["", ""],
        &["admin-1", "u1"],
        &["u1", "u1", "u1"],
        &[""],
    ] {
        let repeated = values.iter().fold(base.clone(), |made, value| with(made, "x-user", value));
        pair.agree(&repeated);
        // With others between them, and one that is alike.
        let mixed = values.iter().fold(base.clone(), |made, value| {
            with(with(with(made, "x-user", value), "x-use", "u1"), "x-needle", value)
        });
        pair.agree(&mixed);
    }
}

#[test]
fn names_that_are_alike_are_told_apart() {
    let mut pair = Pair::of_text(POLICY);
    let long = "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz";
    assert_eq!(pair.agree(&with(Request::default(), long, "1")).rule(), "p/names");
    for at in 0..long.len() {
        let mut other = long.as_bytes().to_vec();
        other[at] = b'_';
        assert_eq!(
            pair.agree(&with(Request::default(), std::str::from_utf8(&other).unwrap(), "1")).rule(),
            "default-deny"
        );
    }
    for name in ["", "x", "x-user2", "x-uses", long.get(1..).unwrap_or_default(), &format!("{long}x")] {
        pair.agree(&with(Request::default(), name, "1"));
    }
}

#[test]
fn values_of_any_bytes_and_lengths_are_judged_alike() {
    let mut pair = Pair::of_text(POLICY);
    let base = request("GET", "/api/a/x", None);
    for value in [
        &b"u1\0"[..],
        b"\0u1",
        b"\0",
        b"u1\xff",
        b"\xff",
        b"u",
        b"u11",
        b"admin",
        b"admin-",
        b"ADMIN-",
        b"admin-\0\xff",
    ] {
        pair.agree(&with(base.clone(), "x-user", value));
        pair.agree(&with(with(base.clone(), "x-user", value), "x-needle", value));
    }
    for bytes in [7, 8, 9, 15, 16, 17, 1_000, 60_000, 200_000] {
        let long = with(base.clone(), "x-user", "a".repeat(bytes));
        pair.agree(&long);
        pair.agree(&with(with(long, "x-user", "b".repeat(bytes)), "x-user", "c"));
        let mut long = base.clone();
        long.path = format!("/api/{}/x?q=x&q=%{}", "s".repeat(bytes), "y&".repeat(bytes.min(9_000))).into();
        pair.agree(&long);
    }
}

#[test]
fn a_request_without_room_is_refused_and_the_next_one_is_judged() {
    let mut pair = Pair::of_text(POLICY);
    let base = request("GET", "/api/a/x", None);
    let large = (0..1000).fold(base.clone(), |made, _| with(made, "x-user", "a".repeat(1_000)));
    let large = with(large, "x-needle", "b".repeat(40_000));
    let said = pair.run(&large);
    assert_eq!((said.rule(), said.status()), ("too-large", 431));
    assert_eq!(pair.agree(&with(base, "x-user", "u1")).rule(), "p/user");
}

#[test]
fn what_the_proxy_does_not_say_is_not_guessed() {
    let mut pair = Pair::of_text(POLICY);
    let request = request("GET", "/a", None);
    let mut silent = properties(&request);
    silent.remove(&["source", "address"]);
    let said = pair.run_raw(headers(&request), silent, true);
    assert_eq!((said.rule(), said.status()), ("unreadable", 403));
}

/// What is dear shall be judged right, too.
const UNLIMITED: ModuleOptions = ModuleOptions { rule_in_filter_state: true, steps_max: u64::MAX };

/// A host of a few lines that gives any bytes as pairs and as properties.
struct Raw {
    pairs: Vec<u8>,
    property: Option<Vec<u8>>,
    /// The status of the local reply.
    replied: Option<i32>,
}

fn memory(caller: &mut Caller<'_, Raw>) -> Memory {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => memory,
        _ => panic!("no memory"),
    }
}

/// Writes bytes to memory that the module gives, and where they are to the two addresses.
fn give(caller: &mut Caller<'_, Raw>, bytes: &[u8], at: i32, length: i32) -> i32 {
    let malloc = caller.get_export("malloc").and_then(Extern::into_func).unwrap();
    let malloc: TypedFunc<i32, i32> = malloc.typed(&caller).unwrap();
    let address = malloc.call(&mut *caller, i32::try_from(bytes.len()).unwrap()).unwrap();
    if address == 0 {
        return 6;
    }
    let memory = memory(caller);
    memory.write(&mut *caller, address as u32 as usize, bytes).unwrap();
    memory.write(&mut *caller, at as usize, &address.to_le_bytes()).unwrap();
    memory.write(&mut *caller, length as usize, &i32::try_from(bytes.len()).unwrap().to_le_bytes()).unwrap();
    0
}

fn linker(engine: &Engine) -> Linker<Raw> {
    let mut linker: Linker<Raw> = Linker::new(engine);
    linker
        .func_wrap(
            "env",
            "proxy_get_header_map_pairs",
            |mut caller: Caller<'_, Raw>, _: i32, at: i32, length: i32| {
                let pairs = caller.data().pairs.clone();
                give(&mut caller, &pairs, at, length)
            },
        )
        .unwrap();
    linker
        .func_wrap(
            "env",
            "proxy_get_property",
            |mut caller: Caller<'_, Raw>, _: i32, _: i32, at: i32, length: i32| match caller
                .data()
                .property
                .clone()
            {
                Some(bytes) => give(&mut caller, &bytes, at, length),
                None => 1,
            },
        )
        .unwrap();
    linker.func_wrap("env", "proxy_set_property", |_: i32, _: i32, _: i32, _: i32| 0).unwrap();
    linker.func_wrap("env", "proxy_define_metric", |_: i32, _: i32, _: i32, _: i32| 10).unwrap();
    linker.func_wrap("env", "proxy_increment_metric", |_: i32, _: i64| 0).unwrap();
    let reply =
        |mut caller: Caller<'_, Raw>, status: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32| {
            caller.data_mut().replied = Some(status);
            0
        };
    linker.func_wrap("env", "proxy_send_local_response", reply).unwrap();
    linker
}

fn start() -> (Store<Raw>, Instance) {
    let engine = Engine::default();
    let module = Module::new(&engine, &compile_with(&link_text(POLICY), UNLIMITED).unwrap().bytes).unwrap();
    let mut store = Store::new(&engine, Raw { pairs: Vec::new(), property: None, replied: None });
    let instance = linker(&engine).instantiate(&mut store, &module).unwrap();
    (store, instance)
}

/// The status of the reply to what the host gives, 0 if there is none.
fn answer(store: &mut Store<Raw>, instance: Instance, pairs: Vec<u8>, property: Option<Vec<u8>>) -> i32 {
    *store.data_mut() = Raw { pairs, property, replied: None };
    let callback =
        instance.get_typed_func::<(i32, i32, i32), i32>(&mut *store, "proxy_on_request_headers").unwrap();
    let action = callback.call(&mut *store, (2, 0, 1)).unwrap();
    assert_eq!(action == 0, store.data().replied.is_none());
    store.data().replied.unwrap_or(0)
}

#[test]
fn bytes_that_are_no_pairs_are_refused() {
    let (mut store, instance) = start();
    let good = with(request("GET", "/api/a/x", None), "x-user", "u1");
    let good = pairs::encode(headers(&good).entries()).unwrap();
    let address = Some(b"10.0.0.1:80".to_vec());
    assert_eq!(answer(&mut store, instance, good.clone(), address.clone()), 0);
    for end in 0..good.len() {
        // Without the last NUL alone, all lengths still hold.
        let status = answer(&mut store, instance, good[..end].to_vec(), address.clone());
        assert!(status == 403, "{status} for the first {end} bytes");
    }
    for at in 0..4 + 8 * 5 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            answer(&mut store, instance, bad, address.clone());
        }
    }
    // A request after all these is judged as before.
    assert_eq!(answer(&mut store, instance, good, address), 0);
    let huge = vec![0; 3 << 20];
    assert_eq!(answer(&mut store, instance, huge, None), 431);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn no_bytes_make_a_module_trap(
        inputs in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), any::<[u8; 3]>(), prop::option::of("[0-9a-f:.\\[\\]%/]{0,30}")), 64),
    ) {
        let (mut store, instance) = start();
        for (bytes, counts, property) in inputs {
            // Small counts and lengths get further than any do.
            let mut likely = vec![counts[0] % 8, 0, 0, 0];
            likely.extend(bytes.chunks(1).flat_map(|byte| [byte[0] % 16, 0, 0, 0]).take(64));
            likely.extend(&bytes);
            answer(&mut store, instance, likely, property.clone().map(String::into_bytes));
            answer(&mut store, instance, bytes, property.map(String::into_bytes));
        }
    }
}
