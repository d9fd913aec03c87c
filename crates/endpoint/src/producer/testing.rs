//! A producer of a test's, with one bundle.

use std::{sync::Arc, time::Duration};

use armour_api::Policy;
use armour_protocol::v2::gate::Gate;
use parking_lot::RwLock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore, mpsc},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{
    bundles::{Bundles, Held, Known},
    clock::ProducerClock,
    endpoint::ProducerEndpoint,
    leaving::Leaving,
    upstream::{Manner, Server, Upstream},
};
use crate::{
    access_log::AccessLog,
    control_plane::{reporter::Reporter, testing::ControlPlane},
    testing::ends::Ends,
    wire::http_client::Trust,
};

/// A producer before this API.
pub(crate) async fn producer(
    ends: &Ends,
    policy: Policy,
    upstream: Upstream,
    control_plane: &ControlPlane,
) -> (Arc<ProducerEndpoint>, Arc<Held>) {
    limited_producer(ends, policy, upstream, control_plane, None).await
}

/// The same, whose API takes so many calls at once.
pub(crate) async fn limited_producer(
    ends: &Ends,
    policy: Policy,
    upstream: Upstream,
    control_plane: &ControlPlane,
    places: Option<Arc<Semaphore>>,
) -> (Arc<ProducerEndpoint>, Arc<Held>) {
    let session = control_plane.session();
    let (reporter, _) = Reporter::new(session.clone());
    let bundles = Arc::new(Bundles::new(session.clone(), ends.producer.clone()));
    let gate = Gate::from_bytes(ends.gate);
    bundles.adopt(Held::stolen(policy, ends.context.clone(), gate));
    let id = Uuid::from_bytes(ends.context.binding().bundle);
    let Some(Known::Held(held)) = bundles.get(id).await else {
        panic!("it is not held");
    };
    let clock = ends.producer.hardening().await.unwrap().started_ms;
    let producer = Arc::new(ProducerEndpoint {
        session,
        reporter,
        bundles,
        upstream: RwLock::new(upstream),
        enclave: ends.producer.clone(),
        heartbeat: Duration::from_secs(5),
        clock: ProducerClock::new(clock),
        running: TaskTracker::new(),
        closed: CancellationToken::new(),
        lease: Duration::from_secs(60),
        places,
        leaving: Leaving::new(),
        access_log: AccessLog::default(),
        check_due: Notify::new(),
    });
    (producer, held)
}

/// An API made of bytes, which answers a head before it reads its content.
pub(crate) struct RawApi {
    pub upstream: Upstream,
    heads: mpsc::UnboundedReceiver<String>,
}

impl RawApi {
    /// One that answers each request by its head.
    pub async fn start(answer: impl Fn(&str) -> String + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let manner = Manner {
            http2: false,
            title_case_fields: false,
            timeout: Duration::from_secs(60),
        };
        let server = Server::new(&base, manner, &Trust::new(None).unwrap()).unwrap();
        let (seen, heads) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(connection(socket, answer.clone(), seen.clone()));
            }
        });
        Self {
            upstream: Upstream::Server(Arc::new(server)),
            heads,
        }
    }

    /// The head of the request that came next, in lower case.
    pub async fn asked(&mut self) -> String {
        self.heads.recv().await.unwrap()
    }
}

async fn connection(
    mut socket: TcpStream,
    answer: impl Fn(&str) -> String,
    seen: mpsc::UnboundedSender<String>,
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap_or(0));
        let _ = seen.send(head.clone());
        socket.write_all(answer(&head).as_bytes()).await?;
        socket.read_exact(&mut vec![0; length]).await?;
    }
}
