"""Binary HTTP messages of indeterminate length (RFC 9292, section 3.2)."""

import struct


def varint(value: int) -> bytes:
    """RFC 9000, section 16."""
    for bits, prefix, form in [(6, 0, ">B"), (14, 1, ">H"), (30, 2, ">I"), (62, 3, ">Q")]:
        if value < 1 << bits:
            return struct.pack(form, value | prefix << bits)
    raise ValueError(value)


def prefixed(data: bytes) -> bytes:
    return varint(len(data)) + data


def section(headers: dict) -> bytes:
    lines = (prefixed(name.encode()) + prefixed(str(value).encode())
             for name, value in headers.items())
    return b"".join(lines) + varint(0)


def ending(body: bytes) -> bytes:
    return (prefixed(body) if body else b"") + varint(0) + varint(0)


def write_request(method: str, path: str, headers: dict, body: bytes) -> bytes:
    headers = dict(headers)
    control = [method.encode(), b"https", headers.pop("host").encode(), path.encode()]
    return varint(2) + b"".join(map(prefixed, control)) + section(headers) + ending(body)


def write_response(status: int, headers: dict, body: bytes) -> bytes:
    return varint(3) + varint(status) + section(headers) + ending(body)


class Reader:
    def __init__(self, message: bytes):
        self.message, self.at = message, 0

    def number(self) -> int:
        length = 1 << (self.message[self.at] >> 6)
        found = self.message[self.at : self.at + length]
        self.at += length
        return int.from_bytes(found) & ((1 << 8 * length - 2) - 1)

    def take(self) -> bytes:
        length = self.number()
        self.at += length
        return self.message[self.at - length : self.at]

    def fields(self) -> dict:
        found = {}
        while name := self.take():
            found[name.decode()] = self.take().decode()
        return found

    def content(self) -> bytes:
        found = b""
        while piece := self.take():
            found += piece
        return found


def read_request(message: bytes):
    reader = Reader(message)
    assert reader.number() == 2, "a request of indeterminate length"
    method, _, host, path = (reader.take().decode() for _ in range(4))
    return method, path, {"host": host, **reader.fields()}, reader.content()


def read_response(message: bytes):
    reader = Reader(message)
    assert reader.number() == 3, "a response of indeterminate length"
    status = reader.number()
    return status, reader.fields(), reader.content()
