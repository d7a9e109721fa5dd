//! How a decode engine gets KV caches: a line protocol over TCP of our own.
//!
//! A decode engine keeps one connection to the bootstrap port of each prefill engine and writes `ROOM <room>` for each
//! request that it has space for; the prefill engine answers `KV <room> <tokens>` when the transfer is over, or
//! `FAIL <room>`. When the connection breaks, every open room has failed.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    fmt::Write,
    future::pending,
    io,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

use super::{scheduler::Room, worker::Command};

/// From a prefill to a decode engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KvMessage {
    /// The KV cache of this room is over.
    Sent { room: Room, tokens: u32 },
    /// It will never come.
    Failed { room: Room },
}

/// Prefill: accepts decode engines, for ever; without a listener, does nothing for ever.
pub(super) async fn serve(
    listener: Option<TcpListener>,
    commands: mpsc::UnboundedSender<Command>,
) -> Infallible {
    let Some(listener) = listener else { return pending().await };
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    links.spawn(serve_link(stream, commands.clone()));
                }
            }
            Some(_) = links.join_next() => {}
        }
    }
}

async fn serve_link(stream: TcpStream, commands: mpsc::UnboundedSender<Command>) {
    let mut open = HashSet::new();
    // The end of a link is told by the rooms that it leaves open; its cause does not matter to anyone.
    answer_rooms(stream, &commands, &mut open).await.ok();
    commands.send(Command::RoomsWithdrawn(open.into_iter().collect())).ok();
}

async fn answer_rooms(
    mut stream: TcpStream,
    commands: &mpsc::UnboundedSender<Command>,
    open: &mut HashSet<Room>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    // Unbounded, but holds at most one message per open room.
    let (answers, mut outgoing) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Some(room) = line?.as_deref().and_then(|it| it.strip_prefix("ROOM ")?.parse().ok()) else {
                    return Ok(());
                };
                open.insert(room);
                commands.send(Command::RoomAnnounced { room, link: answers.clone() }).ok();
            }
            Some(message) = outgoing.recv() => {
                let line = match message {
                    KvMessage::Sent { room, tokens } => {
                        open.remove(&room);
                        format!("KV {room} {tokens}\n")
                    }
                    KvMessage::Failed { room } => {
                        open.remove(&room);
                        format!("FAIL {room}\n")
                    }
                };
                writer.write_all(line.as_bytes()).await?;
            }
        }
    }
}

/// Decode: the connections to prefill engines.
#[derive(Debug)]
pub(super) struct Links {
    commands: mpsc::UnboundedSender<Command>,
    open: HashMap<(String, u16), mpsc::UnboundedSender<Room>>,
    tasks: JoinSet<()>,
}

impl Links {
    pub(super) fn new(commands: mpsc::UnboundedSender<Command>) -> Self {
        Self { commands, open: HashMap::new(), tasks: JoinSet::new() }
    }

    /// Asks a prefill engine for a KV cache; the answer comes as a command.
    pub(super) fn request(&mut self, host: String, port: u16, room: Room) {
        while self.tasks.try_join_next().is_some() {}
        let address = (host, port);
        if let Some(link) = self.open.get(&address)
            && link.send(room).is_ok()
        {
            return;
        }
        // Unbounded, but holds at most one room per open request.
        let (link, rooms) = mpsc::unbounded_channel();
        link.send(room).ok();
        self.tasks.spawn(request_link(address.clone(), rooms, self.commands.clone()));
        self.open.insert(address, link);
    }
}

async fn request_link(
    address: (String, u16),
    mut rooms: mpsc::UnboundedReceiver<Room>,
    commands: mpsc::UnboundedSender<Command>,
) {
    let mut open = HashSet::new();
    request_rooms(&address, &mut rooms, &commands, &mut open).await.ok();
    rooms.close();
    while let Ok(room) = rooms.try_recv() {
        open.insert(room);
    }
    commands.send(Command::KvFailed(open.into_iter().collect())).ok();
}

async fn request_rooms(
    (host, port): &(String, u16),
    rooms: &mut mpsc::UnboundedReceiver<Room>,
    commands: &mpsc::UnboundedSender<Command>,
    open: &mut HashSet<Room>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    loop {
        tokio::select! {
            room = rooms.recv() => {
                let Some(first) = room else { return Ok(()) };
                let mut text = String::new();
                let mut next = Some(first);
                while let Some(room) = next {
                    open.insert(room);
                    let _ = writeln!(text, "ROOM {room}");
                    next = rooms.try_recv().ok();
                }
                writer.write_all(text.as_bytes()).await?;
            }
            line = lines.next_line() => {
                let Some(message) = line?.as_deref().and_then(parse_message) else { return Ok(()) };
                match message {
                    KvMessage::Sent { room, .. } => {
                        open.remove(&room);
                        commands.send(Command::KvArrived(room)).ok();
                    }
                    KvMessage::Failed { room } => {
                        open.remove(&room);
                        commands.send(Command::KvFailed(vec![room])).ok();
                    }
                }
            }
        }
    }
}

fn parse_message(line: &str) -> Option<KvMessage> {
    let mut words = line.split(' ');
    let message = match words.next()? {
        "KV" => KvMessage::Sent { room: words.next()?.parse().ok()?, tokens: words.next()?.parse().ok()? },
        "FAIL" => KvMessage::Failed { room: words.next()?.parse().ok()? },
        _ => return None,
    };
    words.next().is_none().then_some(message)
}
