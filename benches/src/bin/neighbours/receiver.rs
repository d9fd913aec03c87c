//! Receivers of webhooks: one that takes each delivery, and one that takes none and hangs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A receiver on a port of its own.
pub struct Receiver {
    pub url: String,
    taken: Arc<AtomicU64>,
}

impl Receiver {
    /// Starts it; one that hangs takes connections and says nothing.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start(hangs: bool) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let taken = Arc::new(AtomicU64::new(0));
        let count = taken.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let count = count.clone();
                tokio::spawn(async move {
                    if hangs {
                        // Its connection stays open.
                        std::future::pending::<()>().await;
                    }
                    if answer(socket).await.is_ok() {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Ok(Self { url, taken })
    }

    /// Deliveries that it has taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Reads one request and takes it.
async fn answer(mut socket: TcpStream) -> anyhow::Result<()> {
    let (mut read, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    while !is_whole(&read) {
        match socket.read(&mut buffer).await? {
            0 => anyhow::bail!("it broke off"),
            length => read.extend_from_slice(&buffer[..length]),
        }
    }
    let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    Ok(socket.write_all(answer).await?)
}

/// Whether head and content are there, as long as the head says.
fn is_whole(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read).to_ascii_lowercase();
    let Some((head, content)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse().ok());
    content.len() >= length.unwrap_or(0)
}
