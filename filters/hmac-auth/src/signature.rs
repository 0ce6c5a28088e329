//! HTTP Message Signatures (RFC 9421) with `hmac-sha256`: which text was signed, and whether by a key that is known.

use crate::Refusal;
use crate::config::Settings;
use crate::digest::ContentDigest;
use crate::fields::{self, Bare, Member, Value};
use chancery_sdk::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The algorithm's name, where a signature says it.
const ALGORITHM: &str = "hmac-sha256";
/// The header that says what the body is.
const CONTENT_DIGEST: &str = "content-digest";

/// Something of a request that can be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    Method,
    Authority,
    Scheme,
    Path,
    Query,
    RequestTarget,
    TargetUri,
    /// A header, in small letters.
    Field(String),
}

/// A signature that is authentic.
#[derive(Debug)]
pub struct Signed {
    key: String,
    mac: Vec<u8>,
    /// What the body must be; `None` if that was not signed.
    digest: Option<ContentDigest>,
    remembered_until: u64,
}

impl Signed {
    /// The name of the key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The signature's bytes.
    pub(crate) fn mac(&self) -> &[u8] {
        &self.mac
    }

    /// The second after which the signature is too old in any case.
    pub(crate) fn remembered_until(&self) -> u64 {
        self.remembered_until
    }

    /// Whether this body was signed. One of no bytes need not be.
    pub(crate) fn is_of_body(&self, body: &[u8]) -> bool {
        self.digest.as_ref().map_or(body.is_empty(), |digest| digest.is_of(body))
    }
}

impl Component {
    /// The names of what is not a header.
    pub(crate) const DERIVED: &'static str =
        "@method, @authority, @scheme, @path, @query, @request-target, @target-uri";

    /// The component of a name, if it is supported.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let is_of_field = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
        };
        Some(match name {
            "@method" => Self::Method,
            "@authority" => Self::Authority,
            "@scheme" => Self::Scheme,
            "@path" => Self::Path,
            "@query" => Self::Query,
            "@request-target" => Self::RequestTarget,
            "@target-uri" => Self::TargetUri,
            field if !field.is_empty() && field.bytes().all(is_of_field) => Self::Field(field.to_owned()),
            _ => return None,
        })
    }

    /// Its value in a request; `None` if it is not there.
    fn value(&self, headers: &HeaderMap) -> Option<String> {
        let one = |name: &str| text(headers.only(name).ok()??);
        let (path, query) = match self {
            Self::Path | Self::Query => split_target(one(":path")?),
            _ => Default::default(),
        };
        match self {
            Self::Method => one(":method"),
            Self::Authority => Some(authority(&one(":authority")?, &one(":scheme").unwrap_or_default())),
            Self::Scheme => Some(one(":scheme")?.to_ascii_lowercase()),
            Self::Path => Some(path),
            Self::Query => Some(query),
            Self::RequestTarget => one(":path"),
            Self::TargetUri => {
                let scheme = one(":scheme")?.to_ascii_lowercase();
                Some(format!("{scheme}://{}{}", authority(&one(":authority")?, &scheme), one(":path")?))
            }
            Self::Field(name) => {
                let values: Option<Vec<String>> =
                    headers.values(name).map(|value| text(value.trim_ascii())).collect();
                values.filter(|values| !values.is_empty()).map(|values| values.join(", "))
            }
        }
    }
}

/// Finds the signature of a request by a known key, and whether it is authentic.
///
/// The body is not looked at: [`Signed::is_of_body`] does that.
pub(crate) fn verify(settings: &Settings, headers: &HeaderMap, now: u64) -> Result<Signed, Refusal> {
    let one = |name: &str| match headers.only(name) {
        Ok(Some(value)) => text(value).ok_or(Refusal::Malformed),
        _ => Err(Refusal::Unsigned),
    };
    let (inputs, signatures) = (one("signature-input")?, one("signature")?);
    let inputs = fields::dictionary(&inputs).map_err(|_| Refusal::Malformed)?;
    let signatures = fields::dictionary(&signatures).map_err(|_| Refusal::Malformed)?;
    let known =
        inputs.iter().find_map(|input| known_key(settings, input).map(|(id, secret)| (input, id, secret)));
    let (input, id, secret) = known.ok_or(Refusal::UnknownKey)?;
    let created = created(settings, input, now)?;
    let components = components(settings, input)?;
    let base = base(input, &components, headers)?;

    let signature = signatures.iter().find(|member| member.key == input.key).ok_or(Refusal::Unsigned)?;
    let Value::Bare(Bare::Bytes(mac)) = &signature.value else { return Err(Refusal::Malformed) };
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| Refusal::UnknownKey)?;
    hmac.update(base.as_bytes());
    // It takes the same time wherever the bytes differ.
    hmac.verify_slice(mac).map_err(|_| Refusal::Wrong)?;

    let digest = components.iter().any(|component| *component == Component::Field(CONTENT_DIGEST.to_owned()));
    let digest = digest.then(|| ContentDigest::read(&one(CONTENT_DIGEST)?).map_err(|_| Refusal::Malformed));
    Ok(Signed {
        key: id.to_owned(),
        mac: mac.clone(),
        digest: digest.transpose()?,
        remembered_until: created.saturating_add(settings.window_seconds),
    })
}

