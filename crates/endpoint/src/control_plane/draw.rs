//! Requests of bundles. Each has a number, which is kept before it is used.

use armour_api::{BundleOutcome, LinkOutcome, Problem, ProblemType};
use armour_client::Client;
use armour_protocol::v2::identity::body::{BundleRequest, LinkBody, NO_BUNDLE};
use parking_lot::Mutex;
use thiserror::Error;
use uuid::Uuid;

use super::chain::{ChainClient, LinkError};
use crate::state::draws::Draws;

/// Why there is no bundle.
#[derive(Debug, Clone, Error)]
pub enum DrawError {
    /// The draw's number cannot be kept.
    #[error("the data folder cannot be written: {0}")]
    Unkept(String),
    /// The control plane refuses.
    #[error("{} ({})", .0.detail, .0.r#type)]
    Refused(Box<Problem>),
    /// Nothing came of the link.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl DrawError {
    /// Whether the control plane refuses for this reason.
    pub fn is(&self, kind: ProblemType) -> bool {
        matches!(self, Self::Refused(problem) if problem.kind() == Some(kind.name()))
    }
}

/// A draw that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The pair.
    pub pair: Uuid,
    /// The bundle that the new one takes the place of; none for one more.
    pub replaces: Option<Uuid>,
}

/// A bundle that was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// The bundle.
    pub bundle: Uuid,
    /// How many bundles of the pair this endpoint should hold now.
    pub wanted: u32,
}

/// Draws of one endpoint.
pub struct Drawing {
    /// The endpoint's chain.
    pub chain: ChainClient,
    /// To ask with what the control plane knows of draws.
    pub client: Client,
    /// The numbers.
    pub draws: Mutex<Draws>,
}

impl Drawing {
    /// Makes these draws, in one link.
    pub async fn draw(&self, asked: &[Draw]) -> Vec<Result<Drawn, DrawError>> {
        let outcomes = match self.request(asked).await {
            Ok(outcomes) => outcomes,
            Err(error) => return asked.iter().map(|_| Err(error.clone())).collect(),
        };
        if outcomes
            .iter()
            .any(|outcome| matches!(outcome, Err(error) if error.is(ProblemType::DrawOver)))
        {
            self.go_on().await;
        }
        outcomes
    }

    async fn request(&self, asked: &[Draw]) -> Result<Vec<Result<Drawn, DrawError>>, DrawError> {
        let pairs: Vec<Uuid> = asked.iter().map(|draw| draw.pair).collect();
        let numbers = self.draws.lock().next(&pairs);
        let numbers = numbers.map_err(|error| DrawError::Unkept(error.to_string()))?;
        let requests = asked.iter().zip(numbers).map(|(one, draw)| BundleRequest {
            pair: one.pair.into_bytes(),
            draw,
            replaces: one.replaces.map_or(NO_BUNDLE, Uuid::into_bytes),
        });
        let body = LinkBody::Request(requests.collect());
        match self.chain.link(body).await?.outcome {
            LinkOutcome::Bundles { items } if items.len() == asked.len() => {
                Ok(items.into_iter().map(outcome).collect())
            }
            _ => Err(LinkError::Untold.into()),
        }
    }

    /// The folder is older than its last draws: goes on after those that are known.
    async fn go_on(&self) {
        match self.client.endpoint().await {
            Ok(own) => {
                tracing::warn!("this folder is older than its last draws");
                let mut draws = self.draws.lock();
                for pair in own.draws {
                    draws.go_on_after(pair.pair_id, pair.draws);
                }
            }
            Err(error) => tracing::warn!(%error, "cannot ask for the last draws"),
        }
    }
}

