//! What the checker says to the author: structure and names here, expressions, warnings and what
//! is not supported yet in the modules.

pub(super) mod expression;
pub(super) mod filter;
pub(super) mod later;
pub(super) mod log;
pub(super) mod sink;
pub(super) mod warnings;

use super::header_name::Owner;
use super::pattern::SEGMENTS_MAX;
use super::rule::{BODY_BYTES_MAX, NAME_BYTES_MAX};
use crate::checked::{BaseType, Message, Milliseconds};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

const DUPLICATE_POLICY: Code = Code("E201");
const DUPLICATE_RULE: Code = Code("E202");
const UNKNOWN_POLICY: Code = Code("E203");
const DUPLICATE_LABEL: Code = Code("E204");
const SECOND_OTHERWISE: Code = Code("E205");
const SECOND_MODE: Code = Code("E206");
const EXEMPT_PLACE: Code = Code("E207");
const EXEMPT_CONDITION: Code = Code("E208");
const STATUS: Code = Code("E209");
const BODY: Code = Code("E210");
const RESERVED_RULE: Code = Code("E211");
const PATTERN: Code = Code("E212");
const CAPTURE: Code = Code("E213");
const SPIFFE_ID: Code = Code("E214");
const DUPLICATE_LET: Code = Code("E216");
const RESERVED_NAME: Code = Code("E217");
const CYCLIC_LET: Code = Code("E218");
const HEADER_NAME: Code = Code("E219");
const DUPLICATE_HEADER: Code = Code("E220");
const BOUND: Code = Code("E221");
const REQUEST: Code = Code("E222");
const UNKNOWN_RULE: Code = Code("E223");
const EXPECTATION: Code = Code("E224");
const HEADER_TAKEN_AWAY: Code = Code("E225");
const LONG_NAME: Code = Code("E226");
const RATE: Code = Code("E227");
const LIMIT_KEY: Code = Code("E228");
const DESTINATION: Code = Code("E229");
const TEMPLATE: Code = Code("E230");
const CALLERS: Code = Code("E231");
const CHOICE: Code = Code("E232");
const SENDER: Code = Code("E233");
const PAIR: Code = Code("E234");
const HEADER_OWNED: Code = Code("E240");
const HEADER_VALUE: Code = Code("E241");
const CORS: Code = Code("E242");

pub(super) fn counted_log(span: Span) -> Diagnostic {
    Diagnostic::error(EXPECTATION, span, "what is logged is expected of all requests of a case")
        .help("write `expect logged` or `expect not logged`, without a number")
}

pub(super) fn duplicate_policy(span: Span, name: &str, first: Span) -> Diagnostic {
    Diagnostic::error(DUPLICATE_POLICY, span, format!("there is another policy `{name}`"))
        .with(first, "the first one")
        .help("names of policies are unique in a mesh, over all files and kinds: choose another")
}

pub(super) fn duplicate_rule(span: Span, name: &str, first: Span) -> Diagnostic {
    Diagnostic::error(DUPLICATE_RULE, span, format!("there is another rule `{name}` in this policy"))
        .with(first, "the first one")
        .help("a rule's name tells people which rule decided: choose another")
}

pub(super) fn unknown_policy(span: Span, name: &str, near: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error(UNKNOWN_POLICY, span, format!("there is no `auth` policy `{name}`"));
    match near {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic
            .help("a test names the policies under test, which must be among the files that are checked"),
    }
}

pub(super) fn duplicate_label(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(DUPLICATE_LABEL, span, format!("label `{name}` is stated twice"))
        .help("a workload has one value of a label: remove one")
}

pub(super) fn second_otherwise(span: Span, first: Span) -> Diagnostic {
    Diagnostic::error(SECOND_OTHERWISE, span, "a policy has one `otherwise`")
        .with(first, "the first one")
        .help("remove one; what holds for some requests only is an `allow` or a `deny`")
}

pub(super) fn second_plaintext(span: Span, first: Span) -> Diagnostic {
    Diagnostic::error(SECOND_OTHERWISE, span, "a policy has one `plaintext`")
        .with(first, "the first one")
        .help("remove one; what such callers may do is said by rules, which can ask for `source.mtls`")
}

pub(super) fn second_mode(span: Span, first: Span) -> Diagnostic {
    Diagnostic::error(SECOND_MODE, span, "a policy has one `mode`")
        .with(first, "the first one")
        .help("remove one")
}

