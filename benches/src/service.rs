//! A control plane, and endpoints that are no agents.

use std::path::Path;

use armour_ambient::Ambient;
use armour_api::{Enrol, Role};
use armour_client::Client;
use armour_e2e::process::{Process, free_port, program, until};
use armour_protocol::envelope;
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use tokio::process::Command;
use uuid::Uuid;

/// The platform's token.
pub const PLATFORM: &str = "platform-token-of-the-benchmarks";

/// Starts a replica and waits until it serves; where it does.
///
/// # Errors
/// If it does not come up.
pub async fn control_plane(at: &Path, name: &str, url: &str) -> anyhow::Result<(Process, String)> {
    std::fs::write(at.join("master-key"), "5a".repeat(32))?;
    std::fs::write(at.join("platform-token"), PLATFORM)?;
    let port = free_port()?;
    let program = program("armour-control-plane")?;
    let (folder, url) = (at.to_owned(), url.to_owned());
    let process = Process::start("control plane", at.join(name), move || {
        let mut command = Command::new(&program);
        command
            .env("ARMOUR_LISTEN", format!("127.0.0.1:{port}"))
            .env("ARMOUR_DATABASE_URL", &url)
            .env("ARMOUR_MASTER_KEY_FILE", folder.join("master-key"))
            .env("ARMOUR_PLATFORM_TOKEN_FILE", folder.join("platform-token"))
            .env("ARMOUR_MIGRATE", "true")
            .env("ARMOUR_RATE_LIMIT", "1000000")
            .env("ARMOUR_LOG", "warn");
        command
    })?;
    let base = format!("http://127.0.0.1:{port}");
    let client = Client::new(&base, PLATFORM)?;
    until("the control plane", || async {
        client.ready().await.is_ok()
    })
    .await?;
    Ok((process, base))
}

/// An endpoint, enrolled.
pub struct Endpoint {
    /// Its client.
    pub client: Client,
    /// Its id.
    pub id: Uuid,
    /// What it signs with.
    pub key: SigningKey,
}

/// Enrols an endpoint of a party at `base`.
///
/// # Errors
/// If the control plane refuses.
pub async fn enrol(
    base: &str,
    operator: &Client,
    role: Role,
    party: Uuid,
) -> anyhow::Result<Endpoint> {
    let token = operator.create_enrolment_token(role, party).await?;
    let key = SigningKey::generate(&mut rand::rng());
    let (_, kem_key) = envelope::generate(&mut rand::rng());
    let endpoint = Client::new(base, token.token)?
        .enrol(&Enrol {
            name: "bench".into(),
            signing_key: STANDARD.encode(key.verifying_key().as_bytes()),
            kem_key: STANDARD.encode(kem_key),
            address: (role == Role::Producer).then(|| "http://127.0.0.1:9".into()),
            version: "0".into(),
        })
        .await?;
    let client = Client::new(base, "")?.as_endpoint(
        endpoint.tenant_id,
        endpoint.id,
        key.clone(),
        Ambient::system(),
    );
    Ok(Endpoint {
        client,
        id: endpoint.id,
        key,
    })
}
