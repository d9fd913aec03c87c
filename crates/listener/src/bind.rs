//! Where connections wait until they are accepted.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted, at each listener. Tokio's and the standard library's
/// 128 are full within 5 ms at 30,000 connections a second, which one turn of a busy runtime takes;
/// whoever comes then is told nothing, and tries again a second later, then two, then four. Linux
/// caps this at `net.core.somaxconn`, 4096 by default; each that waits takes some kernel memory
/// and no file.
pub const BACKLOG: u32 = 4096;

/// Listens, with [`BACKLOG`] places for those that wait.
///
/// # Errors
/// If the address cannot be bound.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // As tokio's own: whoever starts anew need not wait for connections of before to be forgotten.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
