//! What is run on a module, and what is seen of it.

use std::collections::BTreeMap;

/// A module, and how it is configured.
#[derive(Clone, Debug)]
pub struct Module {
    /// The name of the plugin, and of its listener.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Which plugin of the module.
    pub root_id: String,
    /// The plugin's configuration.
    pub configuration: String,
}

/// An exchange, as the client and the service have it on the wire.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// `GET /path`
    pub request: String,
    /// The request's headers besides `host`.
    pub request_headers: Vec<(String, String)>,
    /// Its body, in pieces between which some time passes.
    pub request_body: Vec<String>,
    /// The status of the service's answer.
    pub status: u16,
    /// Its headers.
    pub response_headers: Vec<(String, String)>,
    /// Its body, in pieces between which some time passes.
    pub response_body: Vec<String>,
    /// What the cluster [`CALLED`] answers when it is called meanwhile.
    pub called_body: String,
}

/// The cluster of the service behind the filter.
pub const SERVICE: &str = "service";
/// The cluster that modules call.
pub const CALLED: &str = "httpbin";

/// What can be seen of a case from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What the client got: status, sorted headers, body. `None` if the connection was closed without an answer.
    pub reply: Option<Part>,
    /// What reached the service: method and path, sorted headers, body.
    pub forwarded: Option<Part>,
    /// What the module asked of [`CALLED`].
    pub called: Vec<Part>,
    /// Lines of the log: level and words.
    pub log: Vec<String>,
}

/// A request or an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// `GET /path`, or the status.
    pub head: String,
    /// Names and values, sorted, without those of the transport.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Part {
    /// A part without the headers that belong to a connection, or that are added behind the filter.
    #[must_use]
    pub fn new(head: String, headers: impl IntoIterator<Item = (String, String)>, body: &[u8]) -> Self {
        const OF_TRANSPORT: [&str; 6] =
            ["connection", "transfer-encoding", "date", "server", "x-forwarded-proto", "x-forwarded-for"];
        let mut headers: Vec<_> = headers
            .into_iter()
            .filter(|(name, _)| !OF_TRANSPORT.contains(&name.as_str()) && !name.starts_with("x-envoy-"))
            // That there is no body is said where the connection needs it.
            .filter(|(name, value)| name != "content-length" || value != "0")
            .collect();
        headers.sort();
        Self { head, headers, body: String::from_utf8_lossy(body).into_owned() }
    }
}

/// The values of metrics by their names.
pub type Metrics = BTreeMap<String, u64>;
