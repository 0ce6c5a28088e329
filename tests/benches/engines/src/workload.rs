//! Rules and requests as plain data, from which each engine's text and input are made.

/// Headers that each request has beside those that rules ask for, as browsers and meshes send them.
const USUAL_HEADERS: [(&str, &str); 8] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-US,en;q=0.5"),
    ("x-forwarded-proto", "https"),
    ("x-request-id", "5b6f8d90-087a-40d1-addf-cdd7c3e09f7e"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("x-envoy-external-address", "10.0.3.17"),
];

/// Rules, and requests to decide by them.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name in the table.
    pub name: &'static str,
    /// The rules; what none allows is denied.
    pub rules: Vec<Rule>,
    /// The requests.
    pub requests: Vec<Request>,
    /// Whether the header `x-user` says who calls: engines that know principals take it for one.
    pub user_is_principal: bool,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Whether it denies; then an allowing rule does not count.
    pub denies: bool,
    /// Its methods; none for any.
    pub methods: Vec<&'static str>,
    /// Its paths.
    pub path: Path,
    /// The calling service, if only one may call.
    pub caller: Option<String>,
    /// What must hold beside; for a rule that denies, what must not.
    pub tests: Vec<Test>,
}

/// Which paths.
#[derive(Clone, Debug)]
pub enum Path {
    /// This one.
    Exact(String),
    /// This one and what is below it.
    Below(String),
}

/// A test of a header.
#[derive(Clone, Debug)]
pub enum Test {
    /// It has this value.
    Is(&'static str, String),
    /// It has not this value, or is not there.
    IsNot(&'static str, &'static str),
    /// It begins so.
    Begins(&'static str, String),
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: &'static str,
    /// The path.
    pub path: String,
    /// The calling service, `namespace/name`.
    pub caller: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
}

impl Workload {
    /// One path and one header a rule.
    #[must_use]
    pub fn plain(rules: usize) -> Self {
        let rule = |number| Rule {
            denies: false,
            methods: vec!["GET"],
            path: Path::Below(format!("/api/svc{number}")),
            caller: None,
            tests: vec![Test::Is("x-user", format!("user{number}"))],
        };
        let ask = |method, path: String, user: Option<String>| {
            request(method, path, "shop/web0", user.map(|user| ("x-user", user)).into_iter().collect())
        };
        let mut requests = Vec::new();
        for number in spread(rules) {
            let user = Some(format!("user{number}"));
            requests.push(ask("GET", format!("/api/svc{number}/orders/17"), user.clone()));
            requests.push(ask("GET", format!("/api/svc{number}"), user.clone()));
            requests.push(ask("GET", format!("/api/svc{number}/orders"), Some("nobody".to_owned())));
            requests.push(ask("POST", format!("/api/svc{number}/orders"), user));
        }
        requests.push(ask("GET", "/elsewhere".to_owned(), Some("user0".to_owned())));
        requests.push(ask("GET", format!("/api/svc{rules}/x"), None));
        Self {
            name: "one path and one header a rule",
            rules: (0..rules).map(rule).collect(),
            requests,
            user_is_principal: true,
        }
    }

    /// Rules as people write them, of five kinds.
    #[must_use]
    pub fn mixed(rules: usize) -> Self {
        let mut requests = Vec::new();
        for number in spread(rules) {
            let caller = caller_of(number);
            let team = format!("team{number}-blue");
            let with = |name, value: &str| vec![(name, value.to_owned())];
            let below = format!("/api/svc{number}/orders");
            requests.push(request(
                "GET",
                below.clone(),
                "shop/web0",
                with("x-user", &format!("user{number}")),
            ));
            requests.push(request("POST", format!("/v1/svc{number}/items/4"), &caller, Vec::new()));
            requests.push(request("PUT", format!("/svc{number}"), "shop/web1", with("x-team", &team)));
            requests.push(request("DELETE", below.clone(), "shop/admin", with("x-role", "admin")));
            requests.push(request("DELETE", below, "shop/admin", with("x-role", "writer")));
            requests.push(request("GET", format!("/files{number}/a/b.txt"), &caller, with("x-tier", "paid")));
        }
        requests.push(request("GET", "/elsewhere".to_owned(), "shop/web0", Vec::new()));
        Self {
            name: "mixed",
            rules: (0..rules).map(mixed_rule).collect(),
            requests,
            user_is_principal: false,
        }
    }
}

fn mixed_rule(number: usize) -> Rule {
    let allow = |methods: &[&'static str], path, tests| Rule {
        denies: false,
        methods: methods.to_vec(),
        path,
        caller: None,
        tests,
    };
    let api = Path::Below(format!("/api/svc{}", number / 5 * 5));
    match number % 5 {
        0 => allow(&["GET", "DELETE"], api, vec![Test::IsNot("x-role", "guest")]),
        1 => Rule {
            caller: Some(caller_of(number)),
            ..allow(&["GET", "POST"], Path::Below(format!("/v1/svc{number}")), Vec::new())
        },
        2 => allow(
            &["PUT"],
            Path::Exact(format!("/svc{number}")),
            vec![Test::Begins("x-team", format!("team{number}-")), Test::IsNot("x-role", "guest")],
        ),
        3 => Rule { denies: true, ..allow(&["DELETE"], api, vec![Test::Is("x-role", "admin".to_owned())]) },
        _ => Rule {
            caller: Some(caller_of(number)),
            ..allow(
                &["GET"],
                Path::Below(format!("/files{number}")),
                vec![Test::Is("x-tier", "paid".to_owned())],
            )
        },
    }
}

fn caller_of(number: usize) -> String {
    format!("shop/web{}", number % 7)
}

/// The first rule, some in the middle, and the last.
fn spread(rules: usize) -> Vec<usize> {
    let last = rules.saturating_sub(1);
    let mut spread = vec![0, last / 4, last / 2, last * 3 / 4, last];
    // Those of the same kind beside them.
    spread.extend(spread.clone().iter().map(|number| (number + 1).min(last)));
    spread.sort_unstable();
    spread.dedup();
    spread
}

fn request(method: &'static str, path: String, caller: &str, headers: Vec<(&str, String)>) -> Request {
    let usual = USUAL_HEADERS.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let headers = usual.chain(headers).map(|(name, value)| (name.to_owned(), value)).collect();
    Request { method, path, caller: caller.to_owned(), headers }
}

impl Request {
    /// The path with a slash behind it: what is at or below a path begins with it and a slash.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}/", self.path)
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Rule {
    /// Whether its method, path and caller are those of the request, and its tests hold.
    fn matches(&self, request: &Request) -> bool {
        let path = match &self.path {
            Path::Exact(path) => request.path == *path,
            Path::Below(path) => request.folder().starts_with(&format!("{path}/")),
        };
        let holds = self.tests.iter().all(|test| match test {
            Test::Is(name, value) => request.header(name) == Some(value),
            Test::IsNot(name, value) => request.header(name) != Some(value),
            Test::Begins(name, value) => request.header(name).is_some_and(|header| header.starts_with(value)),
        });
        path && (self.methods.is_empty() || self.methods.contains(&request.method))
            && self.caller.as_ref().is_none_or(|caller| *caller == request.caller)
            && holds != self.denies
    }
}

impl Workload {
    /// What is decided, by the meaning of the words.
    #[must_use]
    pub fn allows(&self, request: &Request) -> bool {
        let any = |denies: bool| self.rules.iter().any(|rule| rule.denies == denies && rule.matches(request));
        !any(true) && any(false)
    }
}
