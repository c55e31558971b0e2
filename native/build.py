"""Builds relay.audio._native, the C core, with cffi in API mode.

setup.py names `ffibuilder`; `python native/build.py` builds it in relay/audio by hand. The
extension is one translation unit that includes the C files, found from this file's own place, so
that it does not matter where a build is started. cffi drops the GIL around every C call.

NATIVE_CFLAGS and NATIVE_LDFLAGS in the environment are added last (the sanitizer build uses them).
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
PARTS = (
    *("g711", "pcm", "base64", "resample", "frame"),
    *("tls", "ws", "link", "media", "play", "speech", "clock", "round"),
)
FILES = ("json.h", *(f"{part}{end}" for part in PARTS for end in (".c", ".h")))

NOT_FOUND = """
{what}, was not found (asked: pkg-config {name}).
    Debian, Ubuntu    apt-get install {debian} pkg-config
    macOS             brew install {brew} pkgconf
"""
# By pkg-config's names: what each is, and what the packages are called that have it.
LIBRARIES = {
    "soxr": ("libsoxr, which relay's audio core is built on", "libsoxr-dev", "libsoxr"),
    "openssl": ("OpenSSL, with which relay talks to the model", "libssl-dev", "openssl@3"),
}

# What Python may call: native/*.h explain each. The compiler checks these lines against them.
DECLARATIONS = """
#define FRAME_BAD_BASE64 ...
#define FRAME_NO_ROOM ...
#define FRAME_FAILED ...
#define RESAMPLE_SLACK ...

typedef struct { char *buffer; size_t size, mulaw_bytes; const uint8_t *mulaw;
                 double level_db; int rises; } frame_space;
typedef struct frame_stream frame_stream;
frame_stream *frame_open(int up);
void frame_close(frame_stream *stream);
void frame_clear(frame_stream *stream);

size_t phone_room(size_t n);
size_t model_room(size_t n);
size_t pass_room(size_t n);
ptrdiff_t phone_frame(frame_stream *stream, const char *payload, size_t n, frame_space *space);
ptrdiff_t phone_gap(frame_stream *stream, size_t n, frame_space *space);
ptrdiff_t model_delta(frame_stream *stream, const char *delta, size_t n, frame_space *space);
ptrdiff_t model_flush(frame_stream *stream, frame_space *space);
ptrdiff_t pass_frame(const char *payload, size_t n, frame_space *space);

void ulaw_decode(const uint8_t *in, size_t n, int16_t *out);
void ulaw_encode(const int16_t *in, size_t n, uint8_t *out);
void pcm_from_float(const float *in, size_t n, int16_t *out);
double ulaw_level_db(const uint8_t *mulaw, size_t n);
size_t base64_encode(const uint8_t *in, size_t n, char *out);
ptrdiff_t base64_decode(const char *in, size_t n, uint8_t *out);

typedef struct resampler resampler;
resampler *resample_open(int up);
void resample_close(resampler *stream);
ptrdiff_t resample_process(resampler *stream, const float *in, size_t n, float *out, size_t out_n);
ptrdiff_t resample_flush(resampler *stream, float *out, size_t out_n);
void resample_clear(resampler *stream);

#define TLS_WANTS_READ ...
#define TLS_REFUSED ...

typedef struct ssl_ctx_st tls_trust;
typedef struct tls_end tls_end;
tls_trust *tls_trust_open(void);
void tls_trust_close(tls_trust *trust);
void tls_trust_system(tls_trust *trust);
int tls_trust_these(tls_trust *trust, const char *file, const char *folder);
const char *tls_system_file(void);
tls_end *tls_open(tls_trust *trust, int fd, const char *host, size_t n);
void tls_close(tls_end *end);
int tls_shake_hands(tls_end *end, char *why, size_t n);

#define WS_MORE ...
#define WS_BROKEN ...
#define LINK_AGAIN ...
#define LINK_ENDED ...
#define LINK_NO_ROOM ...
#define MEDIA_TAKEN ...
#define MEDIA_ECHOED ...
#define EAR_NAME ...
#define SPEECH_TAKEN ...

