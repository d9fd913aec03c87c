//! A ledger that holds many live bundles, written past the API: drawing a million of
//! them would take hours.

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;
use armour_cli::servers::postgres::Postgres;
use uuid::Uuid;

use crate::reporter::Reporter;

/// Rows of one file.
const CHUNK: usize = 50_000;

/// Has the reporters hold so many bundles together, each with a lane of one exchange.
pub async fn fill(
    at: &Path,
    postgres: &Postgres,
    reporters: &mut [Reporter],
    count: usize,
) -> anyhow::Result<()> {
    let some = reporters.first().context("no reporter")?;
    let tenant = tenant(postgres, some.endpoint).await?;
    // An endpoint holds one active bundle of a pair, so each has a pair of its own;
    // pairs differ in their consumer or their producer.
    let side = (count as f64).sqrt().ceil() as usize;
    let parties = |kind: &str| {
        format!(
            "INSERT INTO parties (tenant_id, party_id, role, name)
             SELECT '{tenant}', gen_random_uuid(), '{kind}', '{count} {kind} ' || i
             FROM generate_series(1, {side}) i;"
        )
    };
    let pairs = format!(
        "BEGIN; {} {}
         INSERT INTO pairs (tenant_id, pair_id, consumer_id, producer_id, policy)
         SELECT '{tenant}', gen_random_uuid(), c.party_id, p.party_id, sample.policy
         FROM parties c, parties p, pairs sample
         WHERE c.tenant_id = '{tenant}' AND p.tenant_id = '{tenant}'
           AND c.name LIKE '{count} consumer %' AND p.name LIKE '{count} producer %'
           AND sample.tenant_id = '{tenant}' AND sample.pair_id = '{}'
         LIMIT {count};
         CREATE UNLOGGED TABLE drawn (n serial, bundle uuid, pair uuid, sample uuid,
                                      context bytea, ticket bytea, receipt bytea); COMMIT",
        parties("consumer"),
        parties("producer"),
        some.pair
    );
    postgres.sql_in("armour", &pairs).await?;
    let fresh = format!(
        "SELECT pair_id FROM pairs JOIN parties ON party_id = consumer_id
         WHERE name LIKE '{count} consumer %'"
    );
    let pairs = postgres.sql_in("armour", &fresh).await?;
    let pairs: Vec<Uuid> = pairs
        .lines()
        .map(|line| line.trim().parse())
        .collect::<Result<_, _>>()?;
    let each = count / reporters.len();
    for (reporter, pairs) in reporters.iter_mut().zip(pairs.chunks(each)) {
        let sample = reporter.bundle();
        for pairs in reporter.set_pairs(pairs)?.chunks(CHUNK) {
            let mut text = String::new();
            for (context, run) in pairs {
                let bound = context.binding();
                let (bundle, pair) = (Uuid::from_bytes(bound.bundle), Uuid::from_bytes(bound.pair));
                let (ticket, receipt) = run.heads(context).context("an exchange")?;
                writeln!(
                    text,
                    "{bundle}\t{pair}\t{sample}\t\\\\x{}\t\\\\x{}\t\\\\x{}",
                    hex::encode(context.hash()),
                    hex::encode(ticket.to_bytes()),
                    hex::encode(receipt.to_bytes())
                )?;
            }
            let file = at.join("bundles.tsv");
            std::fs::write(&file, text)?;
            let copy = format!(
                "\\copy drawn (bundle, pair, sample, context, ticket, receipt) FROM '{}'",
                file.display()
            );
            postgres.sql_in("armour", &copy).await?;
            std::fs::remove_file(&file)?;
        }
    }
    let bundles = format!(
        "BEGIN;
         INSERT INTO bundles (tenant_id, bundle_id, pair_id, consumer_endpoint_id,
             producer_endpoint_id, suite, draw, policy, policy_hash, context_hash,
             consumer_start, producer_start, consumer_key, producer_key)
         SELECT tenant_id, bundle, pair, consumer_endpoint_id, producer_endpoint_id, suite, 1,
             policy, policy_hash, context, consumer_start, producer_start, consumer_key,
             producer_key
         FROM drawn JOIN bundles ON tenant_id = '{tenant}' AND bundle_id = sample;
         INSERT INTO lanes (tenant_id, bundle_id, lane, last_at, head_n, ticket, receipt,
                            consumer_n, producer_n)
         SELECT '{tenant}', bundle, 0, 1, 0, ticket, receipt, 0, 0 FROM drawn ORDER BY n;
         DROP TABLE drawn; COMMIT"
    );
    postgres.sql_in("armour", &bundles).await?;
    // As autovacuum would have done in the hours that drawing them takes.
    postgres.sql_in("armour", "VACUUM ANALYZE").await?;
    postgres.sql_in("armour", "CHECKPOINT").await?;
    Ok(())
}

async fn tenant(postgres: &Postgres, endpoint: Uuid) -> anyhow::Result<Uuid> {
    let find = format!("SELECT tenant_id FROM endpoints WHERE endpoint_id = '{endpoint}'");
    Ok(postgres.sql_in("armour", &find).await?.trim().parse()?)
}
