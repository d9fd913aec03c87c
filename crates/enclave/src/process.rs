//! The enclave's main loop. Its socket is its standard input.

use std::{
    io::{self, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
};

use anyhow::{Context as _, ensure};
use armour_ambient::{BootClock, Clock};
use armour_protocol::v2::{
    envelope,
    identity::{body::Intrusion, certificate::UnixTime},
};
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::{
    door::{Door, Entry},
    durable::{PRIVATE, write_whole},
    error::INTRUDED,
    frame::{self, LAST},
    ipc::{Call, Hardening, Reply},
    pins, sandbox,
    state::{EnclaveState, Keys, kernel_rng},
};

const KEY_FILE_LEN: usize = 96;

/// Serves the proxy until it closes the socket.
///
/// # Errors
/// If the keys cannot be read or made, the pins cannot be read, the socket breaks, or
/// somebody else was at it whose bytes hide the proxy's.
pub fn run(key_file: &Path, pin_file: Option<&Path>) -> anyhow::Result<()> {
    sandbox::before_secrets()?;
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let pins = pin_file.map(pins::load).transpose()?.unwrap_or_default();
    let keys = load_or_make(key_file)?;
    // The frames that follow leave parts of these as they were, copies of the keys included.
    sandbox::wipe_stack();
    let started = u64::try_from(Clock::system().now().timestamp());
    let started = UnixTime(started.context("this machine's clock is before 1970")?);
    let mut state = EnclaveState::new(keys, pins, BootClock::system(), started);
    let hardening = sandbox::after_secrets(state.started_ms());
    serve(socket, &mut state, &hardening)
}

/// Serves a proxy of the same process, with keys of its own.
#[cfg(feature = "in-process")]
pub(crate) fn serve_here(socket: UnixStream) -> anyhow::Result<()> {
    let keys = Keys {
        signing: Box::new(SigningKey::generate(&mut kernel_rng())),
        kem_key: [1; 32],
    };
    let mut state = EnclaveState::new(
        keys,
        pins::Pins::default(),
        BootClock::system(),
        UnixTime(1),
    );
    let hardening = Hardening {
        in_force: Vec::new(),
        missing: Vec::new(),
        started_ms: state.started_ms(),
    };
    serve(socket, &mut state, &hardening)
}

/// Answers the calls that come over a socket.
pub(crate) fn serve(
    socket: UnixStream,
    state: &mut EnclaveState,
    hardening: &Hardening,
) -> anyhow::Result<()> {
    // Calls hold no secret but the key of the door, so what is buffered need not be erased.
    let mut calls = io::BufReader::new(&socket);
    // The same one: the sandbox forbids to make another of it.
    let mut replies = &socket;
    let mut door = Door::default();
    loop {
        let (number, rest) = match frame::read(&mut calls) {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                state.intruded(Intrusion::Stranger);
                // Where the proxy's next call begins can no longer be told.
                frame::write(&mut replies, LAST, &Reply::Failed(INTRUDED.to_owned()))?;
                anyhow::bail!("somebody else writes to the enclave's socket");
            }
            Err(error) => return Err(error.into()),
        };
        let entry = door.enter(number, &rest);
        answer(state, hardening, &mut replies, number, entry)?;
        sandbox::wipe_stack();
    }
}

/// In a frame of its own, which is wiped afterwards.
#[inline(never)]
fn answer(
    state: &mut EnclaveState,
    hardening: &Hardening,
    socket: &mut impl Write,
    number: u64,
    entry: Entry,
) -> io::Result<()> {
    if let Some(intrusion) = entry.intrusion() {
        state.intruded(intrusion);
    }
    let reply = match entry {
        Entry::Opened => Reply::Done,
        Entry::Call(Some(call)) | Entry::Miscounted(Some(call)) => match *call {
            Call::Hardening if !state.is_intruded() => Reply::Hardening(hardening.clone()),
            call => state.answer(call),
        },
        Entry::Call(None) => Reply::Failed("malformed".to_owned()),
        Entry::Miscounted(None) | Entry::Stranger => Reply::Failed(INTRUDED.to_owned()),
    };
    frame::write(socket, number, &reply)
}

