/* The one message that comes fifty times a second a call, from the socket to the model's format in
 * one call, and the way back into a frame; and the one that comes back for each that we send.
 *
 *      {"event":"media","sequenceNumber":"4","media":{"track":"inbound","chunk":"2",
 *       "timestamp":"20","payload":"…"},"streamSid":"MZ…"}          keys in any order
 *      {"event":"mark","sequenceNumber":"5","streamSid":"MZ…","mark":{"name":"…"}}
 *
 * Only what is entirely usual is taken: this stream's next chunk, inbound, strings without escapes,
 * good base64, a name that fits in. All else is left as it is, for the reader in Python, which is the specification:
 * what is taken here means the same there.
 */
#ifndef RELAY_MEDIA_H
#define RELAY_MEDIA_H

#include "frame.h"
#include "link.h"

/* Beside the frame kinds of ws.h and link.h: the frame was the next chunk of this stream; or a mark of
 * it, which is the ear's last one now. */
enum { MEDIA_TAKEN = 100, MEDIA_ECHOED = 101 };

#define MEDIA_AUDIBLE_DB (-55.0) /* nothing below this is a voice */

/* What is known of a frame that went on to the model before anybody in Python was told. It is read as
 * it lies here: a number, a double, a number, each in eight bytes. */
typedef struct {
    int32_t ms, none;
    double level_db;
    int32_t rises, none_either; /* as media_ear */
} ear_frame;

enum { EAR_FRAMES = 24, EAR_BYTES = EAR_FRAMES * 160, EAR_NAME = 96 };

/* A caller's audio on its way to the model. */
typedef struct {
    link_end *phone;
    frame_stream *stream; /* NULL: the model speaks mu-law */
    frame_space *space;   /* as for phone_frame; without a stream, room for pass_frame */
    char stream_sid[64];
    size_t stream_sid_n;
    uint64_t chunk;       /* of the last frame; 0: there was none */
    const char *audio;    /* MEDIA_TAKEN: base64 for the model, until the space is used again */
    size_t audio_n;
    int rises;            /* as relay.audio.frames.rises; 0 for what is hardly audible */
    link_end *model;      /* the lane is open: where its frames go at once (round.h); else NULL */
    double alert_db;      /* a frame above it matters at once: somebody may be interrupted by it */
    int heed;             /* so many frames more end a tick (round.h) */
    int noted;            /* that frames have passed is in a round's notes already */
    int32_t passed_n;     /* frames that have passed, and are to be told of */
    uint32_t mulaw_n;     /* and their bytes */
    ear_frame passed[EAR_FRAMES];
    uint8_t mulaw[EAR_BYTES];
    char echo[EAR_NAME];  /* the name of the last mark that came; it proves all that was before it */
    int32_t echo_n;       /* 0: it has been told of */
    int64_t echo_ns;      /* when it came */
    char awaited[EAR_NAME]; /* the mark that matters when it comes */
    int32_t awaited_n;    /* 0: none does; -1: every one */
} media_ear;

/* Take the next frame. Returns MEDIA_TAKEN, MEDIA_ECHOED, or what link_next does of a frame that is
 * left to somebody else. */
int media_next(media_ear *ear);

/* The same after one receive, or what link_receive says if nothing came. */
int media_receive(media_ear *ear);

/* Hand the frame that was just taken on to the model and remember it, if the lane is open, there is
 * room, and it has whole milliseconds (who counts parts of them is in Python). Returns whether it was. */
int media_pass(media_ear *ear);

/* Whether the mark that came last is the one that was awaited. */
int media_awaits(const media_ear *ear);

/* For how many seconds the ear has had its mark. */
double media_echo_age(const media_ear *ear);

/* Frame an input_audio_buffer.append. Returns as link_put. */
int append_put(link_end *model, const char *audio, size_t n);

#endif
