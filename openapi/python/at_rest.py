"""Payloads at rest: what an application stores on a device is sealed with a key that it
keeps in the system's key store (docs/at-rest.md).

The format is age (https://age-encryption.org/v1), X25519 recipients; the library is pyrage
(`pip install 'armour-client[at-rest]'`), and nothing of the cryptography is ours. The
libraries for Rust and TypeScript open what this seals, and so does the `age` command.
"""

from __future__ import annotations

from typing import BinaryIO

import pyrage

__all__ = ["AtRestError", "Key"]


class AtRestError(Exception):
    """Why something could not be sealed or opened: it is no key, or it was sealed with
    another one, or was changed or cut off since.
    """


class Key:
    """The key of payloads at rest; it is never printed. Python cannot wipe it from memory."""

    __slots__ = ("_identity",)

    def __init__(self, secret: str | None) -> None:
        """The key of a secret that the key store gave back; None, a key store's answer for
        one that it does not have, is refused like any text that is no key.
        """
        try:
            self._identity = pyrage.x25519.Identity.from_str((secret or "").strip())
        except pyrage.IdentityError:
            # Without its cause, which may quote the secret.
            raise AtRestError(
                "this is not a key: AGE-SECRET-KEY-1 and 58 characters are") from None

    @classmethod
    def generate(cls) -> Key:
        """Makes a key. Put its `secret()` into the key store before anything is sealed."""
        return cls(str(pyrage.x25519.Identity.generate()))

    def secret(self) -> str:
        """What the key store keeps: `AGE-SECRET-KEY-1…`, 74 characters. Nobody else should
        see it.
        """
        return str(self._identity)

    def seal(self, payload: bytes) -> bytes:
        """Seals bytes as an age file, some 200 bytes longer."""
        return pyrage.encrypt(payload, [self._identity.to_public()])

    def open(self, sealed: bytes) -> bytes:
        """Opens an age file."""
        try:
            return pyrage.decrypt(sealed, [self._identity])
        except pyrage.DecryptError as why:
            raise AtRestError(f"it does not open with this key: {why}") from why

    def seal_stream(self, payload: BinaryIO, sealed: BinaryIO) -> None:
        """Seals a binary file object as an age file, however long."""
        pyrage.encrypt_io(payload, sealed, [self._identity.to_public()])

    def open_stream(self, sealed: BinaryIO, payload: BinaryIO) -> None:
        """Opens a binary file object. Each 64 KiB are genuine as they are written, but only
        the return says that none are missing: use none before it.
        """
        try:
            pyrage.decrypt_io(sealed, payload, [self._identity])
        except pyrage.DecryptError as why:
            raise AtRestError(f"it does not open with this key: {why}") from why

    def __repr__(self) -> str:
        return "Key(…)"

    def __reduce__(self):
        raise TypeError("a key is not pickled: keep its secret() in the key store")
