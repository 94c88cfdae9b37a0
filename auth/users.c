/*
 * Who is who. Runs as root in the monitor, on a name and a password that are bounded and free of NUL.
 *
 * A user is looked up first and judged last: the hash is computed for everybody, for an unknown user with that of somebody
 * else (hash_spend), and only then is it asked whether the account is one that may log in. So the time to refuse tells
 * neither whether a user exists nor whether he is locked.
 */
#include "auth/users.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pwd.h>
#include <shadow.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "auth/hash.h"
#include "auth/pam.h"
#include "auth/passwd_line.h"
#include "base/compat.h"
#include "base/log.h"
#include "base/xmalloc.h"

/* This process becomes the session, and what a session can be made to tell must not be other users' hashes: buffers of ours are wiped,
 * and those that the C library reads its databases through are overwritten when it frees them. */
static void wipe_freed(bool on)
{
#ifdef M_PERTURB
    (void)mallopt(M_PERTURB, on ? 0xff : 0);
#else
    (void)on;
#endif
}

enum { READ_ROOM = 4096, LINE_ROOM = 16384, SHADOW_ROOM = 8192 };

/* What was found out about a name. */
struct candidate {
    struct account account;
    char *hash;                        /* NULL: none */
    char *like;                        /* somebody's hash, to spend as much time on a user without one */
    const char *refused;               /* why the account may not log in even with the right password, or NULL */
    struct scram_verifier verifier;    /* of him; has_verifier */
    struct scram_verifier usual;       /* somebody's, in whose likeness a user without one is given his; has_usual */
    bool has_verifier, has_usual;
    const char *passwordless;          /* why no password can be right, or NULL; no reason against one who needs none */
};

void account_free(struct account *a)
{
    free(a->name);
    free(a->home);
    memset(a, 0, sizeof *a);
}

static void candidate_free(struct candidate *u)
{
    account_free(&u->account);
    if (u->hash != NULL)
        explicit_bzero(u->hash, strlen(u->hash));
    if (u->like != NULL)
        explicit_bzero(u->like, strlen(u->like));
    free(u->hash);
    free(u->like);
    explicit_bzero(&u->verifier, sizeof u->verifier);
    explicit_bzero(&u->usual, sizeof u->usual);
}

static void candidate_set(struct candidate *u, const char *name, const char *home, uid_t uid, gid_t gid, const char *hash)
{
    u->account = (struct account){ xstrdup(name), xstrdup(home), uid, gid, false };
    u->hash = hash_usable(hash) ? xstrdup(hash) : NULL;
    if (u->hash != NULL)
        return;
    u->passwordless = hash == NULL || hash[0] == '\0' ? "empty" : "locked";
    if (hash != NULL && hash[0] == '!' && hash_usable(hash + strspn(hash, "!")))
        u->refused = "locked";         /* there is a password, and an administrator has put a lock before it (usermod -L) */
}

/* Whoever can write the passwd-file can be any user, so it must be root's alone. */
static FILE *open_passwd_file(const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        log_error("passwd-file %s: %s", path, strerror(errno));
        return NULL;
    }
    if (fstat(fileno(f), &st) != 0 || (st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022) != 0) {
        log_error("passwd-file %s: must belong to root and be writable by no other", path);
        fclose(f);
        return NULL;
    }
    return f;
}

/* 1: found, 0: not, -1: the file cannot be used. Reads the whole file, so that its time does not tell where or whether a name is in it. */
static int find_in_file(const char *path, const char *name, enum scram_hash hash, struct candidate *u)
{
    FILE *f = open_passwd_file(path);
    size_t size = LINE_ROOM;           /* grown, it would leave pieces behind */
    char *line, *room;
    int found = 0;
    if (f == NULL)
        return -1;
    line = xmalloc(size);
    room = xmalloc(READ_ROOM);
    (void)setvbuf(f, room, _IOFBF, READ_ROOM);
    while (getline(&line, &size, f) >= 0) {
        struct passwd_line e;
        if (passwd_line_parse(&e, line) != 1)
            continue;
        if (u->like == NULL && hash_usable(e.hash))
            u->like = xstrdup(e.hash);
        if (!u->has_usual)
            u->has_usual = passwd_verifier(&u->usual, hash, &e) == 0;
        if (found == 0 && strcmp(e.name, name) == 0) {
            u->has_verifier = passwd_verifier(&u->verifier, hash, &e) == 0;
            candidate_set(u, e.name, e.home, e.uid, e.gid, e.hash);
            found = 1;
        }
    }
    fclose(f);
    explicit_bzero(line, size);
    explicit_bzero(room, READ_ROOM);
    free(line);
    free(room);
    return found;
}

