/*
 * Who is connected: what sessions tell in their slots (auth/slots.h), and what /proc says of them and of those that have none. As
 * root all of it; as a user only what /proc says of his own processes.
 */
#include "stat/collect.h"

#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/process.h"
#include "base/xmalloc.h"

const char *doing_name(enum doing d)
{
    static const char *const names[DOINGS] = { "login", "unknown", "authenticated", "selected", "idle" };
    return names[d];
}

bool is_at_work(const struct connection *c)
{
    return c->command[0] != '\0' && c->doing != DOING_IDLE;
}

bool has_slot(const struct connection *c)
{
    return c->doing >= DOING_AUTHENTICATED;
}

static struct connection *add(struct connections *c)
{
    if (c->n == c->cap) {
        c->cap = c->cap == 0 ? 64 : 2 * c->cap;
        c->list = xreallocarray(c->list, c->cap, sizeof *c->list);
    }
    c->list[c->n] = (struct connection){ 0 };
    return &c->list[c->n++];
}

static int64_t monotonic_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A session may say anything: no sum of such numbers must turn over. */
static uint64_t believed(uint64_t n)
{
    const uint64_t most = (uint64_t)1 << 50;
    return n < most ? n : most;
}

struct collecting {
    struct connections *c;
    const char *user;
    int64_t now;                       /* of the monotonic clock */
    struct slot_counts alive;          /* sums of the sessions that live, of whichever user */
};

static void add_to_sums(struct slot_counts *t, const struct slot_counts *n)
{
    t->commands += n->commands;
    t->octets_in += n->octets_in;
    t->octets_out += n->octets_out;
    t->fetched += n->fetched;
    t->appended += n->appended;
}

static void add_to_totals(struct census_totals *t, const struct slot_counts *n)
{
    t->commands += n->commands;
    t->octets_in += n->octets_in;
    t->octets_out += n->octets_out;
    t->fetched += n->fetched;
    t->appended += n->appended;
}

void connection_of_slot(struct connection *to, const struct slot_seen *seen, int64_t now)
{
    const struct slot *s = &seen->slot;
    *to = (struct connection){
        .pid = seen->pid,
        .doing = strcmp(s->command, "IDLE") == 0 ? DOING_IDLE : s->mailbox[0] != '\0' ? DOING_SELECTED : DOING_AUTHENTICATED,
        .tls = seen->owner.tls != 0,
        .command_ms = s->since > 0 && s->since < now ? now - s->since : 0,
        .counts = { believed(s->commands), believed(s->octets_in), believed(s->octets_out), believed(s->fetched), believed(s->appended) },
        .at = seen->owner.at > 0 && seen->owner.at < (int64_t)1 << 40 ? seen->owner.at : 0
    };
    memcpy(to->user, seen->owner.user, sizeof to->user);
    memcpy(to->address, seen->owner.address, sizeof to->address);
    memcpy(to->command, s->command, sizeof to->command);
    memcpy(to->mailbox, s->mailbox, sizeof to->mailbox);
}

static void on_slot(void *ctx, const struct slot_seen *seen)
{
    struct collecting *g = ctx;
    struct connection found;
    struct process p;
    connection_of_slot(&found, seen, g->now);
    add_to_sums(&g->alive, &found.counts);
    if ((g->user != NULL && strcmp(g->user, found.user) != 0) || !process_look(seen->pid, &p))
        return;
    found.cpu_ms = p.cpu_ms;
    found.memory = process_memory(p.pid);
    *add(g->c) = found;
}

static int by_pid(const void *a, const void *b)
{
    const struct connection *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

static int by_user(const void *a, const void *b)
{
    const struct connection *x = a, *y = b;
    const int order = strcmp(x->user, y->user);
    return order != 0 ? order : by_pid(a, b);
}

static void name_of(uid_t uid, char *out, size_t size)
{
    const struct passwd *pw = getpwuid(uid);
    if (pw != NULL)
        snprintf(out, size, "%s", pw->pw_name);
    else
        snprintf(out, size, "%lu", (unsigned long)uid);
    slot_clean(out, size);
}

static void add_bare(struct connections *c, const struct process *p, enum doing doing, const char *user)
{
    struct connection *to = add(c);
    to->pid = p->pid;
    to->doing = doing;
    snprintf(to->user, sizeof to->user, "%s", user);
    to->at = time(NULL) - (process_now() - p->began) / 1000;
    to->cpu_ms = p->cpu_ms;
    to->memory = process_memory(p->pid);
}

/* A process that is a session without a slot, or (as root) serves a client that is not logged in yet. */
static void look_at(struct connections *c, size_t with_slot, pid_t pid, const char *user, bool all)
{
    static const char *const tools[] = { "--check", "--repair", "--recover", "--seal", "--import", "--export", "--passwd", "--doctor",
                                         "--stat", NULL };
    const struct connection key = { .pid = pid };
    struct process p, parent;
    char name[SLOT_USER];
    if (pid == getpid() || (with_slot > 0 && bsearch(&key, c->list, with_slot, sizeof key, by_pid) != NULL) || !process_look(pid, &p))
        return;
    if (strcmp(p.name, "imapd-greeter") == 0 && all) {
        if (user == NULL && process_look(p.parent, &parent))
            add_bare(c, &parent, DOING_LOGIN, "");
        return;
    }
    if (strcmp(p.name, "imapd") != 0 || p.uid == 0 || (!all && p.uid != getuid()) || process_argument(pid, tools))
        return;
    name_of(p.uid, name, sizeof name);
    if (user == NULL || strcmp(user, name) == 0)
        add_bare(c, &p, DOING_UNKNOWN, name);
}

int collect(struct connections *c, const char *state_file, const char *user, bool all)
{
    struct collecting g = { .c = c, .user = user, .now = monotonic_now() };
    *c = (struct connections){ 0 };
    int result = 0;
    if (all && state_file != NULL && state_file[0] != '\0') {
        struct census_totals ended;
        result = slots_each(state_file, on_slot, &g);
        if (census_read_totals(state_file, &ended) == 0) {
            add_to_totals(&ended, &g.alive);
            c->totals = ended;
            c->has_totals = true;
        } else if (errno != ENOENT)
            result = -1;
    }
    const int error = errno;
    const size_t with_slot = c->n;
    if (c->n > 0)
        qsort(c->list, c->n, sizeof *c->list, by_pid);
    DIR *d = opendir("/proc");
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
            look_at(c, with_slot, (pid_t)strtol(e->d_name, NULL, 10), user, all);
    if (d != NULL)
        closedir(d);
    if (c->n > 0)
        qsort(c->list, c->n, sizeof *c->list, by_user);
    errno = error;
    return result;
}

void collect_free(struct connections *c)
{
    free(c->list);
    *c = (struct connections){ 0 };
}
