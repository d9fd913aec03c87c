//! Operator commands, one for each resource of the REST API.

mod access;
mod audit;
mod evidence;
mod keys;
mod trust;
mod watch;
mod webhooks;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use armour_api::{Event, Page, Role};
use armour_client::Client;
use clap::{Args, Subcommand, ValueEnum};
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    dev::DevEnvironment,
    output::Output,
    profile::{self, Profile},
};

/// Which control plane, as whom, and how answers are printed.
#[derive(Debug, Clone, Args)]
pub struct Access {
    /// A profile of `armour profiles`; the default one if absent.
    #[arg(long, short, env = "ARMOUR_PROFILE", global = true)]
    profile: Option<String>,
    /// The control plane; the profile's, or that of `armour dev`, if absent.
    #[arg(long, env = "ARMOUR_SERVER", global = true)]
    server: Option<String>,
    /// File of the API token; the profile's, or that of `armour dev`, if absent.
    #[arg(long, env = "ARMOUR_TOKEN_FILE", global = true)]
    token_file: Option<PathBuf>,
    /// PEM file of certificates that are trusted besides the system's authorities.
    #[arg(long, env = "ARMOUR_CA_FILE", global = true)]
    ca_file: Option<PathBuf>,
    /// How answers are printed; as tables if neither this nor the profile says.
    #[arg(long, short, value_enum, global = true)]
    output: Option<Output>,
}

/// Whose token is used where `armour dev` is asked: it keeps both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// The tenant's operator.
    Operator,
    /// The platform's administrator.
    Platform,
}

