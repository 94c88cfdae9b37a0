#ifndef MIGRATE_MIGRATE_H
#define MIGRATE_MIGRATE_H
#include "auth/auth.h"
#include "migrate/source.h"

/* --import and --export: mail from and to other forms, told on stdout. This process is the user already. */
struct migrate {
    const struct config *config;
    const struct account *account;
    enum source_kind kind;
    bool import, all;                /* all: a maildir's folders, too */
    bool has_quoting, mboxo;         /* of the mbox; else as the setting says */
    const char *path, *mailbox;
    int locker_fd;
};
/* Kind of a name ("maildir", "mbox", "eml"). False: none of these. */
bool migrate_kind(const char *name, enum source_kind *out);
/* Exit status: 0 all is there, 1 something differs or could not be read, 2 it cannot be done (and can be run again). */
int migrate_run(const struct migrate *m);

/* One mailbox, by the parts of this folder. */
struct migration {
    const struct migrate *m;
    struct store *store;
    struct mailbox_name name;
    const char *label, *path;
    size_t damaged, differences;
    struct progress progress;        /* of the step that is being done */
};
/* Opens the mailbox, to be read only. 0 or -1. */
int migration_open(struct migration *g, struct mailbox **out, struct store_error *e);
int import_mailbox(struct migration *g);
int export_mailbox(struct migration *g);
/* For them: a problem of a source (source_problem); what went wrong for good, which gives 2; a difference. */
void migration_problem(void *ctx, const char *name, bool damage, const char *text);
int migration_fail(struct migration *g, const char *text);
void migration_differs(struct migration *g, const char *what, const char *words);
/* The source that g names. */
struct source migration_source(struct migration *g);
/* Compares all items that are not bad with the mailbox as it is now, each with the message `target`, and says how it went: `what` are
 * the words for what was done. Gives the exit status. */
int migration_verify(struct migration *g, struct source *s, bool uids, const char *what);

/* Files of an export. */
struct export {
    struct migration *g;
    struct mailbox *box;
    struct table *table;
    struct mailbox_status status;
};
int export_files(struct export *x, struct store_error *e);         /* maildir and eml */
int export_mbox(struct export *x, struct store_error *e);
#endif
