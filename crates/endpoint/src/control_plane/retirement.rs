//! Bundles that an endpoint gives up, and heads of lanes that are not its own.

use std::time::Duration;

use armour_api::{BundleStatus, LaneHead, Role};
use armour_enclave::{binding::LaneId, ipc::Mark};
use armour_protocol::v2::{
    body::BodyHash,
    enclave::LaneMark,
    identity::body::{Disowned, LinkBody, MAX_ITEMS, RetiredBundle, Retirement},
};
use uuid::Uuid;

use super::{chain::LinkError, session::Session};

/// How long an agent that stops may take to say so.
const LEAVE: Duration = Duration::from_secs(5);
/// Bytes of bundles in one link, if it has more than one: in base64 that stays below 1 MiB, which
/// anything between here and the control plane takes. A bundle of more than 15,000 lanes has a
/// larger link of its own.
const MAX_TOGETHER: usize = 700 << 10;
/// Bytes of a lane's mark in a link, and of a bundle without its marks.
const MARK_LEN: usize = 46;
const BUNDLE_LEN: usize = 20;

impl Session {
    /// Gives up bundles, each with all of its lanes, ascending. With `leaving` this start of
    /// the endpoint ends with them.
    ///
    /// # Errors
    /// [`LinkError`]. What the control plane does not take is only logged.
    pub async fn retire(
        &self,
        bundles: Vec<(Uuid, Vec<Mark>)>,
        leaving: bool,
    ) -> Result<(), LinkError> {
        let mut links = links(bundles);
        if let Some(last) = links.last_mut() {
            last.leaving = leaving;
        } else if leaving {
            links.push(Retirement {
                leaving,
                bundles: Vec::new(),
            });
        }
        for retirement in links {
            let ids: Vec<_> = retirement.bundles.iter().map(|one| one.bundle).collect();
            let items = self.chain.items(LinkBody::Retire(retirement)).await?;
            for (id, item) in ids.into_iter().zip(items) {
                if let Some(problem) = item.problem {
                    tracing::warn!(bundle = %Uuid::from_bytes(id), problem = problem.detail,
                        "a retired bundle is not taken");
                }
            }
        }
        Ok(())
    }

    /// Gives up these bundles, which are all, and this start of the endpoint with them. The
    /// control plane may be away: then it finds out by itself.
    pub async fn leave(&self, bundles: Vec<(Uuid, Vec<Mark>)>) {
        match tokio::time::timeout(LEAVE, self.retire(bundles, true)).await {
            Ok(Ok(())) => tracing::info!("left"),
            Ok(Err(error)) => tracing::warn!(%error, "the control plane was not told"),
            Err(_) => tracing::warn!("the control plane was not told in time"),
        }
    }

    /// Disowns what the ledger's heads of a bundle's lanes hold in this endpoint's name that
    /// it did not sign. That counts only while its lanes are `held`. Returns whether there
    /// was any.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn disown_heads(
        &self,
        status: &BundleStatus,
        held: impl Fn() -> bool,
    ) -> Result<bool, LinkError> {
        let Some(enclave) = &self.enclave else {
            return Ok(false);
        };
        let bundle = status.id.into_bytes();
        let mut disowned = Vec::new();
        for mark in status.lanes.iter().filter_map(mark) {
            let lane = LaneId {
                bundle,
                lane: mark.lane,
            };
            if let Ok(false) = enclave.owns(lane, mark.n, mark.k, mark.hash.0).await
                && held()
            {
                tracing::error!(bundle = %status.id, lane = mark.lane, n = mark.n,
                    "THE LEDGER HOLDS WHAT THIS ENDPOINT NEVER SIGNED");
                disowned.push(match self.identity.role {
                    Role::Consumer => Disowned::Ticket { bundle, mark },
                    Role::Producer => Disowned::Receipt { bundle, mark },
                });
            }
        }
        for some in disowned.chunks(MAX_ITEMS) {
            self.chain.items(LinkBody::Disown(some.to_vec())).await?;
        }
        Ok(!disowned.is_empty())
    }
}

/// As many links as hold these bundles.
fn links(bundles: Vec<(Uuid, Vec<Mark>)>) -> Vec<Retirement> {
    let mut links: Vec<Retirement> = Vec::new();
    let mut bytes = MAX_TOGETHER;
    for (id, marks) in bundles {
        let retired = RetiredBundle {
            bundle: id.into_bytes(),
            lanes: marks.iter().map(lane_mark).collect(),
        };
        let more = BUNDLE_LEN + MARK_LEN * retired.lanes.len();
        bytes += more;
        match links.last_mut() {
            Some(last) if bytes <= MAX_TOGETHER && last.bundles.len() < MAX_ITEMS => {
                last.bundles.push(retired);
            }
            _ => {
                // The link's own fields take 3 bytes.
                bytes = 3 + more;
                links.push(Retirement {
                    leaving: false,
                    bundles: vec![retired],
                });
            }
        }
    }
    links
}

fn lane_mark(mark: &Mark) -> LaneMark {
    LaneMark {
        lane: mark.lane,
        n: mark.n,
        k: mark.k,
        hash: BodyHash(mark.hash),
    }
}

fn mark(head: &LaneHead) -> Option<LaneMark> {
    let hash = hex::decode(&head.hash).ok()?.try_into().ok()?;
    Some(LaneMark {
        lane: head.lane.try_into().ok()?,
        n: head.n,
        k: head.k,
        hash: BodyHash(hash),
    })
}

#[cfg(test)]
mod tests {
    use armour_protocol::v2::identity::body::MAX_BODY;

    use super::*;

    fn bundle(number: u128, lanes: u16) -> (Uuid, Vec<Mark>) {
        let mark = |lane| Mark {
            lane,
            n: 1,
            k: 0,
            hash: [1; 32],
        };
        (Uuid::from_u128(number), (0..lanes).map(mark).collect())
    }

    #[test]
    fn no_link_holds_more_than_a_parser_takes() {
        let many = (0..2_500).map(|number| bundle(number, 1)).collect();
        let large = (0..5).map(|number| bundle(number, 60_000)).collect();
        for bundles in [many, large] {
            let links = links(bundles);
            assert!(links.len() > 1);
            for link in links {
                let body = LinkBody::Retire(link);
                assert!(body.to_bytes().len() <= MAX_BODY);
                assert_eq!(
                    LinkBody::from_bytes(body.kind(), &body.to_bytes()),
                    Ok(body)
                );
            }
        }
        assert!(links(Vec::new()).is_empty());
    }

    #[test]
    fn no_link_of_several_bundles_is_larger_in_base64_than_1_mib() {
        let links = links((0..300).map(|number| bundle(number, 1_000)).collect());
        assert!(links.len() > 10);
        for link in links {
            assert!(link.bundles.len() > 1);
            let bytes = LinkBody::Retire(link).to_bytes();
            assert!(bytes.len().div_ceil(3) * 4 < (1 << 20) - 4_096);
        }
    }
}
