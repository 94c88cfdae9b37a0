/*
 * Whether the programs that write to the mailboxes wait for us and we for them: liblockfile's helper, and what each delivery
 * agent and mail reader that is installed says of its own locking. We write with dotlock, fcntl and flock (not on NFS); one in
 * common is enough, but we read without making a dotlock.
 */
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

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

static void postfix(const struct patient *p)
{
    char text[1024];
    char *dir = spool_directory(p->config);
    if (run_command((const char *[]){ "postconf", "-h", "mailbox_delivery_lock", NULL }, false, text, sizeof text) == 0)
        agree(p, "postfix (mailbox_delivery_lock)", says(text, "dotlock"), says(text, "fcntl"), says(text, "flock"),
              "postconf -e 'mailbox_delivery_lock = fcntl, dotlock'; postfix reload");
    if (run_command((const char *[]){ "postconf", "-h", "home_mailbox", NULL }, false, text, sizeof text) == 0
        && strcspn(text, " \n") > 0)
        report_found(p->report, MARK_WARNING, area, "postconf -e 'home_mailbox ='; postfix reload",
                     "postfix delivers to ~/%.*s (home_mailbox), not to the spool", (int)strcspn(text, "\n"), text);
    if (dir != NULL
        && run_command((const char *[]){ "postconf", "-h", "mail_spool_directory", NULL }, false, text, sizeof text) == 0
        && text[0] == '/') {
        struct stat a, b;
        text[strcspn(text, "\n")] = '\0';
        if (stat(dir, &a) == 0 && (stat(text, &b) != 0 || a.st_ino != b.st_ino || a.st_dev != b.st_dev))
            report_found(p->report, MARK_NOTE, area, FIX("inbox = %s/%%u, or postconf -e 'mail_spool_directory = %s'", text, dir),
                         "postfix delivers to %s, INBOX is in %s", text, dir);
    }
    free(dir);
}

static void exim(const struct patient *p)
{
    char text[16384];
    const char *name = have_command("exim4") ? "exim4" : "exim";
    if (run_command((const char *[]){ name, "-bP", "transports", NULL }, false, text, sizeof text) != 0
        || !says(text, "use_lockfile"))
        return;
    const bool off = says(text, "no_use_lockfile"), no_fcntl = says(text, "no_use_fcntl_lock"),
               no_flock = says(text, "no_use_flock_lock");
    agree(p, "exim", !off, !no_fcntl, !no_flock && says(text, "use_flock_lock"),
          "in the appendfile transport: use_lockfile = true, use_fcntl_lock = true");
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
    if (have_command("doveconf"))
        dovecot(p);
    if (have_command("procmail"))
        procmail(p);
    if (have_command("maildrop"))
        agree(p, "maildrop", true, true, false, NULL);
    mutt(p);
}
