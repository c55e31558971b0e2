#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* ppoll */
#endif
#include "round.h"

#include <string.h>

#include "clock.h"

#ifdef __linux__
#include <poll.h>
#include <sys/epoll.h>

enum { FRAME_ROOM = 2048 }; /* of `sound`, for Twilio's frame as base64 of 24 kHz: 1280 */

/* What a look has come to so far. */
typedef struct {
    media_round *round;
    size_t notes, sound;
    int urgent, rang; /* rang: the patient one can be read */
    size_t later;                      /* sockets behind this one: each may need two notes */
    link_end *models[ROUND_SOCKETS];   /* that frames went to, and from which phone */
    int phones[ROUND_SOCKETS];
    size_t models_n;
} look;

static round_note *note(look *now, int fd, int kind)
{
    round_note *it = &now->round->notes[now->notes++];
    *it = (round_note){.fd = fd, .kind = kind};
    return it;
}

/* Room for this note, for two more of this socket, for two of each behind, and for who lags. */
static int room_for(const look *now, size_t n)
{
    return n <= ROUND_SOUND - now->sound &&
           now->notes + 3 + 2 * now->later + now->models_n <= ROUND_NOTES;
}

static void note_passed(look *now, int fd, media_ear *ear)
{
    if (!ear->noted)
        note(now, fd, ROUND_PASSED);
    ear->noted = 1;
}

static void make_eager(const media_round *round, int fd, int op)
{
    struct epoll_event it = {.events = EPOLLIN, .data.fd = fd};
    if (round->eager >= 0)
        epoll_ctl(round->eager, op, fd, &it); /* refused: it waits for the tick, as others do */
}

/* Have this phone's next frames end a tick, if somebody may be speaking there. */
static void heed(const look *now, int fd, media_ear *ear, int loud)
{
    if (loud) {
        if (ear->heed == 0)
            make_eager(now->round, fd, EPOLL_CTL_ADD);
        ear->heed = ROUND_HEEDED;
    } else if (ear->heed > 0 && --ear->heed == 0) {
        make_eager(now->round, fd, EPOLL_CTL_DEL);
    }
}

/* A frame has gone on: have its call told, now or when some have gathered. */
static void passed(look *now, int fd, media_ear *ear)
{
    int loud = ear->space->level_db > ear->alert_db;
    heed(now, fd, ear, loud);
    if (loud || ear->passed_n >= ROUND_GATHERED)
        note_passed(now, fd, ear);
    if (loud || ear->passed_n == EAR_FRAMES)
        now->urgent = 1;
}

static void heard(look *now, int fd, media_ear *ear, int *went)
{
    if (media_pass(ear)) {
        *went = 1;
        passed(now, fd, ear);
        return;
    }
    round_note *it = note(now, fd, ROUND_HEARD);
    it->sound = (uint32_t)now->sound;
    it->sound_n = (uint32_t)ear->audio_n;
    memcpy(now->round->sound + now->sound, ear->audio, ear->audio_n);
    now->sound += ear->audio_n;
    it->mulaw_bytes = (int32_t)ear->space->mulaw_bytes;
    it->rises = ear->rises;
    it->level_db = ear->space->level_db;
    now->urgent = 1;
}

/* Whether the message that was just read can be noted, and was. */
static int noted(look *now, int fd, media_ear *ear, int kind, int *went)
{
    if (kind == MEDIA_TAKEN && room_for(now, ear->audio_n)) {
        heard(now, fd, ear, went);
        return 1;
    }
    if (kind == MEDIA_ECHOED && room_for(now, 0)) {
        if (media_awaits(ear))
            note_passed(now, fd, ear);
        return 1;
    }
    return 0;
}

static void listen_to(look *now, int fd, media_ear *ear)
{
    const link_end *phone = ear->phone;
    int went = 0;
    int kind = media_receive(ear);
    while (noted(now, fd, ear, kind, &went)) {
        if (phone->start == phone->end)
            kind = WS_MORE;
        else
            kind = room_for(now, 0) ? media_next(ear) : ROUND_REST;
    }
    if (kind != WS_MORE && kind != LINK_AGAIN) {
        note(now, fd, kind);
        now->urgent = 1;
    }
    if (went) {
        now->phones[now->models_n] = fd;
        now->models[now->models_n++] = ear->model;
    }
}

static void look_once(look *now)
{
    media_round *round = now->round;
    struct epoll_event ready[ROUND_SOCKETS];
    int n = epoll_wait(round->epoll, ready, ROUND_SOCKETS, 0);
    now->models_n = 0;
    for (int i = 0; i < n; i++) {
        int fd = ready[i].data.fd;
        media_ear *ear = (size_t)fd < round->ears_n ? round->ears[fd] : NULL;
        now->later = (size_t)(n - i - 1);
        if (fd == round->patient) {
            now->rang = 1;
            continue;
        }
        round->ready++;
        if (ear == NULL) {
            note(now, fd, ROUND_READABLE);
            now->urgent = 1;
        } else {
            listen_to(now, fd, ear);
        }
    }
    for (size_t i = 0; i < now->models_n; i++)
        if (link_flush(now->models[i]) != 0) {
            note(now, now->phones[i], ROUND_LAGS);
            now->urgent = 1;
        }
}

/* Whether every socket can be noted once more, with a frame each. */
static int room_for_more(const look *now)
{
    return now->notes + 3 * ROUND_SOCKETS <= ROUND_NOTES &&
           now->sound + (size_t)ROUND_SOCKETS * FRAME_ROOM <= ROUND_SOUND;
}

/* Sleep for so long, or until a socket that matters before can be read. */
static void rest(look *now, int64_t ns, int socket)
{
    struct timespec time = {.tv_sec = ns / SECOND, .tv_nsec = (long)(ns % SECOND)};
    struct pollfd sooner[] = {{.fd = socket, .events = POLLIN},
                              {.fd = now->round->others, .events = POLLIN}};
    ppoll(sooner, 2, &time, NULL);
    now->urgent = now->round->called = sooner[1].revents != 0;
}

int round_look(media_round *round, int64_t slice_ns, int64_t tick_ns, int64_t patience_ns)
{
    look now = {.round = round};
    int64_t at = slice_ns > 0 ? clock_ns() : 0, until = at + slice_ns;
    int noted = 0;
    round->ready = round->called = 0;
    look_once(&now);
    while (at < until && !now.urgent && room_for_more(&now)) {
        if (now.rang && tick_ns == 0)
            break; /* it could be read for as long as nobody does */
        if (!noted && (now.notes > 0 || now.rang)) {
            noted = 1;
            until = until - at < patience_ns ? until : at + patience_ns;
        }
        if (tick_ns > 0)
            rest(&now, until - at < tick_ns ? until - at : tick_ns, round->eager);
        else
            rest(&now, until - at, round->epoll);
        look_once(&now);
        at = clock_ns();
    }
    return (int)now.notes;
}

void round_take_back(media_round *round, int fd)
{
    media_ear *ear = round->ears[fd];
    if (ear->heed > 0)
        make_eager(round, fd, EPOLL_CTL_DEL);
    ear->heed = 0;
    round->ears[fd] = NULL;
}

#else

int round_look(media_round *round, int64_t slice_ns, int64_t tick_ns, int64_t patience_ns)
{
    (void)slice_ns;
    (void)tick_ns;
    (void)patience_ns;
    round->ready = round->called = 0;
    return 0;
}

void round_take_back(media_round *round, int fd) { round->ears[fd] = NULL; }

#endif
