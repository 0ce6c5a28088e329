//! Sources of a given size that are as much work as can be: each family tries one way to make the compiler
//! work more than in proportion to what it is given.

use std::fmt::Write as _;

/// A way to be much work.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// What it is called in the table.
    pub name: &'static str,
    /// A source of at most so many bytes.
    pub source: fn(usize) -> String,
}

/// All families.
pub const FAMILIES: &[Family] = &[
    Family { name: "plain rules", source: plain_rules },
    Family { name: "rules with every part", source: full_rules },
    Family { name: "patterns, small", source: small_patterns },
    Family { name: "patterns, large", source: large_patterns },
    Family { name: "patterns, refused", source: refused_patterns },
    Family { name: "patterns, case folded", source: folded_patterns },
    Family { name: "patterns, all equal", source: equal_patterns },
    Family { name: "patterns on constants", source: constant_patterns },
    Family { name: "lists in lists", source: lists_in_lists },
    Family { name: "lists in lists, many", source: many_lists_in_lists },
    Family { name: "a list used often", source: list_used_often },
    Family { name: "one long list", source: long_list },
    Family { name: "lets in a row", source: let_chain },
    Family { name: "lets that double", source: doubling_lets },
    Family { name: "lets in a circle", source: let_circle },
    Family { name: "a let used often", source: let_used_often },
    Family { name: "strings that double", source: doubling_strings },
    Family { name: "long strings", source: long_strings },
    Family { name: "search in constants", source: searched_constants },
    Family { name: "an enum used often", source: enum_used_often },
    Family { name: "misspelt names", source: misspelt_names },
    Family { name: "misspelt words", source: misspelt_words },
    Family { name: "unknown characters", source: unknown_characters },
    Family { name: "mistakes in one line", source: one_line_of_mistakes },
    Family { name: "never equal", source: never_equal },
    Family { name: "fields of fields", source: fields_of_fields },
    Family { name: "parentheses", source: parentheses },
    Family { name: "divisions", source: divisions },
    Family { name: "comments", source: comments },
    Family { name: "one line", source: one_line },
    Family { name: "conditions of a rule", source: many_unless },
    Family { name: "large conditions", source: large_conditions },
    Family { name: "quantifiers", source: quantifiers },
    Family { name: "policies", source: policies },
    Family { name: "policies on labels", source: label_policies },
    Family { name: "policies on the mesh", source: mesh_policies },
    Family { name: "rules for many services", source: rules_for_many_services },
    Family { name: "targets", source: targets },
    Family { name: "tests", source: tests },
    Family { name: "tests of unknown rules", source: tests_of_unknown_rules },
    Family { name: "paths of a rule", source: paths_of_a_rule },
    Family { name: "captures", source: captures },
    Family { name: "paths with stars", source: star_paths },
    Family { name: "paths with a rest", source: rest_paths },
    Family { name: "entries of a rule", source: entries_of_a_rule },
    Family { name: "beginnings of texts", source: beginnings },
    Family { name: "ranges of addresses", source: address_ranges },
    Family { name: "callers and namespaces", source: callers },
    Family { name: "headers", source: headers },
    Family { name: "bodies", source: bodies },
    Family { name: "unicode", source: unicode },
];

/// The family of this name.
#[must_use]
pub fn family(name: &str) -> Option<Family> {
    FAMILIES.iter().copied().find(|family| family.name == name)
}

/// Pieces between a beginning and an end, as many as there is room for.
fn filled(bytes: usize, head: &str, tail: &str, piece: impl Fn(usize) -> String) -> String {
    let mut text = head.to_owned();
    for number in 0.. {
        let piece = piece(number);
        if text.len() + piece.len() + tail.len() > bytes {
            break;
        }
        text.push_str(&piece);
    }
    text + tail
}

fn rules(bytes: usize, rule: impl Fn(usize) -> String) -> String {
    filled(bytes, "auth a on mesh {\n", "}\n", |number| format!("{}\n", rule(number)))
}

fn rules_behind(bytes: usize, head: &str, rule: impl Fn(usize) -> String) -> String {
    let rest = rules(bytes.saturating_sub(head.len()), rule);
    format!("{head}{rest}")
}

fn plain_rules(bytes: usize) -> String {
    rules(bytes, |n| format!("r{n}: allow GET /api/svc{n}/** when headers[\"x-user\"] == \"user{n}\""))
}

