//! The policy of the overhead benchmark, written by hand with the `proxy-wasm` crate, in two ways.
//!
//! By default it asks for one header after the other and stops at the first that does not fit: what
//! the crate's examples do. With the configuration `pairs` it fetches all headers at once, which is
//! what someone does who has measured. Both decide only: no counter, no rule for the access log.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root { pairs: false }));
}}

struct Root {
    pairs: bool,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        self.pairs = self.get_plugin_configuration().is_some_and(|text| text == b"pairs");
        true
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(if self.pairs { Box::new(AllAtOnce) } else { Box::new(OneByOne) })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct OneByOne;

impl Context for OneByOne {}

impl HttpContext for OneByOne {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        let is = |name: &str, value: &str| self.get_http_request_header(name).as_deref() == Some(value);
        let in_api = || self.get_http_request_header(":path").is_some_and(|path| path.starts_with("/api/"));
        if is(":method", "GET") && in_api() && is("x-team", "blue") && is("x-role", "reader") {
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
