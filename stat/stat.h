#ifndef STAT_STAT_H
#define STAT_STAT_H
#include <stdbool.h>

/* imapd --stat: who is connected, doing what, how much; changes nothing but for what dead sessions left behind. */

/* Is --stat among the arguments? Then all of them are for stat_main. */
bool stat_wanted(int argc, char **argv);
/* Exit status: 0, told; 1, not all that was asked for could be read or written; 2, the arguments make no sense. default_config: read if
 * there is no --config; may be missing. */
int stat_main(int argc, char **argv, const char *default_config);
#endif
