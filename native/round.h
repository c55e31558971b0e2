/* One look at all media sockets of a process: what can be received is received, and a caller's frame
 * goes on to the model in the same call, without a word to Python in between.
 *
 *      epoll ─▶ a phone's ear ─▶ receive, read, convert ─▶ the model's `out`, if its lane is open
 *                                                     └──▶ a note: what came, and whether it went on
 *            ─▶ any other socket ─────────────────────────▶ a note: read it yourself
 *      at the end every model that was given something is sent it, one after another
 *
 * An ear's frames are taken as long as they are entirely usual (media.h). The first that is not ends
 * the look at that ear: the note says what it is, and whoever reads it goes on from there. Nothing
 * here waits or allocates.
 */
#ifndef RELAY_ROUND_H
#define RELAY_ROUND_H

#include "media.h"

enum { ROUND_SOCKETS = 64, ROUND_NOTES = 256, ROUND_SOUND = 256 * 1024 };

/* A note's kind, beside those of ws.h, link.h and media.h. */
enum {
    ROUND_HEARD = 110,    /* a frame, whole and converted */
    ROUND_READABLE = 111, /* a socket without an ear */
    ROUND_REST = 112,     /* more was received than there was room to note */
};

typedef struct {
    int32_t fd, kind;
    int32_t mulaw_bytes, rises; /* of a ROUND_HEARD, as in frame_space and media_ear */
    double level_db;
    uint32_t sound, sound_n; /* its base64 for the model, in the round's `sound` */
    int32_t told;            /* it was put into the model's `out` */
    int32_t unsent;          /* and that did not go out whole: flush it, and see why */
} round_note;

typedef struct {
    int epoll;        /* each socket's data is its fd */
    media_ear **ears; /* by fd; NULL: none */
    size_t ears_n;
    int ready;        /* sockets that could be read in the last look */
    round_note notes[ROUND_NOTES];
    char sound[ROUND_SOUND];
} media_round;

/* Look once. Returns how many notes there are, in the order in which they are to be read. */
int round_look(media_round *round);

#endif
