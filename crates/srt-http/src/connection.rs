//! [`Connection`]: one TCP connection, read without a buffer of its own.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf},
    net::{TcpSocket, TcpStream},
};

/// The largest read. One buffer per thread serves all connections of the thread, so that an idle stream costs
/// no buffer.
const READ_BYTES: usize = 64 << 10;

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// One TCP connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Connects to `peer`, from `local` where the source address matters. Returns how long it took.
    pub async fn open(peer: SocketAddr, local: Option<SocketAddr>) -> io::Result<(Self, Duration)> {
        let started = Instant::now();
        let socket = if peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_nodelay(true)?;
        if let Some(local) = local {
            socket.bind(local)?;
        }
        let stream = socket.connect(peer).await?;
        Ok((Self { stream }, started.elapsed()))
    }

    /// Sends all of `bytes`.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Waits for bytes and hands them to `on`, with the time at which the read returned. No bytes: the peer has
    /// closed the connection.
    ///
    /// `on` must not call into a connection again: the buffer is shared by the thread.
    pub async fn receive<T>(&mut self, mut on: impl FnMut(Instant, &[u8]) -> T) -> io::Result<T> {
        poll_fn(|cx| {
            READ_BUFFER.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
                let arrived = Instant::now();
                Poll::Ready(Ok(on(arrived, buffer.filled())))
            })
        })
        .await
    }

    /// Whether the connection can carry another request: the peer has neither closed it nor sent anything that
    /// nobody asked for.
    pub fn is_reusable(&self) -> bool {
        let mut byte = [0];
        matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Closes the connection so that its port is free at once, instead of a minute later.
    ///
    /// Only for a connection whose answer has been read to its end: what is still under way is lost.
    pub fn close_now(self) {
        // Failing to set the option leaves an ordinary close.
        drop(self.stream.set_zero_linger());
    }
}
