//! What a sidecar is told on its command line, and reading the forms that are written with colons.

use super::application::Looking;
use crate::mesh::identity::spiffe::{self, is_name};
use crate::mesh::model::{Inbound, Outbound, Protocol};
use chancery_policy_lang::checked::ServiceRef;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// The longest value of a label, in bytes.
const LABEL_BYTES_MAX: usize = 63;
/// The longest name of a host, and of a part of it (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;
const HOST_LABEL_BYTES_MAX: usize = 63;

/// Everything that a sidecar needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The service it is a replica of.
    pub service: ServiceRef,
    /// Its name among the replicas.
    pub instance: String,
    /// Labels of the workload.
    pub labels: BTreeMap<String, String>,
    /// Where the service is offered, if it is.
    pub inbound: Option<Inbound>,
    /// How it is looked whether the application answers, if it is.
    pub looking: Option<Looking>,
    /// Services that the workload calls.
    pub outbounds: Vec<Outbound>,
    /// Where its join token is.
    pub token: TokenSource,
    /// The URL of the control plane, if it is not where the token and the saved identity say.
    pub control_plane: Option<String>,
    /// Where its key, its certificate and its last good configuration are kept.
    pub data_dir: PathBuf,
    /// Where the files are that lines of logs are sent to, if not beside that.
    pub log_dir: Option<PathBuf>,
    /// The authorities of receivers of lines that are reached over TLS, if not those of the system.
    pub log_ca: Option<PathBuf>,
    /// Where it says whether it is ready.
    pub readiness: SocketAddr,
    /// The Envoy to run.
    pub envoy: EnvoySettings,
    /// How long connections may take to end when it is stopped.
    pub drain_time: Duration,
}

/// Where a join token is read.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// In a file, looked at anew with each try to join.
    File(PathBuf),
    /// It was read at the start.
    Given(String),
}

/// What stands for the place of a token that was given on standard input.
pub const STANDARD_INPUT: &str = "standard input";

impl TokenSource {
    /// The place, for messages.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Given(_) => PathBuf::from(STANDARD_INPUT),
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token itself is a secret.
        f.debug_tuple("TokenSource").field(&self.place()).finish()
    }
}

/// How to run Envoy.
#[derive(Clone, Debug)]
pub struct EnvoySettings {
    /// The binary.
    pub path: PathBuf,
    /// Worker threads.
    pub concurrency: u32,
    /// The level of its log, in its own words.
    pub log_level: String,
}

/// `--address` as it is written: where others reach this host, and at which port if not at the one that
/// the sidecar listens at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressOption {
    /// The host.
    pub host: Host,
    /// The port, if it is another one.
    pub port: Option<u16>,
}

/// A host as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// By its address.
    Address(IpAddr),
    /// By a name, which is looked up when the sidecar starts: others are told addresses.
    Name(String),
}

/// Where others reach this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The address.
    pub address: IpAddr,
    /// The port, if it is not the one that the sidecar listens at.
    pub port: Option<u16>,
}

impl AddressOption {
    /// The address of the host.
    ///
    /// # Errors
    /// When it has a name that has no address.
    pub async fn resolved(&self) -> Result<Reached, String> {
        let address = match &self.host {
            Host::Address(address) => *address,
            Host::Name(name) => {
                let found = tokio::net::lookup_host((name.as_str(), 0)).await;
                let found = found.map(|mut addresses| addresses.next());
                let none = || format!("the name `{name}` has no address");
                found.map_err(|error| format!("{}: {error}", none()))?.ok_or_else(none)?.ip()
            }
        };
        Ok(Reached { address, port: self.port })
    }
}

/// `--inbound` as it is written: where the address is left out, that of `--address` is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboundOption {
    /// Where to listen; `None` means where others reach the host.
    pub address: Option<IpAddr>,
    /// The port to listen on.
    pub port: u16,
    /// The application.
    pub application: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
}

