/*
 * Whether the programs that write to the mailboxes wait for us and we for them: liblockfile's helper, and what each delivery
 * agent and mail reader that is installed says of its own locking. We write with dotlock, fcntl and flock (not on NFS); one in
 * common is enough, but we read without making a dotlock.
 */
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "doctor/examine.h"

static const char area[] = "locking";

static void helper(const struct patient *p)
{
    static const char path[] = "/usr/bin/dotlockfile";
    const struct group *group = getgrnam(p->config->spool_group);
    struct stat st, spool;
    char *dir = spool_directory(p->config);
    const bool needed = dir != NULL && stat(dir, &spool) == 0 && (spool.st_mode & 0002) == 0;
    free(dir);
    if (!needed || group == NULL)
        return;
    if (stat(path, &st) != 0)
        report_found(p->report, MARK_WARNING, area, "apt-get install liblockfile-bin",
                     "%s is not there: sessions started without root cannot make dotlocks", path);
    else if (st.st_gid != group->gr_gid || (st.st_mode & 02000) == 0 || (st.st_mode & 0001) == 0)
        report_found(p->report, MARK_WARNING, area, FIX("chgrp %s %s; chmod 2755 %s", group->gr_name, path, path),
                     "%s is not setgid %s: sessions started without root cannot make dotlocks", path, group->gr_name);
    else
        report_found(p->report, MARK_OK, area, NULL, "%s is setgid %s", path, group->gr_name);
}

/* words: what the program uses, in any form that names them. */
static void agree(const struct patient *p, const char *program, bool dotlock, bool fcntl_too, bool flock_too, const char *fix)
{
    char *dir = spool_directory(p->config);
    struct statfs fs;
    const bool nfs = dir != NULL && statfs(dir, &fs) == 0 && fs.f_type == 0x6969;
    free(dir);
    const char *used = dotlock     ? fcntl_too   ? "dotlock and fcntl"
                                     : flock_too ? "dotlock and flock"
                                                 : "the dotlock alone"
                       : fcntl_too ? "fcntl"
                       : flock_too ? "flock"
                                   : "no lock";
    if (!dotlock && !fcntl_too && (!flock_too || nfs))
        report_found(p->report, MARK_ERROR, area, fix, "%s uses %s, on which we do not agree: mail will be damaged", program,
                     used);
    else if (!fcntl_too && (!flock_too || nfs))
        report_found(p->report, MARK_WARNING, area, fix, "%s uses %s: it does not wait while we read", program, used);
    else
        report_found(p->report, MARK_OK, area, NULL, "%s uses %s, as we do", program, used);
}

static bool says(const char *text, const char *word)
{
    return strstr(text, word) != NULL;
}

/* Does Postfix leave delivery to another program? procmail and maildrop lock as it does. */
static void postfix_hands_on(const struct patient *p, const char *name, const char *value)
{
    if (value[0] != '\0' && !says(value, "procmail") && !says(value, "maildrop"))
        report_found(p->report, MARK_WARNING, area, FIX("postconf -e '%s ='; postfix reload", name),
                     "postfix hands mail to %s (%s), and does not deliver to the spool itself", value, name);
}

static void postfix_spool(const struct patient *p, const char *directory)
{
    struct stat a, b;
    char *dir = spool_directory(p->config);
    if (dir != NULL && directory[0] == '/' && stat(dir, &a) == 0
        && (stat(directory, &b) != 0 || a.st_ino != b.st_ino || a.st_dev != b.st_dev))
        report_found(p->report, MARK_NOTE, area, FIX("inbox = %s/%%u, or postconf -e 'mail_spool_directory = %s'", directory, dir),
                     "postfix delivers to %s, INBOX is in %s", directory, dir);
    free(dir);
}

