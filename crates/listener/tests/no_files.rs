//! A process that can open no more files. Its limit is the whole process's: this is the only test
//! here.

use std::{
    fs::File,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use armour_listener::{Limits, serve};
use axum::{Router, routing::get};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

const PATIENCE: Duration = Duration::from_secs(180);
const NEVER: Duration = Duration::from_secs(3600);
const REQUEST: &[u8] = b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// Counts connections that could not be accepted, and what a log shows by default.
#[derive(Clone, Default)]
struct Logged {
    tries: Arc<AtomicUsize>,
    lines: Arc<AtomicUsize>,
}

impl Subscriber for Logged {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "armour_listener"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.tries.fetch_add(1, Ordering::Relaxed);
        let is_shown = *event.metadata().level() <= tracing::Level::WARN;
        self.lines
            .fetch_add(usize::from(is_shown), Ordering::Relaxed);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn without_a_file_for_a_connection_the_listener_rests_and_goes_on_once_there_is_one() {
    let logged = Logged::default();
    let _guard = tracing::subscriber::set_default(logged.clone());
    let (come, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let slow = {
        let (come, go_on) = (come.clone(), go_on.clone());
        async move || {
            come.add_permits(1);
            go_on.acquire().await.unwrap().forget();
            "slow"
        }
    };
    let limits = Limits {
        connections: 1000,
        head: NEVER,
        idle: NEVER,
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = armour_listener::bind(any).unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/slow", get(slow));
    let served = serve(listener, router, limits, CancellationToken::new());
    tokio::spawn(async move { served.await.unwrap() });

    // One is served, and none is quiet that could make room.
    let mut served = TcpStream::connect(address).await.unwrap();
    served.write_all(REQUEST).await.unwrap();
    come.acquire().await.unwrap().forget();
    // All files that there may be: the next one has the file that is let go for it, and none is
    // left for its other end.
    let had = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(64),
        ..had
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let mut files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    drop(files.pop().unwrap());
    let mut waits = TcpStream::connect(address).await.unwrap();
    waits.write_all(REQUEST).await.unwrap();
    let rests = async {
        while logged.tries.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, rests).await.unwrap();
    // Others have many turns meanwhile, and the log is not filled.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let tries = logged.tries.load(Ordering::Relaxed);
    assert!(tries < 100, "{tries} tries in 1000 turns");
    assert_eq!(logged.lines.load(Ordering::Relaxed), 1);

    drop(files);
    tokio::time::timeout(PATIENCE, come.acquire())
        .await
        .unwrap()
        .unwrap()
        .forget();
    setrlimit(Resource::Nofile, had).unwrap();
    go_on.add_permits(2);
    for mut socket in [served, waits] {
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("slow"), "{answer}");
    }
}
