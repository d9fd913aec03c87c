//! The map of endpoints' states, a sparse Merkle tree: what entries of the audit log change in
//! it, and what it proves.

use std::collections::HashMap;

use armour_api::{SignedHead, StateProof};
use armour_transparency::{
    Hash,
    map::{Change, EndpointLeaf, MAX_DEPTH, MapError, MapInMemory, MapNode, MapPath, Place},
    states::to_wire,
};
use uuid::Uuid;

use crate::{
    actor::Actor,
    audit_actions::LogAction,
    decode::{corrupt, fixed, word},
    error::{Result, StorageError},
    log_head::HeadRow,
    tx::Tx,
};

/// How many steps of a path are read first: of a million endpoints one in thousands has more.
const LEVELS: usize = 32;
/// Most nodes that one statement writes.
const CHUNK: usize = 2_000;
/// How often the head is read anew because the log's key was just replaced.
const TRIES: usize = 3;

impl Tx {
    /// The map of the tenant's endpoints' states.
    pub fn endpoint_map(&mut self) -> EndpointMap<'_> {
        EndpointMap(self)
    }
}

/// The map of the tenant's endpoints' states.
pub struct EndpointMap<'a>(&'a mut Tx);

impl EndpointMap<'_> {
    /// The log's latest head, signed anew, and what its map says of those of these endpoints
    /// that it knows.
    ///
    /// # Errors
    /// `NotFound` if there has been no entry; if the log's key cannot be opened, or the log
    /// or its map is not what that key has signed.
    pub async fn latest(&mut self, endpoints: &[Uuid]) -> Result<(SignedHead, Vec<StateProof>)> {
        for _ in 0..TRIES {
            let (row, paths) = match self.read(endpoints, LEVELS).await? {
                (row, Some(paths)) => (row, paths),
                _ => self.read_whole(endpoints).await?,
            };
            let key = self.0.journals().signing_key().await?;
            let head = match row.latest(self.0.tenant, &key.verifying_key()) {
                // Another key may have followed between the two statements.
                Err(StorageError::Corrupt(_)) => continue,
                head => head?,
            };
            if !paths.iter().all(|path| Some(path.root()) == head.map_root) {
                return Err(corrupt("the map's nodes do not lead to its root"));
            }
            let proof = |path: &MapPath| Some(to_wire(path.leaf()?, path.beside()));
            let states = paths.iter().filter_map(proof).collect();
            return Ok((head.to_wire(&head.sign(&key)), states));
        }
        Err(corrupt("the log's key did not sign its head"))
    }

    /// Changes what the map with this root says of an endpoint, under the lock of the
    /// journal's row. Returns the map's new root.
    pub(crate) async fn change(
        &mut self,
        root: Hash,
        endpoint: Uuid,
        change: Change,
    ) -> Result<Hash> {
        let path = match self.path(endpoint, LEVELS).await? {
            Some(path) => path,
            None => self.path(endpoint, MAX_DEPTH).await?.ok_or_else(missing)?,
        };
        if path.root() != root {
            return Err(corrupt("the map's nodes do not lead to its root"));
        }
        let before = path.leaf().cloned();
        let nodes = path.with(change.apply(endpoint, before)).map_err(corrupt)?;
        let root = nodes.first().ok_or_else(missing)?.1.hash;
        self.put(&nodes).await?;
        Ok(root)
    }

    /// Makes the map of a log that has none, of endpoints as they are, with the entry that
    /// says so. Returns whether there was anything to do.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn begin(&mut self) -> Result<bool> {
        let without = sqlx::query_scalar!(
            "SELECT tenant_id FROM journals
             WHERE tenant_id = $1 AND map_root IS NULL FOR UPDATE",
            self.0.tenant
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        if without.is_none() {
            return Ok(false);
        }
        let leaves = self.leaves().await?;
        let endpoints = leaves.len();
        let mut map = MapInMemory::default();
        for leaf in leaves {
            map.set(leaf).map_err(corrupt)?;
        }
        let nodes: Vec<_> = map.nodes().clone().into_iter().collect();
        for nodes in nodes.chunks(CHUNK) {
            self.put(nodes).await?;
        }
        sqlx::query!(
            "UPDATE journals SET map_root = $2 WHERE tenant_id = $1",
            self.0.tenant,
            &map.root()[..]
        )
        .execute(&mut *self.0.inner)
        .await?;
        let action = LogAction::BeginMap { endpoints };
        self.0.audit_log().append(&Actor::Service, action).await?;
        Ok(true)
    }

    /// Endpoints as they are.
    async fn leaves(&mut self) -> Result<Vec<EndpointLeaf>> {
        let rows = sqlx::query!(
            r#"SELECT e.endpoint_id, state, address, sha256(certificate) AS certificate,
                      s.hash AS "start?"
               FROM endpoints e
               LEFT JOIN endpoint_starts s ON s.tenant_id = e.tenant_id
                 AND s.endpoint_id = e.endpoint_id AND s.ended_at IS NULL
               WHERE e.tenant_id = $1"#,
            self.0.tenant
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(EndpointLeaf {
                    endpoint: row.endpoint_id,
                    state: word(&row.state)?,
                    start: row.start.map(fixed).transpose()?,
                    certificate: row.certificate.map(fixed).transpose()?,
                    address: row.address,
                })
            })
            .collect()
    }

    async fn path(&mut self, endpoint: Uuid, levels: usize) -> Result<Option<MapPath>> {
        let (depths, paths) = columns(&MapPath::places(endpoint, levels));
        let rows = sqlx::query_as!(
            NodeRow,
            r#"SELECT n.depth AS "depth?", n.path AS "path?", n.hash AS "hash?", leaf
               FROM UNNEST($2::smallint[], $3::bytea[]) AS asked (depth, path)
               JOIN map_nodes n ON n.tenant_id = $1 AND n.depth = asked.depth
                 AND n.path = asked.path"#,
            self.0.tenant,
            &depths,
            &paths
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let nodes = nodes(rows)?;
        MapPath::follow(endpoint, &nodes, levels).map_err(corrupt)
    }

    async fn read_whole(&mut self, endpoints: &[Uuid]) -> Result<(HeadRow, Vec<MapPath>)> {
        let (row, paths) = self.read(endpoints, MAX_DEPTH).await?;
        Ok((row, paths.ok_or_else(missing)?))
    }

    /// The journal's row and paths in the map, both as one statement sees them; no paths if
    /// one of them goes on below so many steps.
    async fn read(
        &mut self,
        endpoints: &[Uuid],
        levels: usize,
    ) -> Result<(HeadRow, Option<Vec<MapPath>>)> {
        let places: Vec<Place> = endpoints
            .iter()
            .flat_map(|endpoint| MapPath::places(*endpoint, levels))
            .collect();
        let (depths, paths) = columns(&places);
        let mut rows = sqlx::query!(
            r#"SELECT audit_size, frontier, map_root, head_at, head_signature,
                      clock_timestamp() AS "now!",
                      depth AS "depth?", path AS "path?", hash AS "hash?", leaf AS "leaf?"
               FROM journals j
               LEFT JOIN (SELECT n.depth, n.path, hash, leaf
                          FROM UNNEST($2::smallint[], $3::bytea[]) AS asked (depth, path)
                          JOIN map_nodes n ON n.tenant_id = $1 AND n.depth = asked.depth
                            AND n.path = asked.path) AS node ON true
               WHERE j.tenant_id = $1"#,
            self.0.tenant,
            &depths,
            &paths
        )
        .fetch_all(&mut *self.0.inner)
        .await?
        .into_iter()
        .peekable();
        let first = rows.peek().ok_or(StorageError::NotFound)?;
        let head = HeadRow {
            audit_size: first.audit_size,
            frontier: first.frontier.clone(),
            map_root: first.map_root.clone(),
            head_at: first.head_at,
            head_signature: first.head_signature.clone(),
            now: first.now,
        };
        if head.map_root.is_none() {
            return Ok((head, Some(Vec::new())));
        }
        let nodes = nodes(rows.map(|row| NodeRow {
            depth: row.depth,
            path: row.path,
            hash: row.hash,
            leaf: row.leaf,
        }))?;
        let paths: Option<Vec<MapPath>> = endpoints
            .iter()
            .map(|endpoint| MapPath::follow(*endpoint, &nodes, levels).map_err(corrupt))
            .collect::<Result<_>>()?;
        Ok((head, paths))
    }

    async fn put(&mut self, nodes: &[(Place, MapNode)]) -> Result<()> {
        let places: Vec<Place> = nodes.iter().map(|(place, _)| *place).collect();
        let (depths, paths) = columns(&places);
        let hashes: Vec<Vec<u8>> = nodes.iter().map(|(_, node)| node.hash.to_vec()).collect();
        let leaves: Vec<Option<Vec<u8>>> = nodes
            .iter()
            .map(|(_, node)| node.leaf.as_ref().map(EndpointLeaf::to_bytes))
            .collect();
        sqlx::query!(
            "INSERT INTO map_nodes (tenant_id, depth, path, hash, leaf)
             SELECT $1, depth, path, hash, leaf
             FROM UNNEST($2::smallint[], $3::bytea[], $4::bytea[], $5::bytea[])
               AS node (depth, path, hash, leaf)
             ON CONFLICT (tenant_id, depth, path)
             DO UPDATE SET hash = excluded.hash, leaf = excluded.leaf",
            self.0.tenant,
            &depths,
            &paths,
            &hashes,
            &leaves as &[Option<Vec<u8>>]
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}

struct NodeRow {
    depth: Option<i16>,
    path: Option<Vec<u8>>,
    hash: Option<Vec<u8>>,
    leaf: Option<Vec<u8>>,
}

/// Nodes as they were read; rows without one are left out.
fn nodes(rows: impl IntoIterator<Item = NodeRow>) -> Result<HashMap<Place, MapNode>> {
    let mut nodes = HashMap::new();
    for row in rows {
        let (Some(depth), Some(path), Some(hash)) = (row.depth, row.path, row.hash) else {
            continue;
        };
        let mut whole = [0; 32];
        let kept = whole.get_mut(..path.len());
        kept.ok_or_else(|| corrupt("a path of the map"))?
            .copy_from_slice(&path);
        let place = Place {
            depth: usize::try_from(depth).map_err(corrupt)?,
            path: whole,
        };
        let leaf = row.leaf.map(|bytes| EndpointLeaf::from_bytes(&bytes));
        let leaf = leaf.transpose().map_err(corrupt)?;
        let hash = fixed(hash)?;
        if leaf.as_ref().is_some_and(|leaf| leaf.hash() != hash) {
            return Err(corrupt("a leaf of the map has another hash"));
        }
        nodes.insert(place, MapNode { hash, leaf });
    }
    Ok(nodes)
}

/// Places as the table has them.
fn columns(places: &[Place]) -> (Vec<i16>, Vec<Vec<u8>>) {
    let depth = |place: &Place| i16::try_from(place.depth).unwrap_or(i16::MAX);
    let path = |place: &Place| place.path[..place.depth.div_ceil(8)].to_vec();
    (
        places.iter().map(depth).collect(),
        places.iter().map(path).collect(),
    )
}

fn missing() -> StorageError {
    corrupt(MapError::Missing)
}