fn full_rules(bytes: usize) -> String {
    rules(bytes, |n| {
        format!(
            "r{n}: deny GET, PUT /a/{n}/*/b, /c{n}/** from service n{}/s{n} when has(headers[\"h{}\"]) \
             && query[\"q\"].contains(\"{n}\") unless request.size < {n} respond 403 \"no {n}\"",
            n % 50,
            n % 30
        )
    })
}

fn small_patterns(bytes: usize) -> String {
    rules(bytes, |n| format!("r{n}: allow when request.path.matches(\"^/api/v[0-9]+/i{n}/[^/]+$\")"))
}

fn large_patterns(bytes: usize) -> String {
    rules(bytes, |n| format!("r{n}: allow when headers[\"x\"].matches(\".{{150}}{n}\")"))
}

fn refused_patterns(bytes: usize) -> String {
    rules(bytes, |n| format!("r{n}: allow when headers[\"x\"].matches(r\"(a|b)*a[\\pL]{{1,30}}z{n}\")"))
}

fn folded_patterns(bytes: usize) -> String {
    rules(bytes, |n| format!("r{n}: allow when headers[\"x\"].matches(r\"(?i)\\p{{Any}}\\P{{L}}{n}\")"))
}

fn equal_patterns(bytes: usize) -> String {
    rules(bytes, |n| format!("r{n}: allow /{n} when headers[\"x\"].matches(\".{{150}}7\")"))
}

fn constant_patterns(bytes: usize) -> String {
    rules(bytes, |n| format!("r{n}: allow /{n} when \"aaaaaaaa\".matches(r\"\\pL\\pL{n}\")"))
}

fn list_of(name: &str, bytes: usize) -> String {
    filled(bytes, &format!("let {name} = ["), "]\n", |n| format!("\"{name}{n}\", "))
}

fn lists_in_lists(bytes: usize) -> String {
    let lists = ["a", "b", "c"].map(|name| list_of(name, bytes / 3 - 100)).concat();
    lists + "auth a on mesh { allow when a.exists(x, b.exists(y, c.exists(z, x == y && y == z))) }\n"
}

fn many_lists_in_lists(bytes: usize) -> String {
    let lists = ["a", "b"].map(|name| list_of(name, 600)).concat();
    rules_behind(bytes, &lists, |n| format!("r{n}: allow when a.exists(x, b.all(y, x != y))"))
}

fn list_used_often(bytes: usize) -> String {
    rules_behind(bytes, &list_of("a", bytes / 2), |n| format!("r{n}: deny /{n} when headers[\"x\"] in a"))
}

fn long_list(bytes: usize) -> String {
    filled(bytes, "auth a on mesh { deny when headers[\"x\"] in [", "] }\n", |n| format!("\"u{n}\", "))
}

fn let_chain(bytes: usize) -> String {
    let last = "let l000000 = source.mtls\n";
    filled(bytes, last, "", |n| format!("let l{:06} = l{n:06} == l{n:06}\n", n + 1))
}

fn doubling_lets(bytes: usize) -> String {
    let lets: String = (0..12).map(|n| format!("let l{} = l{n} || l{n}\n", n + 1)).collect();
    rules_behind(bytes, &format!("let l0 = source.mtls\n{lets}"), |n| {
        format!("r{n}: allow when l12 && request.size > {n}")
    })
}

fn let_circle(bytes: usize) -> String {
    filled(bytes, "let l0 = l1\n", "", |n| format!("let l{} = l{} || l{n}\n", n + 1, n + 2))
}

fn let_used_often(bytes: usize) -> String {
    let head =
        "let big = request.size > 1 && headers[\"a\"].contains(\"b\") && source.port + 1 > 2 * source.port\n";
    rules_behind(bytes, head, |n| format!("r{n}: deny /{n} when big"))
}

fn doubling_strings(bytes: usize) -> String {
    let lets: String = (0..60).map(|n| format!("let s{} = s{n} + s{n}\n", n + 1)).collect();
    rules_behind(bytes, &format!("let s0 = \"abcdefgh\"\n{lets}"), |n| {
        format!("r{n}: allow when headers[\"x\"] == s{}", n % 60)
    })
}

fn long_strings(bytes: usize) -> String {
    let long = "a".repeat(bytes / 4);
    let head = format!("let s = \"{long}\"\nlet t = \"{long}b\"\n");
    rules_behind(bytes, &head, |n| {
        format!("r{n}: allow /{n} when headers[\"x\"].contains(s) || query[\"y\"] == t")
    })
}

