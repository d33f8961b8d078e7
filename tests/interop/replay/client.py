"""A client of a few lines: requests as arrays of bulk strings, replies as RESP2 has them."""

import socket

# Against hanging only.
PATIENCE = 60


class ServerError(Exception):
    """An error reply, in the server's words."""


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.replies = self.socket.makefile("rb")

    def call(self, *arguments):
        """A status is a str, a bulk string bytes, either null None."""
        words = [word if isinstance(word, bytes) else str(word).encode() for word in arguments]
        frame = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        self.socket.sendall(b"*%d\r\n%s" % (len(words), frame))
        return self.read()

    def read(self):
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server has closed the connection")
        kind, text = line[:1], line[1:-2]
        match kind:
            case b"+":
                return text.decode()
            case b"-":
                raise ServerError(text.decode())
            case b":":
                return int(text)
            case b"$":
                return self.replies.read(int(text) + 2)[:-2] if int(text) >= 0 else None
            case b"*":
                return [self.read() for _ in range(int(text))] if int(text) >= 0 else None
        raise ValueError(f"no reply begins like {line!r}")