/// Commands on resources.
#[derive(Debug, Subcommand)]
pub enum Resource {
    /// Customers of the service; needs the platform's token.
    #[command(subcommand)]
    Tenants(Tenants),
    /// API tokens of programs and people.
    #[command(subcommand)]
    ApiTokens(access::ApiTokens),
    /// OpenID providers that the tenant trusts.
    #[command(subcommand)]
    Issuers(access::Issuers),
    /// People's sessions.
    #[command(subcommand)]
    Sessions(access::Sessions),
    /// Who the token makes you.
    Whoami,
    /// How much the tenant may have and ask.
    Quotas,
    /// Receivers that are told of events.
    #[command(subcommand)]
    Webhooks(webhooks::Webhooks),
    /// The service's own keys; needs the platform's token.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Those that serve an API.
    #[command(subcommand)]
    Producers(Parties),
    /// Those that call it.
    #[command(subcommand)]
    Consumers(Parties),
    /// One consumer and one producer.
    #[command(subcommand)]
    Pairs(Pairs),
    /// One-use tokens by which agents enrol.
    #[command(subcommand)]
    EnrolmentTokens(EnrolmentTokens),
    /// Enrolled agents.
    #[command(subcommand)]
    Endpoints(Endpoints),
    /// All tickets under one minted secret.
    #[command(subcommand)]
    Bundles(Bundles),
    /// Proofs that somebody else held a consumer's state, latest first.
    Collisions {
        /// Show this one alone.
        id: Option<Uuid>,
    },
    /// The tenant at a glance.
    Overview,
    /// The service itself; needs the platform's token.
    #[command(subcommand)]
    Platform(watch::Platform),
    /// The evidence of a collision, for third parties.
    #[command(subcommand)]
    Evidence(evidence::Evidence),
    /// Who did what, and the proof that nobody changed it since.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// What happens, as it happens.
    Events {
        /// Begin after the event of this number.
        #[arg(long)]
        after: Option<i64>,
    },
    /// Whether the control plane can serve.
    Health {
        /// Only whether it is alive.
        #[arg(long)]
        live: bool,
    },
}

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
pub enum Tenants {
    /// Create a tenant; prints its first operator token.
    Create { name: String },
    /// List tenants.
    List,
    /// Show a tenant.
    Get { id: Uuid },
    /// Delete a tenant for good: its keys are shredded.
    Delete {
        id: Uuid,
        /// The tenant's name, so that it is not another one's id.
        #[arg(long)]
        confirm: String,
    },
    /// After the database was restored to an earlier state: end what may have been
    /// used since, so that no spent ticket is taken again. Endpoints go on by themselves.
    Fence {
        /// The tenant; all of them if absent.
        id: Option<Uuid>,
        /// Kept in the audit logs.
        #[arg(long)]
        reason: String,
    },
    /// Show how much a tenant may have and ask, or change it.
    Quotas {
        id: Uuid,
        /// Changes as JSON; fields left out keep their values.
        #[arg(long)]
        set: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
pub enum Parties {
    /// Register one.
    Create { name: String },
    /// List them.
    List,
    /// Show one.
    Get { id: Uuid },
}

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
pub enum Pairs {
    /// Pair a consumer with a producer.
    Create {
        #[arg(long)]
        consumer: Uuid,
        #[arg(long)]
        producer: Uuid,
        /// Policy as JSON; fields left out have their defaults.
        #[arg(long, default_value = "{}")]
        policy: String,
    },
    /// List pairs.
    List,
    /// Show a pair with its policy.
    Get { id: Uuid },
    /// Replace a pair's policy; endpoints follow it from their next bundle on.
    Policy {
        id: Uuid,
        /// Policy as JSON; fields left out keep their values.
        policy: String,
    },
    /// Disconnect a pair and all of its bundles.
    Disconnect {
        id: Uuid,
        #[arg(long)]
        reason: String,
    },
    /// Let a disconnected pair draw a newly minted bundle.
    ReArm {
        id: Uuid,
        #[arg(long)]
        reason: String,
    },
}

/// Which side a token is for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Side {
    /// The caller's.
    Consumer,
    /// The API's.
    Producer,
}

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
pub enum EnrolmentTokens {
    /// Create a token; it is shown this once.
    Create {
        #[arg(long, value_enum)]
        role: Side,
        /// The producer's or consumer's id.
        #[arg(long)]
        party: Uuid,
        /// Seconds until it expires, 60 to 604800.
        #[arg(long, default_value_t = 3600)]
        expires_in: u32,
    },
    /// List tokens, without their secrets.
    List,
}

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
pub enum Endpoints {
    /// List endpoints.
    List,
    /// Show an endpoint.
    Get { id: Uuid },
    /// Revoke an endpoint and disconnect its bundles.
    Revoke {
        id: Uuid,
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
pub enum Bundles {
    /// List bundles.
    List {
        /// Of this pair only.
        #[arg(long)]
        pair: Option<Uuid>,
    },
    /// Show a bundle.
    Get { id: Uuid },
    /// The ledger's lane heads.
    Lanes { id: Uuid },
    /// The latest tickets of a lane, latest first.
    Tickets {
        id: Uuid,
        #[arg(long)]
        lane: u32,
    },
    /// When endpoints obeyed its disconnect.
    Obediences { id: Uuid },
    /// Disconnect a bundle.
    Disconnect {
        id: Uuid,
        #[arg(long)]
        reason: String,
    },
}

/// Runs a command.
///
/// # Errors
/// If the control plane refuses or cannot be reached.
pub async fn run(data: &Path, access: &Access, resource: Resource) -> anyhow::Result<()> {
    // What is checked offline needs neither a server nor a token.
    let resource = match resource {
        Resource::Audit(audit::Audit::Verify(verify)) => return verify.run(access.output()?),
        Resource::Evidence(evidence::Evidence::Verify(verify)) => {
            return verify.run(access.output()?);
        }
        other => other,
    };
    let role = match resource {
        Resource::Tenants(_) | Resource::Keys(_) | Resource::Platform(_) => As::Platform,
        _ => As::Operator,
    };
    let call = Call {
        client: access.client(data, role)?,
        output: access.output()?,
    };
    call.run(resource).await
}

impl Access {
    /// The address of the control plane.
    ///
    /// # Errors
    /// If neither options nor a profile nor `armour dev` say it.
    pub fn server(&self, data: &Path) -> anyhow::Result<String> {
        let server = match (&self.server, self.profile()?) {
            (Some(server), _) => server.clone(),
            (None, Some(profile)) => profile.server,
            (None, None) => {
                DevEnvironment::read(data)
                    .context("give the control plane with --server or --profile")?
                    .control_plane
            }
        };
        Ok(server.trim_end_matches('/').to_owned())
    }

    /// A client with the operator's token, or the platform's.
    ///
    /// # Errors
    /// If neither options nor a profile nor `armour dev` say where it is.
    pub fn client(&self, data: &Path, role: As) -> anyhow::Result<Client> {
        let server = self.server(data)?;
        let profile = self.profile()?.and_then(|profile| profile.token_file);
        let file = self.token_file.clone().or(profile);
        let file = file.unwrap_or_else(|| {
            data.join(match role {
                As::Platform => "platform-token",
                As::Operator => "operator-token",
            })
        });
        let token = std::fs::read_to_string(&file)
            .with_context(|| format!("{}: give a token with --token-file", file.display()))?;
        let authorities = self.authorities()?;
        Ok(Client::trusting(
            &server,
            token.trim(),
            authorities.as_deref(),
        )?)
    }

    /// A client without credentials, to be built.
    ///
    /// # Errors
    /// If the authorities' file cannot be used.
    pub fn http(&self) -> anyhow::Result<reqwest::ClientBuilder> {
        let builder = reqwest::Client::builder();
        Ok(match self.authorities()? {
            Some(pem) => builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem)?),
            None => builder,
        })
    }