fn searched_constants(bytes: usize) -> String {
    let long = "a".repeat(bytes / 4);
    let head = format!("let s = \"{long}{long}\"\nlet t = \"{long}b\"\n");
    rules_behind(bytes, &head, |n| format!("r{n}: allow /{n} when s.contains(t)"))
}

fn enum_used_often(bytes: usize) -> String {
    let head = filled(bytes / 2, "schema { header x: enum(\"v\"", ") }\n", |n| format!(", \"v{n}\""));
    rules_behind(bytes, &head, |n| format!("r{n}: allow when headers[\"x\"] == \"v{n}\""))
}

fn misspelt_names(bytes: usize) -> String {
    let lets = filled(bytes / 2, "", "", |n| format!("let name{n} = {n}\n"));
    rules_behind(bytes, &lets, |n| format!("r{n}: allow when nmae{n} == 1"))
}

fn misspelt_words(bytes: usize) -> String {
    rules(bytes, |n| format!("r{n}: alow GET form service a/b wen source.mtls"))
}

fn unknown_characters(bytes: usize) -> String {
    filled(bytes, "", "", |_| "§ ; & ".to_owned())
}

fn one_line_of_mistakes(bytes: usize) -> String {
    filled(bytes, "auth a on mesh { ", "}", |n| format!("allow when u{n} "))
}

fn never_equal(bytes: usize) -> String {
    let head = filled(bytes / 3, "schema { header x: enum(\"v\"", ") }\n", |n| format!(", \"v{n}\""));
    let list = filled(bytes - head.len(), "auth a on mesh { allow when headers[\"x\"] in [", "] }\n", |n| {
        format!("\"w{n}\", ")
    });
    head + &list
}

fn fields_of_fields(bytes: usize) -> String {
    rules(bytes, |_| format!("allow when a{}", ".b".repeat(90)))
}

fn parentheses(bytes: usize) -> String {
    rules(bytes, |n| format!("r{n}: allow when {}source.mtls{}", "(".repeat(90), ")".repeat(90)))
}

fn divisions(bytes: usize) -> String {
    filled(bytes, "let a = 1 ", "\n", |_| "/".to_owned())
}

fn comments(bytes: usize) -> String {
    filled(bytes, "auth\n", "a on mesh { allow }", |_| "#\n".to_owned())
}

fn one_line(bytes: usize) -> String {
    filled(bytes, "auth a on mesh {", "}", |n| format!(" r{n}: allow /p{n}"))
}

fn many_unless(bytes: usize) -> String {
    filled(bytes, "auth a on mesh { deny ", "}\n", |n| format!("unless headers[\"h{n}\"] == \"{n}\" "))
}

fn large_conditions(bytes: usize) -> String {
    let part = |n: usize, m: usize| format!("headers[\"h{}\"].contains(\"{n}-{m}\")", m % 7);
    rules(bytes, |n| {
        let parts: Vec<String> = (0..100).map(|m| part(n, m)).collect();
        format!("r{n}: allow when {}", parts.join(" || "))
    })
}

fn quantifiers(bytes: usize) -> String {
    rules_behind(bytes, "schema { header l: list<string, 64> }\n", |n| {
        format!(
            "r{n}: allow when headers[\"l\"].exists(a, headers[\"l\"].all(b, a + \"x\" == b || b == \"{n}\"))"
        )
        .replace(" + \"x\"", "")
    })
}

fn policies(bytes: usize) -> String {
    filled(bytes, "", "", |n| format!("auth p{n} on service n{}/s{n} {{ allow }}\n", n % 100))
}

fn label_policies(bytes: usize) -> String {
    filled(bytes, "", "", |n| {
        let label = |at: usize| format!("l{at}: \"{}\"", n >> at & 1);
        let labels: Vec<String> = (0..14).filter(|at| (n >> 14 | n) >> at & 1 == 1).map(label).collect();
        format!("auth p{n} on workload s {{x: \"1\", {}}} {{ allow }}\n", labels.join(", "))
            .replace(", }", "}")
    })
}

fn mesh_policies(bytes: usize) -> String {
    filled(bytes, "", "", |n| match n % 2 {
        0 => format!("auth p{n} on mesh {{ otherwise deny }}\n"),
        _ => format!("auth p{n} on service n/s{n} {{ allow }}\n"),
    })
}

