//! Calls to addresses that tenants choose (issuers, webhooks): only to public
//! hosts, so that nobody makes the service call what only it can reach.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use armour_api::Outward;
use futures::future::BoxFuture;
use ipnet::IpNet;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::{
    Certificate, Client, NoProxy, Proxy,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use thiserror::Error;
use url::{Host, Url};
use uuid::Uuid;

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

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Tenants' issuers.
    Issuers,
    /// Receivers of tenants' webhooks.
    Webhooks,
}

/// A network that may be called though it is not public, and for whom: `10.1.0.0/16` for every
/// tenant, or with a tenant's id before it, `<id>=10.1.0.0/16`, for that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedNetwork {
    /// The tenant, if it is not for all of them.
    pub tenant: Option<Uuid>,
    /// The network.
    pub network: IpNet,
}

impl FromStr for AllowedNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tenant, network) = match text.split_once('=') {
            None => (None, text),
            Some((tenant, network)) => {
                let id = Uuid::try_parse(tenant);
                (
                    Some(id.map_err(|_| format!("{tenant} is no tenant's id"))?),
                    network,
                )
            }
        };
        let network = network.parse();
        Ok(Self {
            tenant,
            network: network.map_err(|_| {
                format!("{text} is no network, such as 10.1.0.0/16, nor a tenant's: <id>=<network>")
            })?,
        })
    }
}

/// How calls to the outside are made.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EgressOptions {
    /// Networks that issuers may be in though they are not public, for example 10.1.0.0/16;
    /// only there plain HTTP is allowed. With a tenant's id before it, ID=10.1.0.0/16, for
    /// issuers of that tenant only.
    #[arg(long, env = "ARMOUR_EGRESS_ALLOW_ISSUERS", value_delimiter = ',')]
    pub egress_allow_issuers: Vec<AllowedNetwork>,
    /// As --egress-allow-issuers, for receivers of webhooks.
    #[arg(long, env = "ARMOUR_EGRESS_ALLOW_WEBHOOKS", value_delimiter = ',')]
    pub egress_allow_webhooks: Vec<AllowedNetwork>,
    /// What --egress-allow-issuers and --egress-allow-webhooks are in place of.
    #[arg(long, env = "ARMOUR_EGRESS_ALLOW", hide = true)]
    pub egress_allow: Option<String>,
    /// PEM file of certificates that issuers' and receivers' own may be signed by, besides
    /// those that the system trusts.
    #[arg(long, env = "ARMOUR_EGRESS_CA_FILE")]
    pub egress_ca_file: Option<PathBuf>,
    /// The proxy through which issuers and receivers of webhooks are called over HTTPS.
    #[arg(long, env = "HTTPS_PROXY", hide_env_values = true)]
    pub egress_proxy: Option<String>,
    /// Hosts, domains and networks that are called without it, with commas between.
    #[arg(long, env = "NO_PROXY")]
    pub egress_no_proxy: Option<String>,
    /// Leave it to the proxy to look up the names of those who are called through it: here they
    /// cannot be. It then has to refuse what is not public itself.
    #[arg(long, env = "ARMOUR_EGRESS_PROXY_RESOLVES", requires = "egress_proxy")]
    pub egress_proxy_resolves: bool,
}

/// Calls to the outside, by what is called and for which tenant; cheap to clone.
#[derive(Clone)]
pub struct Egresses(Arc<All>);

struct All {
    of: [ForPurpose; 2],
    outward: Outward,
}

struct ForPurpose {
    of_all: Egress,
    of_some: HashMap<Uuid, Egress>,
}

impl Egresses {
    /// As these options say.
    ///
    /// # Errors
    /// If no TLS back end can be set up, or the certificates' file or the proxy's URL cannot be
    /// used.
    pub fn new(options: &EgressOptions) -> anyhow::Result<Self> {
        if options.egress_allow.is_some() {
            bail!(
                "--egress-allow (ARMOUR_EGRESS_ALLOW) opened networks to issuers and webhooks of \
                 all tenants; say with --egress-allow-issuers and --egress-allow-webhooks which \
                 of them may be called there"
            );
        }
        let way = Way::new(options)?;
        Ok(Self(Arc::new(All {
            of: [
                ForPurpose::new(&options.egress_allow_issuers, &way)?,
                ForPurpose::new(&options.egress_allow_webhooks, &way)?,
            ],
            outward: way.told(options),
        })))
    }

    /// How calls are made, for people.
    pub fn outward(&self) -> &Outward {
        &self.0.outward
    }