    /// How answers are printed.
    ///
    /// # Errors
    /// If the profile cannot be read.
    pub fn output(&self) -> anyhow::Result<Output> {
        if let Some(output) = self.output {
            return Ok(output);
        }
        let profile = self.profile()?.and_then(|profile| profile.output);
        Ok(profile.unwrap_or(Output::Table))
    }

    fn authorities(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let profile = self.profile()?.and_then(|profile| profile.ca_file);
        let Some(file) = self.ca_file.clone().or(profile) else {
            return Ok(None);
        };
        let pem = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(Some(pem))
    }

    fn profile(&self) -> anyhow::Result<Option<Profile>> {
        profile::named(self.profile.as_deref())
    }
}

struct Call {
    client: Client,
    output: Output,
}

impl Call {
    async fn run(&self, resource: Resource) -> anyhow::Result<()> {
        match resource {
            Resource::Tenants(command) => self.tenants(command).await,
            Resource::ApiTokens(command) => self.api_tokens(command).await,
            Resource::Issuers(command) => self.issuers(command).await,
            Resource::Sessions(command) => self.sessions(command).await,
            Resource::Whoami => self.get("/v1/whoami").await,
            Resource::Quotas => self.get("/v1/quotas").await,
            Resource::Webhooks(command) => self.webhooks(command).await,
            Resource::Keys(command) => self.keys(command).await,
            Resource::Producers(command) => self.parties("/v1/producers", command).await,
            Resource::Consumers(command) => self.parties("/v1/consumers", command).await,
            Resource::Pairs(command) => self.pairs(command).await,
            Resource::EnrolmentTokens(command) => self.enrolment_tokens(command).await,
            Resource::Endpoints(command) => match command {
                Endpoints::List => {
                    let columns = ["id", "role", "name", "state", "address", "last_seen_at"];
                    self.list("/v1/endpoints", &columns).await
                }
                Endpoints::Get { id } => self.get(&format!("/v1/endpoints/{id}")).await,
                Endpoints::Revoke { id, reason } => {
                    self.post(
                        &format!("/v1/endpoints/{id}/revoke"),
                        json!({ "reason": reason }),
                    )
                    .await
                }
            },
            Resource::Bundles(command) => self.bundles(command).await,
            Resource::Overview => self.get("/v1/overview").await,
            Resource::Platform(command) => self.platform(command).await,
            Resource::Collisions { id: Some(id) } => {
                self.get(&format!("/v1/collisions/{id}")).await
            }
            Resource::Collisions { id: None } => {
                let columns = [
                    "detected_at",
                    "kind",
                    "bundle_id",
                    "lane",
                    "n",
                    "reporter_id",
                ];
                self.list("/v1/collisions", &columns).await
            }
            Resource::Evidence(command) => self.evidence(command).await,
            Resource::Audit(command) => self.audit(command).await,
            Resource::Events { after } => self.events(after).await,
            Resource::Health { live: true } => self.get("/v1/health").await,
            Resource::Health { live: false } => self.get("/v1/health/ready").await,
        }
    }