pub(super) fn exempt_too_narrow(span: Span, target: Span) -> Diagnostic {
    Diagnostic::error(EXEMPT_PLACE, span, "`exempt` stands only in policies on `mesh` or on namespaces")
        .with(target, "this target is narrower")
        .help("an exemption overrides every `deny`; write an `allow`, or an `unless` in the `deny`")
}

pub(super) fn exempt_with_condition(span: Span) -> Diagnostic {
    Diagnostic::error(EXEMPT_CONDITION, span, "an `exempt` has no condition")
        .help("say it by method, path and caller, or write an `allow` with this condition")
}

pub(super) fn bad_status(span: Span, status: i64) -> Diagnostic {
    Diagnostic::error(STATUS, span, format!("{status} is no status of a refusal")).help(
        "a refused request is answered with 400 to 599; with 403, or 429 by a `limit`, if nothing is stated",
    )
}

pub(super) fn body_too_long(span: Span, bytes: usize) -> Diagnostic {
    Diagnostic::error(BODY, span, format!("the body has {bytes} bytes; {BODY_BYTES_MAX} is the limit"))
        .help("say it shorter, or name a page that says more")
}

pub(super) fn reserved_rule(span: Span) -> Diagnostic {
    Diagnostic::error(RESERVED_RULE, span, "no rule can be named `otherwise`")
        .help("that is the name under which the `otherwise` statement decides: choose another")
}

pub(super) fn pattern_too_long(span: Span) -> Diagnostic {
    Diagnostic::error(PATTERN, span, format!("the pattern has more than {SEGMENTS_MAX} segments"))
        .help("end it with `/**`")
}

pub(super) fn pattern_not_canonical(span: Span, normal: &str) -> Diagnostic {
    Diagnostic::error(PATTERN, span, "no path looks like this when rules see it")
        .help(format!("paths are normalised before any rule; write `{normal}`"))
}

pub(super) fn pattern_refused(span: Span, why: &str) -> Diagnostic {
    Diagnostic::error(PATTERN, span, "every such path is refused with 400 before any rule")
        .help(format!("{why}; write another pattern"))
}

pub(super) fn duplicate_capture(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(CAPTURE, span, format!("`{{{name}}}` stands twice in the pattern"))
        .help(format!("`path.{name}` is one segment: name the other one differently, or write `*`"))
}

pub(super) fn bad_spiffe_id(span: Span) -> Diagnostic {
    Diagnostic::error(SPIFFE_ID, span, "this is no SPIFFE id")
        .help("write `spiffe \"spiffe://trust-domain/path\"`, or `service namespace/name` for a service of the mesh")
}

pub(super) fn duplicate_let(span: Span, name: &str, first: Span) -> Diagnostic {
    Diagnostic::error(DUPLICATE_LET, span, format!("`{name}` has a meaning already"))
        .with(first, "given here")
        .help("choose another name")
}

pub(super) fn reserved_let(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(RESERVED_NAME, span, format!("`{name}` is a name of the language"))
        .help("choose another name")
}

pub(super) fn cyclic_let(span: Span, cycle: &[&str]) -> Diagnostic {
    let first = cycle.first().copied().unwrap_or_default();
    let steps = cycle.iter().copied().chain([first]).collect::<Vec<_>>().join("` -> `");
    Diagnostic::error(CYCLIC_LET, span, format!("`{first}` is explained by itself: `{steps}`"))
        .help("write one of them without the others")
}

pub(super) fn bad_header_name(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(HEADER_NAME, span, format!("`{name}` is no name of a header"))
        .help("letters, digits and any of !#$%&'*+-.^_`|~")
}

pub(super) fn name_too_long(span: Span, bytes: usize) -> Diagnostic {
    Diagnostic::error(LONG_NAME, span, format!("the name has {bytes} bytes; {NAME_BYTES_MAX} is the limit"))
        .help("it stands in counters, logs, answers and identities: choose a shorter one")
}

pub(super) fn header_taken_away(span: Span, name: &str) -> Diagnostic {
    let name = name.to_ascii_lowercase();
    let message = format!("no rule ever sees the header `{name}`: Envoy takes it away before");
    let diagnostic = Diagnostic::error(HEADER_TAKEN_AWAY, span, message);
    match name.as_str() {
        "transfer-encoding" => {
            diagnostic.help("`has(request.size)` asks whether the size of the body is known")
        }
        _ => diagnostic.help("remove it, or have the client send a header of another name"),
    }
}

