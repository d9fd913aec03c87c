//! How a program becomes its own enclave.

use std::sync::atomic::{AtomicBool, Ordering};

static CALLED: AtomicBool = AtomicBool::new(false);

/// Becomes the enclave if this process was started as one, and never returns then. Call it
/// first in `main`: what holds root secrets has no other threads.
pub fn enclave() {
    CALLED.store(true, Ordering::Relaxed);
    let arguments: Vec<_> = std::env::args_os().collect();
    let (file, pins) = match &arguments[..] {
        [_, word, keys, file] if word == "enclave" && keys == "--key-file" => (file, None),
        [_, word, keys, file, flag, pins]
            if word == "enclave" && keys == "--key-file" && flag == "--pins" =>
        {
            (file, Some(pins.as_ref()))
        }
        _ => return,
    };
    let ended = armour_enclave::process::run(file.as_ref(), pins);
    if let Err(error) = &ended {
        eprintln!("enclave: {error:#}");
    }
    std::process::exit(i32::from(ended.is_err()));
}

/// Whether [`enclave`] was called, so that this program can be its own enclave.
pub fn was_called() -> bool {
    CALLED.load(Ordering::Relaxed)
}
