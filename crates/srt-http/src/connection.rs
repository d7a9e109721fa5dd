//! [`Connection`]: one TCP connection, read without a buffer of its own.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSliceMut},
    net::SocketAddr,
    os::fd::AsRawFd as _,
    task::{Poll, ready},
    time::{Duration, Instant},
};

use nix::{
    cmsg_space,
    sys::{
        socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns},
        time::TimeSpec,
    },
    time::{ClockId, clock_gettime},
};
use tokio::{
    io::{AsyncWriteExt as _, Interest},
    net::{TcpSocket, TcpStream},
};

/// The largest read. One buffer per thread serves all connections of the thread, so that an idle stream costs
/// no buffer.
const READ_BYTES: usize = 64 << 10;

thread_local! {
    static READ_BUFFER: RefCell<ReadBuffer> = RefCell::new(ReadBuffer::new());
}

struct ReadBuffer {
    bytes: Vec<u8>,
    /// Where the kernel puts the time of arrival.
    control: Vec<u8>,
}

impl ReadBuffer {
    fn new() -> Self {
        Self { bytes: vec![0; READ_BYTES], control: cmsg_space!(TimeSpec) }
    }
}

/// One TCP connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    has_kernel_times: bool,
}

impl Connection {
    /// Connects to `peer`, from `local` where the source address matters. Returns how long it took.
    pub async fn open(peer: SocketAddr, local: Option<SocketAddr>) -> io::Result<(Self, Duration)> {
        let started = Instant::now();
        let socket = if peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_nodelay(true)?;
        // Where the kernel keeps no times, those of the reads serve.
        let has_kernel_times = setsockopt(&socket, ReceiveTimestampns, &true).is_ok();
        if let Some(local) = local {
            socket.bind(local)?;
        }
        let stream = socket.connect(peer).await?;
        Ok((Self { stream, has_kernel_times }, started.elapsed()))
    }

    /// Whether the times of [`Connection::receive`] are the kernel's.
    pub fn has_kernel_times(&self) -> bool {
        self.has_kernel_times
    }

    /// Sends all of `bytes`.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Waits for bytes and hands them to `on`, with the time at which the last of them arrived at this machine.
    /// No bytes: the peer has closed the connection.
    ///
    /// The time is the kernel's. However late this thread gets to read, it is not part of what is measured.
    ///
    /// `on` must not call into a connection again: the buffer is shared by the thread.
    pub async fn receive<T>(&mut self, mut on: impl FnMut(Instant, &[u8]) -> T) -> io::Result<T> {
        poll_fn(|cx| {
            READ_BUFFER.with_borrow_mut(|buffer| {
                loop {
                    ready!(self.stream.poll_read_ready(cx))?;
                    let ReadBuffer { bytes, control } = buffer;
                    let mut received = None;
                    let result = self.stream.try_io(Interest::READABLE, || {
                        let length = bytes.len();
                        let mut slices = [IoSliceMut::new(bytes)];
                        let message = recvmsg::<()>(
                            self.stream.as_raw_fd(),
                            &mut slices,
                            Some(control),
                            MsgFlags::empty(),
                        )?;
                        let count = message.bytes;
                        let arrived = message.cmsgs().ok().and_then(|mut all| {
                            all.find_map(|it| match it {
                                ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
                                _ => None,
                            })
                        });
                        received = Some((count, arrived));
                        // A read that did not fill the buffer has emptied the socket. Saying so saves the read that
                        // would find it empty.
                        if count > 0 && count < length {
                            Err(io::ErrorKind::WouldBlock.into())
                        } else {
                            Ok(())
                        }
                    });
                    match (received, result) {
                        (Some((count, arrived)), _) => {
                            let arrived = as_instant(arrived);
                            return Poll::Ready(Ok(on(arrived, &bytes[..count])));
                        }
                        (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                        (None, Err(error)) => return Poll::Ready(Err(error)),
                        (None, Ok(())) => {}
                    }
                }
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

/// The time of this process's clock at which the wall clock showed `wall`; now, if the kernel gave no time.
fn as_instant(wall: Option<Duration>) -> Instant {
    let now = Instant::now();
    let age = wall.and_then(|wall| {
        let wall_now = clock_gettime(ClockId::CLOCK_REALTIME).ok()?;
        Duration::from(wall_now).checked_sub(wall)
    });
    age.and_then(|age| now.checked_sub(age)).unwrap_or(now)
}