pub(super) fn header_is_attribute(span: Span, name: &str, attribute: &str) -> Diagnostic {
    Diagnostic::error(HEADER_NAME, span, format!("`{name}` is not read as a header"))
        .help(format!("write `{attribute}`"))
}

pub(super) fn duplicate_header(span: Span, name: &str, first: Span) -> Diagnostic {
    Diagnostic::error(DUPLICATE_HEADER, span, format!("header `{name}` has a type already"))
        .with(first, "declared here")
        .help("remove one")
}

pub(super) fn bad_bound(span: Span, value: i64, maximum: i64, what: &str) -> Diagnostic {
    Diagnostic::error(BOUND, span, format!("{value} is out of range"))
        .help(format!("the number of {what} is from 1 to {maximum}"))
}

pub(super) fn request(span: Span, message: &str, help: &str) -> Diagnostic {
    Diagnostic::error(REQUEST, span, message).help(help)
}

pub(super) fn second_address(span: Span, first: Span) -> Diagnostic {
    Diagnostic::error(REQUEST, span, "a request comes from one address")
        .with(first, "said here already")
        .help("leave one of the two out")
}

pub(super) fn unknown_rule(span: Span, name: &str, near: Option<&str>) -> Diagnostic {
    let message = format!("no policy under test has a rule `{name}`");
    let diagnostic = Diagnostic::error(UNKNOWN_RULE, span, message);
    match near {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(
            "write the rule's name, `otherwise`, `default-deny`, or why a request is refused: `bad-path`, \
             `bad-method`, `bad-host`, `bad-header`, `bad-size`, `too-large` or `unreadable`",
        ),
    }
}

pub(super) fn status_of_allowed(span: Span) -> Diagnostic {
    Diagnostic::error(EXPECTATION, span, "an allowed request is answered by the service, not by the policy")
        .help("write `expect allow`")
}

pub(super) fn bad_repeat(span: Span, maximum: i64) -> Diagnostic {
    Diagnostic::error(EXPECTATION, span, format!("a request is made 1 to {maximum} times")).help(
        "without limits every request is decided alike; for one that is reached later, test a smaller burst",
    )
}

pub(super) fn bad_rate(span: Span, per_second_max: u64) -> Diagnostic {
    Diagnostic::error(
        RATE,
        span,
        format!("a limit lets pass from 1 request a day to {per_second_max} a second"),
    )
    .help("to let nothing pass, an `auth` policy denies it: `deny POST /a`")
}

pub(super) fn bad_burst(span: Span, most: u64) -> Diagnostic {
    Diagnostic::error(RATE, span, format!("the burst of this limit is from 1 to {most}"))
        .help("a burst is how many requests may come at once; at the rate, it has come back within a year")
}

pub(super) fn many_keys(span: Span, most: usize) -> Diagnostic {
    Diagnostic::error(LIMIT_KEY, span, format!("a limit has at most {most} keys"))
        .help("all keys together tell requests apart: leave out those that follow from others")
}

pub(super) fn list_as_key(span: Span) -> Diagnostic {
    Diagnostic::error(LIMIT_KEY, span, "a list is no key of a limit")
        .help("count by one value: `per source`, `per ip`, `per headers[\"x-tenant\"]`")
}

pub(super) fn other_number_of_answers(span: Span, answers: u32, requests: u32) -> Diagnostic {
    let message = format!("{answers} answers are expected of {requests} requests");
    Diagnostic::error(EXPECTATION, span, message)
        .help("say of all what becomes of them: `given 101 x GET /a expect 100 allow, 1 limited`")
}

pub(super) fn counted_twice(span: Span) -> Diagnostic {
    Diagnostic::error(EXPECTATION, span, "the same answer is expected twice").help("add the numbers up")
}

pub(super) fn counted_header(span: Span) -> Diagnostic {
    Diagnostic::error(EXPECTATION, span, "a header is expected of all requests of a case").help(
        "leave the number out: what becomes of headers is the same for each of them; say in another `given` how many pass",
    )
}

