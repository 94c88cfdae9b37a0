#ifndef AUTH_CHANNEL_H
#define AUTH_CHANNEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

/* What the greeter may ask the monitor, over a SOCK_SEQPACKET pair: each packet is a frame. A request frame is one octet of
 * type and then its fields, each a two-octet length (big-endian) and that many octets; nothing may follow the last field. A
 * reply frame is two octets: channel_reply and a flag. The greeter is believed about nothing but the name and password it
 * brings, and (from a configured proxy) the client's address. */
enum { CHANNEL_FRAME_MAX = 16384, CHANNEL_FIELDS = 4, CHANNEL_PENDING_MAX = 1 << 20 };
enum { CHANNEL_NAME_MAX = 255, CHANNEL_PASSWORD_MAX = 511, CHANNEL_MECHANISM_MAX = 20, CHANNEL_TAG_MAX = 8192,
       CHANNEL_ADDRESS_MAX = 63 };

enum channel_type {
    CHANNEL_PROXY = 'X',     /* address, tls ("y", "n" or "?"): what the PROXY header said. Reply OK, flag: secure */
    CHANNEL_LOGIN = 'L',     /* mechanism, authzid, user, password. Reply GRANTED, DENIED, UNAVAILABLE or TOO_MANY */
    CHANNEL_PENDING = 'P',   /* octets: input read but not used, in order. No reply */
    CHANNEL_DONE = 'D'       /* tag of the command that logged in. No reply, the greeter's last word */
};
enum channel_reply {
    CHANNEL_OK = 'o', CHANNEL_GRANTED = 'g', CHANNEL_DENIED = 'd', CHANNEL_UNAVAILABLE = 'u', CHANNEL_TOO_MANY = 't'
};

/* A request, its fields pointing into the frame. */
struct channel_request {
    enum channel_type type;
    struct str field[CHANNEL_FIELDS];
};
/* Parses a frame: type known, number of fields right, each within its bound, no NUL where text is expected. 0 or -1. */
int channel_parse(struct channel_request *r, const void *frame, size_t n);

/* Monitor's side. Reads one frame into frame (CHANNEL_FRAME_MAX + 1 octets), waiting at most timeout_ms. > 0: its length;
 * 0: the greeter is gone; -1: timed out or too long. */
int channel_receive(int fd, void *frame, int timeout_ms);
int channel_answer(int fd, enum channel_reply reply, bool flag);

/* Greeter's side. Anything unexpected ends the process: without the monitor there is nothing left to do. */
enum channel_reply channel_login(int fd, const char *mechanism, struct str authzid, struct str user, struct str password);
bool channel_proxy(int fd, const char *address, char tls);           /* is it secure? */
void channel_hand_over(int fd, struct str tag, struct str pending);
#endif
