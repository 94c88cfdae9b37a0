#ifndef AUTH_CHANNEL_H
#define AUTH_CHANNEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

/* What the greeter may ask the monitor, over a SOCK_SEQPACKET pair: each packet is a frame. A request frame is one octet of
 * type and then its fields, each a two-octet length (big-endian) and that many octets; nothing may follow the last field. A
 * reply frame is two octets, channel_reply and a flag, and then text, perhaps none. The greeter is believed about nothing but the
 * name and the proof of identity it brings, and (from a configured proxy) the client's address. */
enum { CHANNEL_FRAME_MAX = 16384, CHANNEL_FIELDS = 5, CHANNEL_PENDING_MAX = 1 << 20 };
enum { CHANNEL_NAME_MAX = 255, CHANNEL_PASSWORD_MAX = 511, CHANNEL_MECHANISM_MAX = 20, CHANNEL_TAG_MAX = 8192,
       CHANNEL_ADDRESS_MAX = 63, CHANNEL_SCRAM_MAX = 2048, CHANNEL_PROOF_MAX = 64, CHANNEL_DATA_MAX = 16000 };

enum channel_type {
    CHANNEL_PROXY = 'X',     /* address, tls ("y", "n" or "?"): what the PROXY header said. Reply OK, flag: secure */
    CHANNEL_LOGIN = 'L',     /* mechanism, authzid, user, password. Reply GRANTED, DENIED, UNAVAILABLE, LIMIT (it was right, but has
                              too many sessions) or TOO_MANY: a "verdict" */
    CHANNEL_EXTERNAL = 'E',  /* authzid: who the client's certificate says. Reply: a verdict */
    CHANNEL_ANONYMOUS = 'A', /* trace. Reply: a verdict */
    CHANNEL_SCRAM = 'S',     /* mechanism, gs2-header, authzid, user, client-first-message-bare. Reply CONTINUE with server-first, or a verdict */
    CHANNEL_PROOF = 'F',     /* the client's proof. Reply VERIFIED with server-final, or a verdict that is not GRANTED, perhaps with text */
    CHANNEL_CLAIM = 'C',     /* the client has seen the text of VERIFIED. Reply GRANTED */
    CHANNEL_MECHANISM = 'M', /* mechanism, message: to a mechanism process (mech.h). Reply CONTINUE, or a verdict, either with text */
    CHANNEL_STEP = 'N',      /* message: the next to that process */
    CHANNEL_STARTTLS = 'T',  /* Reply OK: the client is to be told so, and the greeter to end; or UNAVAILABLE */
    CHANNEL_PENDING = 'P',   /* octets: input read but not used, in order. No reply */
    CHANNEL_DONE = 'D'       /* tag of the command that logged in. No reply, the greeter's last word */
};
enum channel_reply {
    CHANNEL_OK = 'o', CHANNEL_GRANTED = 'g', CHANNEL_DENIED = 'd', CHANNEL_UNAVAILABLE = 'u', CHANNEL_TOO_MANY = 't',
    CHANNEL_CONTINUE = 'c', CHANNEL_VERIFIED = 'v', CHANNEL_LIMIT = 'l'
};

/* A request, its fields pointing into the frame. */
struct channel_request {
    enum channel_type type;
    struct str field[CHANNEL_FIELDS];
};
/* Parses a frame: type known, number of fields right, each within its bound, no NUL where text is expected. 0 or -1. */
int channel_parse(struct channel_request *r, const void *frame, size_t n);
/* One frame from fd into frame (CHANNEL_FRAME_MAX + 1 octets of room). Its length; 0: the other end is gone; -1: error, or
 * timeout_ms are over (0: at once), or it is too long. */
int channel_receive(int fd, void *frame, int timeout_ms);
/* text: at most CHANNEL_FRAME_MAX - 2 octets. 0 or -1. */
int channel_answer(int fd, enum channel_reply reply, bool flag, struct str text);

/* The greeter's side: each sends one request and waits for its reply, the text of which is appended to *text (NULL: there is
 * none). They end the process when the monitor is gone. What is longer than the monitor takes is sent as something that it must
 * refuse, so that it is counted. */
enum channel_reply channel_login(int fd, const char *mechanism, struct str authzid, struct str user, struct str password);
enum channel_reply channel_ask(int fd, enum channel_type type, const struct str *fields, size_t n, struct buf *text);
bool channel_proxy(int fd, const char *address, char tls);           /* is it secure? */
void channel_hand_over(int fd, struct str tag, struct str pending);
#endif
