//! A hop between the agents: it sees what an eavesdropper sees, and loses
//! connections as networks do.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// A TCP proxy.
pub struct Hop {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: Mutex<SocketAddr>,
    /// Chance, in millionths a read, that a connection is cut.
    loss: AtomicU32,
    record: AtomicBool,
    recorded: Mutex<Vec<u8>>,
    cuts: AtomicU64,
    seed: AtomicU64,
    /// Raised to cut every connection.
    cut_all: watch::Sender<u64>,
    /// Nothing is passed on while this is true.
    held: watch::Sender<bool>,
}

impl Hop {
    /// Listens on a free port and passes on to `to`.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(to: SocketAddr) -> std::io::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, to).await
    }

    /// The same on an address of one's choice.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub async fn start_at(at: Ipv4Addr, to: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind((at, 0)).await?;
        let hop = Self {
            address: listener.local_addr()?,
            shared: Arc::new(Shared {
                to: Mutex::new(to),
                loss: AtomicU32::new(0),
                record: AtomicBool::new(false),
                recorded: Mutex::default(),
                cuts: AtomicU64::new(0),
                seed: AtomicU64::new(1),
                cut_all: watch::Sender::new(0),
                held: watch::Sender::new(false),
            }),
        };
        let shared = hop.shared.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(shared.clone(), near));
            }
        });
        Ok(hop)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes new connections on to another address.
    pub fn retarget(&self, to: SocketAddr) {
        *self
            .shared
            .to
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// Cuts every connection, and passes new ones on to another address.
    pub fn divert(&self, to: SocketAddr) {
        self.retarget(to);
        self.shared.cut_all.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts a connection at a read with this chance, in millionths.
    pub fn lose(&self, millionths: u32) {
        self.shared.loss.store(millionths, Ordering::Relaxed);
    }

    /// Keeps back what comes from now on, or passes on what was kept back.
    pub fn hold(&self, hold: bool) {
        self.shared.held.send_replace(hold);
    }

    /// Keeps what passes from now on.
    pub fn record(&self) {
        self.shared.record.store(true, Ordering::Relaxed);
    }

    /// What has passed, both ways.
    pub fn recorded(&self) -> Vec<u8> {
        self.shared
            .recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many connections were cut.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

async fn pass(shared: Arc<Shared>, near: TcpStream) {
    let mut cut_all = shared.cut_all.subscribe();
    let to = *shared.to.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(far) = TcpStream::connect(to).await else {
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let (cut, cut_seen) = watch::channel(false);
    let one = copy(
        shared.clone(),
        near_read,
        far_write,
        cut.clone(),
        cut_seen.clone(),
    );
    let two = copy(shared, far_read, near_write, cut, cut_seen);
    tokio::select! {
        _ = async { tokio::join!(one, two) } => {}
        _ = cut_all.changed() => {}
    }
}

async fn copy(
    shared: Arc<Shared>,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    cut: watch::Sender<bool>,
    mut cut_seen: watch::Receiver<bool>,
) {
    let seed = shared.seed.fetch_add(1, Ordering::Relaxed);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut buffer = vec![0; 16 * 1024];
    let mut held = shared.held.subscribe();
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = cut_seen.changed() => return,
        };
        let Ok(mut length @ 1..) = read else {
            return;
        };
        let _ = held.wait_for(|held| !held).await;
        let lose = rng.random_range(0..1_000_000) < shared.loss.load(Ordering::Relaxed);
        if lose {
            // In the middle of a message, too.
            length = rng.random_range(0..length);
        }
        if shared.record.load(Ordering::Relaxed) {
            let mut recorded = shared
                .recorded
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            recorded.extend_from_slice(&buffer[..length]);
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
        if lose {
            shared.cuts.fetch_add(1, Ordering::Relaxed);
            let _ = cut.send(true);
            return;
        }
    }
}
