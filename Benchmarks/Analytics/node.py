"""Nodes of the benchmark: started on loopback ports, asked over the memcached protocol, stopped by their own pid."""

import json
import socket
import subprocess
import time


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", buffering=1 << 20)

    def set(self, key, data):
        self.socket.sendall(f"set {key} 0 0 {len(data)}\r\n".encode() + data + b"\r\n")
        line = self.file.readline()
        if line != b"STORED\r\n":
            raise RuntimeError(f"set {key}: {line!r}")

    def get(self, key):
        """The value, or nothing."""
        self.socket.sendall(f"get {key}\r\n".encode())
        head = self.file.readline()
        if head == b"END\r\n":
            return None
        if not head.startswith(b"VALUE "):
            raise RuntimeError(f"get {key}: {head!r}")
        value = self.file.read(int(head.split()[-1]) + 2)[:-2]
        if self.file.readline() != b"END\r\n":
            raise RuntimeError(f"get {key}: no END")
        return value

    def json(self, key):
        return json.loads(self.get(key))

    def close(self):
        self.file.close()
        self.socket.close()


class Nodes:
    """`count` nodes that know each other, each a process of its own."""

    def __init__(self, binary, port, count=1, prefix=()):
        self.ports = [port + index for index in range(count)]
        peers = ",".join(f"n{i + 1}=127.0.0.1:{p}" for i, p in enumerate(self.ports))
        self.processes = []
        for index, at in enumerate(self.ports):
            command = [*prefix, binary, "serve", "-p", str(at), "-I", "64m", "-m", "1024", "--frame-memory", "8192"]
            if count > 1:
                command += ["--name", f"n{index + 1}", "--peers", peers]
            self.processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        for at, process in zip(self.ports, self.processes):
            self._await(at, process)

    @staticmethod
    def _await(port, process):
        for _ in range(200):
            if process.poll() is not None:
                raise RuntimeError(f"the node on port {port} ended: {process.stderr.read().decode()}")
            try:
                Connection(port).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"no node on port {port} after 10 s")

    def connect(self, index=0):
        return Connection(self.ports[index])

    def resident_mebibytes(self):
        total = 0
        for process in self.processes:
            with open(f"/proc/{process.pid}/status") as status:
                total += int(next(line for line in status if line.startswith("VmRSS")).split()[1])
        return total / 1024

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stderr.close()
