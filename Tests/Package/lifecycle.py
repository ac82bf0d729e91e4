"""The Debian package's life on a copy of this system that nobody else sees: installed, started, asked, upgraded, removed, purged.

    lifecycle.py OLD.deb NEW.deb PORT

Wants root, and Debian. The copy is an overlay in memory, in a mount namespace of its own: the system itself is not changed. There
is no systemd in it; the unit's command is started as the unit says, by a user that is nobody, with a socket to say that it is ready.
Each line that it prints is a check, `ok` or `FAILED`; the exit code is 0 if all are ok.
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

CONFIGURATION = "/etc/cacheismo/cacheismo.conf"
UNIT = "/lib/systemd/system/cacheismo.service"
NOBODY = 65534
failed = False


def check(what, holds, more=""):
    global failed
    failed = failed or not holds
    print(f"{'ok' if holds else 'FAILED'} {what}{'' if holds else f': {more}'}", flush=True)


def run(*command, **options):
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} | options
    return subprocess.run(command, **options)


def enter_copy():
    """From here on this process sees the copy as its system."""
    place = os.environ["CACHEISMO_PACKAGE_COPY"]
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    for name in ("upper", "work", "root"):
        os.mkdir(f"{place}/{name}")
    layers = f"lowerdir=/,upperdir={place}/upper,workdir={place}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, f"{place}/root"], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", f"{place}/root/proc"], check=True)
    subprocess.run(["mount", "--rbind", "/dev", f"{place}/root/dev"], check=True)
    for package in sys.argv[1:3]:
        shutil.copy(package, f"{place}/root/root/")
    os.chroot(f"{place}/root")
    os.chdir("/")
    # Packages' scripts look here for systemd, which is not in the copy.
    shutil.rmtree("/run/systemd/system", ignore_errors=True)


class Node:
    """The unit's command, by a user that may do nothing."""

    def __init__(self):
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind("")
        self.manager.settimeout(60)
        place = "@" + self.manager.getsockname()[1:].decode()
        command = re.search(r"^ExecStart=(.*)$", pathlib.Path(UNIT).read_text(), re.M)[1].split()
        user = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--no-new-privs"]
        self.process = subprocess.Popen(
            user + ["--bounding-set=-all"] + command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env={"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": place})

    def hears(self):
        try:
            return self.manager.recv(4096).decode()
        except TimeoutError:
            return ""

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return code, self.process.stdout.read()


def ask(port, text, end):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(text)
        answer = b""
        while not answer.endswith(end):
            try:
                piece = connection.recv(65536)
            except TimeoutError:
                break
            if not piece:
                break
            answer += piece
        return answer


def serves(port):
    node = Node()
    ready = node.hears()
    check("it tells its manager that it is ready", ready.startswith("READY=1\n"), ready)
    if not ready:
        print(node.end()[1])
        return None
    answer = ask(port, b"set k 0 0 1\r\nv\r\nget k\r\nget quota:new:q:5:day\r\n", b"CREATED\r\nEND\r\n")
    check("it answers", answer.startswith(b"STORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n"), answer)
    return node


def ends(node):
    code, log = node.end()
    check("it ends with code 0", code == 0, f"{code}: {log}")


def installed(package):
    return run("dpkg-query", "-W", "-f", "${Version} ${db:Status-Abbrev}", package).stdout.strip()


def main():
    old, new = ("/root/" + os.path.basename(path) for path in sys.argv[1:3])
    port = int(sys.argv[3])
    enter_copy()
    made = run("dpkg", "--install", old)
    check("it is installed", made.returncode == 0 and installed("cacheismo").endswith("ii"), made.stdout)
    files = run("dpkg", "--listfiles", "cacheismo").stdout.split("\n")
    for path in [
        "/usr/bin/cacheismo", UNIT, CONFIGURATION, "/usr/share/man/man1/cacheismo.1.gz",
        "/usr/share/bash-completion/completions/cacheismo", "/usr/share/zsh/vendor-completions/_cacheismo",
        "/usr/share/fish/vendor_completions.d/cacheismo.fish", "/usr/share/doc/cacheismo/copyright",
    ]:
        check(f"{path} is there", path in files and os.path.isfile(path))
    owners = run("find", *[path for path in files if os.path.isfile(path)], "!", "-user", "root", "-o", "-perm", "/022")
    check("all of it is root's, and root's alone to change", owners.stdout == "", owners.stdout)
    intact = run("dpkg", "--verify", "cacheismo")
    check("the files are as the package has them", intact.stdout == "", intact.stdout)
    needs = run("dpkg-query", "-W", "-f", "${Depends}", "cacheismo").stdout
    check("it depends on the chart library", "libjs-chart.js" in needs, needs)
    for script in ("postinst configure", "postinst configure"):
        again = run("sh", "-c", f"DPKG_MAINTSCRIPT_PACKAGE=cacheismo /var/lib/dpkg/info/cacheismo.{script}")
        check("its script may run again", again.returncode == 0, again.stdout)
    enabled = os.path.islink("/etc/systemd/system/multi-user.target.wants/cacheismo.service")
    check("the unit is enabled", enabled)
    verified = run("systemd-analyze", "verify", "--man=no", UNIT)
    ours = [line for line in verified.stdout.split("\n") if "cacheismo" in line]
    check("systemd understands the unit", not ours, ours)
    checked = run("cacheismo", "serve", "--check", "--config", CONFIGURATION)
    check("its options can be used", checked.returncode == 0, checked.stdout)

    # Somebody's own: another port, which an upgrade keeps.
    text = pathlib.Path(CONFIGURATION).read_text()
    pathlib.Path(CONFIGURATION).write_text(text.replace("port = 11211", f"port = {port}"))
    node = serves(port)
    if node:
        second = Node()
        code, log = second.process.wait(timeout=60), second.process.stdout.read()
        check("a second one is refused in a line that names the port", code == 1 and f":{port}: it is in use" in log, f"{code}: {log}")
        check("and the first one serves on", ask(port, b"get k\r\n", b"END\r\n").startswith(b"VALUE k"))
        upgraded = run("dpkg", "--install", new)
        check("it is upgraded while it runs", upgraded.returncode == 0, upgraded.stdout)
        check("the one that runs serves on", ask(port, b"get k\r\n", b"END\r\n").startswith(b"VALUE k"))
        ends(node)
    check("the version is the new one", installed("cacheismo").split()[0] == run("dpkg-deb", "-f", new, "Version").stdout.strip())
    check("the options are as somebody made them", f"port = {port}" in pathlib.Path(CONFIGURATION).read_text())
    node = serves(port)
    if node:
        ends(node)

    removed = run("dpkg", "--remove", "cacheismo")
    check("it is removed", removed.returncode == 0, removed.stdout)
    left = [path for path in files if os.path.isfile(path)]
    check("only the options stay", left == [CONFIGURATION], left)
    purged = run("dpkg", "--purge", "cacheismo")
    check("it is purged", purged.returncode == 0, purged.stdout)
    traces = run("find", "/etc", "/lib/systemd", "/usr/bin", "/usr/share", "/var/lib/systemd", "-iname", "*cacheismo*").stdout
    check("nothing stays", traces == "", traces)


if "CACHEISMO_PACKAGE_COPY" not in os.environ:
    # What is mounted from here on is seen nowhere else, and what is started ends with it.
    with tempfile.TemporaryDirectory(prefix="cacheismo-package-") as folder:
        sys.exit(
            subprocess.run(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", sys.executable]
                + sys.argv, env={**os.environ, "CACHEISMO_PACKAGE_COPY": folder}).returncode)
main()
sys.exit(1 if failed else 0)
