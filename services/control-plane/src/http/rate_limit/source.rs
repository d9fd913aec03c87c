//! Where a call comes from.

use std::net::{IpAddr, SocketAddr};

use axum::{extract::ConnectInfo, http::Extensions};

/// Where a call comes from: an IPv4 address, or what one household or host is given of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source([u8; 9]);

impl Source {
    /// A call's source, from what its connection left; without that all calls have the same.
    pub fn of(extensions: &Extensions) -> Self {
        let mut bytes = [0; 9];
        if let Some(ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() {
            match peer.ip() {
                IpAddr::V4(ip) => {
                    bytes[0] = 4;
                    bytes[1..5].copy_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    bytes[0] = 6;
                    bytes[1..].copy_from_slice(&ip.octets()[..8]);
                }
            }
        }
        Self(bytes)
    }

    /// The same bytes for the same source.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
