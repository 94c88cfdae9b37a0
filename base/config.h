#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The settings of imapd.conf(5). One struct, read once at start-up (inih), never changed after. Every field has the
 * default of the manual page where the file does not name it. A string is NULL when unset. */
enum config_quoting { QUOTING_MBOXRD, QUOTING_MBOXO };
enum { EXPUNGE_ON_SELECT = 1, EXPUNGE_ON_CHECK = 2, EXPUNGE_ON_LOGOUT = 4 };

struct config {
    /* who may come in */
    char *passwd_file;          /* passwd-file: name:hash:uid:gid::home, beside system users */
    bool system_users;          /* system-users = yes */
    uid_t first_uid;            /* first-uid = 1000: lower uids never log in */
    bool plaintext_login;       /* plaintext-login = no: allow LOGIN without TLS from anywhere */
    char *proxy_from;           /* proxy-from: space-separated addresses/prefixes that send a PROXY header */
    char *secure_from;          /* secure-from: addresses (stunnel) whose plaintext counts as secure */
    unsigned login_attempts;    /* login-attempts = 3, then BYE */
    unsigned login_delay_ms;    /* login-delay = 2000 ms after a failure, doubled each time */
    uint64_t login_octets;      /* login-octets = 1048576 that a client may send before it is logged in */
    unsigned login_timeout;     /* login-timeout = 60 s to log in */
    char *mechanisms;           /* mechanisms: space-separated names; NULL: all that the other settings make possible, but SCRAM-SHA-1 */
    char *administrators;       /* administrators: users who may act as any other (authorization identity) */
    char *anonymous_user;       /* anonymous-user: who AUTHENTICATE ANONYMOUS becomes, if mechanisms names it */
    char *pam_service;          /* pam-service: who checks passwords of the system's users; NULL: shadow(5) */
    char *gssapi_keytab;        /* gssapi-keytab: file with the service's keys; NULL: no GSSAPI */
    char *gssapi_service;       /* gssapi-service = imap: the first part of its principal, before hostname */
    char *tls_certificate;      /* tls-certificate: PEM files, the first for clients that name no other server; NULL: no TLS */
    char *tls_key;              /* tls-key: PEM files in the same order; NULL: in the certificate files */
    char *tls_ticket_key;       /* tls-ticket-key: file of 80-octet keys; NULL: no session tickets */
    char *tls_client_ca;        /* tls-client-ca: PEM file; clients are asked for a certificate */
    bool tls_client_required;   /* tls-client-required = no: no handshake without a client certificate */
    char *tls_client_name;      /* tls-client-name = cn, email or email-local: what of it names the user, for EXTERNAL */
    unsigned tls_linger;        /* tls-linger = 60 s that a warm relay stays after its last use; 0: none */
    char *oauth_keys;           /* oauth-keys: file of the public keys that sign tokens; unset: no OAUTHBEARER, no XOAUTH2 */
    char *oauth_issuer;         /* oauth-issuer: what a token's iss must be */
    char *oauth_audience;       /* oauth-audience: what its aud must name */
    char *oauth_scope;          /* oauth-scope: what its scope must name; unset: anything */
    char *oauth_user_claim;     /* oauth-user-claim = sub: the claim that is the user's name */
    char *state_file;           /* state-file = /run/imapd/state: what processes know of each other; empty: none, and none of the two */
    unsigned max_sessions_per_user;          /* max-sessions-per-user = 50; 0: any number */
    unsigned max_connections_per_address;    /* max-connections-per-address = 1000 that are not logged in; 0: any number */
    char *greeter_user;         /* greeter-user = imapd, else nobody */
    char *greeter_root;         /* greeter-root = /var/empty or /run/imapd/empty: an empty directory */
    bool require_sandbox;       /* require-sandbox = no: without Landlock and seccomp, no session */
    bool session_sockets;       /* session-sockets = no: a session may connect to Unix sockets (names of users that a daemon knows) */
    /* where mail is */
    char *inbox;                /* inbox = /var/mail/%u ; %u user, %h home */
    char *mail_root;            /* mail-root = "" (home itself) or a directory below it, e.g. mail */
    char *index_dir;            /* index-dir = %h/.imapd */
    char *journal_dir;          /* journal-dir = index-dir */
    char *spool_group;          /* spool-group = mail: group of the locker */
    enum config_quoting quoting;/* quoting = mboxrd | mboxo */
    unsigned expunge_on;        /* expunge-on = select check logout (default none) */
    /* limits */
    uint64_t append_limit;      /* append-limit = 2147483647 octets */
    uint32_t line_limit;        /* line-limit = 65536 octets of a command without its literals */
    uint32_t literal_limit;     /* literal-limit = 1048576 octets of one literal outside APPEND */
    unsigned idle_timeout;      /* idle-timeout = 1800 s, BYE after it (RFC 3501 section 5.4) */
    unsigned progress_interval; /* progress-interval = 10 s between two INPROGRESS of a long command (RFC 9585) */
    uint32_t message_limit;     /* message-limit = 0: messages of one command (RFC 9738); 0: any number */
    unsigned lock_timeout;      /* lock-timeout = 10 s, then NO [INUSE] */
    uint64_t seal_limit;        /* seal-limit = 4194304: octets worth rewriting only to record UIDs in the mbox */
    unsigned list_depth;        /* list-depth = 16 directories */
    uint32_t list_count;        /* list-count = 100000 files looked at for one LIST */
    bool durable_flags;         /* durable-flags = no: flags in the mbox at each OK, not only at CHECK etc. or 20 s later */
    bool unauthenticate;        /* unauthenticate = no: offer UNAUTHENTICATE; a process stays root beside each session */
    char *language;             /* language = i-default: what LANGUAGE default means; i-default, en or de */
    char *hostname;             /* hostname = gethostname(), for the greeting */
    char *admin;                /* admin = mailto:...: a URI, what GETMETADATA "" /shared/admin tells (RFC 5464) */
};

/* Reads path; a missing file gives the defaults if `optional`. 0, or -1 with a message in err ("file:line: what"). The
 * caller owns the struct's strings until config_free. */
int config_read(struct config *c, const char *path, bool optional, char *err, size_t errsize);
void config_free(struct config *c);
/* index-dir and journal-dir of a user, expanded; the caller frees them. */
char *config_index_dir(const struct config *c, const char *user, const char *home);
char *config_journal_dir(const struct config *c, const char *user, const char *home);
/* The name of the setting with that number, from 0; NULL: there are no more. */
const char *config_setting(size_t i);
/* Is name one of the words (separated by spaces, tabs or commas, any case) of list? No for NULL. */
bool config_lists(const char *list, const char *name);
/* pattern with %u and %h replaced; malloc'ed. */
char *config_expand(const char *pattern, const char *user, const char *home);
#endif