/// Reads the endpoint's long-term keys; at the first start makes them. In a frame of its
/// own, which is wiped afterwards.
#[inline(never)]
fn load_or_make(path: &Path) -> anyhow::Result<Keys> {
    if !path.exists() {
        let mut rng = kernel_rng();
        let signing = SigningKey::generate(&mut rng);
        let (secret, public) = envelope::generate(&mut rng);
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_LEN));
        bytes.extend_from_slice(signing.as_bytes());
        bytes.extend_from_slice(&*secret);
        bytes.extend_from_slice(&public);
        write_whole(path, &bytes, PRIVATE)?;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_LEN + 1));
    std::fs::File::open(path)
        .with_context(|| format!("open {}", path.display()))?
        .take(KEY_FILE_LEN as u64 + 1)
        .read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() == KEY_FILE_LEN,
        "{} is not a key file",
        path.display()
    );
    let part = |at: usize| {
        let mut part = Zeroizing::new([0u8; 32]);
        part.copy_from_slice(&bytes[at..at + 32]);
        part
    };
    // Bundles are sealed to the incarnation's key: the long-term KEM key's secret half
    // stays in the file.
    Ok(Keys {
        signing: Box::new(SigningKey::from_bytes(&part(0))),
        kem_key: *part(64),
    })
}

#[cfg(test)]
mod tests {
    use std::thread::JoinHandle;

    use armour_protocol::v2::identity::{
        body::{LinkBody, LinkKind},
        link::SignedLink,
    };

    use super::*;
    use crate::{Enclave, door::Caller, ipc::ChainState};

    /// An enclave that has started, its proxy, and another hand on the socket.
    struct Intruded {
        proxy: Enclave,
        stranger: UnixStream,
        enclave: JoinHandle<anyhow::Result<()>>,
    }

    fn started(keys: Keys) -> EnclaveState {
        EnclaveState::new(
            keys,
            pins::Pins::default(),
            BootClock::fixed(5),
            UnixTime(1),
        )
    }

    impl Intruded {
        async fn started() -> Self {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let stranger = ours.try_clone().unwrap();
            let enclave = std::thread::spawn(|| {
                let keys = Keys {
                    signing: Box::new(SigningKey::from_bytes(&[1; 32])),
                    kem_key: [1; 32],
                };
                let mut state = started(keys);
                let hardening = Hardening {
                    in_force: Vec::new(),
                    missing: Vec::new(),
                    started_ms: state.started_ms(),
                };
                serve(theirs, &mut state, &hardening)
            });
            let proxy = Enclave::on(ours).unwrap();
            assert_eq!(proxy.hardening().await.unwrap().started_ms, 5);
            proxy.begin_start([2; 16], None).await.unwrap();
            proxy.start_kept().await.unwrap();
            proxy.start_accepted().await.unwrap();
            Self {
                proxy,
                stranger,
                enclave,
            }
        }

        /// The proxy is told, and can tell the control plane; nothing else is answered.
        async fn can_only_tell(&self, what: Intrusion) {
            let refused = self.proxy.retire([3; 16]).await.unwrap_err();
            assert!(refused.is_intruded(), "{refused}");
            for refused in [
                self.proxy.hardening().await.err(),
                self.proxy.renew().await.err(),
                self.proxy.link(1, b"beat".to_vec()).await.err(),
            ] {
                assert!(refused.unwrap().is_intruded());
            }
            let kind = LinkKind::EnclaveIntruder as u8;
            let link = self.proxy.link(kind, Vec::new()).await.unwrap();
            assert_eq!(self.proxy.link(kind, Vec::new()).await.unwrap(), link);
            let link = SignedLink::from_bytes(&link).unwrap();
            assert_eq!(link.body(), &LinkBody::EnclaveIntruder(what));
            let mark = link.mark();
            let answered = self.proxy.link_answered(mark.k, mark.hash.0).await;
            assert_eq!(answered.unwrap(), ChainState::Taken);
        }
    }