impl InboundOption {
    /// The inbound of a host that others reach by `reached`; if that is not said, where it listens, or
    /// on loopback.
    ///
    /// # Errors
    /// When it listens at all addresses and it is not said which one others reach.
    pub fn at(self, reached: Option<Reached>) -> Result<Inbound, String> {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let listen = self.address.or(reached.map(|reached| reached.address)).unwrap_or(loopback);
        let advertised = reached.map_or(listen, |reached| reached.address);
        if advertised.is_unspecified() {
            return Err(format!(
                "the sidecar would listen at {listen}, and others would not know where to reach it: say so with --address"
            ));
        }
        let port = reached.and_then(|reached| reached.port).unwrap_or(self.port);
        Ok(Inbound {
            listen: SocketAddr::new(listen, self.port),
            advertised: SocketAddr::new(advertised, port),
            application: self.application,
            protocol: self.protocol,
            probes: None,
        })
    }
}

/// `--probes` as it is written: where the address is left out, that of `--inbound` is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbesOption {
    /// Where to listen; `None` means where the service is offered.
    pub address: Option<IpAddr>,
    /// The port to listen on.
    pub port: u16,
}

impl ProbesOption {
    /// The inbound, with the listener of probes beside it.
    #[must_use]
    pub fn beside(self, inbound: Inbound) -> Inbound {
        let address = self.address.unwrap_or(inbound.listen.ip());
        Inbound { probes: Some(SocketAddr::new(address, self.port)), ..inbound }
    }
}

/// Reads `PORT` or `ADDRESS:PORT`.
///
/// # Errors
/// Says how it is written.
pub fn parse_probes(text: &str) -> Result<ProbesOption, String> {
    let read = match (text.parse::<u16>(), text.parse::<SocketAddr>()) {
        (Ok(port), _) => Some(ProbesOption { address: None, port }),
        (_, Ok(listen)) => Some(ProbesOption { address: Some(listen.ip()), port: listen.port() }),
        _ => None,
    };
    read.filter(|probes| probes.port != 0).ok_or_else(|| {
        format!("`{text}` is not where to listen: write PORT or ADDRESS:PORT such as 10.0.0.7:8081")
    })
}

/// Reads `HOST` or `HOST:PORT`; an IPv6 address with a port stands in brackets.
///
/// # Errors
/// Says how it is written.
pub fn parse_address(text: &str) -> Result<AddressOption, String> {
    let wrong = || {
        format!(
            "`{text}` is not a host: write an address or a name such as 10.0.0.7 or vm-7.example, or HOST:PORT if the port \
             is not the one of --inbound"
        )
    };
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(AddressOption { host: Host::Address(address), port: None });
    }
    if let Ok(both) = text.parse::<SocketAddr>() {
        let port = Some(both.port()).filter(|port| *port != 0).ok_or_else(wrong)?;
        return Ok(AddressOption { host: Host::Address(both.ip()), port: Some(port) });
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => {
            (name, Some(port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong)?))
        }
        None => (text, None),
    };
    if !is_host_name(name) {
        return Err(wrong());
    }
    Ok(AddressOption { host: Host::Name(name.to_owned()), port })
}

/// Whether a text can be a name of DNS that is no number.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        !label.is_empty() && label.len() <= HOST_LABEL_BYTES_MAX && inner && !label.starts_with('-')
    };
    text.len() <= HOST_BYTES_MAX
        && text.trim_end_matches('.').split('.').all(is_label)
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Reads where a control plane is: `HOST:PORT` or `https://HOST:PORT`; gives its URL.
///
/// # Errors
/// Says how it is written.
pub fn parse_control_plane(text: &str) -> Result<String, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let wrong =
        || format!("`{text}` is not where a control plane is: write HOST:PORT such as control.example:5680");
    let url = Url::parse(&whole).map_err(|_| wrong())?;
    let is_bare =
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    match (url.scheme(), url.host_str(), url.port_or_known_default()) {
        ("https", Some(host), Some(port)) if is_bare => Ok(format!("https://{host}:{port}")),
        _ => Err(wrong()),
    }
}

