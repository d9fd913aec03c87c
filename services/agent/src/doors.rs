//! A consumer's ports before its endpoint serves there: they listen, and say what is waited for.
//! Whoever serves then takes the listeners over, so that no call finds a port closed.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use armour_endpoint::{consumer::settings::PairSettings, listening};
use armour_listener::{Limits, Listener, Tls};
use axum::{Router, response::IntoResponse as _};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::standing::Standing;

/// Ports that listen.
pub struct Doors {
    listeners: HashMap<SocketAddr, TcpListener>,
    _stop: DropGuard,
}

impl Doors {
    /// Listens for these pairs, and answers with where the agent stands.
    ///
    /// # Errors
    /// If an address cannot be bound.
    pub async fn open(
        pairs: &[PairSettings],
        tls: Option<&Tls>,
        standing: &Arc<Standing>,
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let mut listeners = HashMap::new();
        for pair in pairs {
            let listener = listening::listen(pair.listen)?;
            let (listener, same) = twice(listener).context("use a listener twice")?;
            listeners.insert(pair.listen, listener);
            let standing = standing.clone();
            let says = async move || standing.refusal().into_response();
            let router = Router::new().fallback(says);
            let same = Listener::new(same, tls.cloned());
            let served = armour_listener::serve(same, router, Limits::default(), stop.clone());
            tokio::spawn(async move {
                if let Err(error) = served.await {
                    tracing::debug!(%error, "a port says nothing any more");
                }
            });
        }
        Ok(Self {
            listeners,
            _stop: stop.drop_guard(),
        })
    }

    /// The listeners, for whoever serves now; nothing is said there any more.
    pub fn hand_over(self) -> HashMap<SocketAddr, TcpListener> {
        self.listeners
    }
}

/// One listener as two: both take from the same connections.
fn twice(listener: TcpListener) -> std::io::Result<(TcpListener, TcpListener)> {
    let listener = listener.into_std()?;
    let same = listener.try_clone()?;
    Ok((
        TcpListener::from_std(listener)?,
        TcpListener::from_std(same)?,
    ))
}
