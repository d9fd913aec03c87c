//! An API whose answers have neither length nor chunks: they end as their connection does.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// It, on a port of its own until this is dropped.
pub struct Closing {
    pub address: SocketAddr,
    server: JoinHandle<()>,
}

impl Closing {
    /// Each answer has so many bytes.
    pub async fn start(bytes: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(socket, bytes));
            }
        });
        Ok(Self { address, server })
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One request; `/reset` is answered by a body that a reset breaks off.
async fn answer(socket: TcpStream, bytes: u64) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if socket.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    socket
        .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        .await?;
    socket.write_all(&vec![b'a'; bytes as usize]).await?;
    socket.flush().await?;
    if head.starts_with("GET /reset") {
        // So that what was sent before is read before the reset, which may overtake it.
        tokio::time::sleep(Duration::from_millis(200)).await;
        rustix::net::sockopt::set_socket_linger(socket.get_ref(), Some(Duration::ZERO))?;
        return Ok(());
    }
    socket.get_mut().shutdown().await?;
    socket.read_to_end(&mut Vec::new()).await?;
    Ok(())
}