/// The address of this machine from which a control plane is reached.
///
/// # Errors
/// When its host has no address, or there is no way to it.
pub async fn address_towards(url: &str) -> Result<IpAddr, String> {
    let parsed = Url::parse(url).map_err(|error| format!("`{url}`: {error}"))?;
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = parsed.port_or_known_default().unwrap_or_default();
    let addresses = tokio::net::lookup_host((host.as_str(), port)).await;
    let mut problem = format!("`{host}` has no address");
    for address in addresses.map_err(|error| format!("`{host}` has no address: {error}"))? {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        // Nothing is sent: a socket of UDP that is connected knows its own address.
        let socket = UdpSocket::bind(any).and_then(|socket| socket.connect(address).map(|()| socket));
        match socket.and_then(|socket| socket.local_addr()) {
            Ok(own) => return Ok(own.ip()),
            Err(error) => problem = format!("there is no way to {address}: {error}"),
        }
    }
    Err(problem)
}

/// Reads `PORT:ADDRESS:PORT` or `ADDRESS:PORT:ADDRESS:PORT`; an IPv6 address stands in brackets. What the application
/// speaks may stand behind a `/`.
///
/// # Errors
/// Says how it is written.
pub fn parse_inbound(text: &str) -> Result<InboundOption, String> {
    let (addresses, protocol) = match text.split_once('/') {
        Some((addresses, protocol)) => (addresses, protocol.parse()?),
        None => (text, Protocol::default()),
    };
    let halves = addresses.match_indices(':').filter_map(|(at, _)| addresses.split_at_checked(at));
    for (listen, application) in halves {
        let Ok(application) = application.strip_prefix(':').unwrap_or_default().parse::<SocketAddr>() else {
            continue;
        };
        let (address, port) = match (listen.parse::<u16>(), listen.parse::<SocketAddr>()) {
            (Ok(port), _) => (None, port),
            (_, Ok(listen)) => (Some(listen.ip()), listen.port()),
            _ => continue,
        };
        if port == 0 || application.port() == 0 {
            return Err(format!("`{text}` names port 0, and others could not know which one is meant"));
        }
        return Ok(InboundOption { address, port, application, protocol });
    }
    Err(format!(
        "`{text}` does not say where to listen and where the application is: write PORT:ADDRESS:PORT such \
         as 8080:127.0.0.1:9000, or ADDRESS:PORT:ADDRESS:PORT, and /h2c behind it if the application speaks HTTP/2"
    ))
}

/// Reads `NAMESPACE/NAME@ADDRESS:PORT`.
///
/// # Errors
/// Says how it is written.
pub fn parse_outbound(text: &str) -> Result<Outbound, String> {
    let form = "write SERVICE@ADDRESS:PORT such as shop/cart@127.0.0.1:7001";
    let (service, listen) = text.split_once('@').ok_or_else(|| format!("`{text}` has no `@`: {form}"))?;
    let service = spiffe::parse_service(service)?;
    match listen.parse::<SocketAddr>() {
        Ok(listen) if listen.port() != 0 => Ok(Outbound { service, listen }),
        _ => Err(format!("`{listen}` is not an address and a port: {form}")),
    }
}

/// Reads `KEY=VALUE`.
///
/// # Errors
/// Says how it is written.
pub fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if is_name(key) && value.len() <= LABEL_BYTES_MAX => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(format!("`{text}` is not a label: write KEY=VALUE such as version=v2")),
    }
}

