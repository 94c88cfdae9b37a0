"""The same mailboxes in front of imapd and of Dovecot, and the mailboxes of the corpus."""
import os
import re
import subprocess

from imapwire import Client

DOVECOT = '/usr/lib/dovecot/imap'
FROM = re.compile(rb'From .*\d\d:\d\d.*\d{4}')
QUOTE = re.compile(rb'^(>*From )', re.M)


def corpus_boxes(corpus):
    """{label: octets}, {label: [(name of a message's file, whether it needed quoting)]} of those made of single messages."""
    boxes, singles = {}, {}
    for folder in sorted(os.listdir(corpus)):
        path = os.path.join(corpus, folder)
        if not os.path.isdir(path):
            continue
        single = []
        for name in sorted(os.listdir(path)):
            with open(os.path.join(path, name), 'rb') as f:
                data = f.read()
            label = folder + '_' + re.sub(r'[^A-Za-z0-9._-]', '_', name)
            if FROM.match(data.lstrip(b'\r\n ')[:400]):
                boxes[label] = data
            elif data:
                single.append((label, data))
        text, names = b'', []
        for label, data in single:
            if not data.endswith(b'\n'):
                data += b'\n'
            text += b'From corpus@example Mon Jan  1 00:00:00 2024\n' + QUOTE.sub(rb'>\1', data) + b'\n'
            names.append((label, bool(QUOTE.search(data))))
        boxes['all_' + folder] = text
        singles['all_' + folder] = names
    return boxes, singles


def differences(path):
    """{(file, message, item): line} of a list of known differences: "file message item # reason"."""
    allowed = {}
    with open(path) as f:
        for line in f:
            words = line.split('#')[0].split()
            if len(words) == 3:
                allowed[tuple(words)] = line
    return allowed


def dovecot_settings(text):
    """A configuration for Dovecot 2.3, as 2.4 wants it if that is the one here."""
    version = subprocess.run(['/usr/sbin/dovecot', '--version'], capture_output=True, text=True).stdout
    found = re.match(r'(\d+)\.(\d+)', version)
    if found is None or (int(found[1]), int(found[2])) < (2, 4):
        return text

    def location(m):
        driver, path, *more = m[1].split(':')
        names = {'INBOX': 'mail_inbox_path', 'INDEX': 'mail_index_path'}
        lines = ['mail_driver = ' + driver, 'mail_path = ' + path] + ['%s = %s' % (names[k], v) for k, v in (x.split('=') for x in more)]
        return '\n'.join(lines)
    return 'dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n' + re.sub(r'mail_location = (\S+)', location, text)


class Dovecot:
    """Dovecot with mailboxes of its own in a directory, started for one session each."""

    def __init__(self, directory):
        self.home = os.path.abspath(directory)
        self.mail = self.home + '/mail'
        os.makedirs(self.mail)
        os.makedirs(self.home + '/run')
        self.config = self.home + '.conf'
        with open(self.config, 'w') as f:
            f.write(dovecot_settings('mail_location = mbox:~/mail:INBOX=~/mail/INBOX\nlog_path = /dev/null\nssl = no\nbase_dir = %s/run\n'
                                     'mail_privileged_group =\nfirst_valid_uid = 500\n' % self.home))

    def own(self, uid):
        if os.getuid() == 0:
            subprocess.run(['chown', '-R', '%d:%d' % (uid, uid), self.home], check=True)

    def client(self, prefix, **more):
        return Client(prefix + ['env', 'HOME=' + self.home, 'USER=peer', DOVECOT, '-c', self.config], **more)