    async fn tenants(&self, command: Tenants) -> anyhow::Result<()> {
        match command {
            Tenants::Create { name } => self.post("/v1/tenants", json!({ "name": name })).await,
            Tenants::List => {
                let columns = ["id", "name", "created_at", "deleted_at"];
                self.list("/v1/tenants", &columns).await
            }
            Tenants::Get { id } => self.get(&format!("/v1/tenants/{id}")).await,
            Tenants::Delete { id, confirm } => {
                let path = format!("/v1/tenants/{id}");
                let tenant: armour_api::Tenant = self.client.get(&path).await?;
                if tenant.name != confirm {
                    bail!("the tenant {id} is called {:?}", tenant.name);
                }
                self.delete(&path, json!({ "id": id, "deleted": true }))
                    .await
            }
            Tenants::Fence { id, reason } => self.fence(id, &reason).await,
            Tenants::Quotas { id, set } => {
                let path = format!("/v1/tenants/{id}/quotas");
                let Some(changes) = set else {
                    return self.get(&path).await;
                };
                self.change(&path, &path, &changes).await
            }
        }
    }

    /// Fences one tenant or all, as often as it takes.
    async fn fence(&self, id: Option<Uuid>, reason: &str) -> anyhow::Result<()> {
        let tenants: Vec<Uuid> = match id {
            Some(id) => vec![id],
            None => {
                let found = Value::Array(self.all("/v1/tenants").await?);
                let found: Vec<armour_api::Tenant> = serde_json::from_value(found)?;
                let live = found.iter().filter(|tenant| tenant.deleted_at.is_none());
                live.map(|tenant| tenant.id).collect()
            }
        };
        let bar = indicatif::ProgressBar::new(tenants.len() as u64);
        for id in &tenants {
            let path = format!("/v1/tenants/{id}/fence");
            let body = json!({ "reason": reason });
            let _: Value = self.client.post(&path, &body).await?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.show(&json!({ "fenced": tenants.len() }))
    }

    async fn parties(&self, path: &str, command: Parties) -> anyhow::Result<()> {
        match command {
            Parties::Create { name } => self.post(path, json!({ "name": name })).await,
            Parties::List => self.list(path, &["id", "name", "created_at"]).await,
            Parties::Get { id } => self.get(&format!("{path}/{id}")).await,
        }
    }

    async fn pairs(&self, command: Pairs) -> anyhow::Result<()> {
        match command {
            Pairs::Create {
                consumer,
                producer,
                policy,
            } => {
                let policy: Value = serde_json::from_str(&policy).context("--policy")?;
                let new = json!({
                    "consumer_id": consumer, "producer_id": producer, "policy": policy,
                });
                self.post("/v1/pairs", new).await
            }
            Pairs::List => {
                let columns = [
                    "id",
                    "consumer_name",
                    "producer_name",
                    "state",
                    "created_at",
                ];
                self.list("/v1/pairs", &columns).await
            }
            Pairs::Get { id } => self.get(&format!("/v1/pairs/{id}")).await,
            Pairs::Policy { id, policy } => {
                let path = format!("/v1/pairs/{id}");
                let pair: armour_api::Pair = self.client.get(&path).await?;
                let now = serde_json::to_value(pair.policy)?;
                self.replace(&format!("{path}/policy"), now, &policy).await
            }
            Pairs::Disconnect { id, reason } => {
                let path = format!("/v1/pairs/{id}/disconnect");
                self.post(&path, json!({ "reason": reason })).await
            }
            Pairs::ReArm { id, reason } => self.show(&serde_json::to_value(
                self.client.re_arm(id, &reason).await?,
            )?),
        }
    }

    async fn enrolment_tokens(&self, command: EnrolmentTokens) -> anyhow::Result<()> {
        match command {
            EnrolmentTokens::Create {
                role,
                party,
                expires_in,
            } => {
                let role = match role {
                    Side::Consumer => Role::Consumer,
                    Side::Producer => Role::Producer,
                };
                let new = json!({ "role": role, "party_id": party, "expires_in_s": expires_in });
                self.post("/v1/enrolment-tokens", new).await
            }
            EnrolmentTokens::List => {
                let columns = ["id", "role", "party_id", "expires_at", "used_at"];
                self.list("/v1/enrolment-tokens", &columns).await
            }
        }
    }

    async fn bundles(&self, command: Bundles) -> anyhow::Result<()> {
        match command {
            Bundles::List { pair } => {
                let columns = ["id", "pair_id", "state", "suite", "exchanges", "created_at"];
                let path = match pair {
                    Some(pair) => format!("/v1/bundles?pair_id={pair}"),
                    None => "/v1/bundles".to_owned(),
                };
                self.list(&path, &columns).await
            }
            Bundles::Get { id } => self.get(&format!("/v1/bundles/{id}")).await,
            Bundles::Lanes { id } => {
                let lanes: Value = self.client.get(&format!("/v1/bundles/{id}/lanes")).await?;
                self.output.print(&lanes, &["lane", "n", "hash"])
            }
            Bundles::Tickets { id, lane } => {
                let path = format!("/v1/bundles/{id}/tickets?lane={lane}");
                let tickets: Page<Value> = self.client.get(&path).await?;
                let columns = [
                    "n",
                    "recorded_at",
                    "consumer_reported",
                    "producer_reported",
                    "hash",
                ];
                self.output.print(&Value::Array(tickets.items), &columns)
            }
            Bundles::Obediences { id } => {
                let path = format!("/v1/bundles/{id}/obediences");
                let obediences: Value = self.client.get(&path).await?;
                self.output
                    .print(&obediences, &["endpoint_id", "obeyed_at"])
            }
            Bundles::Disconnect { id, reason } => {
                let path = format!("/v1/bundles/{id}/disconnect");
                self.post(&path, json!({ "reason": reason })).await
            }
        }
    }

    /// Follows events until the stream is closed from here; after a break it
    /// goes on where it was.
    async fn events(&self, mut after: Option<i64>) -> anyhow::Result<()> {
        loop {
            let events = self.client.events("/v1/events", after).await?;
            futures::pin_mut!(events);
            while let Some(event) = events.next().await {
                after = Some(event.seq);
                self.event(&event)?;
            }
            eprintln!("the stream was cut; going on after event {after:?}");
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }

    fn event(&self, event: &Event) -> anyhow::Result<()> {
        match self.output {
            Output::Json => println!("{}", serde_json::to_string(event)?),
            Output::Table => println!(
                "{:>6}  {}  {:24} {}",
                event.seq,
                event.created_at.format("%H:%M:%S%.3f"),
                event.kind,
                event.detail
            ),
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> anyhow::Result<()> {
        self.show(&self.client.get(path).await?)
    }

    async fn post(&self, path: &str, body: Value) -> anyhow::Result<()> {
        self.show(&self.client.post(path, &body).await?)
    }

    async fn delete(&self, path: &str, said: Value) -> anyhow::Result<()> {
        self.client.send(Method::DELETE, path, None::<&()>).await?;
        self.show(&said)
    }

    /// Reads an object, changes fields of it, and puts it back.
    async fn change(&self, read: &str, write: &str, changes: &str) -> anyhow::Result<()> {
        let now: Value = self.client.get(read).await?;
        self.replace(write, now, changes).await
    }

    async fn replace(&self, path: &str, mut now: Value, changes: &str) -> anyhow::Result<()> {
        let changes: Value = serde_json::from_str(changes).context("the changes are not JSON")?;
        match (&mut now, changes) {
            (Value::Object(now), Value::Object(changes)) => now.extend(changes),
            _ => bail!("the changes must be a JSON object"),
        }
        let answer = self.client.send(Method::PUT, path, Some(&now)).await?;
        self.show(&answer.json().await?)
    }

    async fn list(&self, path: &str, columns: &[&str]) -> anyhow::Result<()> {
        let rows = self.all(path).await?;
        self.output.print(&Value::Array(rows), columns)
    }

    /// Reads every page.
    async fn all(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = match &cursor {
                Some(cursor) => format!("{path}{sign}cursor={cursor}"),
                None => path.to_owned(),
            };
            let page: Page<Value> = self.client.get(&page).await?;
            rows.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(rows);
            }
        }
    }

    fn show(&self, value: &Value) -> anyhow::Result<()> {
        self.output.print(value, &[])
    }
}