    /// Calls for this purpose, of this tenant.
    pub fn of(&self, purpose: Purpose, tenant: Uuid) -> &Egress {
        let [issuers, webhooks] = &self.0.of;
        let of = match purpose {
            Purpose::Issuers => issuers,
            Purpose::Webhooks => webhooks,
        };
        of.of_some.get(&tenant).unwrap_or(&of.of_all)
    }
}

impl ForPurpose {
    fn new(allowed: &[AllowedNetwork], way: &Way) -> anyhow::Result<Self> {
        let of = |tenant: Option<Uuid>| {
            let its = allowed.iter();
            let its = its.filter(|one| one.tenant.is_none() || one.tenant == tenant);
            Egress::new(its.map(|one| one.network).collect(), way)
        };
        let tenants = allowed.iter().filter_map(|one| one.tenant);
        let of_some = tenants.map(|tenant| Ok((tenant, of(Some(tenant))?)));
        Ok(Self {
            of_all: of(None)?,
            of_some: of_some.collect::<anyhow::Result<_>>()?,
        })
    }
}

/// How the outside is reached.
#[derive(Default)]
struct Way {
    roots: Vec<Certificate>,
    proxy: Option<(Proxy, Option<Host<String>>)>,
    /// The proxy, as people may read it.
    named: Option<String>,
    proxy_resolves: bool,
}

impl Way {
    fn new(options: &EgressOptions) -> anyhow::Result<Self> {
        let mut way = Self {
            proxy_resolves: options.egress_proxy_resolves,
            ..Self::default()
        };
        if let Some(file) = &options.egress_ca_file {
            let named = || format!("--egress-ca-file {}", file.display());
            let text = std::fs::read(file).with_context(named)?;
            way.roots = Certificate::from_pem_bundle(&text).with_context(named)?;
            if way.roots.is_empty() {
                bail!("{}: no certificate is in it", named());
            }
        }
        if let Some(text) = options
            .egress_proxy
            .as_deref()
            .filter(|text| !text.is_empty())
        {
            // As others take it: without a scheme it is of HTTP.
            let text = match text.contains("://") {
                true => text.to_owned(),
                false => format!("http://{text}"),
            };
            let url = Url::parse(&text).context("--egress-proxy (HTTPS_PROXY) is no URL")?;
            let host = url.host().map(|host| host.to_owned());
            let named = format!("{}://{}", url.scheme(), authority(&url));
            let proxy = Proxy::https(url).context("--egress-proxy (HTTPS_PROXY)")?;
            let besides = options.egress_no_proxy.as_deref();
            let proxy = proxy.no_proxy(besides.and_then(NoProxy::from_string));
            way.named = Some(named);
            way.proxy = Some((proxy, host));
        }
        Ok(way)
    }

    /// The same for people: without what proves to the proxy who calls.
    fn told(&self, options: &EgressOptions) -> Outward {
        Outward {
            proxy: self.named.clone(),
            no_proxy: options.egress_no_proxy.clone(),
            ca_file: options
                .egress_ca_file
                .as_ref()
                .map(|file| file.display().to_string()),
        }
    }
}

/// Calls to the outside of one purpose and tenant; cheap to clone.
#[derive(Clone)]
pub struct Egress {
    client: Client,
    rules: Arc<Rules>,
}

struct Rules {
    allowed: Vec<IpNet>,
    special: Vec<IpNet>,
    /// The proxy's own name, which the operator chose.
    proxy: Option<String>,
    /// Whether what a name leads to is looked at before a call: a proxy looks for itself.
    looks_first: bool,
}

