"""A program on a terminal of its own: what it draws there, what is typed, and how it leaves the terminal."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

PATIENCE_SECONDS = 600


class Terminal:
    """Runs `command` with a pseudo terminal for its standard streams."""

    def __init__(self, command: list[str], rows: int = 40, columns: int = 120) -> None:
        self._master, self._slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self._slave)
        self._process = subprocess.Popen(
            command, stdin=self._slave, stdout=self._slave, stderr=self._slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.text = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def read_until(self, wanted: str) -> str:
        """All that was drawn since the last call, up to where `wanted` stands; raises where it does not come."""
        end = time.monotonic() + PATIENCE_SECONDS
        while wanted not in self.text:
            self._read(end, f"{wanted!r}")
        at = self.text.index(wanted) + len(wanted)
        seen, self.text = self.text[:at], self.text[at:]
        return seen

    def pending(self) -> str:
        """What was drawn and not read yet."""
        self._read(time.monotonic() + PATIENCE_SECONDS, "nothing", seconds=0)
        return self.text

    def finish(self) -> int:
        """Waits until it has ended, and takes the rest of what it drew; the exit code."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self._process.poll() is None:
            self._read(end, "its end", seconds=0.05)
        while self._read(end, "nothing", seconds=0):
            pass
        return self._process.returncode

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)
        os.close(self._slave)

    @property
    def is_as_before(self) -> bool:
        """The terminal takes input as it did before the program began."""
        return termios.tcgetattr(self._slave) == self.before

    def _read(self, end: float, wanted: str, seconds: float = 1) -> bool:
        if time.monotonic() > end:
            raise TimeoutError(f"no {wanted} after {self.text[-2000:]!r}")
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        self.text += os.read(self._master, 65536).decode("utf-8", "replace")
        return True
