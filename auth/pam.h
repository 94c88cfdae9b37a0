#ifndef AUTH_PAM_H
#define AUTH_PAM_H

/* Passwords by PAM (the setting pam-service), in a child of the monitor with a time limit: a module that hangs, crashes or leaks does
 * not take the monitor with it. libpam is loaded there alone. Runs as root, as modules expect. address: PAM_RHOST.
 * 1: the password is right and the account may be used now; 0: not; -1: PAM cannot be had (logged), or not in a build without it. */
int pam_check(const char *service, const char *name, const char *password, const char *address);
#endif
