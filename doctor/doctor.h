#ifndef DOCTOR_DOCTOR_H
#define DOCTOR_DOCTOR_H
#include <stdbool.h>

/* imapd --doctor: looks at what a server needs to work and says what is wrong, with the command or setting that mends it. It
 * changes no setting and no mail; an index found damaged is set aside, as by a session. */

/* Is --doctor among the arguments? Then all of them are for doctor_main. */
bool doctor_wanted(int argc, char **argv);
/* Exit status: 0 nothing wrong, 1 warnings, 2 errors (also of usage). default_config: read if there is no --config; may be missing. */
int doctor_main(int argc, char **argv, const char *default_config);
#endif
