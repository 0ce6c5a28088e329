//! What a statement asks of a request: in patterns where they can say it, else in conditions.

use super::text::string;

/// A caller that the language knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// `namespace/name`.
    Service(String),
    /// All services of one.
    Namespace(String),
    /// An address or a range.
    Address(String),
    /// A whole identity.
    Identity(String),
}

/// What a statement asks. Methods, paths and callers are alternatives each; conditions must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Matching {
    /// In capitals.
    pub(super) methods: Vec<String>,
    /// Whole paths.
    pub(super) paths: Vec<String>,
    pub(super) callers: Vec<Caller>,
    pub(super) conditions: Vec<String>,
}

impl Caller {
    /// As it stands behind `from`.
    pub(super) fn peer(&self) -> String {
        match self {
            Self::Service(service) => format!("service {service}"),
            Self::Namespace(namespace) => format!("namespace {namespace}"),
            Self::Address(address) => format!("ip {address}"),
            Self::Identity(identity) => format!("spiffe {}", string(identity)),
        }
    }

    /// As a condition.
    pub(super) fn condition(&self) -> String {
        match self {
            Self::Service(service) => format!("source.service == {}", string(service)),
            Self::Namespace(namespace) => format!("source.namespace == {}", string(namespace)),
            Self::Address(range) if range.contains('/') => {
                format!("cidr({}).containsIP(source.ip)", string(range))
            }
            Self::Address(address) => format!("source.ip == ip({})", string(address)),
            Self::Identity(identity) => format!("source.principal == {}", string(identity)),
        }
    }
}

impl Matching {
    /// `GET /a from service shop/cart when C`, with a space before each part.
    pub(super) fn text(&self) -> String {
        let paths: Vec<String> = self.paths.iter().map(|path| pattern(path)).collect();
        let callers: Vec<String> = self.callers.iter().map(Caller::peer).collect();
        let lists = [("", &self.methods), ("", &paths), ("from ", &callers)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let lists: String = lists.map(|(word, list)| format!(" {word}{}", list.join(", "))).collect();
        let conditions: String =
            self.conditions.iter().map(|condition| format!(" when {condition}")).collect();
        format!("{lists}{conditions}")
    }

    /// The same behind `for`, where there is anything that needs it.
    pub(super) fn with_for(&self) -> String {
        let has_lists = !(self.methods.is_empty() && self.paths.is_empty() && self.callers.is_empty());
        if has_lists { format!(" for{}", self.text()) } else { self.text() }
    }

    /// All of it as one condition; `None` if it asks nothing.
    pub(super) fn condition(&self) -> Option<String> {
        let of = |list: Vec<String>| any(&list);
        let methods =
            self.methods.iter().map(|method| format!("request.method == {}", string(method))).collect();
        let paths = self.paths.iter().map(|path| format!("request.path == {}", string(path))).collect();
        let callers = self.callers.iter().map(Caller::condition).collect();
        let parts = [of(methods), of(paths), of(callers)].into_iter().flatten();
        let parts: Vec<String> = parts.chain(self.conditions.iter().cloned()).collect();
        (!parts.is_empty()).then(|| parts.iter().map(|part| bracketed(part)).collect::<Vec<_>>().join(" && "))
    }

    /// The same, but of requests for which none of these conditions holds.
    pub(super) fn without(&self, conditions: &[String]) -> Self {
        let mut alone = self.clone();
        alone.conditions.extend(conditions.iter().map(|condition| not(condition)));
        alone
    }

    /// Whether every request is meant.
    pub(super) fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

/// One of these holds; `None` if there is none.
pub(super) fn any(conditions: &[String]) -> Option<String> {
    match conditions {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(several.iter().map(|one| bracketed(one)).collect::<Vec<_>>().join(" || ")),
    }
}

/// The contrary.
pub(super) fn not(condition: &str) -> String {
    format!("!({condition})")
}

fn bracketed(condition: &str) -> String {
    let is_simple = !condition.contains("&&") && !condition.contains("||") && !condition.contains('?');
    if is_simple { condition.to_owned() } else { format!("({condition})") }
}

/// A text that is compared with an attribute, as Istio has it: whole, `prefix*`, `*suffix`, or `*` for any that is there.
pub(super) fn starred(attribute: &str, text: &str) -> String {
    match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(""), _) => format!("has({attribute})"),
        (Some(suffix), _) => format!("{attribute}.endsWith({})", string(suffix)),
        (None, Some(prefix)) => format!("{attribute}.startsWith({})", string(prefix)),
        (None, None) => format!("{attribute} == {}", string(text)),
    }
}

/// A whole path as a pattern.
pub(super) fn pattern(path: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "._~!$&'+=:@/-".contains(character);
    if path.chars().all(is_plain) {
        return path.to_owned();
    }
    let escape = |character: char| match character {
        '*' | '{' | '}' | '?' | '%' => format!("%{:02X}", u32::from(character)),
        other => other.to_string(),
    };
    string(&path.chars().map(escape).collect::<String>())
}