    async fn ended(enclave: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
        let joined = tokio::task::spawn_blocking(|| enclave.join());
        joined.await.unwrap().unwrap()
    }

    /// Runs until the enclave has read what was written before.
    async fn settled(proxy: &Enclave) {
        let _ = proxy.identity().await;
    }

    #[tokio::test]
    async fn a_strangers_call_wipes_and_is_not_answered() {
        let mut i = Intruded::started().await;
        let (mut stranger, first) = Caller::new(Zeroizing::new([9; 32])).unwrap();
        i.stranger.write_all(&first).unwrap();
        let (_, frame) = stranger.frame(&Call::Identity).unwrap();
        i.stranger.write_all(&frame).unwrap();
        settled(&i.proxy).await;
        i.can_only_tell(Intrusion::Stranger).await;
        drop(i.proxy);
        drop(i.stranger);
        assert!(ended(i.enclave).await.is_ok());
    }

    #[tokio::test]
    async fn what_was_in_flight_is_answered_first() {
        let mut i = Intruded::started().await;
        let beat = i.proxy.link(1, b"beat".to_vec()).await.unwrap();
        let frame = frame::frame(3, &[&[0; 16], b"x"]).unwrap();
        i.stranger.write_all(&frame).unwrap();
        settled(&i.proxy).await;
        assert_eq!(i.proxy.link(1, b"beat".to_vec()).await.unwrap(), beat);
        let kind = LinkKind::EnclaveIntruder as u8;
        let waiting = i.proxy.link(kind, Vec::new()).await.unwrap_err();
        assert!(waiting.is("link-in-flight"));
        let mark = SignedLink::from_bytes(&beat).unwrap().mark();
        i.proxy.link_answered(mark.k, mark.hash.0).await.unwrap();
        i.can_only_tell(Intrusion::Stranger).await;
    }

    #[tokio::test]
    async fn bytes_that_hide_the_next_call_end_the_enclave() {
        let mut i = Intruded::started().await;
        i.stranger.write_all(&[0xff; 12]).unwrap();
        settled(&i.proxy).await;
        let refused = i.proxy.identity().await.unwrap_err();
        // Whichever the proxy hears of first.
        let gone = matches!(refused, crate::EnclaveError::Gone);
        assert!(refused.is_intruded() || gone, "{refused}");
        assert!(ended(i.enclave).await.is_err());
    }

    #[tokio::test]
    async fn a_call_that_somebody_took_out_leaves_a_trace() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut caller, first) = Caller::new(Zeroizing::new([9; 32])).unwrap();
        let enclave = std::thread::spawn(|| {
            let keys = Keys {
                signing: Box::new(SigningKey::from_bytes(&[1; 32])),
                kem_key: [1; 32],
            };
            let mut state = started(keys);
            let hardening = Hardening {
                in_force: Vec::new(),
                missing: Vec::new(),
                started_ms: 5,
            };
            serve(theirs, &mut state, &hardening)
        });
        let mut socket = &ours;
        socket.write_all(&first).unwrap();
        assert!(matches!(reply(&ours), Reply::Done));
        caller.frame(&Call::Identity).unwrap();
        let (_, frame) = caller.frame(&Call::Identity).unwrap();
        socket.write_all(&frame).unwrap();
        assert!(matches!(reply(&ours), Reply::Failed(code) if code == INTRUDED));
        // The same once more: not answered either.
        socket.write_all(&frame).unwrap();
        assert!(matches!(reply(&ours), Reply::Failed(code) if code == INTRUDED));
        drop(ours);
        assert!(enclave.join().unwrap().is_ok());
    }

    fn reply(mut socket: &UnixStream) -> Reply {
        frame::decode(&frame::read(&mut socket).unwrap().1).unwrap()
    }
}