static void postfix(const struct patient *p)
{
    enum { LOCK, HOME, SPOOL, TRANSPORT, COMMAND, SETTINGS };
    static const char *const ask[] = { "postconf", "-h", "mailbox_delivery_lock", "home_mailbox", "mail_spool_directory", "mailbox_transport",
                                       "mailbox_command", NULL };
    char text[4096], *save = text;
    const char *values[SETTINGS];
    if (run_command(ask, false, text, sizeof text) != 0)
        return;
    for (int i = 0; i < SETTINGS; i++) { /* a line each */
        values[i] = strsep(&save, "\n");
        if (values[i] == NULL)
            return;
    }
    agree(p, "postfix (mailbox_delivery_lock)", says(values[LOCK], "dotlock"), says(values[LOCK], "fcntl"), says(values[LOCK], "flock"),
          "postconf -e 'mailbox_delivery_lock = fcntl, dotlock'; postfix reload");
    if (values[HOME][0] != '\0')
        report_found(p->report, MARK_WARNING, area, "postconf -e 'home_mailbox ='; postfix reload",
                     "postfix delivers to ~/%s (home_mailbox), not to the spool", values[HOME]);
    postfix_spool(p, values[SPOOL]);
    postfix_hands_on(p, "mailbox_transport", values[TRANSPORT]);
    postfix_hands_on(p, "mailbox_command", values[COMMAND]);
}

/* Is there a line of that text alone, in the n octets? */
static bool line_is(const char *text, size_t n, const char *line)
{
    const size_t length = strlen(line);
    for (const char *at = text; at != NULL && (size_t)(at - text) < n; at = strchr(at, '\n') != NULL ? strchr(at, '\n') + 1 : NULL)
        if (strncmp(at, line, length) == 0 && (at[length] == '\n' || at[length] == '\0'))
            return true;
    return false;
}

/* The value of "name = value" in a block; false: there is none, or it is empty. */
static bool value_of(const char *block, size_t n, const char *name, char *out, size_t size)
{
    const size_t length = strlen(name);
    for (const char *at = block; at != NULL && (size_t)(at - block) < n; at = strchr(at, '\n') != NULL ? strchr(at, '\n') + 1 : NULL)
        if (strncmp(at, name, length) == 0 && strncmp(at + length, " = ", 3) == 0) {
            snprintf(out, size, "%.*s", (int)strcspn(at + length + 3, "\n"), at + length + 3);
            return out[0] != '\0';
        }
    return false;
}

/* What `exim -bP routers` and `transports` print is a block for each, "NAME transport:" before it. The block, its octets in *n. */
static const char *next_block(const char *text, const char *kind, size_t *n)
{
    char end[32];
    snprintf(end, sizeof end, " %s:\n", kind);
    const char *head = text != NULL ? strstr(text, end) : NULL;
    if (head == NULL)
        return NULL;
    const char *block = head + strlen(end), *following = strstr(block, end);
    *n = following != NULL ? (size_t)(following - block) : strlen(block);
    return block;
}

/* The transport of the router that takes the system's users; Debian has others before it, for those who have a .procmailrc. */
static bool local_transport(const char *exim_program, char *name, size_t size)
{
    enum { MOST = 1 << 18 };
    char *text = xcalloc(1, MOST), files[8];
    bool found = false;
    size_t n;
    if (run_command((const char *[]){ exim_program, "-bP", "routers", NULL }, false, text, MOST) == 0)
        for (const char *b = next_block(text, "router", &n); b != NULL && !found; b = next_block(b, "router", &n))
            found = line_is(b, n, "driver = accept") && line_is(b, n, "check_local_user")
                    && !value_of(b, n, "require_files", files, sizeof files) && value_of(b, n, "transport", name, size);
    free(text);
    return found;
}

static void exim(const struct patient *p)
{
    char transport[128], text[16384], directory[200];
    const char *name = have_command("exim4") ? "exim4" : "exim";
    if (!local_transport(name, transport, sizeof transport)
        || run_command((const char *[]){ name, "-bP", "transport", transport, NULL }, false, text, sizeof text) != 0)
        return;
    if (!line_is(text, sizeof text, "driver = appendfile"))
        report_found(p->report, MARK_NOTE, area, "look where that delivers to", "exim delivers to users by its transport %s, not by itself",
                     transport);
    else if (value_of(text, sizeof text, "directory", directory, sizeof directory))
        report_found(p->report, MARK_WARNING, area, "dc_localdelivery='mail_spool' in /etc/exim4/update-exim4.conf.conf; update-exim4.conf",
                     "exim delivers to %s (transport %s), not to the spool", directory, transport);
    else
        agree(p, "exim", line_is(text, sizeof text, "use_lockfile"), line_is(text, sizeof text, "use_fcntl_lock"),
              line_is(text, sizeof text, "use_flock_lock"),
              FIX("in the transport %s: use_lockfile = true, use_fcntl_lock = true", transport));
}

