#ifndef TESTS_PLANTED_ATTEMPTS_H
#define TESTS_PLANTED_ATTEMPTS_H

/* Does what the name says, with the path where it needs one. 0: that works; -1 with errno. It may not come back. */
int planted_attempt(const char *name, const char *path);
#endif
