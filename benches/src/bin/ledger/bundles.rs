//! A ledger that holds many live bundles, written past the API: drawing a million of
//! them would take hours.

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;
use armour_cli::servers::postgres::Postgres;
use uuid::Uuid;

use crate::reporter::Reporter;

/// Rows of one file.
const CHUNK: usize = 50_000;

/// Has the reporters hold so many bundles together, each with a lane of one ticket.
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
         CREATE UNLOGGED TABLE drawn (n serial, bundle uuid, consumer uuid, producer uuid,
                                      head bytea); COMMIT",
        parties("consumer"),
        parties("producer"),
        some.pair
    );
    postgres.sql_in("armour", &pairs).await?;
    let each = count / reporters.len();
    for reporter in reporters.iter_mut() {
        let ids: Vec<Uuid> = (0..each).map(|_| Uuid::now_v7()).collect();
        let heads = reporter.set_bundles(&ids);
        for (ids, heads) in ids.chunks(CHUNK).zip(heads.chunks(CHUNK)) {
            let mut text = String::new();
            for (id, head) in ids.iter().zip(heads) {
                let mut hex = String::with_capacity(2 * head.to_bytes().len());
                for byte in head.to_bytes() {
                    write!(hex, "{byte:02x}")?;
                }
                let (consumer, producer) = (reporter.endpoint, reporter.producer);
                writeln!(text, "{id}\t{consumer}\t{producer}\t\\\\x{hex}")?;
            }
            let file = at.join("bundles.tsv");
            std::fs::write(&file, text)?;
            let copy = format!(
                "\\copy drawn (bundle, consumer, producer, head) FROM '{}'",
                file.display()
            );
            postgres.sql_in("armour", &copy).await?;
            std::fs::remove_file(&file)?;
        }
    }
    let bundles = format!(
        "BEGIN;
         INSERT INTO bundles (tenant_id, bundle_id, pair_id, consumer_endpoint_id,
                              producer_endpoint_id, suite)
         SELECT '{tenant}', bundle, pair_id, consumer, producer, 1
         FROM drawn JOIN (SELECT pair_id, row_number() OVER () n FROM pairs
                          JOIN parties ON party_id = consumer_id
                          WHERE name LIKE '{count} consumer %') numbered USING (n);
         INSERT INTO lanes (tenant_id, bundle_id, lane, head_n, head)
         SELECT '{tenant}', bundle, 0, 0, head FROM drawn ORDER BY n;
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