fn rules_for_many_services(bytes: usize) -> String {
    let rules = rules(bytes / 2, |n| {
        format!("r{n}: allow /p{n} when headers[\"x\"] == \"{n}\" && source.service != target.service")
    });
    let services =
        filled(bytes - rules.len(), "", "", |n| format!("auth p{n} on service n/s{n} {{ allow /{n} }}\n"));
    rules + &services
}

fn targets(bytes: usize) -> String {
    let head = filled(bytes / 2, "auth a on mesh", " {\n", |n| format!(", namespace n{n}"));
    filled(bytes, &head, "}\n", |n| format!("exempt /p{n}\n"))
}

fn tests(bytes: usize) -> String {
    let policies = filled(bytes / 2, "", "", |n| format!("auth p{n} on mesh {{ r{n}: allow /{n} }}\n"));
    filled(bytes, &policies, "", |n| {
        format!("test \"t{n}\" for p{} {{ given GET /a expect deny by r{} }}\n", n * 7 % 5_000, n * 7 % 5_000)
    })
}

fn tests_of_unknown_rules(bytes: usize) -> String {
    let rules = rules(bytes / 2, |n| format!("rule{n}: allow /{n}"));
    filled(bytes, &rules, "", |n| format!("test \"t\" for a {{ given GET /a expect deny by rue{n} }}\n"))
}

fn paths_of_a_rule(bytes: usize) -> String {
    filled(bytes, "auth a on mesh { allow /", "}\n", |n| format!(", /a/b{n}/**"))
}

fn captures(bytes: usize) -> String {
    filled(bytes, "auth a on mesh { allow /{a}/{b}/{c}", " when path.a == path.c }\n", |n| {
        format!(", /{{a}}/{{b}}/{{c}}/{n}")
    })
}

fn star_paths(bytes: usize) -> String {
    rules(bytes, |n| {
        let mut path = String::new();
        for depth in 0..20 {
            // Writing to a string does not fail.
            let _ = if (n * 7 + 1) >> depth & 1 == 1 { write!(path, "/*") } else { write!(path, "/a") };
        }
        format!("r{n}: allow {path}/e{n}")
    })
}

fn rest_paths(bytes: usize) -> String {
    rules(bytes, |n| match n % 2 {
        0 => format!("r{n}: allow /a/**, /q{n}"),
        _ => format!("r{n}: allow /a/x{n}"),
    })
}

fn entries_of_a_rule(bytes: usize) -> String {
    let letters = |n: usize| {
        [n / 676, n / 26, n].map(|at| char::from(b'A' + (at % 26) as u8)).iter().collect::<String>()
    };
    let head = filled(bytes / 2, "auth a on mesh { allow M", "", |n| format!(", {}", letters(n)));
    filled(bytes, &head, " from service a/b, ip 10.0.0.1 respond 403 \"no\" }\n", |n| {
        let stars: String = (0..14).map(|bit| if n >> bit & 1 == 1 { "/*" } else { "/a" }).collect();
        if n == 0 { format!(" {stars}") } else { format!(", {stars}") }
    })
}

fn beginnings(bytes: usize) -> String {
    rules(bytes, |n| match n % 2 {
        0 => format!("r{n}: allow when headers[\"x\"].startsWith(\"a\") || headers[\"x\"] == \"q{n}\""),
        _ => format!("r{n}: allow when headers[\"x\"] == \"a{n}\""),
    })
}

fn address_ranges(bytes: usize) -> String {
    rules(bytes, |n| match n % 2 {
        0 => format!("r{n}: allow from ip 10.0.0.0/8, 11.{}.{}.1", n / 256 % 256, n % 256),
        _ => format!("r{n}: allow from ip 10.{}.{}.0/24", n / 256 % 256, n % 256),
    })
}

fn callers(bytes: usize) -> String {
    rules(bytes, |n| match n % 2 {
        0 => format!("r{n}: allow from namespace a, service b/s{n}"),
        _ => format!("r{n}: allow from service a/s{n}"),
    })
}

fn headers(bytes: usize) -> String {
    rules(bytes, |n| format!("r{n}: allow when headers[\"h{n}\"] == query[\"q{n}\"]"))
}

fn bodies(bytes: usize) -> String {
    let body = "x".repeat(4_000);
    rules(bytes, |n| format!("r{n}: deny /a{n}, /*/b{n}, /*/*/c{n} respond 403 \"{n}{body}\""))
}

fn unicode(bytes: usize) -> String {
    rules(bytes, |n| {
        format!("r{n}: allow when headers[\"x\"] == \"日本語{n}\" || \"é\" < query[\"ß{n}\"] # ñ")
    })
}
