//! Calls to addresses that tenants choose (issuers, webhooks): only to public
//! hosts, so that nobody makes the service call what only it can reach.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use ipnet::IpNet;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use thiserror::Error;
use url::{Host, Url};

/// Longest answer that is read, in bytes.
const MAX: usize = 1024 * 1024;

/// Networks that are nobody's on the public Internet (RFC 6890 and its successors
/// in the registries), or lead to such by translation.
const SPECIAL: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// Why a call was not made, or failed.
#[derive(Debug, Error)]
pub enum EgressError {
    /// Not an address that may be called.
    #[error("{0}")]
    Refused(String),
    /// The call failed.
    #[error("{0}")]
    Failed(String),
}

/// Calls to the outside; cheap to clone.
#[derive(Clone)]
pub struct Egress {
    client: Client,
    rules: Arc<Rules>,
}

struct Rules {
    allowed: Vec<IpNet>,
    special: Vec<IpNet>,
}

impl Egress {
    /// Calls to public hosts, and to hosts in these networks.
    ///
    /// # Errors
    /// If no TLS back end can be set up.
    pub fn new(allowed: &[IpNet]) -> anyhow::Result<Self> {
        let special = SPECIAL.iter().map(|net| net.parse());
        let rules = Arc::new(Rules {
            allowed: allowed.to_vec(),
            special: special.collect::<Result<_, _>>()?,
        });
        let client = Client::builder()
            .dns_resolver(Arc::new(Guard(rules.clone())))
            // A redirect is another address that somebody chose.
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(10))
            .user_agent(concat!("armour/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, rules })
    }

    /// Checks an address before it is stored. What a name resolves to is checked
    /// with each call, since it may change.
    ///
    /// # Errors
    /// `Refused`, with why.
    pub fn check(&self, text: &str) -> Result<Url, EgressError> {
        let refused = |why: &str| EgressError::Refused(format!("{why}: {text}"));
        let url = Url::parse(text).map_err(|_| refused("not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(refused(
                "no user, password or fragment is allowed in the URL",
            ));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err(refused("a URL without a host")),
        };
        if address.is_some_and(|address| !self.rules.may(address)) {
            return Err(refused("not a public address"));
        }
        let inside = match (address, url.host_str()) {
            (Some(address), _) => self.rules.is_allowed(address),
            // Loopback by name is as good as by number (RFC 6761, section 6.3).
            (None, Some("localhost")) => self.rules.is_allowed(IpAddr::from([127, 0, 0, 1])),
            _ => false,
        };
        match url.scheme() {
            "https" => Ok(url),
            "http" if inside => Ok(url),
            _ => Err(refused("only https is allowed")),
        }
    }

    /// Sends a request; redirects are answers.
    ///
    /// # Errors
    /// `Refused`, `Failed`.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, EgressError> {
        let (parts, body) = request.into_parts();
        let url = self.check(&parts.uri.to_string())?;
        let mut response = self
            .client
            .request(parts.method, url)
            .headers(parts.headers)
            .body(body)
            .send()
            .await
            .map_err(failed)?;
        let mut answer = http::Response::builder().status(response.status());
        if let Some(headers) = answer.headers_mut() {
            headers.clone_from(response.headers());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX {
                return Err(EgressError::Failed(
                    "the answer is larger than 1 MiB".into(),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        answer
            .body(body)
            .map_err(|error| EgressError::Failed(error.to_string()))
    }
}

impl<'c> AsyncHttpClient<'c> for Egress {
    type Error = EgressError;
    type Future = BoxFuture<'c, Result<HttpResponse, EgressError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

impl Rules {
    fn may(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.is_allowed(address) || !self.special.iter().any(|net| net.contains(&address))
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.iter().any(|net| net.contains(&address))
    }
}

/// Resolves names to addresses that may be called, so that what is checked is
/// what is connected to.
struct Guard(Arc<Rules>);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let may: Vec<SocketAddr> = found.filter(|found| rules.may(found.ip())).collect();
            if may.is_empty() {
                let why = format!("{} has no public address", name.as_str());
                return Err(EgressError::Refused(why).into());
            }
            Ok(Box::new(may.into_iter()) as Addrs)
        })
    }
}

/// The whole chain of causes in one line: the outermost says little.
fn failed(error: reqwest::Error) -> EgressError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    EgressError::Failed(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_hosts_are_called() {
        let egress = Egress::new(&[]).unwrap();
        for url in [
            "https://example.com/hook",
            "https://93.184.215.14/",
            "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
        ] {
            assert!(egress.check(url).is_ok(), "{url}");
        }
        for url in [
            "http://example.com/",
            "ftp://example.com/",
            "https://user:secret@example.com/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://10.0.0.1/",
            "http://localhost/",
            "nothing",
        ] {
            assert!(egress.check(url).is_err(), "{url}");
        }
        let inside = Egress::new(&["127.0.0.0/8".parse().unwrap()]).unwrap();
        assert!(inside.check("http://127.0.0.1:8080/").is_ok());
        assert!(inside.check("http://10.0.0.1/").is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_called() {
        let egress = Egress::new(&[]).unwrap();
        let request = http::Request::get("https://localhost:9/").body(Vec::new());
        let error = egress.send(request.unwrap()).await.unwrap_err().to_string();
        assert!(error.contains("has no public address"), "{error}");
    }
}
