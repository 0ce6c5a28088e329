//! Callers: `from …` of a rule.

use super::errors;
use super::rule::NAME_BYTES_MAX;
use super::target::service_ref;
use crate::checked::Peer;
use crate::diagnostic::Findings;
use crate::lex::literal;
use crate::request::IDENTITY_BYTES_MAX;
use crate::syntax::ast::{self, AstNode, PeerKind};
use crate::syntax::{SyntaxToken, SyntaxTree};
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;

/// The peers of a match, of which one must be the caller. `None` if one is wrong.
pub(super) fn check(
    nodes: impl Iterator<Item = ast::Peer>,
    tree: &SyntaxTree,
    diagnostics: &mut Findings,
) -> Option<Vec<Peer>> {
    let nodes: Vec<ast::Peer> = nodes.collect();
    let found: Vec<Option<Peer>> = nodes.iter().map(|node| check_one(node, tree, diagnostics)).collect();
    let peers: Vec<Peer> = found.into_iter().collect::<Option<_>>()?;
    if let Some((node, _)) = nodes.iter().zip(&peers).find(|(_, peer)| **peer == Peer::Anyone)
        && peers.len() > 1
    {
        diagnostics.push(errors::warnings::anyone_beside_others(tree.span(node.range())));
    }
    Some(peers)
}

/// One caller.
pub(super) fn check_one(node: &ast::Peer, tree: &SyntaxTree, diagnostics: &mut Findings) -> Option<Peer> {
    match node.kind()? {
        PeerKind::Service => {
            let reference = node.reference()?;
            let names = [reference.namespace(), reference.name()];
            names.iter().flatten().for_each(|name| check_length(name, tree, diagnostics));
            service_ref(&reference).map(Peer::Service)
        }
        PeerKind::Namespace => {
            let name = node.name()?;
            check_length(&name, tree, diagnostics);
            Some(Peer::Namespace(name.text().to_owned()))
        }
        PeerKind::Ip => network(node.address()?.text()).map(Peer::Ip),
        PeerKind::Spiffe => {
            let token = node.id()?;
            let id = literal::string(token.text());
            if !id.starts_with("spiffe://") || id.len() > IDENTITY_BYTES_MAX {
                diagnostics.push(errors::bad_spiffe_id(tree.span(token.text_range())));
                return None;
            }
            if id.contains('*') {
                diagnostics.push(errors::warnings::pattern_in_identity(tree.span(token.text_range())));
            }
            Some(Peer::Spiffe(id))
        }
        PeerKind::Anyone => Some(Peer::Anyone),
        PeerKind::Jwt => {
            diagnostics.push(errors::later::authentication(tree.span(node.range()), "callers by `jwt`"));
            None
        }
        PeerKind::ApiKey => {
            diagnostics.push(errors::later::authentication(tree.span(node.range()), "callers by `apikey`"));
            None
        }
    }
}

/// A service and its namespace have names that an identity has room for.
pub(super) fn check_length(name: &SyntaxToken, tree: &SyntaxTree, diagnostics: &mut Findings) {
    let bytes = name.text().len();
    if bytes > NAME_BYTES_MAX {
        diagnostics.push(errors::name_too_long(tree.span(name.text_range()), bytes));
    }
}

/// A range, or one address as a range. IPv4-mapped IPv6 addresses are IPv4 addresses. `None` for
/// text that is no address (the lexer has said so) .
pub(super) fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpNet>() {
        Ok(network) => network.trunc(),
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    let mapped = match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => {
            v6.network().to_ipv4_mapped().and_then(|v4| Ipv4Net::new(v4, v6.prefix_len() - 96).ok())
        }
        _ => None,
    };
    Some(mapped.map_or(network, IpNet::V4))
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn a_mapped_range_is_an_ipv4_range() {
        for (text, range) in [
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(text).map(|net| net.to_string()).as_deref(), Some(range), "{text}");
        }
        assert_eq!(network("10.1.2"), None);
    }
}
