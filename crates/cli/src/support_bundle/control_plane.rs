//! What the control plane shows to the tokens that there are.

use std::path::Path;

use armour_api::Page;
use armour_client::{AuditFilter, Call, Client};
use serde::Serialize;
use serde_json::Value;

use super::archive::Archive;
use crate::access::{Access, As};

/// Pairs whose traffic is taken, at most.
const TRAFFIC: usize = 50;
/// Pages of a list that are taken, at most.
const PAGES: usize = 20;
/// Why what is the platform's is not there.
const PLATFORM: &str = "it needs the platform's token";

/// Adds it.
pub async fn collect(archive: &mut Archive, data: &Path, access: &Access, entries: usize) {
    let client = match access.client(data, As::Operator) {
        Ok(client) => client,
        Err(error) => return archive.is_missing("control-plane", &format!("{error:#}")),
    };
    let alive = client.alive().raw().await;
    let is_there = alive.is_ok();
    archive.json("control-plane/alive.json", alive);
    if !is_there {
        // The rest would only wait, too.
        return archive.is_missing("control-plane", "it does not answer");
    }
    archive.json("control-plane/ready.json", client.ready().raw().await);
    let who = client.whoami().raw().await;
    let of_a_tenant = who.is_ok();
    archive.json("control-plane/whoami.json", who);
    if of_a_tenant {
        tenant(archive, &client, entries).await;
    } else {
        archive.is_missing("tenant", "it needs a token of the tenant's");
    }
    system(archive, data, access).await;
}

async fn tenant(archive: &mut Archive, client: &Client, entries: usize) {
    one(archive, "tenant/overview.json", client.overview()).await;
    one(archive, "tenant/quotas.json", client.quotas()).await;
    let pairs = list(|| client.pairs(), PAGES * 100).await;
    let ids: Vec<String> = match &pairs {
        Ok(Value::Array(pairs)) => pairs
            .iter()
            .filter_map(|pair| Some(pair["id"].as_str()?.to_owned()))
            .take(TRAFFIC)
            .collect(),
        _ => Vec::new(),
    };
    archive.json("tenant/pairs.json", pairs);
    archive.json(
        "tenant/endpoints.json",
        list(|| client.endpoints(), PAGES * 100).await,
    );
    archive.json(
        "tenant/collisions.json",
        list(|| client.collisions(), 100).await,
    );
    let all = AuditFilter::default();
    archive.json(
        "tenant/audit.json",
        list(|| client.audit(&all), entries).await,
    );
    one(archive, "tenant/audit-head.json", client.audit_head()).await;
    for id in ids {
        if let Ok(pair) = id.parse() {
            let name = format!("tenant/traffic/{id}.json");
            one(archive, &name, client.pair_traffic(pair)).await;
        }
    }
}

async fn system(archive: &mut Archive, data: &Path, access: &Access) {
    let Ok(client) = access.client(data, As::Platform) else {
        return archive.is_missing("platform/system.json", PLATFORM);
    };
    // Asked for what is the platform's, a tenant's token would be noted down as refused.
    if client.whoami().await.is_ok() {
        return archive.is_missing("platform/system.json", PLATFORM);
    }
    one(archive, "platform/system.json", client.system()).await;
}

async fn one<T, B: Serialize>(archive: &mut Archive, name: &str, call: Call<'_, T, B>) {
    archive.json(name, call.raw().await);
}

/// As much of a list as is wanted, page by page.
async fn list<'c, T>(
    call: impl Fn() -> Call<'c, Page<T>>,
    most: usize,
) -> armour_client::Result<Value> {
    let mut page = call().page_raw().await?;
    let mut items = page.items;
    for _ in 1..PAGES {
        let Some(cursor) = page.next.filter(|_| items.len() < most) else {
            break;
        };
        page = call().page(&cursor).page_raw().await?;
        items.append(&mut page.items);
    }
    items.truncate(most);
    Ok(Value::Array(items))
}