/// The name of a replica unless the user gives one: the host and the port by which it is known
/// there, so that it is the same after a restart.
#[must_use]
pub fn default_instance(host: &str, inbound: Option<u16>, outbounds: &[Outbound]) -> String {
    let port = inbound.or_else(|| outbounds.first().map(|outbound| outbound.listen.port()));
    let host = host.split('.').next().unwrap_or_default();
    let mut name: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    name.truncate(spiffe::NAME_BYTES_MAX - ":65535".len());
    let name = name.trim_start_matches('-');
    let name = if name.is_empty() { "replica" } else { name };
    port.map_or_else(|| name.to_owned(), |port| format!("{name}-{port}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]
    use super::*;

    fn reached(text: &str) -> Reached {
        match parse_address(text).unwrap() {
            AddressOption { host: Host::Address(address), port } => Reached { address, port },
            other => panic!("{other:?} is no address"),
        }
    }

    #[test]
    fn an_inbound_names_two_ends() {
        let check = |text: &str, listen: &str, application: &str| {
            let inbound = parse_inbound(text).unwrap().at(Some(reached("10.0.0.7"))).unwrap();
            assert_eq!(inbound.listen, listen.parse().unwrap(), "{text}");
            assert_eq!(inbound.application, application.parse().unwrap(), "{text}");
            assert_eq!(inbound.advertised, "10.0.0.7:8080".parse().unwrap(), "{text}");
        };
        check("8080:127.0.0.1:9000", "10.0.0.7:8080", "127.0.0.1:9000");
        check("0.0.0.0:8080:127.0.0.1:9000", "0.0.0.0:8080", "127.0.0.1:9000");
        check("8080:[::1]:9000", "10.0.0.7:8080", "[::1]:9000");
        check("[::1]:8080:127.0.0.1:9000", "[::1]:8080", "127.0.0.1:9000");
    }

    #[test]
    fn what_an_application_speaks_stands_behind_its_address() {
        let speaks = |text: &str| parse_inbound(text).map(|inbound| inbound.protocol);
        assert_eq!(speaks("8080:127.0.0.1:9000"), Ok(Protocol::Http1));
        assert_eq!(speaks("8080:127.0.0.1:9000/http1"), Ok(Protocol::Http1));
        assert_eq!(speaks("8080:127.0.0.1:9000/h2c"), Ok(Protocol::H2c));
        assert_eq!(speaks("[::1]:8080:[::1]:9000/grpc"), Ok(Protocol::H2c));
        let inbound = parse_inbound("8080:127.0.0.1:9000/grpc").unwrap().at(None).unwrap();
        assert_eq!(inbound.protocol, Protocol::H2c);
        for text in ["8080:127.0.0.1:9000/http2", "8080:127.0.0.1:9000/", "8080:127.0.0.1:9000/h2c/"] {
            let refused = parse_inbound(text).unwrap_err();
            assert!(refused.contains("`http1`, `h2c`, `grpc`"), "{refused}");
        }
        assert!(parse_inbound("8080/h2c").unwrap_err().contains("PORT:ADDRESS:PORT"));
    }

    #[test]
    fn where_it_listens_and_where_it_is_reached_may_differ() {
        let inbound = |inbound: &str, address: Option<&str>| {
            let address = address.map(reached);
            let inbound = parse_inbound(inbound).unwrap().at(address)?;
            Ok::<_, String>((inbound.listen.to_string(), inbound.advertised.to_string()))
        };
        let both = |one: &str, other: &str| Ok((one.to_owned(), other.to_owned()));
        let local = "80:127.0.0.1:9000";
        assert_eq!(inbound(local, None), both("127.0.0.1:80", "127.0.0.1:80"));
        assert_eq!(inbound(local, Some("10.0.0.7:8080")), both("10.0.0.7:80", "10.0.0.7:8080"));
        let all = "0.0.0.0:80:127.0.0.1:9000";
        assert_eq!(inbound(all, Some("[2001:db8::7]:8080")), both("0.0.0.0:80", "[2001:db8::7]:8080"));
        assert_eq!(inbound("10.0.0.7:80:127.0.0.1:9", None), both("10.0.0.7:80", "10.0.0.7:80"));
        assert!(inbound(all, None).unwrap_err().contains("--address"));
        assert!(inbound(all, Some("0.0.0.0")).is_err());
    }

    #[tokio::test]
    async fn a_host_has_an_address_or_a_name() {
        let name = |name: &str, port| Ok(AddressOption { host: Host::Name(name.to_owned()), port });
        assert_eq!(parse_address("vm-7.example"), name("vm-7.example", None));
        assert_eq!(parse_address("localhost:8080"), name("localhost", Some(8080)));
        for text in
            ["10.0.0.7:0", "host:0", "host:http", "a b", "", ".", "-a", "a..b", "300.1.2.3", "https://host"]
        {
            assert!(parse_address(text).unwrap_err().contains("HOST:PORT"), "{text}");
        }
        let localhost = parse_address("localhost:81").unwrap().resolved().await.unwrap();
        assert!(localhost.address.is_loopback() && localhost.port == Some(81), "{localhost:?}");
        let nowhere = parse_address("nowhere.invalid").unwrap().resolved().await.unwrap_err();
        assert!(nowhere.starts_with("the name `nowhere.invalid` has no address"), "{nowhere}");
    }

    #[tokio::test]
    async fn the_control_plane_is_a_host_and_a_port() {
        let url = |url: &str| Ok(url.to_owned());
        assert_eq!(parse_control_plane("control.example:5680"), url("https://control.example:5680"));
        assert_eq!(parse_control_plane("https://10.0.0.1:5680/"), url("https://10.0.0.1:5680"));
        assert_eq!(parse_control_plane("[::1]:5680"), url("https://[::1]:5680"));
        for text in ["http://a:1", "", "a:b", "https://a/v1", "https://me@a", "https://a?b"] {
            assert!(parse_control_plane(text).unwrap_err().contains("HOST:PORT"), "{text}");
        }
        assert_eq!(address_towards("https://127.0.0.1:5680").await, Ok(Ipv4Addr::LOCALHOST.into()));
        assert!(address_towards("https://nowhere.invalid:1").await.is_err());
    }

    #[test]
    fn probes_are_taken_where_the_service_is_offered_or_elsewhere() {
        let inbound = parse_inbound("10.0.0.7:8080:127.0.0.1:9000").unwrap().at(None).unwrap();
        let probes = |text: &str| parse_probes(text).map(|probes| probes.beside(inbound).probes);
        assert_eq!(probes("8081"), Ok(Some("10.0.0.7:8081".parse().unwrap())));
        assert_eq!(probes("[::1]:8081"), Ok(Some("[::1]:8081".parse().unwrap())));
        for text in ["", "0", "70000", "10.0.0.7", "10.0.0.7:0", "host:8081"] {
            assert!(probes(text).unwrap_err().contains("PORT"), "{text}");
        }
    }

    #[test]
    fn a_wrong_inbound_is_answered_with_the_right_form() {
        for text in ["", "8080", "8080:9000", "8080:localhost:9000", "99999:127.0.0.1:9000", "a:b:c:d", ":::"]
        {
            assert!(parse_inbound(text).unwrap_err().contains("PORT:ADDRESS:PORT"), "{text}");
        }
        assert!(parse_inbound("0:127.0.0.1:9000").unwrap_err().contains("port 0"));
    }

    #[test]
    fn an_outbound_names_a_service_and_where_it_is_reached() {
        let outbound = parse_outbound("shop/cart@127.0.0.1:7001").unwrap();
        assert_eq!((outbound.service.name.as_str(), outbound.listen.port()), ("cart", 7001));
        for text in ["shop/cart", "cart@127.0.0.1:1", "shop/cart@7001", "shop/cart@127.0.0.1:0", "@", ""] {
            parse_outbound(text).unwrap_err();
        }
    }

    #[test]
    fn labels_are_read_strictly() {
        assert_eq!(parse_label("version=v2").unwrap(), ("version".into(), "v2".into()));
        assert!(parse_label("=v2").is_err() && parse_label("version").is_err());
    }

    #[test]
    fn replicas_on_one_host_have_different_names() {
        let outbound = parse_outbound("shop/cart@127.0.0.1:7001").unwrap();
        assert_eq!(default_instance("web-1.example.com", Some(8080), &[]), "web-1-8080");
        assert_eq!(default_instance("web_1", None, std::slice::from_ref(&outbound)), "web-1-7001");
        assert_eq!(default_instance("", None, &[]), "replica");
        assert!(is_name(&default_instance(&"x".repeat(300), Some(65535), &[])));
    }
}
