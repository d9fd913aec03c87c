//! The proxy's side of the socket: calls go out in one order, replies find who waits.

use std::{collections::HashMap, io, os::unix::net::UnixStream, sync::Arc};

use armour_ambient::Random;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::{mpsc, oneshot},
};
use zeroize::Zeroizing;

use crate::{
    door::Caller,
    error::{EnclaveError, INTRUDED},
    frame::{self, LAST},
    ipc::{Call, Reply},
};

/// How many calls wait to be written.
const QUEUE: usize = 64;

/// Sends calls; clones share one socket.
#[derive(Clone)]
pub(crate) struct Calls(mpsc::Sender<Asked>);

struct Asked {
    call: Call,
    reply: oneshot::Sender<Result<Reply, EnclaveError>>,
}

/// Who waits for a reply.
#[derive(Clone, Default)]
struct Waiting(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    replies: HashMap<u64, oneshot::Sender<Result<Reply, EnclaveError>>>,
    /// Why there is no enclave any more.
    ended: Option<Ended>,
}

#[derive(Clone, Copy)]
enum Ended {
    Gone,
    Intruded,
}

impl Calls {
    /// Takes the proxy's end of the socket, and sets the key of its calls.
    ///
    /// # Errors
    /// If the socket cannot be used.
    pub(crate) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (reader, writer) = tokio::net::UnixStream::from_std(socket)?.into_split();
        let mut key = Zeroizing::new([0; 32]);
        Random::system().fill(&mut *key);
        let (caller, first) = Caller::new(key)?;
        let waiting = Waiting::default();
        let (calls, asked) = mpsc::channel(QUEUE);
        tokio::spawn(read_replies(reader, waiting.clone()));
        // By a task of its own: a caller that gives up in the middle of a frame would
        // leave the rest unreadable.
        tokio::spawn(write_calls(writer, caller, first, asked, waiting));
        Ok(Self(calls))
    }

    /// Asks, and waits for the reply.
    ///
    /// # Errors
    /// [`EnclaveError`].
    pub(crate) async fn call(&self, call: Call) -> Result<Reply, EnclaveError> {
        let (reply, answer) = oneshot::channel();
        let asked = Asked { call, reply };
        self.0.send(asked).await.map_err(|_| EnclaveError::Gone)?;
        match answer.await.map_err(|_| EnclaveError::Gone)?? {
            Reply::Failed(code) => Err(EnclaveError::Refused(code)),
            reply => Ok(reply),
        }
    }
}

impl Waiting {
    /// Adds who waits for this reply, if there is an enclave.
    fn add(&self, number: u64, reply: oneshot::Sender<Result<Reply, EnclaveError>>) {
        let mut state = self.0.lock();
        match state.ended {
            None => drop(state.replies.insert(number, reply)),
            // The caller may have given up.
            Some(ended) => drop(reply.send(Err(ended.into()))),
        }
    }

    fn answer(&self, number: u64, reply: Reply) {
        if let Some(waiting) = self.0.lock().replies.remove(&number) {
            // The caller may have given up; then the reply is dropped.
            let _ = waiting.send(Ok(reply));
        }
    }

    /// Whoever waits, and whoever calls from now on, learns why there is no enclave.
    fn end(&self, ended: Ended) {
        let mut state = self.0.lock();
        let ended = *state.ended.get_or_insert(ended);
        for (_, waiting) in state.replies.drain() {
            let _ = waiting.send(Err(ended.into()));
        }
    }
}

impl From<Ended> for EnclaveError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Gone => Self::Gone,
            Ended::Intruded => Self::Refused(INTRUDED.to_owned()),
        }
    }
}

async fn write_calls(
    mut writer: OwnedWriteHalf,
    mut caller: Caller,
    first: Zeroizing<Vec<u8>>,
    mut asked: mpsc::Receiver<Asked>,
    waiting: Waiting,
) {
    let mut broken = writer.write_all(&first).await.is_err();
    drop(first);
    while let Some(Asked { call, reply }) = asked.recv().await {
        let Ok((number, frame)) = caller.frame(&call) else {
            let _ = reply.send(Err(EnclaveError::Refused("malformed".to_owned())));
            continue;
        };
        waiting.add(number, reply);
        broken = broken || writer.write_all(&frame).await.is_err();
        if broken {
            waiting.end(Ended::Gone);
        }
    }
}

async fn read_replies(mut reader: OwnedReadHalf, waiting: Waiting) {
    while let Ok((number, reply)) = read_reply(&mut reader).await {
        match number {
            LAST => waiting.end(Ended::Intruded),
            number => waiting.answer(number, reply),
        }
    }
    waiting.end(Ended::Gone);
}

async fn read_reply(reader: &mut OwnedReadHalf) -> io::Result<(u64, Reply)> {
    let mut prefix = [0; 12];
    reader.read_exact(&mut prefix).await?;
    let (length, number) = frame::split_prefix(&prefix)?;
    let mut body = Zeroizing::new(vec![0; length]);
    reader.read_exact(&mut body).await?;
    Ok((number, frame::decode(&body)?))
}
