//! Where a call comes from.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{Extensions, HeaderMap},
    middleware::Next,
    response::Response,
};
use ipnet::IpNet;

use super::forwarded;

/// Where a call comes from: an IPv4 address, or what one household or host is given of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source([u8; 9]);

/// The header by which proxies tell whom they call for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ClientHeader {
    /// `X-Forwarded-For`, as most proxies send it.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Whom to believe where calls come from.
#[derive(Debug, Clone)]
pub struct TrustedProxies {
    /// The proxies' networks.
    pub networks: Vec<IpNet>,
    /// The header that they write; the other one may be anybody's, passed on as it came.
    pub header: ClientHeader,
}

/// The address that a trusted proxy calls for.
#[derive(Clone, Copy)]
struct Client(IpAddr);

/// Notes whom a call is for, if a trusted proxy passes it on.
pub async fn client(
    State(proxies): State<TrustedProxies>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if let Some(ConnectInfo(peer)) = peer {
        let client = proxies.client(peer.ip(), request.headers());
        request.extensions_mut().insert(Client(client));
    }
    next.run(request).await
}

/// The address that a call was made from, as far as the proxies on its way are believed.
pub fn client_address(extensions: &Extensions) -> Option<IpAddr> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(peer)| peer.ip());
    let client = extensions.get::<Client>().map(|Client(client)| *client);
    client.or(peer).map(|ip| ip.to_canonical())
}

impl Source {
    /// A call's source, from what its connection left; without that all calls have the same.
    pub fn of(extensions: &Extensions) -> Self {
        let mut bytes = [0; 9];
        match client_address(extensions) {
            Some(IpAddr::V4(ip)) => {
                bytes[0] = 4;
                bytes[1..5].copy_from_slice(&ip.octets());
            }
            Some(IpAddr::V6(ip)) => {
                bytes[0] = 6;
                bytes[1..].copy_from_slice(&ip.octets()[..8]);
            }
            None => {}
        }
        Self(bytes)
    }
}

impl TrustedProxies {
    /// The last address on a call's way that is no trusted proxy's: what is before it anybody
    /// could have written.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        for hop in self.hops(headers).iter().rev() {
            if !self.trusts(client) {
                break;
            }
            match address(hop) {
                Some(before) => client = before,
                None => break,
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|net| net.contains(&address))
    }

    /// Whom each proxy on the way called for, the first first.
    fn hops(&self, headers: &HeaderMap) -> Vec<String> {
        let name = match self.header {
            ClientHeader::XForwardedFor => "x-forwarded-for",
            ClientHeader::Forwarded => "forwarded",
        };
        // Several lines are one list (RFC 9110, section 5.3). One that is no text names nobody.
        let lines = headers.get_all(name).iter();
        let lines = lines.map(|line| line.to_str().unwrap_or_default());
        match self.header {
            ClientHeader::XForwardedFor => {
                let hops = lines.flat_map(|line| line.split(','));
                hops.map(str::to_owned).collect()
            }
            ClientHeader::Forwarded => lines.flat_map(forwarded::hops).collect(),
        }
    }
}

/// An address, with or without brackets and a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    text.parse()
        .ok()
        .or_else(|| bare?.parse().ok())
        .or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn found(header: ClientHeader, peer: &str, name: &'static str, lines: &[&str]) -> String {
        let proxies = TrustedProxies {
            networks: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            header,
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_str(line).unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn h3_a_client_is_who_the_last_trusted_proxy_says_that_it_is() {
        let xff = |peer, lines: &[&str]| {
            found(ClientHeader::XForwardedFor, peer, "x-forwarded-for", lines)
        };
        assert_eq!(xff("10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        // What the client itself wrote counts for nothing.
        assert_eq!(xff("10.0.0.1", &["198.51.100.1, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(xff("192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
        assert_eq!(
            xff("10.0.0.1", &["198.51.100.1", "192.0.2.7, 10.0.0.2"]),
            "192.0.2.7"
        );
        assert_eq!(xff("::ffff:10.0.0.1", &["[2001:db8::1]:80"]), "2001:db8::1");
        assert_eq!(xff("10.0.0.1", &["192.0.2.7:4000"]), "192.0.2.7");
        assert_eq!(xff("10.0.0.1", &["192.0.2.7, unknown"]), "10.0.0.1");
        assert_eq!(xff("10.0.0.1", &[]), "10.0.0.1");
        // The other header may be anybody's.
        let other = found(
            ClientHeader::XForwardedFor,
            "10.0.0.1",
            "forwarded",
            &["for=192.0.2.7"],
        );
        assert_eq!(other, "10.0.0.1");
        let forwarded =
            |peer, lines: &[&str]| found(ClientHeader::Forwarded, peer, "forwarded", lines);
        assert_eq!(
            forwarded("fd00::1", &["For=\"[2001:db8::1]:4711\";proto=https"]),
            "2001:db8::1"
        );
        assert_eq!(
            forwarded("fd00::1", &["for=192.0.2.7, for=10.0.0.3;by=x"]),
            "192.0.2.7"
        );
        assert_eq!(
            forwarded("fd00::1", &["for=192.0.2.7, for=_hidden"]),
            "fd00::1"
        );
        assert_eq!(forwarded("fd00::1", &["proto=https"]), "fd00::1");
    }

    #[test]
    fn what_a_client_writes_within_quotes_of_forwarded_names_no_source() {
        let forwarded =
            |lines: &[&str]| found(ClientHeader::Forwarded, "10.0.0.1", "forwarded", lines);
        for line in [
            r#"for=192.0.2.7;host="x,for=198.51.100.1""#,
            r#"for=192.0.2.7;host="x;for=198.51.100.1""#,
            r#"host="for=198.51.100.1, for=\"198.51.100.2\\";for=192.0.2.7"#,
            r#"for="192.0.2.7" ; host=x , for="10.0.0.2:80""#,
            "for=198.51.100.1,for=192.0.2.7;proto=https",
        ] {
            assert_eq!(forwarded(&[line]), "192.0.2.7", "{line}");
        }
        // Where one ends, and so where the next begins, is not told.
        for line in [
            r#"for="198.51.100.1"#,
            r#"for=198.51.100.1;host="x, for=192.0.2.7"#,
            r#"for=198.51.100.1;host=x", for=192.0.2.7"#,
            r#"for="198.51.100.1"x"#,
            "for=198.51.100.1;for=192.0.2.7",
            "for=198.51.100.1;host",
        ] {
            assert_eq!(forwarded(&[line]), "10.0.0.1", "{line}");
            assert_eq!(forwarded(&[line, "for=192.0.2.7"]), "192.0.2.7", "{line}");
        }
    }
}
