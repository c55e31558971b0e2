#include "round.h"

#include <string.h>

#ifdef __linux__
#include <sys/epoll.h>

/* What a look has come to so far. */
typedef struct {
    media_round *round;
    size_t notes, sound;
    size_t later;                       /* sockets behind this one: each may need a note */
    round_note *last[ROUND_SOCKETS];    /* of the frames that went to a model, and which it was */
    link_end *models[ROUND_SOCKETS];
    size_t models_n;
} look;

static round_note *note(look *now, int fd, int kind)
{
    round_note *it = &now->round->notes[now->notes++];
    *it = (round_note){.fd = fd, .kind = kind};
    return it;
}

/* Hand a frame on, if the lane is open. Returns whether it was. */
static int tell(const media_ear *ear)
{
    link_end *model = ear->model;
    return model != NULL && model->takes && append_put(model, ear->audio, ear->audio_n) == 0;
}

static void heard(look *now, int fd, const media_ear *ear, round_note **last)
{
    round_note *it = note(now, fd, ROUND_HEARD);
    it->mulaw_bytes = (int32_t)ear->space->mulaw_bytes;
    it->rises = ear->rises;
    it->level_db = ear->space->level_db;
    it->sound = (uint32_t)now->sound;
    it->sound_n = (uint32_t)ear->audio_n;
    memcpy(now->round->sound + now->sound, ear->audio, ear->audio_n);
    now->sound += ear->audio_n;
    it->told = tell(ear);
    if (it->told)
        *last = it;
}

static void listen_to(look *now, int fd, media_ear *ear)
{
    const link_end *phone = ear->phone;
    round_note *last = NULL;
    int kind = media_receive(ear);
    /* Besides this frame's note there must be one for what follows, and for each socket behind. */
    while (kind == MEDIA_TAKEN && ear->audio_n <= ROUND_SOUND - now->sound &&
           now->notes + 2 + now->later <= ROUND_NOTES) {
        heard(now, fd, ear, &last);
        if (phone->start == phone->end)
            kind = WS_MORE;
        else if (now->notes + 2 + now->later <= ROUND_NOTES)
            kind = media_next(ear);
        else
            kind = ROUND_REST;
    }
    if (kind != WS_MORE && kind != LINK_AGAIN)
        note(now, fd, kind);
    if (last != NULL) {
        now->last[now->models_n] = last;
        now->models[now->models_n++] = ear->model;
    }
}

int round_look(media_round *round)
{
    struct epoll_event ready[ROUND_SOCKETS];
    look now = {.round = round};
    int n = epoll_wait(round->epoll, ready, ROUND_SOCKETS, 0);
    round->ready = n < 0 ? 0 : n;
    for (int i = 0; i < n; i++) {
        int fd = ready[i].data.fd;
        media_ear *ear = (size_t)fd < round->ears_n ? round->ears[fd] : NULL;
        now.later = (size_t)(n - i - 1);
        if (ear == NULL)
            note(&now, fd, ROUND_READABLE);
        else
            listen_to(&now, fd, ear);
    }
    for (size_t i = 0; i < now.models_n; i++)
        now.last[i]->unsent = now.models[i]->sealed || link_flush(now.models[i]) != 0;
    return (int)now.notes;
}

#else

int round_look(media_round *round)
{
    round->ready = 0;
    return 0;
}

#endif
