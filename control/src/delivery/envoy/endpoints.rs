//! EDS: where the replicas of a service are.

use super::message::{address, resource};
use crate::delivery::snapshot::{Resource, ResourceType};
use crate::policies::filters::attached::mesh_cluster;
use chancery_policy_lang::checked::Destination;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// The endpoints of the mesh cluster of a destination; none is fine.
#[must_use]
pub fn of_destination(destination: &Destination, replicas: &BTreeSet<SocketAddr>) -> Resource {
    let name = mesh_cluster(destination);
    resource(ResourceType::Endpoints, name.clone(), &assignment(name, replicas.iter().copied()))
}

pub(super) fn assignment(
    cluster: String,
    addresses: impl Iterator<Item = SocketAddr>,
) -> ClusterLoadAssignment {
    let endpoints = addresses.map(|replica| LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(address(replica)),
            ..Default::default()
        })),
        ..Default::default()
    });
    let locality = LocalityLbEndpoints { lb_endpoints: endpoints.collect(), ..Default::default() };
    ClusterLoadAssignment { cluster_name: cluster, endpoints: vec![locality], ..Default::default() }
}
