/*
 * Runs as root. The child says what PAM says in one octet, its exit status; the conversation gives the password to who asks without
 * echo, and nothing else. A module that makes another user of the one who was named is not believed.
 */
#include "auth/pam.h"

#include "base/log.h"

#ifdef HAVE_PAM
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE = 20000, RIGHT = 10, WRONG = 11, MISSING = 12 };

struct library {
    int (*start)(const char *, const char *, const struct pam_conv *, pam_handle_t **);
    int (*end)(pam_handle_t *, int);
    int (*set_item)(pam_handle_t *, int, const void *);
    int (*get_item)(const pam_handle_t *, int, const void **);
    int (*authenticate)(pam_handle_t *, int);
    int (*acct_mgmt)(pam_handle_t *, int);
};

static bool find(void *lib, const char *name, void *function)
{
    void *symbol = dlsym(lib, name);
    memcpy(function, &symbol, sizeof symbol);      /* ISO C has no cast from an object pointer to a function */
    return symbol != NULL;
}

static bool load(struct library *l)
{
    void *lib = dlopen("libpam.so.0", RTLD_NOW | RTLD_GLOBAL);       /* its modules want to see it */
    if (lib != NULL && find(lib, "pam_start", &l->start) && find(lib, "pam_end", &l->end) && find(lib, "pam_set_item", &l->set_item) &&
        find(lib, "pam_get_item", &l->get_item) && find(lib, "pam_authenticate", &l->authenticate) && find(lib, "pam_acct_mgmt", &l->acct_mgmt))
        return true;
    log_error("pam: %s", dlerror());
    return false;
}

static int converse(int n, const struct pam_message **messages, struct pam_response **out, void *password)
{
    struct pam_response *answers = n > 0 ? calloc((size_t)n, sizeof *answers) : NULL;
    if (answers == NULL)
        return PAM_CONV_ERR;
    for (int i = 0; i < n; i++) {
        if (messages[i]->msg_style == PAM_PROMPT_ECHO_OFF && (answers[i].resp = strdup(password)) != NULL)
            continue;
        if (messages[i]->msg_style == PAM_TEXT_INFO || messages[i]->msg_style == PAM_ERROR_MSG)
            continue;
        free(answers);
        return PAM_CONV_ERR;
    }
    *out = answers;
    return PAM_SUCCESS;
}

/* The child. */
static _Noreturn void ask(const char *service, const char *name, const char *password, const char *address)
{
    const struct pam_conv conversation = { converse, (void *)(uintptr_t)password };
    struct library l;
    pam_handle_t *h = NULL;
    const void *user = NULL;
    (void)dup2(STDERR_FILENO, STDIN_FILENO);       /* the connection is none of a module's business */
    (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    (void)signal(SIGPIPE, SIG_DFL);
    if (!load(&l) || l.start(service, name, &conversation, &h) != PAM_SUCCESS)
        _exit(MISSING);
    (void)l.set_item(h, PAM_RHOST, address);
    (void)l.set_item(h, PAM_TTY, "imap");
    int rc = l.authenticate(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
    if (rc == PAM_SUCCESS)
        rc = l.acct_mgmt(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
    const bool same = rc == PAM_SUCCESS && l.get_item(h, PAM_USER, &user) == PAM_SUCCESS && user != NULL && strcmp(user, name) == 0;
    (void)l.end(h, rc);
    _exit(same ? RIGHT : WRONG);
}

int pam_check(const char *service, const char *name, const char *password, const char *address)
{
    int alive[2], status = 0;
    if (pipe2(alive, O_CLOEXEC) != 0)
        return -1;
    const pid_t pid = fork();
    if (pid == 0) {
        close(alive[0]);
        ask(service, name, password, address);
    }
    close(alive[1]);
    struct pollfd ended = { .fd = alive[0], .events = POLLIN };
    if (pid > 0 && poll(&ended, 1, PATIENCE) == 0) {               /* the pipe's end closes with the child, and whatever it started */
        log_error("pam: service %s takes too long", service);
        (void)kill(pid, SIGKILL);
    }
    close(alive[0]);
    if (pid <= 0)
        return -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(status) && (WEXITSTATUS(status) == RIGHT || WEXITSTATUS(status) == WRONG))
        return WEXITSTATUS(status) == RIGHT;
    if (WIFSIGNALED(status))
        log_error("pam: service %s: killed by signal %d", service, WTERMSIG(status));
    return -1;
}
#else
int pam_check(const char *service, const char *name, const char *password, const char *address)
{
    (void)name;
    (void)password;
    (void)address;
    log_error("pam-service %s: this imapd was built without PAM", service);
    return -1;
}
#endif
