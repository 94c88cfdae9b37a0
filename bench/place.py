"""What bench/run sets up: users in a mount namespace, configurations, a Dovecot of its own, copies of imapd; all in one folder."""
import mmap
import os
import pwd
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SRCDIR = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(SRCDIR, "tests"))
from auth_lib import FAST, crypt
from listener_lib import free_port

PASSWORD = "benchpw"
UID = 2790
USER = "benchmark"
HASH = crypt(PASSWORD, FAST)                # the same for all servers
DOVECOT_MORE = """
# Beyond the example: TLS, COMPRESS for the user who asks for it, as many logins at once as the benchmark makes.
ssl = yes
ssl_cert = <{dir}/server.pem
ssl_key = <{dir}/server.key
service imap-login {{
  process_limit = 500
  inet_listener imaps {{
    port = {tls}
  }}
}}
"""


def build_imapd():
    """Builds imapd with -O2 where the project is built; returns the build directory."""
    script = r"""set -e; cd "$1"; mkdir -p build; [ -x configure ] || autoreconf -i > build/autoreconf.log 2>&1
        cd build; [ -e Makefile ] || ../configure -q CFLAGS='-O2 -g' > configure.log 2>&1
        grep -q '^CFLAGS = .*-O[2-9]' Makefile || { echo 'build/ is not built with -O2' >&2; exit 1; }
        make -j"$(nproc)" imapd all > make.log 2>&1 || { tail -20 make.log >&2; exit 1; }"""
    subprocess.run(["bash", "-c", script, "bash", SRCDIR], check=True)
    return os.path.join(SRCDIR, "build")


def install_packages():
    """The peers. Nothing is started by installing them (tests/packages.sh sees to it)."""
    wanted = ("dovecot-imapd", "mailutils-imap4d", "openssl", "gcc", "libc6-dev", "xinetd")
    script = r"""set -e
        . tests/packages.sh; install_packages build; need=
        for p in %s; do [ "$(dpkg-query -W -f '${db:Status-Status}' $p 2>/dev/null)" = installed ] || need="$need $p"; done
        [ -n "$need" ] || exit 0
        echo "installing:$need" >&2
        install="without_services apt-get -qq -y --no-install-recommends install $need"
        $install >/dev/null 2>&1 || { apt-get -qq update && $install >/dev/null; }""" % " ".join(wanted)
    subprocess.run(["bash", "-c", script], cwd=SRCDIR, check=True, env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))