pub(super) fn long_within(span: Span) -> Diagnostic {
    Diagnostic::error(EXPECTATION, span, "the requests of a case are made within 366 days")
        .help("every bucket of a limit is full after a year: leave it at `within 8784h`")
}

pub(super) fn id_as_key(span: Span) -> Diagnostic {
    Diagnostic::error(LIMIT_KEY, span, "each request has an id of its own, so this limit would refuse none")
        .help("count by what several requests have in common: `per source`, `per ip`, `per headers[\"x-tenant\"]`")
}

pub(super) fn header_is_owned(span: Span, name: &str, message: Message, owner: Owner) -> Diagnostic {
    let message = message.as_str();
    let error = |why: &str| {
        Diagnostic::error(
            HEADER_OWNED,
            span,
            format!("no policy changes the {message} header `{name}`: {why}"),
        )
    };
    match owner {
        Owner::Line(what) if message == "response" => error(&format!("it is {what} and no header"))
            .help("the application states it, and of what a policy refuses `respond` does"),
        Owner::Line(what) => error(&format!("it is {what} and no header"))
            .help("what `auth` decided on must be what the application gets: set a header of another name"),
        Owner::Framing => error("it says where the message ends")
            .help("remove the statement: whoever sends the body states its length"),
        Owner::Connection => error("it is of one connection, and HTTP itself sets it")
            .help("remove the statement: each connection of the mesh sets its own"),
        Owner::Envoy => error("Envoy sets it, or takes it for an order")
            .help("remove the statement, or set a header of another name"),
        Owner::Mesh => error("sidecars tell each other by it")
            .help("choose a name that does not begin with `x-chancery-`"),
        Owner::Certificate => error("it says who calls, from the verified certificate")
            .help("set a header of another name from `source.principal` or `source.service`"),
        Owner::RequestId => error("logs and traces know the request by it")
            .help("set a header of another name from `request.id`"),
    }
}

pub(super) fn header_without_value(span: Span) -> Diagnostic {
    Diagnostic::error(HEADER_VALUE, span, "the value of the header is missing")
        .help("write `= \"text\"`, or any expression: `set request header x-caller = source.service`")
}

pub(super) fn removed_with_value(span: Span) -> Diagnostic {
    Diagnostic::error(HEADER_VALUE, span, "a `remove` has no value: all of the header go")
        .help("remove the value; for some requests only, say which: `remove request header x-a when headers[\"x-a\"] == \"1\"`")
}

pub(super) fn no_header_value(span: Span, base: BaseType) -> Diagnostic {
    let (what, help) = match base {
        BaseType::Ip => (
            "an address",
            "Envoy gives the application the address of the caller in `x-envoy-external-address`",
        ),
        _ => (
            "a list",
            "a value is a string, an int or a bool; for a header as it came, do not declare it as a list",
        ),
    };
    Diagnostic::error(HEADER_VALUE, span, format!("{what} is no value of a header")).help(help)
}

pub(super) fn unfit_header_value(span: Span) -> Diagnostic {
    Diagnostic::error(
        HEADER_VALUE,
        span,
        "no header can have this value: it has a line break or another control character",
    )
    .help("remove the character; a tab is the only one that a value can have")
}

pub(super) fn many_destinations(span: Span, most: usize) -> Diagnostic {
    Diagnostic::error(DESTINATION, span, format!("a route has at most {most} destinations"))
        .help("write several routes, each for some of the paths")
}

pub(super) fn no_share(span: Span) -> Diagnostic {
    Diagnostic::error(DESTINATION, span, "which share of the requests goes there is not said")
        .help("of several destinations each has a share: `-> service shop/a@v1 95%, service shop/a@v2 5%`")
}

pub(super) fn share_of_mirror(span: Span) -> Diagnostic {
    Diagnostic::error(DESTINATION, span, "a mirror has its share in front")
        .help("write `mirror 5% -> service shop/checkout-shadow`")
}

pub(super) fn destination_twice(span: Span, destination: &str) -> Diagnostic {
    Diagnostic::error(DESTINATION, span, format!("`{destination}` is a destination already"))
        .help("add the shares up")
}

/// `sum` in millionths.
pub(super) fn shares_do_not_add_up(span: Span, sum: u32) -> Diagnostic {
    let sum = super::dump::share_text(sum);
    Diagnostic::error(DESTINATION, span, format!("the shares are {sum} together"))
        .help("a route says of all its requests where they go: make the shares 100% together")
}

