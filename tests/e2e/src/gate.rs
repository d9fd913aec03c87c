//! A way to the control plane on which single requests, or their answers, are held back
//! until later ones have passed.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderName, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::task::AbortOnDropHandle;

/// Bodies of this protocol are shorter.
const MAX_BODY: usize = 8 << 20;

/// What of a request is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The request itself: the control plane hears of it later.
    Request,
    /// Its answer.
    Answer,
}

type Matches = Box<dyn Fn(&Parts, &[u8]) -> bool + Send>;

/// The way.
pub struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

struct Shared {
    to: String,
    http: reqwest::Client,
    /// The next request that is to be held back.
    rule: Mutex<Option<(Hold, Matches)>>,
    /// How many were held back, and how many were let go.
    held: watch::Sender<u32>,
    released: watch::Sender<u32>,
    /// Statuses of those that were let go.
    statuses: watch::Sender<Vec<u16>>,
}

impl Gate {
    /// Opens a way to a control plane.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(control_plane: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let shared = Arc::new(Shared {
            to: control_plane.to_owned(),
            http: reqwest::Client::new(),
            rule: Mutex::new(None),
            held: watch::Sender::new(0),
            released: watch::Sender::new(0),
            statuses: watch::Sender::new(Vec::new()),
        });
        let address = listener.local_addr()?;
        let routes = Router::new().fallback(pass).with_state(shared.clone());
        let serving = tokio::spawn(async move {
            // It serves until it is dropped.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            address,
            shared,
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Holds back the next request, or its answer, that is of this kind.
    pub fn hold(&self, what: Hold, matches: impl Fn(&Parts, &[u8]) -> bool + Send + 'static) {
        *self.shared.rule.lock() = Some((what, Box::new(matches)));
    }

    /// Waits until so many were held back.
    ///
    /// # Errors
    /// If none comes.
    pub async fn until_held(&self, count: u32) -> anyhow::Result<()> {
        let mut held = self.shared.held.subscribe();
        let patience = std::time::Duration::from_secs(180);
        tokio::time::timeout(patience, held.wait_for(|held| *held >= count))
            .await
            .context("nothing was held back")??;
        Ok(())
    }

    /// Lets everything go that was held back until now, and waits until the control plane has
    /// answered it; the statuses of all answers.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn release(&self) -> anyhow::Result<Vec<u16>> {
        let count = *self.shared.held.borrow();
        self.shared.released.send_replace(count);
        let mut statuses = self.shared.statuses.subscribe();
        let patience = std::time::Duration::from_secs(180);
        let all = statuses.wait_for(|statuses| statuses.len() >= count as usize);
        let all = tokio::time::timeout(patience, all).await;
        Ok(all.context("what was let go is not answered")??.clone())
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let hold = {
        let mut rule = shared.rule.lock();
        let due = rule
            .as_ref()
            .is_some_and(|(_, matches)| matches(&parts, &body));
        due.then(|| rule.take().map(|(hold, _)| hold)).flatten()
    };
    let Some(hold) = hold else {
        return answer(send(&shared, parts, body.to_vec()).await);
    };
    // In a task of its own: it goes on though its sender is gone.
    let task = tokio::spawn(async move {
        let number = *shared.held.borrow() + 1;
        let mut released = shared.released.subscribe();
        let sent = match hold {
            Hold::Request => None,
            Hold::Answer => Some(send(&shared, parts.clone(), body.to_vec()).await),
        };
        shared.held.send_replace(number);
        let _ = released.wait_for(|released| *released >= number).await;
        let sent = match sent {
            Some(sent) => sent,
            None => send(&shared, parts, body.to_vec()).await,
        };
        let status = sent.as_ref().map_or(0, |sent| sent.status().as_u16());
        shared
            .statuses
            .send_modify(|statuses| statuses.push(status));
        answer(sent)
    });
    task.await
        .unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

/// As it came: proofs are of the address that the sender knows.
async fn send(shared: &Shared, parts: Parts, body: Vec<u8>) -> reqwest::Result<reqwest::Response> {
    let target = parts.uri.path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    let url = format!("{}{target}", shared.to);
    let mut request = shared.http.request(parts.method, url).body(body);
    for (name, value) in &parts.headers {
        if !of_the_connection(name) {
            request = request.header(name, value);
        }
    }
    request.send().await
}

fn answer(sent: reqwest::Result<reqwest::Response>) -> Response {
    let Ok(sent) = sent else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let status = sent.status();
    let headers = sent.headers().clone();
    let mut response = Response::new(Body::from_stream(sent.bytes_stream()));
    *response.status_mut() = status;
    for (name, value) in &headers {
        if !of_the_connection(name) {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

fn of_the_connection(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
    ]
    .contains(name)
}
