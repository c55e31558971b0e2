#!/bin/sh
# Fuzz the C core under AddressSanitizer and UndefinedBehaviorSanitizer, in four runs:
#
#   1  libFuzzer, coverage-guided, on frames.c        FUZZ_SECONDS (60)
#   2  the same without SIMD: the code of other CPUs  a quarter of that
#   3  libFuzzer on sockets.c: WebSocket and media    FUZZ_SECONDS
#   4  hypothesis: tests/audio and tests/websocket on a sanitized build of the extension
#
# What runs 1 to 3 find new is thrown away, unless FUZZ_KEEP=1: then it is merged into the corpora.
# A crash stops the run, leaves its input in build/fuzz/ and exits non-zero.
# PYTHON is the interpreter with relay's development packages (default: the checkout's .venv).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
seconds=${FUZZ_SECONDS:-60}
work=$root/build/fuzz
flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1"

say() { printf '\n== %s\n' "$*"; }

find_clang() {
    for name in ${CLANG:-} clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14; do
        # Only one that can link libFuzzer will do.
        if command -v "$name" >/dev/null && echo 'int LLVMFuzzerTestOneInput(void){return 0;}' |
            "$name" -x c -fsanitize=fuzzer,address - -o "$work/probe" 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    return 1
}

mkdir -p "$work"
if ! clang=$(find_clang); then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing clang"
        apt-get install -y -q clang libclang-rt-dev >/dev/null
    fi
    clang=$(find_clang) || {
        echo "fuzzing needs clang with libFuzzer: apt-get install clang libclang-rt-dev" >&2
        exit 1
    }
fi

fuzz() { # name, seconds, source, corpus, flags…
    name=$1 budget=$2 source=$3 corpus=$4
    shift 4
    say "libFuzzer, $name, $budget s"
    # shellcheck disable=SC2046,SC2086
    "$clang" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wconversion $flags -fsanitize=fuzzer "$@" -I"$root/native" \
        $(pkg-config --cflags soxr openssl) "$here/$source" $(pkg-config --libs soxr openssl) -lm -o "$work/$name"
    rm -rf "$work/found" && mkdir "$work/found"
    "$work/$name" -max_total_time="$budget" -max_len=4096 -timeout=10 -print_final_stats=1 \
        -verbosity=0 -artifact_prefix="$work/" "$work/found" "$here/$corpus"
    if [ -n "${FUZZ_KEEP:-}" ]; then
        "$work/$name" -merge=1 -verbosity=0 "$here/$corpus" "$work/found"
    fi
}

fuzz frames "$seconds" frames.c corpus
fuzz frames-plain "$((seconds / 4 + 1))" frames.c corpus -DRELAY_NO_SIMD
fuzz sockets "$seconds" sockets.c corpus-sockets

say "hypothesis on a sanitized extension"
copy=$work/copy
rm -rf "$copy" && mkdir -p "$copy/tests"
cp -r "$root/native" "$root/relay" "$root/pyproject.toml" "$copy/"
cp -r "$root/tests/__init__.py" "$root/tests/audio" "$root/tests/websocket" "$copy/tests/"
rm -f "$copy"/relay/audio/_native.*so
(cd "$copy" && CC="${CC:-gcc}" NATIVE_CFLAGS="$flags" NATIVE_LDFLAGS="-fsanitize=address,undefined" \
    "$python" native/build.py >build.log 2>&1) || { cat "$copy/build.log" >&2; exit 1; }
# The sanitizer must be there before Python is, and Python's own allocator out of its way.
preload="$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libstdc++.so.6)"
(cd "$copy" && LD_PRELOAD=$preload ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
    UBSAN_OPTIONS=print_stacktrace=1 "$python" -m pytest -p no:cacheprovider \
    --hypothesis-profile=fuzz tests/audio/test_base64.py tests/audio/test_codec.py \
    tests/audio/test_g711.py tests/audio/test_resample.py tests/websocket/test_frames.py \
    tests/websocket/test_round.py tests/websocket/test_tls.py)
say "nothing found"
