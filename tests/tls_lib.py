"""What the tests of TLS share: certificates, and connections to an imapd of their own, with STARTTLS or TLS from the start."""
import os
import socket
import ssl
import subprocess

from auth_lib import IMAPD, PASSWORD, check


def openssl(*arguments, **more):
    return subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)


def validity(days):
    """-days; of a negative number openssl 3.4 and later hear only in another way."""
    if not days.startswith("-") or "-not_after" not in subprocess.run(["openssl", "x509", "-help"], capture_output=True, text=True).stderr:
        return ["-days", days]
    return ["-not_before", "20200101000000Z", "-not_after", "20200102000000Z"]


def certificate(path, name, kind="rsa", days="2", names=(), authority=None):
    """path.pem and path.key: of its own authority, or signed by one that was made by this function too."""
    new = {"rsa": ["rsa:2048"], "ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "ed25519": ["ed25519"]}[kind]
    subject = ["-subj", "/CN=" + name, "-keyout", path + ".key", "-nodes"]
    alternative = ",".join(names)
    extensions = ["-addext", "subjectAltName=" + alternative] if names else []
    if authority is None:
        openssl("req", "-x509", "-newkey", *new, *subject, *extensions, *validity(days), "-out", path + ".pem")
    else:
        openssl("req", "-newkey", *new, *subject, *extensions, "-out", path + ".csr")
        openssl("x509", "-req", "-in", path + ".csr", "-CA", authority + ".pem", "-CAkey", authority + ".key", "-CAcreateserial", *validity(days),
                "-copy_extensions", "copy", "-out", path + ".pem")
    os.chmod(path + ".key", 0o600)
    return path


def context(ca=None, client=None, version=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE if ca is None else ssl.CERT_REQUIRED
    if ca is not None:
        c.load_verify_locations(ca + ".pem")
    if client is not None:
        c.load_cert_chain(client + ".pem", client + ".key")
    if version is not None:
        c.minimum_version = c.maximum_version = version
    return c


def start(place, config, *arguments, imapd=None, small=False):
    """The client's socket, before any TLS, and the process. small: the kernel keeps little of what is under way to the client."""
    listener = socket.create_server(("127.0.0.1", 0))
    ours = socket.socket()
    if small:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    ours.connect(listener.getsockname())
    other, _ = listener.accept()
    if small:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listener.close()
    with open(place.errors, "a") as errors:
        process = subprocess.Popen([imapd or IMAPD, "--config", config, *arguments], stdin=other, stdout=other, stderr=errors)
    other.close()
    ours.settimeout(30)
    return ours, process


class Plain:
    """Lines over a socket; octets that a handshake must not lose are not read ahead."""

    def __init__(self, sock):
        self.socket = sock

    def line(self):
        octets = b""
        while not octets.endswith(b"\n"):
            one = self.socket.recv(1)
            if one == b"":
                break
            octets += one
        return octets.decode("latin-1").rstrip("\r\n")


class Tls:
    """implicit: --tls; else STARTTLS."""

    def __init__(self, place, config, implicit=True, tls=None, name=None, session=None, imapd=None, small=False):
        raw, self.process = start(place, config, *(["--tls"] if implicit else []), imapd=imapd, small=small)
        self.raw, self.implicit, self.tags = raw, implicit, 0
        try:
            if not implicit:
                plain = Plain(raw)
                self.before = plain.line()
                raw.sendall(b"s STARTTLS\r\n")
                answer = plain.line()
                check(answer.startswith("s OK"), answer)
            self.socket = (tls or context()).wrap_socket(raw, server_hostname=name, session=session)
            self.file = self.socket.makefile("rb")
            self.greeting = self.line() if implicit else ""
        except BaseException:
            raw.close()
            self.process.wait(20)
            raise

    def line(self):
        return self.file.readline().decode("latin-1").rstrip("\r\n")

    def send(self, octets):
        self.socket.sendall(octets if isinstance(octets, bytes) else octets.encode("latin-1"))

    def command(self, text):
        self.tags += 1
        tag = "t%d" % self.tags
        self.send("%s %s\r\n" % (tag, text))
        lines = []
        while not lines or not (lines[-1] == "" or lines[-1].startswith(tag + " ")):
            lines.append(self.line())
        return lines

    def ok(self, text):
        lines = self.command(text)
        check(" OK" in lines[-1][:10], "%s: %s" % (text[:60], lines[-1]))
        return lines

    def login(self, user="walter"):
        self.ok("LOGIN %s %s" % (user, PASSWORD))

    def capabilities(self):
        return [x for x in self.ok("CAPABILITY") if x.startswith("* CAPABILITY")][0].split()[2:]

    def close(self):
        self.file.close()
        self.socket.close()
        self.raw.close()
        return self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