/* The rules of shadow(5): days since 1970. */
static const char *shadow_refuses(const struct spwd *s)
{
    const long today = (long)(time(NULL) / 86400);
    if (s->sp_expire >= 0 && today >= s->sp_expire)
        return "expired";
    if (s->sp_lstchg == 0)
        return "password-must-change";
    if (s->sp_lstchg > 0 && s->sp_max >= 0 && today > s->sp_lstchg + s->sp_max)
        return "password-expired";
    return NULL;
}

static bool shell_refuses(const char *shell)
{
    const char *slash = strrchr(shell, '/');
    const char *base = slash != NULL ? slash + 1 : shell;
    return strcmp(base, "nologin") == 0 || strcmp(base, "false") == 0;
}

/* The hash of the first user who has one that can match, for hash_spend. */
static char *somebodys_hash(void)
{
    enum { LOOK_AT = 200 };
    char *hash = NULL, room[SHADOW_ROOM];
    struct spwd entry, *s;
    setspent();
    for (int i = 0; i < LOOK_AT && hash == NULL && getspent_r(&entry, room, sizeof room, &s) == 0; i++)
        if (strcmp(s->sp_namp, "root") != 0 && hash_usable(s->sp_pwdp))
            hash = xstrdup(s->sp_pwdp);
    endspent();
    explicit_bzero(room, sizeof room);
    return hash;
}

/* Looked for, and forgotten. */
static void look_in_shadow(const char *name)
{
    char room[SHADOW_ROOM];
    struct spwd entry, *s;
    (void)getspnam_r(name, &entry, room, sizeof room, &s);
    explicit_bzero(room, sizeof room);
}

static int find_in_system(const char *name, struct candidate *u)
{
    errno = 0;
    const struct passwd *pw = getpwnam(name);
    if (pw == NULL) {
        const int why = errno;
        look_in_shadow(name);          /* as long as for a user who is there */
        return why == EIO || why == EMFILE || why == ENFILE || why == ENOMEM ? -1 : 0;
    }
    char room[SHADOW_ROOM];
    struct spwd entry, *s = NULL;
    if (strcmp(pw->pw_passwd, "x") == 0 && getspnam_r(name, &entry, room, sizeof room, &s) != 0)
        s = NULL;
    const char *hash = s != NULL ? s->sp_pwdp : strcmp(pw->pw_passwd, "x") == 0 ? "*" : pw->pw_passwd;
    candidate_set(u, pw->pw_name, pw->pw_dir, pw->pw_uid, pw->pw_gid, hash);
    u->account.system = true;
    if (u->refused == NULL && s != NULL)
        u->refused = shadow_refuses(s);
    if (u->refused == NULL && shell_refuses(pw->pw_shell))
        u->refused = "shell";
    explicit_bzero(room, sizeof room);
    return 1;
}

/* The system's databases are asked one after the other until one knows the name, so a name that is nowhere takes longer than one that
 * is in the first: whoever is there has one looked for besides that is nowhere, and whoever is not, one that is there. What find did
 * for the one it does here for the other. Not for who comes in: that takes time, and he knows that he is there. */
static void level(const struct config *c, const char *name, int found, const struct candidate *u)
{
    bool there = found == 1;
    if (!c->system_users)
        return;
    wipe_freed(true);
    if (found == 1 && !u->account.system) {
        there = getpwnam(name) != NULL;
        look_in_shadow(name);
    } else if (found == 1 && u->like == NULL) {
        char *hash = somebodys_hash();
        if (hash != NULL)
            explicit_bzero(hash, strlen(hash));
        free(hash);
    }
    const char *const other = there ? "no-such-user" : "root";
    (void)getpwnam(other);
    look_in_shadow(other);
    wipe_freed(false);
}

/* 1: found, 0: not, -1: a database that is configured cannot be read. */
static int find(const struct config *c, const char *name, enum scram_hash hash, struct candidate *u)
{
    wipe_freed(true);
    int found = c->passwd_file != NULL ? find_in_file(c->passwd_file, name, hash, u) : 0;
    if (found == 0 && c->system_users) {
        found = find_in_system(name, u);
        if (u->hash == NULL && u->like == NULL)
            u->like = somebodys_hash();
    }
    wipe_freed(false);
    if (found == 1 && u->refused == NULL) {
        if (u->account.uid == 0 || u->account.gid == 0)
            u->refused = "root";
        else if (u->account.uid < c->first_uid)
            u->refused = "uid";
        else if (u->account.home[0] != '/')
            u->refused = "home";
    }
    return found;
}

/* A hash of crypt(3), or a verifier of SCRAM where that is all there is. As hash_check. */
static int check(const char *hash, const char *password)
{
    struct scram_verifier v;
    if (!passwd_is_scram(hash))
        return hash_check(hash, password);
    const int right = passwd_scram(&v, hash) == 0 && scram_check_password(&v, password) ? 1 : 0;
    explicit_bzero(&v, sizeof v);
    return right;
}

