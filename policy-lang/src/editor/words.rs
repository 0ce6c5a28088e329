//! What the words of the language mean, in a sentence, with the form in which each stands.

/// A keyword, attribute or function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Itself, such as `limit` or `request.path`.
    pub(super) name: &'static str,
    /// How it is written; of an attribute its type.
    pub(super) form: &'static str,
    /// What it does or is.
    pub(super) says: &'static str,
}

const fn word(name: &'static str, form: &'static str, says: &'static str) -> Word {
    Word { name, form, says }
}

/// What is known of a keyword.
pub(super) fn keyword(name: &str) -> Option<Word> {
    KEYWORDS.iter().find(|word| word.name == name).copied()
}

/// What is known of an attribute, such as `request.path`, or of a map of them, such as `headers`.
pub(super) fn attribute(name: &str) -> Option<Word> {
    ATTRIBUTES.iter().find(|word| word.name == name).copied()
}

/// What is known of a function or macro.
pub(super) fn function(name: &str) -> Option<Word> {
    FUNCTIONS.iter().find(|word| word.name == name).copied()
}

/// The keywords, by name.
const KEYWORDS: &[Word] = &[
    word("abort", "fault PERCENT abort STATUS", "answers this share of the requests with this status."),
    word(
        "add",
        "add request|response header NAME = VALUE [for ...] [when ...]",
        "adds a value to a header, beside those that it has.",
    ),
    word(
        "after",
        "phase after auth",
        "the filter sees requests that `auth` allowed. Elsewhere: how many (`eject after 5 errors`), or how long (`response 503 after 2s`).",
    ),
    word("age", "age DURATION", "how long a browser may remember the answer to a preflight request."),
    word(
        "allow",
        "[NAME:] allow [METHODS] [PATHS] [from CALLERS] [when ...]",
        "lets requests pass that match all of it. A `deny` that matches too is stronger.",
    ),
    word("allowed", "sample PERCENT allowed", "requests that were allowed."),
    word("always", "always allow|deny ...", "claims that all requests of this shape are decided so."),
    word("anyone", "from anyone", "any caller, also one without an identity."),
    word("apikey", "from apikey NAME", "callers that show a key of this set, which a `schema` declares."),
    word("as", "as NAME", "the name under which a value stands in the line."),
    word("at_most", "at_most VALUE", "a bound: of a timeout, narrower policies may state less and not more."),
    word("attempts", "upstream \"ADDRESS\" attempts COUNT", "how often the request was sent."),
    word("audience", "audience \"VALUE\"", "what a token's `aud` must have."),
    word(
        "auth",
        "auth NAME on TARGETS { ... }",
        "a policy that says who may do what. What no rule allows is denied.",
    ),
    word(
        "backoff",
        "backoff DURATION",
        "how long to wait before the first retry; it doubles with each, and varies.",
    ),
    word("balance", "balance WAY", "how callers choose among the replicas."),
    word("before", "phase before auth", "the filter sees requests before `auth` decides."),
    word("body", "may read body | may change body", "the bodies of requests and answers."),
    word("bool", "bool", "`true` or `false`; other text counts as absent."),
    word("burst", "burst COUNT", "how many requests may come at once before the rate counts."),
    word("by", "by ...", "by which rule (in tests), or by which value requests are told apart."),
    word("call", "may call NAMESPACE/SERVICE", "the filter may send requests to this service."),
    word("change", "may change body", "the filter may read and change bodies."),
    word(
        "claims",
        "claims { NAME: TYPE, ... }",
        "the claims of the token that conditions may ask, with their types.",
    ),
    word("config", "config { ... }", "what the filter is told when it starts."),
    word(
        "connections",
        "connections at_most COUNT [pending COUNT] [requests COUNT] [retries PERCENT]",
        "bounds what each caller's sidecar has open to the service; beyond it is answered 503 at once.",
    ),
    word(
        "cors",
        "[NAME:] cors origins \"ORIGIN\", ... [methods ...] [headers ...] [expose ...] [credentials] [age DURATION]",
        "tells browsers which pages of other origins may call.",
    ),
    word("cost", "cost <= COUNT ops", "claims that no decision takes more steps."),
    word("credentials", "credentials", "pages may send cookies and the like."),
    word("data", "may share data", "the filter may share data among its instances in one Envoy."),
    word("delay", "fault PERCENT delay DURATION", "holds this share of the requests back for so long."),
    word("denied", "sample PERCENT denied", "requests that were denied."),
    word(
        "deny",
        "[NAME:] deny [METHODS] [PATHS] [from CALLERS] [when ...] [respond STATUS [\"TEXT\"]]",
        "refuses requests that match all of it, whatever allows them.",
    ),
    word("drop", "redact ... with drop", "the value is left out."),
    word("each", "each DURATION", "how long each try may take."),
    word(
        "eject",
        "eject after COUNT errors for DURATION [at_most PERCENT]",
        "a replica that answers so many times in a row with 5xx gets no requests for a while.",
    ),
    word(
        "enforce",
        "mode enforce [PERCENT [by source]]",
        "the policy decides; with a share, for that share of the requests.",
    ),
    word("enum", "enum(\"a\", \"b\")", "one of these; other text counts as absent."),
    word("errors", "after COUNT errors", "answers of 5xx, and connections that fail."),
    word("every", "every DURATION", "how often."),
    word("except", "except [METHODS] [PATHS] ...", "requests of which the claim does not speak."),
    word(
        "exempt",
        "exempt [METHODS] [PATHS] [from CALLERS]",
        "lets requests pass whatever narrower policies deny, such as health checks. Not at services.",
    ),
    word("expect", "expect allow|deny|limited|to|logged|header ...", "what must become of the request."),
    word("expose", "expose NAME, ...", "headers of answers that pages may read."),
    word("failure", "on failure deny|allow", "what becomes of requests while the filter does not work."),
    word("fall", "fall COUNT", "so many failed checks in a row make a replica unhealthy."),
    word(
        "fault",
        "[NAME:] fault PERCENT delay DURATION | abort STATUS [for ...] [when ...]",
        "makes a share of the requests slow or fail, to try what callers do then.",
    ),
    word("fields", "fields EXPRESSION [as NAME], ...", "puts values into the log lines."),
    word("file", "file \"PATH\"", "lines are appended to a file of the sidecar's machine."),
    word(
        "filter",
        "filter NAME on TARGETS { use NAME \"VERSION\" ... }",
        "has requests seen by a Wasm module of your own.",
    ),
    word("flags", "response flags \"UT\", ...", "why Envoy answered what it did."),
    word(
        "for",
        "for [METHODS] [PATHS] [from CALLERS]",
        "the requests that the statement is about; in a test, the policies under test.",
    ),
    word("from", "from CALLER, ...", "who calls: a service, namespace, address, token or key."),
    word("gateway", "gateway NAMESPACE/NAME", "a gateway."),
    word(
        "given",
        "given [N x] METHOD PATH [from CALLER] [with ...] expect ...",
        "a request, and what must become of it.",
    ),
    word(
        "hash",
        "redact ... with hash",
        "the value is replaced by a keyed hash, so that equal values can be told.",
    ),
    word("header", "header NAME", "a header: of a request, an answer, or, in a `schema`, with a type."),
    word("headers", "headers NAME, ...", "headers that pages may send."),
    word(
        "health",
        "health METHOD PATH every DURATION [timeout DURATION] [fall COUNT] [rise COUNT]",
        "callers' sidecars ask each replica, and send nothing to one that does not answer well.",
    ),
    word("host", "with host \"NAME\"", "the host that the request is for."),
    word("in", "VALUE in LIST", "whether a list has a value, or a map a name."),
    word(
        "inbound",
        "on service NAMESPACE/NAME inbound",
        "requests that come to the target, which is meant if nothing is said.",
    ),
    word("int", "int", "a whole number of 64 bits; other text counts as absent."),
    word("ip", "from ip ADDRESS[/BITS]", "callers from this address or range."),
    word("issuer", "issuer \"URL\"", "who issues the tokens."),
    word("jwks", "jwks \"URL\"", "where the issuer's keys are."),
    word("jwt", "from jwt NAME", "callers with a valid token of this issuer, which a `schema` declares."),
    word("last", "phase last", "the filter is the last that sees a request."),
    word("least_request", "balance least_request", "of two replicas, the one with fewer requests under way."),
    word("let", "let NAME = EXPRESSION", "gives an expression a name, in this file or policy."),
    word(
        "limit",
        "[NAME:] limit RATE [burst COUNT] [per KEY, ...] [shared] [for ...] [when ...] [respond STATUS]",
        "lets so many requests pass in a time, and answers 429 to the others.",
    ),
    word("limited", "expect limited [STATUS]", "the request is refused by a limit."),
    word("list", "list<string, COUNT>", "so many elements at most, between commas."),
    word(
        "log",
        "log NAME on TARGETS { ... }",
        "a policy that says which requests are logged, what of them, and where to.",
    ),
    word("logged", "expect logged | not logged", "whether there is a line of the request."),
    word(
        "maglev",
        "balance maglev by EXPRESSION",
        "requests with the same value go to the same replica, by Maglev's table.",
    ),
    word("mask", "redact ... with mask", "the value is replaced by `***`."),
    word(
        "may",
        "may call NAMESPACE/SERVICE | read body | change body | share data",
        "what the filter is allowed to do beyond headers.",
    ),
    word("mesh", "on mesh", "every service of the mesh."),
    word("methods", "methods NAME, ...", "methods that pages may use."),
    word(
        "mirror",
        "mirror PERCENT -> service NAMESPACE/NAME [for ...] [when ...]",
        "sends copies of a share of the requests elsewhere; their answers are thrown away.",
    ),
    word(
        "mode",
        "mode enforce | shadow [until DATE] | off",
        "whether the policy decides, only says what it would decide, or is off.",
    ),
    word("namespace", "namespace NAME", "every service of a namespace."),
    word("never", "never allow|deny ...", "claims that no request of this shape is decided so."),
    word("not", "not logged | not header NAME", "the contrary is expected."),
    word("off", "mode off", "the policy does nothing."),
    word(
        "on",
        "on TARGET, ...",
        "where the policy holds; of `retry`, what is tried again; of `filter`, what is done on a failure.",
    ),
    word("ops", "cost <= COUNT ops", "steps of a decision."),
    word("origins", "origins \"https://...\", ...", "the origins of the pages that may call."),
    word(
        "otherwise",
        "otherwise allow|deny [respond STATUS [\"TEXT\"]]",
        "what holds for requests that no rule speaks of. Narrower policies go before wider ones.",
    ),
    word("otlp", "otlp \"http://HOST:PORT\"", "lines are sent to an OpenTelemetry collector over gRPC."),
    word(
        "outbound",
        "on service NAMESPACE/NAME outbound",
        "requests that leave the target, in its own sidecar.",
    ),
    word("pending", "pending COUNT", "so many requests may wait for a connection."),
    word("per", "per EXPRESSION, ...", "each value has a limit of its own."),
    word("phase", "phase before auth | after auth | last", "where in the chain the filter stands."),
    word(
        "plaintext",
        "plaintext allow|deny",
        "whether callers without TLS are taken, too. They have no identity. Narrower policies go before wider ones.",
    ),
    word("prove", "prove \"TITLE\" on TARGETS { ... }", "claims that hold for all requests."),
    word("random", "balance random", "any replica."),
    word("read", "may read body", "the filter may see bodies."),
    word(
        "redact",
        "redact EXPRESSION, ... with hash|drop|mask",
        "keeps values out of every line, whoever logs them.",
    ),
    word(
        "redirect",
        "[NAME:] redirect [METHODS] [PATHS] [when ...] -> \"LOCATION\" [STATUS]",
        "answers with another place, into which captures of the path may be put.",
    ),
    word("remove", "remove request|response header NAME [for ...] [when ...]", "takes a header away."),
    word("request", "request header NAME", "what is sent to the service."),
    word("requests", "requests COUNT", "so many requests may be under way at once."),
    word(
        "respond",
        "respond STATUS [\"TEXT\"]",
        "the answer to a request that is refused. In the text, `{rule}` and `{policy}` say what decided.",
    ),
    word("response", "response header NAME", "what is answered."),
    word("retries", "retries PERCENT", "at most such a share of the requests may be retries: the budget."),
    word(
        "retry",
        "retry COUNT on CONDITION, ... [each DURATION] [backoff DURATION] [for ...] [when ...]",
        "sends a request again that failed in one of these ways.",
    ),
    word(
        "rewrite",
        "[NAME:] rewrite [METHODS] [PATHS] [when ...] -> PATH",
        "gives the request another path, into which captures may be put.",
    ),
    word(
        "ring_hash",
        "balance ring_hash by EXPRESSION",
        "requests with the same value go to the same replica, by a ring of hashes.",
    ),
    word("rise", "rise COUNT", "so many good checks in a row make a replica healthy again."),
    word("round_robin", "balance round_robin", "one replica after the other."),
    word(
        "route",
        "[NAME:] route [METHODS] [PATHS] [from CALLERS] [when ...] -> service NAMESPACE/NAME[@VERSION] [PERCENT], ...",
        "chooses where requests go. The first route of a policy that matches is taken.",
    ),
    word(
        "sample",
        "sample PERCENT [denied|allowed] [for ...] [when ...]",
        "logs this share of the requests; of several shares the largest counts.",
    ),
    word("schema", "schema { ... }", "types of headers, tokens and keys that conditions ask about."),
    word("secret", "secret NAMESPACE/NAME", "where the keys are kept."),
    word("send", "send to SINK", "where the lines go."),
    word("service", "service NAMESPACE/NAME", "one service, or with `*` each of a namespace."),
    word(
        "set",
        "set request|response header NAME = VALUE [for ...] [when ...]",
        "gives a header one value, in place of those that it has.",
    ),
    word(
        "shadow",
        "mode shadow [until DATE]",
        "the policy is evaluated and says what it would decide, and nothing is done.",
    ),
    word("share", "may share data", "the filter may share data among its instances in one Envoy."),
    word("shared", "limit RATE shared", "all replicas of the service have the limit together."),
    word("since", "unchanged since \"REVISION\"", "what is compared with."),
    word("sink", "sink NAME { stdout | file \"PATH\" | otlp \"URL\" }", "a place where log lines go."),
    word("size", "response size BYTES", "how large the answer's body is."),
    word("source", "mode enforce PERCENT by source", "each caller is either in the share or not."),
    word("spiffe", "from spiffe \"ID\"", "callers whose certificate has this identity."),
    word("stdout", "stdout", "lines are written to the sidecar's standard output."),
    word("string", "string[(BYTES)]", "text, of so many bytes at most."),
    word("test", "test \"TITLE\" for POLICIES { given ... }", "requests, and what must become of them."),
    word(
        "timeout",
        "timeout [at_most] DURATION [for ...] [when ...]",
        "how long a request may take, from its beginning to the end of its answer.",
    ),
    word("to", "to service NAMESPACE/NAME[@VERSION]", "where a request is sent, or where lines go."),
    word(
        "traffic",
        "traffic NAME on TARGETS { ... }",
        "a policy that says where requests go, how often, and what becomes of them on the way.",
    ),
    word(
        "unchanged",
        "unchanged since \"REVISION\" [except ...]",
        "claims that nothing is decided otherwise than then.",
    ),
    word("unless", "unless CONDITION", "matches where the condition is false, or asks for what is absent."),
    word("until", "shadow until DATE", "the day from which on `check` warns that the shadow should end."),
    word(
        "upstream",
        "with upstream \"ADDRESS\" [attempts COUNT] [failure \"WHY\"]",
        "where the request was sent to.",
    ),
    word("use", "use NAME \"VERSION\" | use \"FILE\"", "the module of a filter, or another file."),
    word("when", "when CONDITION", "matches where the condition is true. Several must all be."),
    word(
        "with",
        "with header NAME = \"VALUE\" | host ... | ip ... | jwt NAME { ... } | response ...",
        "what a request of a test carries, or what is answered to it; of `redact`, how.",
    ),
    word("within", "within DURATION", "the time in which the requests are made."),
    word("workload", "workload NAMESPACE { LABEL: \"VALUE\", ... }", "the replicas that have these labels."),
    word("x", "given COUNT x ...", "the request is made so many times."),
];

