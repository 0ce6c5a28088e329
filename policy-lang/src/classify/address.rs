//! Classes of an address: the intervals between the bounds of the networks that rules name.

use super::{AttributeClasses, AttributeKind, Builder, ClassId, Members, Mentions, Stop, mention};
use crate::literals::{Atom, Formula};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How an address gets its class: that of the last interval that does not begin behind it.
/// The first interval of each family begins at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressClasses {
    /// Beginnings of IPv4 intervals, ascending.
    pub v4: Vec<(u32, ClassId)>,
    /// Beginnings of IPv6 intervals, ascending.
    pub v6: Vec<(u128, ClassId)>,
}

pub(super) fn classify(predicates: &[Formula], members: &mut Members) -> Result<AttributeClasses, Stop> {
    let mut nets: BTreeSet<IpNet> = BTreeSet::new();
    let mut by_net: Mentions<IpNet> = Mentions::new();
    for (number, formula) in (0..).zip(predicates) {
        formula.atoms(&mut |atom| {
            if let Atom::Net(net) = atom {
                nets.insert(net.trunc());
                mention(&mut by_net, net.trunc(), number);
            }
        });
    }
    let mut builder = Builder::new(predicates, members, |_| false);
    let mut classes = AddressClasses::default();
    for (start, holding) in intervals(&nets, IpAddr::V4(Ipv4Addr::UNSPECIFIED)) {
        let class = interval_class(&mut builder, &by_net, start, &holding)?;
        if let IpAddr::V4(start) = start {
            push(&mut classes.v4, start.to_bits(), class);
        }
    }
    for (start, holding) in intervals(&nets, IpAddr::V6(Ipv6Addr::UNSPECIFIED)) {
        let class = interval_class(&mut builder, &by_net, start, &holding)?;
        if let IpAddr::V6(start) = start {
            push(&mut classes.v6, start.to_bits(), class);
        }
    }
    Ok(builder.finish(AttributeKind::Ip(classes), "elsewhere"))
}

/// Adds an interval unless it goes on with the class of the one before.
fn push<T>(intervals: &mut Vec<(T, ClassId)>, start: T, class: ClassId) {
    if intervals.last().map(|(_, last)| *last) != Some(class) {
        intervals.push((start, class));
    }
}

fn interval_class(
    builder: &mut Builder,
    by_net: &Mentions<IpNet>,
    start: IpAddr,
    holding: &[IpNet],
) -> Result<ClassId, Stop> {
    let candidates: Vec<u32> = holding.iter().filter_map(|net| by_net.get(net)).flatten().copied().collect();
    let true_atoms = holding.iter().map(|net| Atom::Net(*net)).collect();
    builder.class(&candidates, true_atoms, || start.to_string())
}

/// The beginnings of all intervals of one family, each with the networks that hold there.
/// Networks nest or are apart, so those that hold are a stack.
fn intervals(nets: &BTreeSet<IpNet>, first: IpAddr) -> Vec<(IpAddr, Vec<IpNet>)> {
    let mut sorted: Vec<IpNet> =
        nets.iter().copied().filter(|net| net.addr().is_ipv4() == first.is_ipv4()).collect();
    sorted.sort_by_key(|net| (net.network(), net.prefix_len()));
    let mut found = vec![(first, Vec::new())];
    let mut holding: Vec<IpNet> = Vec::new();
    for net in sorted {
        close(&mut holding, &mut found, |top| !top.contains(&net.network()));
        holding.push(net);
        found.push((net.network(), holding.clone()));
    }
    close(&mut holding, &mut found, |_| true);
    // Of several intervals with one beginning, the last is the innermost.
    found.reverse();
    found.dedup_by_key(|(start, _)| *start);
    found.reverse();
    found
}

/// Ends networks from the innermost outwards; behind each, what is left holds.
fn close(holding: &mut Vec<IpNet>, found: &mut Vec<(IpAddr, Vec<IpNet>)>, ends: impl Fn(&IpNet) -> bool) {
    while let Some(top) = holding.last().copied().filter(|top| ends(top)) {
        holding.pop();
        if let Some(behind) = next_address(top.broadcast()) {
            found.push((behind, holding.clone()));
        }
    }
}

fn next_address(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(IpAddr::V4(Ipv4Addr::from_bits(address.to_bits().checked_add(1)?))),
        IpAddr::V6(address) => Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits().checked_add(1)?))),
    }
}
