#ifndef AUTH_WARM_H
#define AUTH_WARM_H
#include "auth/tls.h"
#include "base/config.h"

/* A warm relay: loading OpenSSL and a key costs several times as much as a handshake, so a relay that has loaded them and is
 * confined stays for tls-linger seconds after its last use. It keeps a fork of itself in reserve, to which a monitor hands a connection. It is no daemon:
 * nobody starts it, nobody misses it, it ends by itself, and one whose certificates or settings have changed since is not used. */
enum { WARM_FDS = 4 };
/* Hands these descriptors (in, out, plain, talk) to a warm relay that was made from the same settings and files. 0: it has them;
 * -1: there is none. Runs as root. */
int warm_hand_over(const struct config *c, const int fds[WARM_FDS]);
/* Makes one, unless there is one or another monitor is about to. In the background; keep: descriptors that it must not have are all
 * but those that it opens itself. Runs as root. serve: what a fork of it does with the descriptors, as relay.c's child does. */
typedef void warm_serve(const struct tls_module *tls, void *state, int plain, int talk);
void warm_start(const struct config *c, warm_serve *serve);
#endif
