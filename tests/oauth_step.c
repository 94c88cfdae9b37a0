/* oauth_step MODULE CONFIG: loads imapd-oauth.so as the process of a mechanism does, confines itself, and gives it one message for
 * each line of the input, "MECHANISM BASE64". Answers with a line each: "DONE user authzid" or "FAILED reply reason"; a load that fails
 * with its reason and status 1. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "auth/filter.h"
#include "auth/mech.h"
#include "base/base64.h"

static void answer(const struct mech_module *m, void *state, char *line)
{
    static char reply[MECH_REPLY_MAX];
    struct mech_result r;
    struct buf b = { 0 };
    size_t n = 0;
    char *data = strchr(line, ' ');
    if (data == NULL)
        exit(2);
    *data++ = '\0';
    data[strcspn(data, "\n")] = '\0';
    if (base64_decode(&b, str_z(data)) != 0)
        exit(2);
    char *copy = malloc(b.len > 0 ? b.len : 1);        /* exact, so that a sanitizer sees a step too far */
    if (copy == NULL)
        exit(2);
    if (b.len > 0)
        memcpy(copy, b.data, b.len);
    const enum mech_status s = m->step(state, line, copy, b.len, reply, &n, &r);
    if (s == MECH_DONE)
        printf("DONE %s %s\n", r.user, r.authzid);
    else
        printf("%s %.*s %s\n", s == MECH_FAILED ? "FAILED" : "CONTINUE", (int)n, reply, r.reason);
    fflush(stdout);
    free(copy);
    buf_free(&b);
}

int main(int argc, char **argv)
{
    struct config c;
    char err[400] = "", *line = NULL;
    size_t room = 0;
    if (argc != 3)
        return 2;
    if (config_read(&c, argv[2], false, err, sizeof err) != 0) {
        puts(err);
        return 1;
    }
    void *module = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    const struct mech_module *m = module != NULL ? dlsym(module, "imapd_mechanism") : NULL;
    if (m == NULL) {
        puts(dlerror());
        return 2;
    }
    void *state = m->load(&c, err, sizeof err);
    config_free(&c);
    if (state == NULL) {
        puts(err);
        return 1;
    }
    if (filter_greeter() != 0) {
        perror("filter");
        return 2;
    }
    while (getline(&line, &room, stdin) > 0)
        answer(m, state, line);
    free(line);
    return 0;
}