impl Egress {
    /// Calls to public hosts, and to hosts in these networks.
    fn new(allowed: Vec<IpNet>, way: &Way) -> anyhow::Result<Self> {
        let special = SPECIAL.iter().map(|net| net.parse());
        let proxy = way.proxy.as_ref();
        let proxy_host = proxy.and_then(|(_, host)| match host {
            Some(Host::Domain(name)) => Some(name.clone()),
            _ => None,
        });
        let rules = Arc::new(Rules {
            allowed,
            special: special.collect::<Result<_, _>>()?,
            proxy: proxy_host,
            looks_first: proxy.is_some() && !way.proxy_resolves,
        });
        let mut client = Client::builder()
            .dns_resolver(Arc::new(Guard(rules.clone())))
            // A redirect is another address that somebody chose.
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(10))
            .user_agent(concat!("armour/", env!("CARGO_PKG_VERSION")));
        for root in &way.roots {
            client = client.add_root_certificate(root.clone());
        }
        if let Some((proxy, _)) = proxy {
            client = client.proxy(proxy.clone());
        }
        Ok(Self {
            client: client.build()?,
            rules,
        })
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
        if self.rules.looks_first
            && let Some(Host::Domain(name)) = url.host()
        {
            // All that it leads to: which of them the proxy calls is not known.
            let found = lookup(name).await;
            let found = found.map_err(|error| EgressError::Failed(format!("{name}: {error}")))?;
            if found.is_empty() || !found.iter().all(|found| self.rules.may(found.ip())) {
                let why = format!("{name} has addresses that are not public");
                return Err(EgressError::Refused(why));
            }
        }
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
            let mut found = lookup(name.as_str()).await?;
            if rules.proxy.as_deref() != Some(name.as_str()) {
                found.retain(|found| rules.may(found.ip()));
            }
            if found.is_empty() {
                let why = format!("{} has no public address", name.as_str());
                return Err(EgressError::Refused(why).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

async fn lookup(name: &str) -> std::io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

/// Host and port.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
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

    const TENANT: Uuid = Uuid::from_u128(1);

    fn of(allowed: &[&str], purpose: Purpose, tenant: Uuid) -> Egress {
        let allowed = allowed.iter().map(|text| text.parse().unwrap());
        let options = EgressOptions {
            egress_allow_issuers: allowed.collect(),
            ..EgressOptions::default()
        };
        Egresses::new(&options).unwrap().of(purpose, tenant).clone()
    }

    #[test]
    fn m12_what_is_opened_for_one_issuer_is_opened_to_no_webhook_and_no_other_tenants_issuer() {
        let (own, other) = (format!("{TENANT}=10.1.0.0/16"), Uuid::from_u128(2));
        let allowed = ["10.2.0.0/16", &own];
        let may = |purpose, tenant, url| of(&allowed, purpose, tenant).check(url).is_ok();
        assert!(may(Purpose::Issuers, TENANT, "http://10.1.0.1/"));
        assert!(may(Purpose::Issuers, TENANT, "http://10.2.0.1/"));
        assert!(!may(Purpose::Issuers, other, "https://10.1.0.1/"));
        assert!(may(Purpose::Issuers, other, "http://10.2.0.1/"));
        for tenant in [TENANT, other] {
            for url in ["https://10.1.0.1/", "http://10.2.0.1/"] {
                assert!(!may(Purpose::Webhooks, tenant, url), "{url}");
            }
        }
        for wrong in ["10.1.0.0/33", "shop=10.1.0.0/16", "", "="] {
            assert!(wrong.parse::<AllowedNetwork>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn people_are_told_of_the_proxy_and_not_what_it_is_shown() {
        let options = EgressOptions {
            egress_proxy: Some("http://armour:geheim@proxy.example:3128/".into()),
            egress_no_proxy: Some("example.com".into()),
            ..EgressOptions::default()
        };
        let egresses = Egresses::new(&options).unwrap();
        let told = egresses.outward();
        assert_eq!(told.proxy.as_deref(), Some("http://proxy.example:3128"));
        assert_eq!(told.no_proxy.as_deref(), Some("example.com"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_call_and_answers_nothing_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let egress = of(&["127.0.0.0/8"], Purpose::Issuers, TENANT);
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let request = http::Request::get(url).body(Vec::new());
        let error = egress.send(request.unwrap()).await.unwrap_err().to_string();
        assert!(error.contains("timed out"), "{error}");
    }

    #[test]
    fn m12_the_option_that_opened_networks_to_everything_is_refused_with_what_to_do() {
        let options = EgressOptions {
            egress_allow: Some("10.0.0.0/8".into()),
            ..EgressOptions::default()
        };
        let error = Egresses::new(&options).err().unwrap().to_string();
        assert!(error.contains("--egress-allow-issuers"), "{error}");
    }

    #[test]
    fn only_public_hosts_are_called() {
        let egress = of(&[], Purpose::Issuers, TENANT);
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
        let inside = of(&["127.0.0.0/8"], Purpose::Issuers, TENANT);
        assert!(inside.check("http://127.0.0.1:8080/").is_ok());
        assert!(inside.check("http://10.0.0.1/").is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_called() {
        let egress = of(&[], Purpose::Issuers, TENANT);
        let request = http::Request::get("https://localhost:9/").body(Vec::new());
        let error = egress.send(request.unwrap()).await.unwrap_err().to_string();
        assert!(error.contains("has no public address"), "{error}");
    }
}
