#ifndef AUTH_MODULE_H
#define AUTH_MODULE_H

/* Code that needs a large library is in shared objects of its own, which only the confined processes that use them load: a
 * connection in plaintext must not pay for them, nor a process that parses IMAP hold what they hold. They are looked for in the
 * directory of the executable (who can write there can replace the executable), then in PKGLIBDIR. */

/* The symbol of the module's file name ("imapd-tls.so"). NULL, logged: it is not there. Never unloaded. */
const void *module_symbol(const char *file, const char *symbol);
#endif