/// The key of a signature, if it is known and the algorithm ours.
fn known_key<'settings>(
    settings: &'settings Settings,
    input: &Member<'_>,
) -> Option<(&'settings str, &'settings [u8])> {
    let is_ours = input.parameter("alg").is_none_or(|alg| *alg == Bare::Text(ALGORITHM.to_owned()));
    match input.parameter("keyid") {
        Some(Bare::Text(id)) if is_ours => {
            settings.secrets.get_key_value(id).map(|(id, secret)| (id.as_str(), secret.as_slice()))
        }
        _ => None,
    }
}

/// When the signature was made, if now is a time at which it is good.
fn created(settings: &Settings, input: &Member<'_>, now: u64) -> Result<u64, Refusal> {
    let second = |name: &str| match input.parameter(name) {
        Some(Bare::Integer(second)) => u64::try_from(*second).map(Some).map_err(|_| Refusal::OutOfTime),
        Some(_) => Err(Refusal::Malformed),
        None => Ok(None),
    };
    let created = second("created")?.ok_or(Refusal::OutOfTime)?;
    let ends = created.saturating_add(settings.window_seconds);
    let ends = second("expires")?.map_or(ends, |expires| expires.min(ends));
    let begins = created.saturating_sub(settings.ahead_seconds);
    if (begins..=ends).contains(&now) { Ok(created) } else { Err(Refusal::OutOfTime) }
}

/// What is signed, if that is all that must be.
fn components(settings: &Settings, input: &Member<'_>) -> Result<Vec<Component>, Refusal> {
    let Value::List(items) = &input.value else { return Err(Refusal::Malformed) };
    let mut components: Vec<Component> = Vec::new();
    for item in items {
        let Bare::Text(name) = item else { return Err(Refusal::Malformed) };
        let component = Component::named(name).ok_or(Refusal::Uncovered)?;
        if components.contains(&component) {
            return Err(Refusal::Malformed);
        }
        components.push(component);
    }
    let covers = settings.cover.iter().all(|wanted| components.contains(wanted));
    if covers { Ok(components) } else { Err(Refusal::Uncovered) }
}

/// The text that was signed.
fn base(input: &Member<'_>, components: &[Component], headers: &HeaderMap) -> Result<String, Refusal> {
    let Value::List(items) = &input.value else { return Err(Refusal::Malformed) };
    let mut base = String::new();
    for (item, component) in items.iter().zip(components) {
        let Bare::Text(name) = item else { return Err(Refusal::Malformed) };
        let value = component.value(headers).ok_or(Refusal::Uncovered)?;
        base.push_str(&format!("\"{name}\": {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {}", input.raw));
    Ok(base)
}

/// Signatures are over ASCII; what is not cannot have been signed.
fn text(bytes: &[u8]) -> Option<String> {
    bytes.is_ascii().then(|| String::from_utf8(bytes.to_vec()).ok())?
}

/// Path and query, the latter with its question mark; each has one even where the target has none.
fn split_target(target: String) -> (String, String) {
    match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), format!("?{query}")),
        None => (target, "?".to_owned()),
    }
}

/// A host in small letters, without the port that its scheme means anyway.
fn authority(host: &str, scheme: &str) -> String {
    let host = host.to_ascii_lowercase();
    let usual = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    host.strip_suffix(usual).map_or_else(|| host.clone(), str::to_owned)
}
