"""Carry out the Dockerfile's steps in Debian roots, then run what came out of them.

    python3 scripts/image_check.py BASE FOLDER

BASE is a bare root with the Python of the Dockerfile's base image, FOLDER is for the stages.
`image_check.sh` makes both, and a mount namespace around this program; it is not for use by hand.
"""
# ruff: noqa: S603, S607, T201 - a program that runs programs and prints what it saw

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dockerfile import Stage, context, environment, stages, words

HERE = Path(__file__).resolve().parents[1]
RUN_S, START_S, STOP_S = 900.0, 30.0, 15.0
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
# The headers of Python lie in the base image, and in a package of their own in Debian.
HEADERS = "apt-get update && apt-get install -y --no-install-recommends libpython3-dev"
PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL")
SETTINGS = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "not-a-token",
    "TWILIO_PHONE_NUMBER": "+14155550100",
    "HUMAN_TRANSFER_NUMBER": "+14155550199",
    "PUBLIC_URL": "https://relay.example.com",
    "OPENAI_API_KEY": "not-a-key",
    "CLIPS": "packaged",  # no model is asked to speak
    "HOST": "127.0.0.1",
}


def main(base: Path, folder: Path) -> None:
    found = stages((HERE / "Dockerfile").read_text())
    roots: dict[str, Path] = {}
    for number, stage in enumerate(found):
        root = folder / (stage.name or f"stage-{number}")
        _say(f"FROM {stage.base}")
        subprocess.run(["/bin/cp", "-a", base, root], check=True)
        _same_python(root, stage.base)
        with _mounted(root):
            _build(root, stage, roots)
        roots[stage.name] = root
    _hold(root, stage)
    _sizes(root, base)
    with _mounted(root):
        _live(root, stage)
    _say("all of it holds")


# ---- building -------------------------------------------------------------------------------


def _build(root: Path, stage: Stage, roots: Mapping[str, Path]) -> None:
    """Carry out a stage's steps."""
    env, folder = _first_environment(), "/"
    if stage.name:
        _run(root, ["/bin/sh", "-c", HEADERS], env, folder, "(headers of Python)")
    for step in stage.steps:
        match step.name:
            case "RUN":
                _run(root, ["/bin/sh", "-c", step.rest], env, folder, f"RUN {step.rest}")
            case "COPY":
                _say(f"COPY {step.rest}")
                _copy(root, step.rest.split(), folder, roots)
            case "ENV":
                env = environment(step.rest, env)
            case "WORKDIR":
                folder = step.rest
                _inside(root, folder).mkdir(parents=True, exist_ok=True)
            case _:
                pass  # about running, not about building


def _first_environment() -> dict[str, str]:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}