class Place:
    def __init__(self, folder):
        self.dir = os.path.abspath(folder)
        for name in ("home", "home/imapd", "home/i4d", "dv", "dv/mail", "dovecot", "etc", "empty", "program"):
            os.makedirs(os.path.join(self.dir, name), exist_ok=True)
        os.chmod(self.dir, 0o755)
        self.port, self.tls_port, self.dovecot = free_port(), free_port(), None
        self.mounted = []
        try:
            self.add_user()
            self.install_imapd(build_imapd())
            self.certificate()
            self.start_dovecot()
        except BaseException:
            self.close()
            raise

    def add_user(self):
        for name, line in (("passwd", "%s:x:%d:%d::%s:/bin/sh\n" % (USER, UID, UID, self.dir + "/home")),
                           ("group", "%s:x:%d:\n" % (USER, UID)), ("shadow", "%s:%s:19000:0:99999:7:::\n" % (USER, HASH))):
            copy = os.path.join(self.dir, "etc", name)
            shutil.copy2("/etc/" + name, copy)
            shutil.copystat("/etc/" + name, copy)
            os.chown(copy, 0, os.stat("/etc/" + name).st_gid)
            with open(copy, "a") as out:
                out.write(line)
            subprocess.run(["mount", "--bind", copy, "/etc/" + name], check=True)
            self.mounted.append("/etc/" + name)
        pwd.getpwnam(USER)
        for top in ("home", "dv"):
            for folder, _, files in os.walk(os.path.join(self.dir, top)):
                for name in [folder] + [os.path.join(folder, f) for f in files]:
                    os.chown(name, UID, UID)

    def install_imapd(self, build):
        """A copy of imapd and its modules where everybody may read it."""
        for name in os.listdir(build):
            if name == "imapd" or name.startswith("imapd-") and name.endswith(".so"):
                shutil.copy(os.path.join(build, name), os.path.join(self.dir, "program"))
        self.imapd = os.path.join(self.dir, "program", "imapd")
        self.conf = os.path.join(self.dir, "imapd.conf")
        with open(self.conf, "w") as out:
            out.write("inbox = %%h/inbox\nlogin-delay = 0\nlogin-octets = 1G\nstate-file =\ngreeter-root = %s/empty\n"
                      "max-connections-per-address = 0\nmax-sessions-per-user = 0\ntls-linger = 0\n"
                      "tls-certificate = %s/server.pem\ntls-key = %s/server.key\n" % (self.dir, self.dir, self.dir))

    def certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost",
                        "-keyout", self.dir + "/server.key", "-out", self.dir + "/server.pem"], check=True, stderr=subprocess.DEVNULL)

    def start_dovecot(self):
        with open(os.path.join(HERE, "dovecot.example.conf")) as text:
            conf = text.read().replace("/srv/bench", self.dir).replace("port = 21143", "port = %d" % self.port).replace("ssl = no\n", "")
        with open(self.dir + "/dovecot/conf", "w") as out:
            out.write(conf + DOVECOT_MORE.format(dir=self.dir, tls=self.tls_port))
        with open(self.dir + "/dovecot/passwd", "w") as out:
            for user, extra in (("dv", ""), ("dz", " userdb_mail_plugins=imap_zlib")):
                out.write("%s:{CRYPT}%s:%d:%d::%s/dv::userdb_mail=mbox:~/mail:INBOX=~/inbox%s\n" % (user, HASH, UID, UID, self.dir, extra))
        with open(self.dir + "/dv/inbox", "a"):
            os.chown(self.dir + "/dv/inbox", UID, UID)
        self.dovecot = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", self.dir + "/dovecot/conf"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=open(self.dir + "/dovecot/stderr", "w"))
        time.sleep(1)
        if self.dovecot.poll() is not None:
            with open(self.dir + "/dovecot/stderr") as text:
                raise SystemExit("dovecot does not start: " + text.read())

    def servers(self):
        """Sections as in servers.example.ini."""
        ours = {"command": "%s --config %s" % (self.imapd, self.conf), "user": USER, "password": PASSWORD, "mail": self.dir + "/home/imapd",
                "prefix": "imapd/", "index": self.dir + "/home/.imapd", "owner": USER}
        dovecot = {"host": "127.0.0.1", "port": str(self.port), "user": "dv", "password": PASSWORD, "mail": self.dir + "/dv/mail",
                   "index": self.dir + "/dv/mail/.imap/{box}", "process": "imap", "owner": USER, "tls_port": str(self.tls_port),
                   "compress_user": "dz", "limit": "300"}
        imap4d = {"command": "/usr/sbin/imap4d --inetd", "user": USER, "password": PASSWORD, "mail": self.dir + "/home/i4d",
                  "prefix": "i4d/", "owner": USER, "limit": "60"}
        return {"imapd": ours, "dovecot-mbox": dovecot, "imap4d": imap4d}

    def close(self):
        if self.dovecot and self.dovecot.poll() is None:
            self.dovecot.terminate()
            self.dovecot.wait(20)
        for target in self.mounted[::-1]:
            subprocess.run(["umount", target])


def versions():
    def first(*command):
        out = subprocess.run(command, capture_output=True, text=True)
        return ((out.stdout or out.stderr).splitlines() or ["?"])[0].strip()
    return {"imapd": first("git", "-C", SRCDIR, "describe", "--always", "--dirty") + " (gcc " + first("gcc", "-dumpfullversion") + ", -O2)",
            "dovecot-mbox": "Dovecot " + first("dovecot", "--version"),
            "imap4d": first("dpkg-query", "-W", "-f", "${Package} ${Version}\\n", "mailutils-imap4d")}


def page_fault():
    """Microseconds that a process waits for a page of memory it touches first: virtual machines differ by ten times, from hour to hour."""
    pages = 16384
    with mmap.mmap(-1, pages * mmap.PAGESIZE) as memory:
        filled = b"x" * pages
        start = time.perf_counter()
        memory[::mmap.PAGESIZE] = filled
        return (time.perf_counter() - start) / pages * 1e6


def machine(folder):
    with open("/proc/cpuinfo") as text:
        model = next((line.split(":")[1].strip() for line in text if line.startswith("model name")), os.uname().machine)
    with open("/proc/meminfo") as text:
        memory = int(text.readline().split()[1]) // 1048576
    fs = subprocess.run(["findmnt", "-no", "FSTYPE", "-T", folder], capture_output=True, text=True).stdout.strip()
    return "%s, %d processors, %d GB, %s, Linux %s; a page fault takes %.1f us" % (
        model, os.cpu_count(), memory, fs, os.uname().release, min(page_fault() for _ in range(3)))
