//! The enclave's main loop. Its socket is its standard input.

use std::{
    io::{self, Read},
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
};

use anyhow::{Context as _, ensure};
use armour_protocol::envelope;
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::{
    durable::{PRIVATE, write_whole},
    ipc::{self, Call, Reply},
    sandbox,
    state::{EnclaveState, Keys, kernel_rng},
};

const KEY_FILE_LEN: usize = 96;

/// Serves the proxy until it closes the socket.
///
/// # Errors
/// If the keys cannot be read or made, or the socket breaks.
pub fn run(key_file: &Path) -> anyhow::Result<()> {
    sandbox::before_secrets()?;
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Calls hold no secrets in the clear, so what is buffered need not be erased.
    let mut calls = io::BufReader::new(socket.try_clone()?);
    let mut state = EnclaveState::new(load_or_make(key_file)?);
    let hardening = sandbox::after_secrets();
    loop {
        let (id, call): (u64, Call) = match ipc::read(&mut calls) {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match call {
            Call::Hardening => {
                ipc::write(&mut socket, id, &Reply::Hardening(hardening.clone()))?;
            }
            call => answer(&mut state, &mut socket, id, call)?,
        }
        sandbox::wipe_stack();
    }
}

/// In a frame of its own, which is wiped afterwards.
#[inline(never)]
fn answer(
    state: &mut EnclaveState,
    socket: &mut UnixStream,
    id: u64,
    call: Call,
) -> io::Result<()> {
    ipc::write(socket, id, &state.answer(call))
}

/// Reads the endpoint's long-term keys; at the first start makes them.
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
    Ok(Keys {
        signing: SigningKey::from_bytes(&part(0)),
        kem_secret: part(32),
        kem_public: *part(64),
    })
}
