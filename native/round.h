/* One look at all media sockets of a process: what can be received is received, and a caller's frame
 * goes on to the model in the same call, without a word to Python in between.
 *
 *      epoll ─▶ a phone's ear ─▶ receive, read, convert ─▶ the model's `out`, if its lane is open
 *                                                     └──▶ else a note: the frame
 *            ─▶ any other socket ─────────────────────────▶ a note: read it yourself
 *      at the end every model that was given something is sent it, one after another
 *
 * An ear's frames are taken as long as they are entirely usual (media.h), and so are marks that came
 * back, of which the last is kept. The first message that is neither ends the look at that ear: the note says what it is, and
 * whoever reads it goes on from there. What has passed waits in the ear, in order: whoever is told
 * anything of a call asks its ear first (ear->passed, ear->echo), and a note is made when some have
 * gathered, or of the mark that is awaited.
 *
 * A wake costs more than a frame. So a look may last: it sleeps until a socket can be read, or for a tick
 * whatever comes (less, if an eager socket can be read), looks again, and comes back when its time is
 * over, a while after there is something to be told, or when something came that cannot wait for that:
 * whatever is no mark and has not passed, a frame that could not be sent from here, a voice where
 * somebody may be interrupted by it, or others who want their turn. Nothing here allocates.
 *
 * From the first frame of such a voice on, its phone is one of the eager sockets, for as long as it takes
 * to prove a voice: whether somebody must be interrupted is known then, and shall not wait for a tick.
 */
#ifndef RELAY_ROUND_H
#define RELAY_ROUND_H

#include "media.h"

enum {
    ROUND_SOCKETS = 64,
    ROUND_NOTES = 256,
    ROUND_SOUND = 256 * 1024,
    ROUND_HEEDED = 15,   /* frames, 300 ms, in which a voice is proven or not */
    ROUND_GATHERED = 20, /* frames that have passed are worth a note: 400 ms, which nobody hears */
};

/* A note's kind, beside those of ws.h, link.h and media.h. */
enum {
    ROUND_HEARD = 110,    /* a frame, whole and converted, that has not gone on */
    ROUND_READABLE = 111, /* a socket without an ear */
    ROUND_REST = 112,     /* more was received than there was room to note */
    ROUND_PASSED = 113,   /* frames or marks have passed: see its ear */
    ROUND_LAGS = 114,     /* and some of them did not go out whole: flush their model, and see why */
};

typedef struct {
    int32_t fd, kind;
    int32_t mulaw_bytes, rises; /* of a ROUND_HEARD, as in frame_space and media_ear */
    double level_db;
    uint32_t sound, sound_n; /* its base64 for the model, in the round's `sound` */
} round_note;

typedef struct {
    int epoll;        /* each socket's data is its fd */
    int eager;        /* an epoll set of those among them that end a tick when they can be read */
    media_ear **ears; /* by fd; NULL: none */
    size_t ears_n;
    int others;       /* an epoll set of somebody else's, whose news ends the look; -1: none */
    int patient;      /* an fd whose news makes no note, but waits no longer than one; -1: none */
    int ready;        /* sockets that could be read in the last look, tick by tick */
    int called;       /* whether it was the others who ended it */
    round_note notes[ROUND_NOTES];
    char sound[ROUND_SOUND];
} media_round;

/* Look once, and again for as long as slice_ns: every tick_ns, or if that is 0 whenever something can be
 * read; not longer than patience_ns with something to be told. Returns how many notes there are, in the
 * order in which they are to be read. */
int round_look(media_round *round, int64_t slice_ns, int64_t tick_ns, int64_t patience_ns);

/* The phone at fd, which is among the ears, is read by somebody else from now on, or by nobody. */
void round_take_back(media_round *round, int fd);

#endif