typedef struct { uint64_t limit, length; uint32_t utf8; int message, masked; } ws_reader;
typedef struct { size_t used, need, payload, payload_n; int opcode, final, code; } ws_frame;
int ws_read(ws_reader *reader, uint8_t *bytes, size_t n, ws_frame *frame);
size_t ws_head(uint8_t *out, int opcode, size_t n, const uint8_t *key);
void ws_mask(uint8_t *bytes, size_t n, const uint8_t *key);
int ws_utf8(uint32_t *state, const uint8_t *bytes, size_t n);

typedef struct {
    int fd; tls_end *tls; int more; ws_reader reader; ws_frame frame;
    uint8_t *got, *out;
    size_t got_size, start, end, out_size, sent, filled, keys_used;
    int takes;
    ...;
} link_end;
ptrdiff_t link_receive(link_end *end);
int link_next(link_end *end);
int link_put(link_end *end, int opcode, const uint8_t *payload, size_t n);
ptrdiff_t link_flush(link_end *end);
void link_shut(link_end *end);

#define EAR_FRAMES ...
typedef struct { int32_t ms; double level_db; int32_t rises; ...; } ear_frame;
typedef struct {
    link_end *phone; frame_stream *stream; frame_space *space;
    char stream_sid[64]; size_t stream_sid_n;
    uint64_t chunk;
    const char *audio; size_t audio_n;
    int rises;
    link_end *model;
    double alert_db;
    int heed, noted; int32_t passed_n; uint32_t mulaw_n;
    ear_frame passed[...]; uint8_t mulaw[...];
    char echo[...]; int32_t echo_n; char awaited[...]; int32_t awaited_n;
    ...;
} media_ear;
double media_echo_age(const media_ear *ear);
int media_next(media_ear *ear);
int media_receive(media_ear *ear);
int append_put(link_end *model, const char *audio, size_t n);
int play_put(link_end *phone, const char *sid, size_t sid_n, const uint8_t *mulaw, size_t n,
             const char *mark, size_t mark_n);

typedef struct {
    link_end *model; frame_stream *stream; frame_space *space;
    char response_id[64], item_id[64]; size_t response_id_n, item_id_n;
    size_t mulaw_n; double loudest_db;
} speech_mouth;
int speech_next(speech_mouth *mouth);

int clock_open(void);
int clock_set(int fd, double seconds);
#define ROUND_HEARD ...
#define ROUND_PASSED ...
#define ROUND_LAGS ...
#define ROUND_READABLE ...
#define ROUND_REST ...
#define ROUND_NOTES ...
#define ROUND_SOUND ...

typedef struct {
    int32_t fd, kind, mulaw_bytes, rises;
    double level_db;
    uint32_t sound, sound_n;
} round_note;
typedef struct {
    int epoll, eager; media_ear **ears; size_t ears_n; int others, patient, ready, called;
    round_note notes[...]; char sound[...];
} media_round;
int round_look(media_round *round, int64_t slice_ns, int64_t tick_ns, int64_t patience_ns);
void round_take_back(media_round *round, int fd);
"""


def libraries(what: str) -> list[str]:
    """pkg-config's flags; what is "--cflags" or "--libs". One that is missing ends the build."""
    return [flag for name in LIBRARIES for flag in _flags(what, name)]


def _flags(what: str, name: str) -> list[str]:
    try:
        done = subprocess.run(  # noqa: S603 - the builder's own environment names the program
            [os.environ.get("PKG_CONFIG", "pkg-config"), what, name],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        described, debian, brew = LIBRARIES[name]
        told = NOT_FOUND.format(what=described, name=name, debian=debian, brew=brew)
        raise SystemExit(told) from None
    return shlex.split(done.stdout)


def extra(name: str) -> list[str]:
    return shlex.split(os.environ.get(name, ""))


def builder() -> FFI:
    ffi = FFI()
    ffi.cdef(DECLARATIONS)
    ffi.set_source(
        "relay.audio._native",
        "".join(f'#include "{part}.c"\n' for part in PARTS),
        include_dirs=[str(HERE)],
        depends=[os.path.relpath(HERE / name) for name in FILES],
        extra_compile_args=["-std=c11", "-O3", *libraries("--cflags"), *extra("NATIVE_CFLAGS")],
        extra_link_args=[*libraries("--libs"), "-lm", *extra("NATIVE_LDFLAGS")],
    )
    return ffi


ffibuilder = builder()

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(HERE.parent), verbose=True)
