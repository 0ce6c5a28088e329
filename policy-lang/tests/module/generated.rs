//! Generated policies of few and many rules, and requests near their rules.

use crate::run::{Pair, request, with};
use chancery_policy_lang::request::Request;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

const METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE"];
const SEGMENTS: &[&str] = &["a", "b", "c", "items", "averylongsegmentofapath"];
const VALUES: &[&str] = &["1", "2", "12", "admin", "admin-x", "averylongvalueofaheader"];
const CALLERS: &[&str] = &["shop/a", "shop/b", "pay/a", "legacy/old"];
const HEADERS: &[&str] = &["x", "y", "x-user", "x-a-rather-long-header-name"];
const NETS: &[&str] = &["10.0.0.0/8", "10.1.0.0/16", "192.168.1.1/32", "2001:db8::/32", "0.0.0.0/0"];
const ADDRESSES: &[&str] = &["10.0.0.1", "10.1.2.3", "192.168.1.1", "11.0.0.1", "2001:db8::5", "::1"];

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![4 => select(SEGMENTS), 1 => Just("*"), 1 => Just("{id}")];
    (prop::collection::vec(segment, 1..4), select(&["", "/**", "/"][..])).prop_map(|(segments, end)| {
        let mut names = 0;
        let text: Vec<String> = segments
            .into_iter()
            .map(|segment| {
                names += 1;
                if segment == "{id}" { format!("{{id{names}}}") } else { segment.to_owned() }
            })
            .collect();
        format!("/{}{end}", text.join("/"))
    })
}

fn peer() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(CALLERS).prop_map(|caller| format!("service {caller}")),
        1 => Just("namespace shop".to_owned()),
        1 => Just("service pay/*".to_owned()),
        1 => Just("spiffe \"spiffe://elsewhere/x\"".to_owned()),
        2 => select(NETS).prop_map(|net| format!("ip {net}")),
    ]
}

fn atom() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (select(HEADERS), select(VALUES)).prop_map(|(name, value)| format!("headers[\"{name}\"] == \"{value}\"")),
        1 => (select(HEADERS), select(VALUES)).prop_map(|(name, value)| format!("headers[\"{name}\"] != \"{value}\"")),
        1 => select(HEADERS).prop_map(|name| format!("has(headers[\"{name}\"])")),
        2 => (select(HEADERS), select(VALUES)).prop_map(|(name, value)| format!("headers[\"{name}\"].startsWith(\"{value}\")")),
        1 => (select(HEADERS), select(VALUES), select(VALUES)).prop_map(|(name, one, two)| format!("headers[\"{name}\"] in [\"{one}\", \"{two}\"]")),
        1 => select(VALUES).prop_map(|value| format!("headers[\"x\"].endsWith(\"{value}\")")),
        1 => Just("headers[\"x\"] == headers[\"y\"]".to_owned()),
        1 => Just("source.mtls".to_owned()),
        1 => select(CALLERS).prop_map(|caller| format!("source.service != \"{caller}\"")),
        1 => Just("source.namespace == target.namespace".to_owned()),
        1 => select(NETS).prop_map(|net| format!("cidr(\"{net}\").containsIP(source.ip)")),
        1 => select(VALUES).prop_map(|value| format!("query[\"q\"] == \"{value}\"")),
        1 => Just("request.path.startsWith(\"/a\")".to_owned()),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    prop::collection::vec((any::<bool>(), atom(), select(&["&&", "||"][..])), 1..4).prop_map(|atoms| {
        let mut text = String::new();
        for (at, (not, atom, operator)) in atoms.into_iter().enumerate() {
            if at > 0 {
                text = format!("({text}) {operator} ");
            }
            text.push_str(&if not { format!("!({atom})") } else { format!("({atom})") });
        }
        text
    })
}

fn list<S: Strategy<Value = String> + 'static>(of: S, most: usize) -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just(String::new()),
        2 => prop::collection::btree_set(of, 1..=most).prop_map(|items| items.into_iter().collect::<Vec<_>>().join(", ")),
    ]
}

/// A statement without its name.
fn rule() -> impl Strategy<Value = String> {
    let methods = list(select(METHODS).prop_map(str::to_owned), 2);
    let paths = list(pattern(), 3);
    let peers =
        list(peer(), 3).prop_map(|peers| if peers.is_empty() { peers } else { format!("from {peers}") });
    let conditions = Union::new_weighted(vec![
        (1, Just(String::new()).boxed()),
        (2, condition().prop_map(|text| format!("when {text}")).boxed()),
        (1, condition().prop_map(|text| format!("unless {text}")).boxed()),
    ]);
    let effect = prop_oneof![1 => Just("exempt"), 4 => Just("deny"), 6 => Just("allow")];
    let respond = select(&["", "respond 404", "respond 451 \"gone\""][..]);
    (effect, methods, paths, peers, conditions, respond)
        .prop_filter("an exemption says what it exempts", |(effect, methods, paths, peers, condition, _)| {
            let is_bare = methods.is_empty() && paths.is_empty() && peers.is_empty();
            !is_bare || (*effect != "exempt" && !condition.is_empty())
        })
        .prop_map(|(effect, methods, paths, peers, condition, respond)| match effect {
            "exempt" => format!("exempt {methods} {paths} {peers}"),
            "deny" => format!("deny {methods} {paths} {peers} {condition} {respond}"),
            _ => format!("allow {methods} {paths} {peers} {condition}"),
        })
}

fn policies(rules: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    (
        prop::collection::vec((rule(), any::<bool>()), rules),
        select(&["", "otherwise allow", "otherwise deny respond 418"][..]),
    )
        .prop_map(|(rules, otherwise)| {
            let body = |shadow: bool| {
                let kept = rules.iter().enumerate().filter(|(at, (_, is_shadow))| {
                    at % 3 != 0 && shadow == *is_shadow || (at % 3 == 0 && !shadow)
                });
                kept.map(|(at, (rule, _))| {
                    format!("  r{at}: {rule}\n").replace(&format!("r{at}: exempt"), "exempt")
                })
                .collect::<String>()
            };
            let enforced = format!("auth p on mesh {{\n{}{otherwise}\n}}\n", body(false));
            let shadow = body(true);
            if shadow.is_empty() {
                enforced
            } else {
                format!("{enforced}auth s on mesh {{ mode shadow\n{shadow}}}\n")
            }
        })
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let path =
        (prop::collection::vec(select(SEGMENTS), 0..4), select(&["", "/", "?q=1", "?q=admin&q=x", "//"][..]))
            .prop_map(|(segments, end)| format!("/{}{end}", segments.join("/")));
    let caller = prop_oneof![1 => Just(None), 3 => select(CALLERS).prop_map(Some)];
    let headers = prop::collection::vec((select(HEADERS), select(VALUES)), 0..4);
    let one = (select(METHODS), path, caller, headers, select(ADDRESSES), any::<bool>());
    let one = one.prop_map(|(method, path, caller, headers, address, mtls)| {
        let made = request(method, &path, caller);
        let mut made = headers.into_iter().fold(made, |made, (name, value)| with(made, name, value));
        made.source.ip = address.parse().unwrap();
        made.source.mtls |= mtls;
        made
    });
    prop::collection::vec(one, 60)
}

fn agree(text: &str, requests: &[Request]) {
    let mut pair = Pair::of_text(text);
    for request in requests {
        pair.agree(request);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn few_rules_decide_as_the_evaluator_does(text in policies(1..12), requests in requests()) {
        agree(&text, &requests);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn many_rules_decide_as_the_evaluator_does(text in policies(80..200), requests in requests()) {
        agree(&text, &requests);
    }
}
