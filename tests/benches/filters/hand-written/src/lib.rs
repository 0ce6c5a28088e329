//! The policy of the overhead benchmark, written by hand with the `proxy-wasm` crate, in three ways.
//!
//! By default it asks for one header after the other and stops at the first that does not fit: what
//! the crate's examples do. With the configuration `pairs` it fetches all headers at once, which is
//! what someone does who has measured. Both decide only. With the configuration `says` it does what a
//! compiled policy does: asks header by header, and says by which rule it decided, in filter state and
//! with a counter. (Details of a local reply the crate cannot set.)

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MetricType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root { way: Way::OneByOne }));
}}

struct Root {
    way: Way,
}

enum Way {
    OneByOne,
    AllAtOnce,
    Saying { allowed: u32, denied: u32 },
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let counter = |name| hostcalls::define_metric(MetricType::Counter, name).unwrap_or_default();
        self.way = match self.get_plugin_configuration().as_deref() {
            Some(b"pairs") => Way::AllAtOnce,
            Some(b"says") => {
                Way::Saying { allowed: counter("by-hand.allowed"), denied: counter("by-hand.denied") }
            }
            _ => Way::OneByOne,
        };
        true
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(match self.way {
            Way::OneByOne => Box::new(OneByOne),
            Way::AllAtOnce => Box::new(AllAtOnce),
            Way::Saying { allowed, denied } => Box::new(Saying { allowed, denied }),
        })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct OneByOne;

impl Context for OneByOne {}

impl HttpContext for OneByOne {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        if is_allowed(self) {
            return Action::Continue;
        }
        self.send_http_response(403, Vec::new(), None);
        Action::Pause
    }
}

/// Asks for one header after the other.
fn is_allowed(stream: &dyn HttpContext) -> bool {
    let is = |name: &str, value: &str| stream.get_http_request_header(name).as_deref() == Some(value);
    let in_api = || stream.get_http_request_header(":path").is_some_and(|path| path.starts_with("/api/"));
    is(":method", "GET") && in_api() && is("x-team", "blue") && is("x-role", "reader")
}

struct Saying {
    allowed: u32,
    denied: u32,
}

impl Context for Saying {}

impl HttpContext for Saying {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        let is_allowed = is_allowed(self);
        let (rule, counter) =
            if is_allowed { ("small/readers", self.allowed) } else { ("small/otherwise", self.denied) };
        self.set_property(vec!["rule"], Some(rule.as_bytes()));
        let _unknown = hostcalls::increment_metric(counter, 1);
        if is_allowed {
            return Action::Continue;
        }
        self.send_http_response(403, Vec::new(), None);
        Action::Pause
    }
}

struct AllAtOnce;

impl Context for AllAtOnce {}

impl HttpContext for AllAtOnce {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        let headers = self.get_http_request_headers_bytes();
        let get =
            |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_slice());
        let allowed = get(":method") == Some(b"GET")
            && get(":path").is_some_and(|path| path.starts_with(b"/api/"))
            && get("x-team") == Some(b"blue")
            && get("x-role") == Some(b"reader");
        if allowed {
            return Action::Continue;
        }
        self.send_http_response(403, Vec::new(), None);
        Action::Pause
    }
}