fn outcome(item: BundleOutcome) -> Result<Drawn, DrawError> {
    let wanted = item.wanted;
    match (item.bundle_id, item.problem) {
        (Some(bundle), None) => Ok(Drawn { bundle, wanted }),
        (_, Some(problem)) => Err(DrawError::Refused(Box::new(problem))),
        (None, None) => Err(LinkError::Untold.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

    use super::*;
    use crate::control_plane::{
        batch::Batches,
        chain::Chain,
        testing::{Answer, Asked, ControlPlane, TestEnclave, taken},
    };

    fn requests(asked: &Asked) -> Vec<(Uuid, u64)> {
        match asked.link().body() {
            LinkBody::Request(requests) => requests
                .iter()
                .map(|one| (Uuid::from_bytes(one.pair), one.draw))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    fn one_more(pair: Uuid) -> Draw {
        Draw {
            pair,
            replaces: None,
        }
    }

    /// A bundle for each, of the pair's and draw's numbers.
    fn granted(asked: &Asked) -> Answer {
        let items = requests(asked)
            .into_iter()
            .map(|(pair, draw)| BundleOutcome {
                bundle_id: Some(Uuid::from_u128(pair.as_u128() * 100 + u128::from(draw))),
                problem: None,
                wanted: 2,
            });
        let items = items.collect();
        Answer::json(&taken(&asked.link(), LinkOutcome::Bundles { items }))
    }

    async fn drawing(
        folder: PathBuf,
        answer: impl FnMut(usize, &Asked) -> Answer + Send + 'static,
    ) -> (Arc<Drawing>, ControlPlane) {
        let control_plane = ControlPlane::start(answer).await;
        let (enclave, announcement) = TestEnclave::started();
        let chain = ChainClient::begin(Chain {
            client: control_plane.client.clone(),
            signer: enclave,
            announcement,
        });
        let drawing = Drawing {
            chain,
            client: control_plane.client.clone(),
            draws: Mutex::new(Draws::open(&folder).unwrap()),
        };
        (Arc::new(drawing), control_plane)
    }

    #[tokio::test(start_paused = true)]
    async fn a_draw_is_kept_before_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let (drawing, _) = drawing(path.clone(), move |before, asked| {
            let (pair, draw) = requests(asked)[0];
            let kept = std::fs::read(path.join("draws")).unwrap();
            let kept: BTreeMap<Uuid, u64> = serde_json::from_slice(&kept).unwrap();
            assert_eq!((kept[&pair], draw), (1, 1));
            match before {
                0 => Answer::Lost,
                _ => granted(asked),
            }
        })
        .await;
        let pair = Uuid::from_u128(7);
        let drawn = drawing.draw(&[one_more(pair)]).await.remove(0).unwrap();
        let bundle = Uuid::from_u128(701);
        assert_eq!(drawn, Drawn { bundle, wanted: 2 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_draw_that_cannot_be_kept_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let (drawing, control_plane) = drawing(gone, |_, asked| granted(asked)).await;
        let drawn = drawing
            .draw(&[one_more(Uuid::from_u128(7))])
            .await
            .remove(0);
        assert!(matches!(drawn, Err(DrawError::Unkept(_))));
        assert!(control_plane.asked().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn draws_of_a_moment_go_in_one_link() {
        let folder = tempfile::tempdir().unwrap();
        let (drawing, control_plane) =
            drawing(folder.path().to_owned(), |_, asked| granted(asked)).await;
        let draws = Batches::new(move |asked: Vec<Draw>| {
            let drawing = drawing.clone();
            async move { drawing.draw(&asked).await }
        });
        let pairs = [1, 2, 3, 1].map(Uuid::from_u128);
        let drawn = futures::future::join_all(pairs.map(|pair| draws.add(one_more(pair)))).await;
        let drawn: Vec<_> = drawn
            .into_iter()
            .map(|one| one.unwrap().unwrap().bundle)
            .collect();
        assert_eq!(drawn, [101, 201, 301, 102].map(Uuid::from_u128));
        assert_eq!(control_plane.asked().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_draw_names_the_bundle_that_it_replaces_and_tells_how_many_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let (drawing, control_plane) =
            drawing(folder.path().to_owned(), |_, asked| granted(asked)).await;
        let (pair, before) = (Uuid::from_u128(7), Uuid::from_u128(5));
        let replaces = Some(before);
        let asked = [one_more(pair), Draw { pair, replaces }];
        let drawn = drawing.draw(&asked).await;
        assert!(drawn.iter().all(|one| one.as_ref().unwrap().wanted == 2));
        let LinkBody::Request(told) = control_plane.asked()[0].link().body().clone() else {
            panic!("a request");
        };
        let replaced: Vec<_> = told.iter().map(|one| one.replaces).collect();
        assert_eq!(replaced, [NO_BUNDLE, before.into_bytes()]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_is_older_than_its_draws_goes_on_after_them() {
        let folder = tempfile::tempdir().unwrap();
        let pair = Uuid::from_u128(7);
        let (drawing, control_plane) =
            drawing(
                folder.path().to_owned(),
                move |before, asked| match before {
                    0 => {
                        let problem = Problem::new("draw-over", 409, "over");
                        let items = vec![BundleOutcome {
                            bundle_id: None,
                            problem: Some(problem),
                            wanted: 2,
                        }];
                        Answer::json(&taken(&asked.link(), LinkOutcome::Bundles { items }))
                    }
                    1 => Answer::Json(serde_json::json!({
                        "endpoint": {
                            "id": Uuid::nil(), "tenant_id": Uuid::nil(), "role": "consumer",
                            "party_id": Uuid::nil(), "name": "", "signing_key": "", "kem_key": "",
                            "address": null, "state": "active", "version": "",
                            "created_at": "2026-01-01T00:00:00Z", "last_seen_at": null,
                            "lost_at": null, "enrol_seq": 1, "last_error": null,
                            "last_error_at": null,
                        },
                        "pairs": [],
                        "draws": [{ "pair_id": pair, "draws": 41 }],
                    })),
                    _ => granted(asked),
                },
            )
            .await;
        let refused = drawing.draw(&[one_more(pair)]).await.remove(0).unwrap_err();
        assert!(refused.is(ProblemType::DrawOver));
        assert!(drawing.draw(&[one_more(pair)]).await.remove(0).is_ok());
        assert_eq!(requests(&control_plane.asked()[2]), [(pair, 42)]);
    }
}