static void spend(const char *like, const char *password)
{
    if (like != NULL && passwd_is_scram(like))
        (void)check(like, password);
    else
        hash_spend(like, password);
}

enum users_result users_check(const struct config *c, const char *name, const char *password, const char *address,
                              struct account *account, const char **why)
{
    struct candidate u = { 0 };
    enum users_result result = USERS_DENIED;
    const int found = find(c, name, SCRAM_SHA_256, &u);
    const bool by_pam = c->pam_service != NULL && !(found == 1 && !u.account.system);      /* users of the passwd-file are not PAM's */
    int right = 0;
    if (by_pam)
        right = pam_check(c->pam_service, name, password, address);
    else if (u.hash != NULL)
        right = check(u.hash, password);
    else
        spend(u.like, password);
    *why = "password";
    if (found < 0 || right < 0) {
        result = USERS_UNAVAILABLE;
        *why = "database";
    } else if (found == 0) {
        *why = "unknown";
    } else if (u.refused != NULL) {
        *why = u.refused;
    } else if (u.passwordless != NULL && !by_pam) {
        *why = u.passwordless;
    } else if (right == 1) {
        result = USERS_GRANTED;
        *account = u.account;
        memset(&u.account, 0, sizeof u.account);
    }
    if (result != USERS_GRANTED)
        level(c, name, found, &u);
    candidate_free(&u);
    return result;
}

enum users_result users_account(const struct config *c, const char *name, struct account *account, const char **why)
{
    struct candidate u = { 0 };
    enum users_result result = USERS_DENIED;
    const int found = find(c, name, SCRAM_SHA_256, &u);
    *why = "unknown";
    if (found < 0) {
        result = USERS_UNAVAILABLE;
        *why = "database";
    } else if (found == 1 && u.refused != NULL) {
        *why = u.refused;
    } else if (found == 1) {
        result = USERS_GRANTED;
        *account = u.account;
        memset(&u.account, 0, sizeof u.account);
    }
    if (result != USERS_GRANTED)
        level(c, name, found, &u);
    candidate_free(&u);
    return result;
}

/* What is the same on this host for as long as it has this passwd-file, and is not known elsewhere. */
static void host_secret(struct buf *out, const struct config *c)
{
    char id[64];
    struct statx st;
    const char *path = c->passwd_file != NULL ? c->passwd_file : "/etc/shadow";
    const int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
    const ssize_t n = fd >= 0 ? read(fd, id, sizeof id) : 0;
    char *directory = xstrndup(path, (size_t)(strrchr(path, '/') != NULL ? strrchr(path, '/') - path : 0));
    if (fd >= 0)
        close(fd);
    buf_add(out, id, n > 0 ? (size_t)n : 0);
    buf_printf(out, ":%s:", path);
    if (statx(AT_FDCWD, directory[0] != '\0' ? directory : "/", 0, STATX_INO | STATX_BTIME, &st) == 0)
        buf_printf(out, "%llu.%lld.%u", (unsigned long long)st.stx_ino, (long long)st.stx_btime.tv_sec, (unsigned)st.stx_btime.tv_nsec);
    free(directory);
}

/* A verifier like the others', which nobody has. */
static void pretend(const struct config *c, const char *name, enum scram_hash hash, const struct candidate *u, struct scram_verifier *v)
{
    struct buf secret = { 0 };
    if (u->has_usual)
        *v = u->usual;
    else
        *v = (struct scram_verifier){ .hash = hash, .iterations = SCRAM_ITERATIONS, .salt_n = SCRAM_SALT };
    host_secret(&secret, c);
    scram_verifier_pretend(v, buf_str(&secret), str_z(name));
    explicit_bzero(secret.data, secret.len);
    buf_free(&secret);
}

enum users_result users_verifier(const struct config *c, const char *name, enum scram_hash hash, struct scram_verifier *verifier,
                                 struct account *account, const char **why)
{
    struct candidate u = { 0 };
    enum users_result result = USERS_DENIED;
    const int found = find(c, name, hash, &u);
    level(c, name, found, &u);           /* in each case: the answer is sent before anything is computed */
    pretend(c, name, hash, &u, verifier);
    if (u.has_verifier)
        *verifier = u.verifier;
    *why = "password";
    if (found < 0) {
        result = USERS_UNAVAILABLE;
        *why = "database";
    } else if (found == 0) {
        *why = "unknown";
    } else if (u.refused != NULL || u.passwordless != NULL) {
        *why = u.refused != NULL ? u.refused : u.passwordless;
    } else if (!u.has_verifier) {
        *why = "no-verifier";
    } else {
        result = USERS_GRANTED;
        *account = u.account;
        memset(&u.account, 0, sizeof u.account);
    }
    candidate_free(&u);
    return result;
}