pub(super) fn route_to_all(span: Span) -> Diagnostic {
    Diagnostic::error(
        DESTINATION,
        span,
        "a request goes to one service, and `*` stands for all of a namespace",
    )
    .help("name the service: `-> service shop/checkout`")
}

pub(super) fn bad_location(span: Span) -> Diagnostic {
    Diagnostic::error(TEMPLATE, span, "this is no place that a client can be sent to").help(
        "write a path, `/basket/{id}`, or a URL whose host stands in the policy, `https://shop.example/basket/{id}`; \
         other characters than printable ones of ASCII are escaped, `%20`",
    )
}

pub(super) fn bad_template(span: Span, reason: &str) -> Diagnostic {
    Diagnostic::error(TEMPLATE, span, format!("this makes no path: {reason}"))
        .help("write text, `{name}` of a segment that all paths of the statement name, and `/**` at the end if they have it")
}

pub(super) fn unknown_in_template(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(
        TEMPLATE,
        span,
        format!("`{{{name}}}` is not named at one place in all paths of the statement"),
    )
    .help(format!("name the segment in them: `/cart/{{{name}}}`"))
}

pub(super) fn unknown_to_callers(span: Span, what: &str, statement: &str) -> Diagnostic {
    let message = format!("a `{statement}` cannot ask for `{what}`");
    Diagnostic::error(CALLERS, span, message).labelled("not known where this is decided").help(
        "it is decided in the sidecars of callers, before a replica is chosen and before anybody sees an address: ask for \
         `source.service`, or for what the request says",
    )
}

pub(super) fn choice_of_a_replica(span: Span, statement: &str) -> Diagnostic {
    Diagnostic::error(CALLERS, span, format!("a `{statement}` cannot speak of some replicas of a service"))
        .labelled("which replica it will be is not known where this is decided")
        .help("write the policy on `service NAMESPACE/NAME`; a route can choose replicas: `-> service shop/checkout@v2`")
}

pub(super) fn address_of_sender(span: Span, what: &str) -> Diagnostic {
    let message = format!("an `outbound` policy cannot ask for `{what}`");
    Diagnostic::error(SENDER, span, message)
        .labelled("in the sender's sidecar the application calls from its own machine")
        .help("leave it out: the target says whose requests these are; say in a policy on the called service which addresses it takes")
}

pub(super) fn replica_of_sender(span: Span, what: &str) -> Diagnostic {
    let message = format!("an `outbound` policy cannot ask for `{what}`");
    Diagnostic::error(SENDER, span, message)
        .labelled("which replica answers is not known when a request leaves")
        .help("ask for `target.service`, or write the policy on the called service, without `outbound`")
}

pub(super) fn setting_of_sender(span: Span, word: &str) -> Diagnostic {
    Diagnostic::error(SENDER, span, format!("`{word}` cannot be said of requests that leave"))
        .labelled("all callers of a service treat its replicas alike")
        .help("say it in a `traffic` policy on the called service, without `outbound`")
}

pub(super) fn stated_target(span: Span) -> Diagnostic {
    Diagnostic::error(PAIR, span, "the test's requests go to the target of its first policy")
        .help("leave out `to service`: it is for tests of `outbound` policies")
}

pub(super) fn two_pairs(span: Span) -> Diagnostic {
    Diagnostic::error(
        PAIR,
        span,
        "a test of an `outbound` policy is of requests of one sender to one service",
    )
    .help("write another test for the other one")
}

pub(super) fn other_sender(span: Span) -> Diagnostic {
    Diagnostic::error(
        PAIR,
        span,
        "the policy that the test names first says nothing of what this caller sends",
    )
    .help("leave out `from`, or name a service that the policy's first target covers")
}

pub(super) fn shared_of_sender(span: Span) -> Diagnostic {
    Diagnostic::error(SENDER, span, "a `shared` limit cannot be said of requests that leave")
        .labelled("each replica of a sender counts by itself, for each service that it calls")
        .help(
            "leave out `shared`, and state a share of the rate for each replica; or say it in a `traffic` policy on the \
             called service, without `outbound`",
        )
}

pub(super) fn cors_of_sender(span: Span) -> Diagnostic {
    Diagnostic::error(SENDER, span, "`cors` cannot be said of requests that leave")
        .labelled("browsers ask the service that they call")
        .help("say it in a `traffic` policy on the called service, without `outbound`")
}