def _run(root: Path, argv: Sequence[str], env: Mapping[str, str], folder: str, title: str) -> None:
    """Run a command in a root. Ends the program, showing what it said, when it fails."""
    outside = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    began = time.monotonic()
    done = subprocess.run(
        _argv(root, argv, {**outside, "PIP_CERT": f"/{CERTIFICATES}", **env}, folder),
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    _say(f"{' '.join(title.split())[:80]} ({time.monotonic() - began:.1f} s)")
    if done.returncode:
        sys.exit(f"{done.stdout[-3000:]}{done.stderr[-3000:]}\nimage-check: this step failed")


def _argv(
    root: Path, argv: Sequence[str], env: Mapping[str, str], folder: str, user: str = ""
) -> list[str]:
    who = [f"--userspec={user}", "--groups="] if user else []
    pairs = [f"{name}={value}" for name, value in env.items()]
    return ["chroot", *who, str(root), "/usr/bin/env", "-i", "-C", folder, *pairs, *argv]


def _copy(root: Path, given: list[str], folder: str, roots: Mapping[str, Path]) -> None:
    *sources, target = given
    if sources[0].startswith("--from="):
        subprocess.run(
            ["/bin/cp", "-a", _inside(roots[sources[0][7:]], sources[1]), _inside(root, target)],
            check=True,
        )
        return
    for source in sources:
        for name in context(HERE, source):
            # A folder's contents go into the target; a file goes under its own name.
            inner = name.name if (HERE / source).is_file() else name.relative_to(source)
            goal = _inside(root, str(Path(folder, target, inner)))
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(HERE / name, goal)


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


@contextmanager
def _mounted(root: Path) -> Iterator[None]:
    """The machine's devices, name servers and certificates, as an engine would lend them."""
    (root / "etc/resolv.conf").touch()
    lent = ["dev", "etc/resolv.conf", *([CERTIFICATES] if Path("/", CERTIFICATES).exists() else [])]
    for path in lent:
        subprocess.run(["mount", "--rbind", Path("/", path), root / path], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    try:
        yield
    finally:
        for path in ("proc", *lent):
            subprocess.run(["umount", "--lazy", root / path], check=True)


# ---- what lies there ------------------------------------------------------------------------


def _same_python(root: Path, image: str) -> None:
    wanted = re.fullmatch(r"python:(\d+\.\d+)-slim-trixie", image)
    here = (root / "usr/bin/python3").readlink().name.removeprefix("python")
    if wanted is None or wanted[1] != here:
        sys.exit(f"image-check: trixie has Python {here}, so it cannot stand in for {image}")


def _hold(root: Path, stage: Stage) -> None:
    """What the last stage must not have, and who may write where."""
    with _mounted(root):
        script = "for name in cc gcc g++ clang c99 tcc make; do command -v $name; done; true"
        found = subprocess.run(
            _argv(root, ["/bin/sh", "-c", script], _first_environment(), "/"),
            capture_output=True,
            text=True,
            check=True,
        )
    _expect(not found.stdout, "no compiler", found.stdout.strip())
    _expect(not list(root.glob("usr/include/soxr.h")), "no headers of libsoxr")
    _expect(not list(root.glob("usr/include/openssl")), "no headers of OpenSSL")
    for package, library in {"libsoxr0": "libsoxr.so.0", "libssl3t64": "libssl.so.3"}.items():
        _expect(bool(list(root.glob(f"usr/lib/*/{library}"))), package)
    _expect(not list(root.glob("opt/relay/bin/pip*")), "no pip beside the relay")
    uid = int(stage.last("USER"))
    strays = [path for path in (root / "opt/relay").rglob("*") if path.lstat().st_uid == uid]
    _expect(uid != 0 and not strays, f"user {uid} owns nothing that runs")
    _expect((root / "data").stat().st_uid == uid, f"/data belongs to user {uid}")


def _sizes(root: Path, base: Path) -> None:
    """Print what the image adds to its base, and what of it is large."""
    added = _kib(root) - _kib(base)
    _say(f"the image adds {added / 1024:.1f} MiB to its base (on disk, not compressed)")
    packages = next(root.glob("opt/relay/lib/python*/site-packages"))
    largest = sorted(((_kib(each), each.name) for each in packages.iterdir()), reverse=True)[:6]
    print("   largest: " + ", ".join(f"{name} {kib / 1024:.1f}" for kib, name in largest))


def _kib(path: Path) -> int:
    done = subprocess.run(["du", "-skx", path], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


# ---- what runs ------------------------------------------------------------------------------


def _live(root: Path, stage: Stage) -> None:
    """Start the image's command as the first process of a namespace; ask it; stop it."""
    env = {**_first_environment(), **SETTINGS, "HOME": "/data", "PORT": str(_free_port())}
    for step in stage.steps:
        if step.name == "ENV":
            env = environment(step.rest, env)
    folder, user = stage.last("WORKDIR"), f"{stage.last('USER')}:"
    health = _argv(root, words(stage.last("HEALTHCHECK")), env, folder, user)
    upgrade = _argv(root, ["relay", "db", "upgrade"], env, folder, user)
    serve = _argv(root, words(stage.last("CMD")), env, folder, user)
    _expect(_code(health) != 0, "HEALTHCHECK fails while nothing runs")
    _expect(_code(upgrade) == 0, "relay db upgrade ends with 0")
    for number in (signal.SIGTERM, signal.SIGINT):
        _serve_once(serve, health, root, int(env["PORT"]), number)
    database = root / "data/relay.db"
    _expect(database.exists(), "the database lies on the volume")


def _serve_once(
    serve: Sequence[str], health: Sequence[str], root: Path, port: int, number: signal.Signals
) -> None:
    alone = ["unshare", "--pid", "--fork", "--kill-child", f"--mount-proc={root}/proc"]
    began = time.monotonic()
    with subprocess.Popen([*alone, *serve]) as process:
        try:
            _until_answers(process, port)
            _say(f"relay serve answers after {time.monotonic() - began:.1f} s")
            _expect(_status(port, "/healthz") == 200, "/healthz says 200")
            _expect(_status(port, "/readyz") == 200, "/readyz says 200")
            _expect(_code(health) == 0, "HEALTHCHECK succeeds")
            first = _child(process.pid)
            about = Path(f"/proc/{first}/status").read_text()
            _expect(re.search(r"^NSpid:.*\t1$", about, re.MULTILINE) is not None, "it is PID 1")
            asked = time.monotonic()
            os.kill(first, number)
            code = _wait(process)
            took = time.monotonic() - asked
            _expect(code == 0, f"{number.name} ends it with 0 after {took:.1f} s", f"code {code}")
        finally:
            process.kill()  # --kill-child takes what is inside along


def _wait(process: subprocess.Popen[bytes]) -> int | str:
    try:
        return process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        return f"none after {STOP_S:.0f} s"


def _until_answers(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"image-check: relay serve ended with {process.returncode}")
        try:
            _status(port, "/healthz")
        except ConnectionRefusedError:
            time.sleep(0.1)
        else:
            return
    sys.exit(f"image-check: nothing answers after {START_S:.0f} s")


def _status(port: int, page: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", page)
    return connection.getresponse().status


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _code(argv: Sequence[str]) -> int:
    return subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode


def _say(text: str) -> None:
    print(f"== {text}", flush=True)


def _expect(holds: bool, what: str, found: str = "") -> None:
    if not holds:
        sys.exit(f"image-check: this does not hold: {what} {found}")
    print(f"   ok: {what}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