/// The attributes, their types with `?` where the value can be absent.
const ATTRIBUTES: &[Word] = &[
    word("cookies", "string?", "the value of a cookie."),
    word("decision", "string", "how the request was decided. In `log` policies."),
    word(
        "headers",
        "headers[\"x-name\"]: string?",
        "a header of the request; a repeated one is joined with `,`.",
    ),
    word("jwt", "jwt.CLAIM", "a claim of the verified token."),
    word(
        "path",
        "path.NAME: string?",
        "the decoded segment that `{NAME}` of the statement's path stands for.",
    ),
    word(
        "query",
        "query[\"name\"]: string?",
        "a parameter of the query, decoded; a repeated one is joined with `,`.",
    ),
    word("request", "", "what is asked for."),
    word("request.host", "string", "in lower case, without port and without a dot at its end."),
    word("request.id", "string?", "the header `x-request-id`, which the sidecar gives each request."),
    word("request.method", "string", "such as `GET`; never with small letters."),
    word("request.path", "string", "decoded, without the query."),
    word("request.port", "int?", "the port that is named with the host."),
    word("request.protocol", "string", "such as `HTTP/2`."),
    word("request.scheme", "string", "`http` or `https`, as the client says."),
    word("request.size", "int?", "0 without a body, else the `content-length`, if there is one."),
    word("response", "", "what was answered. In `log` policies, and in statements about answers."),
    word("response.code", "int", "the status; 0 if there was no answer."),
    word(
        "response.duration",
        "int",
        "milliseconds from the first byte of the request to the last of its answer.",
    ),
    word("response.flags", "list", "why Envoy answered what it did, such as `UT` for a timeout."),
    word("response.headers", "response.headers[\"x-name\"]: string?", "a header of the answer."),
    word("response.size", "int", "the bytes of the answer's body."),
    word("route", "", "the route that was taken."),
    word("rule", "string", "the rule that decided. In `log` policies."),
    word("source", "", "who calls, by the verified certificate."),
    word("source.ip", "ip", "the caller's address."),
    word("source.mtls", "bool", "whether the caller's certificate was verified."),
    word("source.namespace", "string?", "the caller's namespace, verified."),
    word("source.port", "int", "the caller's port."),
    word("source.principal", "string?", "the caller's whole identity, verified."),
    word("source.service", "string?", "`namespace/name` of the caller, verified."),
    word("target", "", "the workload that the request goes to."),
    word("target.labels", "target.labels[\"name\"]: string?", "a label of the workload."),
    word("target.namespace", "string", "its namespace."),
    word("target.service", "string", "`namespace/name` of it."),
    word("target.version", "string?", "its label `version`."),
    word("upstream", "", "where the request was sent to. In `log` policies."),
    word("upstream.address", "string?", "where it was sent to last."),
    word("upstream.attempts", "int", "how often it was sent."),
    word("upstream.failure", "string?", "why the connection failed."),
];

