#ifndef AUTH_SANDBOX_H
#define AUTH_SANDBOX_H

/* Confines a session, which is the user already, to the user's mail: home and index directory whole, the directory of the
 * INBOX as far as mail there needs it, and what the C library reads (time zone, character sets). No new privileges, no core,
 * not traceable. On a kernel without Landlock the file rules are missing (one log line); the user's permissions remain. */
void sandbox_session(const char *home, const char *inbox, const char *index_dir);
#endif