pub(super) fn plaintext_of_sender(span: Span) -> Diagnostic {
    Diagnostic::error(SENDER, span, "`plaintext` cannot be said of requests that leave")
        .labelled("whoever calls chooses how, and sidecars call with TLS")
        .help("say it in an `auth` policy on the called service, without `outbound`")
}

pub(super) fn bad_duration(span: Span) -> Diagnostic {
    Diagnostic::error(CHOICE, span, "this is from 1ms to 1h").help("leave the statement out for no limit")
}

pub(super) fn bad_redirect(span: Span) -> Diagnostic {
    Diagnostic::error(CHOICE, span, "this is no status of a redirect").help(
        "301 and 308 are for good, 302, 303 and 307 for now; 307 and 308 keep the method. 302 if none is stated",
    )
}

pub(super) fn unknown_cause(span: Span, word: &str) -> Diagnostic {
    let known: Vec<&str> = crate::checked::Cause::ALL.iter().map(|(word, _)| *word).collect();
    let near = crate::diagnostic::near::nearest(word, known.iter().copied());
    let diagnostic = Diagnostic::error(CHOICE, span, format!("`{word}` is nothing that is tried again on"));
    match near {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("one of: `{}`", known.join("`, `"))),
    }
}

pub(super) fn no_origin(span: Span, text: &str) -> Diagnostic {
    let message = format!("no browser names an origin `{text}`");
    let diagnostic = Diagnostic::error(CORS, span, message);
    match text {
        "null" => diagnostic.help("pages without an origin all say `null`, also hostile ones: serve the page from an origin of its own"),
        _ => diagnostic.help(
            "write scheme and host in small letters, and the port unless it is the scheme's own: `\"https://shop.example\"`, \
             `\"http://localhost:3000\"`; `\"https://*.shop.example\"` is any host below one, and `\"*\"` any origin",
        ),
    }
}

pub(super) fn credentials_for_all(span: Span) -> Diagnostic {
    Diagnostic::error(CORS, span, "a page of any origin could ask in the name of whoever looks at it")
        .help("name the origins that may send credentials, or leave `credentials` out; browsers refuse both together")
}

pub(super) fn bad_cors_age(span: Span) -> Diagnostic {
    Diagnostic::error(CORS, span, "a browser remembers for whole seconds, a day at most")
        .help("write `age 10m`; some browsers remember for two hours at most")
}

pub(super) fn many_cors_names(span: Span, most: usize) -> Diagnostic {
    Diagnostic::error(CORS, span, format!("a `cors` names at most {most} of a kind"))
        .help("`\"https://*.shop.example\"` is any host below one")
}

pub(super) fn second_cors(span: Span, first: Span) -> Diagnostic {
    Diagnostic::error(CORS, span, "a policy has one `cors`")
        .with(first, "the first one")
        .help("say it in one: `cors origins \"https://a.example\", \"https://b.example\"`")
}

pub(super) fn bad_count(span: Span, most: u32) -> Diagnostic {
    Diagnostic::error(CHOICE, span, format!("this is from 1 to {most}"))
        .help("leave the statement out for no limit; to let nothing pass, an `auth` policy denies it")
}

pub(super) fn slow_check(span: Span, Milliseconds(most): Milliseconds) -> Diagnostic {
    Diagnostic::error(
        CHOICE,
        span,
        format!("a replica has {} s at most to say that it is well", most / 1_000),
    )
    .labelled("one that hangs is waited for so long before a new service is used")
    .help("state a shorter `timeout`, or leave it out for 1s; `fall` says how many late answers are too many")
}

pub(super) fn no_single_path(span: Span) -> Diagnostic {
    Diagnostic::error(CHOICE, span, "a replica is asked for one path")
        .help("write it whole: `health GET /healthz every 5s`")
}

pub(super) fn balanced_by_no_header(span: Span) -> Diagnostic {
    Diagnostic::error(CHOICE, span, "requests are told apart by a header here")
        .help("write `by headers[\"x-user\"]`; what has not the header goes anywhere")
}

pub(super) fn no_check_by(span: Span, methods: &[&str]) -> Diagnostic {
    Diagnostic::error(CHOICE, span, "no replica is asked by this method")
        .help(format!("one of: {}", methods.join(", ")))
}