/// Functions and macros.
const FUNCTIONS: &[Word] = &[
    word("all", "list.all(e, CONDITION): bool", "whether the condition holds for each element."),
    word("cidr", "cidr(\"10.0.0.0/8\").containsIP(x): bool", "a range of addresses."),
    word("contains", "s.contains(t): bool", "whether `t` stands anywhere in it."),
    word("containsIP", "cidr(\"10.0.0.0/8\").containsIP(x): bool", "whether an address is in the range."),
    word("endsWith", "s.endsWith(t): bool", "whether it ends with `t`."),
    word("exists", "list.exists(e, CONDITION): bool", "whether the condition holds for an element."),
    word(
        "existsOne",
        "list.existsOne(e, CONDITION): bool",
        "whether the condition holds for exactly one element.",
    ),
    word(
        "exists_one",
        "list.exists_one(e, CONDITION): bool",
        "whether the condition holds for exactly one element.",
    ),
    word("has", "has(x): bool", "whether the value is there."),
    word("indexOf", "s.indexOf(t): int", "the first position of `t`, or -1."),
    word("int", "int(s): int?", "the number that the text says; absent if it says none."),
    word("ip", "ip(\"10.1.2.3\"): ip", "an address."),
    word("lowerAscii", "s.lowerAscii(): string", "with ASCII letters made small."),
    word(
        "matches",
        "s.matches(\"PATTERN\"): bool",
        "whether the RE2 pattern matches anywhere; `^...$` for the whole.",
    ),
    word("size", "size(x): int", "how many characters or elements it has."),
    word("startsWith", "s.startsWith(t): bool", "whether it begins with `t`."),
    word(
        "substring",
        "s.substring(from[, to]): string",
        "a part; positions outside of it count as its ends.",
    ),
    word("trim", "s.trim(): string", "without ASCII white space around it."),
    word("upperAscii", "s.upperAscii(): string", "with ASCII letters made capital."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::expression_names::{function_names, method_names, names_under, roots};
    use crate::parse::{Wish, wishes};
    use std::collections::BTreeSet;
    use std::path::Path;

    fn sorted(words: &[Word]) -> bool {
        words.is_sorted_by(|one, next| one.name < next.name)
    }

    #[test]
    fn words_stand_once_and_in_order() {
        assert!(sorted(KEYWORDS) && sorted(ATTRIBUTES) && sorted(FUNCTIONS));
    }

    #[test]
    fn every_word_that_may_stand_somewhere_is_described() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/print/ok");
        let mut asked = BTreeSet::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            for (at, _) in text.char_indices().filter(|(_, character)| *character == ' ') {
                asked.extend(wishes(text.get(..at).unwrap_or_default()));
            }
        }
        let words: Vec<_> = asked
            .iter()
            .filter_map(|wish| match wish {
                Wish::Word(word) => Some(*word),
                _ => None,
            })
            .collect();
        assert!(words.len() > 60, "few words: {words:?}");
        let unknown: Vec<_> = words.into_iter().filter(|word| keyword(word).is_none()).collect();
        assert!(unknown.is_empty(), "not described: {unknown:?}");
    }

    #[test]
    fn every_attribute_and_function_is_described() {
        for root in roots() {
            assert!(attribute(root).is_some(), "{root}");
            for name in names_under(root) {
                assert!(attribute(&format!("{root}.{name}")).is_some(), "{root}.{name}");
            }
        }
        for name in function_names().chain(method_names()) {
            assert!(function(name).is_some(), "{name}");
        }
    }
}