/* OpenSMTPD's own delivery takes the dotlock and lets it go at once: its helper takes the end of the message for the end of the delivery. */
static void opensmtpd(const struct patient *p)
{
    static const char fix[] = "action \"local\" mda \"/usr/bin/procmail -f %{mbox.from}\" alias <aliases>, in /etc/smtpd.conf";
    char *text = read_text("/etc/smtpd.conf", NULL), *save = text, method[32];
    for (char *line; text != NULL && (line = strsep(&save, "\n")) != NULL;) {
        if (sscanf(line, " action %*s %31s", method) != 1)
            continue;
        if (strcmp(method, "mbox") == 0)
            report_found(p->report, MARK_ERROR, area, fix, "OpenSMTPD's mbox delivery gives its lock back before it writes: mail will be damaged");
        else if (strcmp(method, "maildir") == 0)
            report_found(p->report, MARK_WARNING, area, fix, "OpenSMTPD delivers to maildirs, not to the spool");
    }
    free(text);
}

static void dovecot(const struct patient *p)
{
    char text[1024];
    if (run_command((const char *[]){ "doveconf", "-h", "mbox_write_locks", NULL }, false, text, sizeof text) == 0
        && strspn(text, " \n") != strlen(text))               /* of 2.4: its default, dotlock and fcntl */
        agree(p, "dovecot (mbox_write_locks)", says(text, "dotlock"), says(text, "fcntl"), says(text, "flock"),
              "mbox_write_locks = dotlock fcntl");
}

static void procmail(const struct patient *p)
{
    static const char rc[] = "/etc/procmailrc";
    char text[4096];
    if (run_command((const char *[]){ "procmail", "-v", NULL }, true, text, sizeof text) < 0)
        return;
    char *settings = read_text(rc, NULL);
    const char *ext = settings != NULL ? strstr(settings, "LOCKEXT") : NULL;
    const bool other =
        ext != NULL && (ext == settings || ext[-1] == '\n') && !says(ext, "LOCKEXT=.lock") && !says(ext, "LOCKEXT=\".lock\"");
    agree(p, "procmail", says(text, "dotlocking") && !other, says(text, "fcntl()"), says(text, "flock()"),
          other ? FIX("take LOCKEXT out of %s", rc) : "a procmail with dotlocks and fcntl");
    if (other)
        report_found(p->report, MARK_WARNING, area, FIX("take LOCKEXT out of %s", rc),
                     "%s changes LOCKEXT: procmail's lock files have names that nobody else looks for", rc);
    const char *to = settings != NULL ? strstr(settings, "DEFAULT=") : NULL;
    const size_t n = to != NULL ? strcspn(to, " \t\n") : 0;
    if (n > 0 && (to == settings || to[-1] == '\n') && to[n - 1] == '/')
        report_found(p->report, MARK_WARNING, area, FIX("take DEFAULT out of %s", rc), "%s: %.*s: procmail delivers to a maildir, not to the spool",
                     rc, (int)n, to);
    free(settings);
}

static void mutt(const struct patient *p)
{
    char text[8192];
    if (have_command("mutt") && run_command((const char *[]){ "mutt", "-v", NULL }, false, text, sizeof text) == 0
        && !says(text, "NeoMutt"))
        agree(p, "mutt", says(text, "+USE_DOTLOCK"), says(text, "+USE_FCNTL"), says(text, "+USE_FLOCK"),
              "a mutt that was configured with --enable-fcntl");
    if (have_command("neomutt"))
        report_found(p->report, MARK_NOTE, area, "use mutt, or let neomutt speak IMAP",
                     "neomutt loses its lock before it writes: not for mailboxes that others write");
}

void examine_locking(const struct patient *p)
{
    helper(p);
    if (have_command("postconf"))
        postfix(p);
    if (have_command("exim4") || have_command("exim"))
        exim(p);
    if (have_command("smtpd"))
        opensmtpd(p);
    if (have_command("dma"))
        agree(p, "dma", false, false, true, "on NFS another delivery agent, such as postfix");
    if (have_command("doveconf"))
        dovecot(p);
    if (have_command("procmail"))
        procmail(p);
    if (have_command("maildrop"))
        agree(p, "maildrop", true, true, false, NULL);
    mutt(p);
}
