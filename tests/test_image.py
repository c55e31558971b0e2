"""The image and its place on Fly.io, held to what they promise, without an engine or an account.

`make image-check` carries the Dockerfile out; here it is only read.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from relay import config
from relay.config import Settings
from relay.metrics_page import PATH
from relay.stop import end_s
from relay.web.twilio import PAGES
from tests.databases import migrated

HERE = Path(__file__).parents[1]


def _tool() -> ModuleType:
    """scripts/dockerfile.py, which stands in no package."""
    sys.path.insert(0, str(HERE / "scripts"))
    try:
        return importlib.import_module("dockerfile")
    finally:
        sys.path.pop(0)


dockerfile = _tool()
STAGES = dockerfile.stages((HERE / "Dockerfile").read_text())
GUIDE = (HERE / "docs" / "deploy.md").read_text()
FLY: dict[str, Any] = tomllib.loads((HERE / "fly.toml").read_text())
NEEDED = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "12345-auth",
    "TWILIO_PHONE_NUMBER": "+14155550100",
    "HUMAN_TRANSFER_NUMBER": "+14155550199",
    "PUBLIC_URL": "https://relay.example.com",
    "OPENAI_API_KEY": "sk-secret",
}


def image_environment() -> dict[str, str]:
    env = {"PATH": "/usr/bin"}
    for step in STAGES[-1].steps:
        if step.name == "ENV":
            env = dockerfile.environment(step.rest, env)
    return env


# ---- the Dockerfile ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_one_argument_chooses_python_for_both_stages(version: str) -> None:
    found = dockerfile.stages(
        (HERE / "Dockerfile").read_text(), arguments={"PYTHON_VERSION": version}
    )
    assert [stage.base for stage in found] == [f"python:{version}-slim-trixie"] * 2


def test_python_is_3_13_unless_said_otherwise() -> None:
    assert {stage.base for stage in STAGES} == {"python:3.13-slim-trixie"}


def test_the_last_stage_installs_nothing_that_builds() -> None:
    packages = [
        word
        for step in STAGES[-1].steps
        if step.name == "RUN"
        for command in step.rest.split("&&")
        if "apt-get install" in command
        for word in command.split()[2:]
        if not word.startswith("-")
    ]
    assert packages == ["libsoxr0", "libssl3t64"]


def test_every_installation_leaves_no_package_lists() -> None:
    for stage in STAGES:
        for step in stage.steps:
            if "apt-get" in step.rest:
                assert "rm -rf /var/lib/apt/lists/*" in step.rest


def test_the_relay_itself_is_the_first_process_and_is_told_sigterm() -> None:
    assert dockerfile.words(STAGES[-1].last("CMD")) == ["relay", "serve"]
    assert STAGES[-1].last("STOPSIGNAL") == "SIGTERM"
    assert not any(step.name == "ENTRYPOINT" for step in STAGES[-1].steps)


def test_it_runs_as_nobody_in_particular_and_its_home_is_the_volume() -> None:
    last = STAGES[-1]
    assert int(last.last("USER")) >= 10_000
    assert last.last("WORKDIR") == last.last("VOLUME") == "/data"
    names = [step.name for step in last.steps]
    assert names.index("VOLUME") > max(i for i, name in enumerate(names) if name == "RUN")


def test_the_image_starts_with_its_own_environment_and_the_needed_settings() -> None:
    settings = config.load({**image_environment(), **NEEDED})
    assert settings.database_url.get_secret_value() == "sqlite:////data/relay.db"
    assert settings.spool_folder == Path("/data/spool")
    copied = {step.rest.split()[-1] for step in STAGES[-1].steps if step.name == "COPY"}
    assert str(settings.prompts_dir) in copied
    assert STAGES[-1].last("EXPOSE") == str(settings.port)


def test_the_health_check_asks_where_the_relay_listens_by_default() -> None:
    program = dockerfile.words(STAGES[-1].last("HEALTHCHECK"))[-1]
    assert f"or {Settings.model_fields['port'].default})" in program
    assert "'/healthz'" in program
    compile(program, "HEALTHCHECK", "exec")


def test_the_health_check_fails_when_nobody_answers() -> None:
    program = dockerfile.words(STAGES[-1].last("HEALTHCHECK"))[-1]
    done = subprocess.run(  # port 1 of this machine: nothing listens there
        [sys.executable, "-c", program], env={"PORT": "1"}, capture_output=True, check=False
    )
    assert done.returncode != 0


# ---- what is sent to a build --------------------------------------------------------------------


def rules() -> Any:
    return dockerfile.patterns((HERE / ".dockerignore").read_text())


@pytest.mark.parametrize(
    "path",
    [
        *(".env", "relay.db", "data/relay.db-wal", "flights/CA1.jsonl", "demo-call-1.wav"),
        *(".git/config", ".venv/bin/pip", "tests/test_image.py", "fly.toml"),
        *("relay/__pycache__/cli.cpython-313.pyc", "relay/audio/_native.abi3.so"),
    ],
)
def test_what_is_not_named_stays_here(path: str) -> None:
    assert not dockerfile.sent(path, rules())


def test_every_file_that_the_wheel_needs_is_sent() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "relay", "native", "prompts", "pyproject.toml", "setup.py"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = tracked.stdout.splitlines()
    assert len(paths) > 100
    assert [path for path in paths if not dockerfile.sent(path, rules())] == []


def test_what_is_copied_exists() -> None:
    for stage in STAGES:
        for step in stage.steps:
            if step.name == "COPY" and not step.rest.startswith("--from="):
                for source in step.rest.split()[:-1]:
                    assert list(dockerfile.context(HERE, source)), source


# ---- fly.toml ----------------------------------------------------------------------------------


def fly_settings(**changes: str) -> Settings:
    """The settings of a process on Fly: the image's, then [env], then secrets."""
    return config.load({**image_environment(), **FLY["env"], **NEEDED, **changes})


def test_fly_stops_no_machine_and_keeps_one_in_ashburn() -> None:
    service = FLY["http_service"]
    assert FLY["primary_region"] == "iad"
    assert service["auto_stop_machines"] == "off"
    assert service["min_machines_running"] >= 1
    assert service["force_https"] is True


def test_fly_tells_the_relay_to_drain_and_waits_as_long_as_it_can() -> None:
    assert FLY["kill_signal"] == "SIGTERM"
    assert FLY["kill_timeout"] == 300


def test_the_last_resort_comes_before_fly_kills() -> None:
    drain_s = fly_settings().drain_s
    assert end_s(drain_s) <= 295 < FLY["kill_timeout"]


def test_a_deploy_outwaits_a_drain() -> None:
    minutes = re.fullmatch(r"(\d+)m", FLY["deploy"]["wait_timeout"])
    assert minutes is not None
    assert int(minutes[1]) * 60 > FLY["kill_timeout"]


def test_fly_sends_calls_where_the_relay_listens_and_asks_whether_it_is_ready() -> None:
    service = FLY["http_service"]
    assert service["internal_port"] == fly_settings().port == Settings.model_fields["port"].default
    assert [check["path"] for check in service["checks"]] == ["/readyz"]


def test_the_relay_refuses_before_fly_lets_webhooks_queue() -> None:
    limits, calls = FLY["http_service"]["concurrency"], fly_settings().max_calls
    assert calls is not None
    assert limits["type"] == "connections"
    assert calls <= limits["soft_limit"] < limits["hard_limit"]
    assert limits["hard_limit"] >= 3 * calls  # a call's stream, its webhooks, and strangers


def test_fly_scrapes_the_private_page_and_no_service_leads_to_it() -> None:
    settings = fly_settings()
    assert FLY["metrics"] == {"port": settings.metrics_port, "path": PATH.decode()}
    assert settings.metrics_host == "fly-local-6pn"
    assert FLY["http_service"]["internal_port"] != settings.metrics_port
    assert "services" not in FLY


def test_a_process_that_fails_is_started_again_and_one_that_was_ended_is_not() -> None:
    (restart,) = FLY["restart"]
    assert restart["policy"] == "on-failure"
    assert restart["retries"] >= 100


def test_sqlite_lies_on_the_volume_and_no_release_command_looks_for_it() -> None:
    database = fly_settings().database_url.get_secret_value().removeprefix("sqlite:///")
    assert [mount["destination"] for mount in FLY["mounts"]] == [str(Path(database).parent)]
    # Fly runs it in a machine without the volume.
    assert "release_command" not in FLY["deploy"]
    assert FLY["deploy"]["strategy"] == "rolling"  # canary and bluegreen take no volumes


def test_a_secret_is_all_that_postgres_needs() -> None:
    url = "postgresql://relay:secret@db.internal/relay"
    assert fly_settings(DATABASE_URL=url).database_url.get_secret_value() == url


def test_no_secret_stands_in_fly_toml() -> None:
    assert not set(FLY["env"]) & set(NEEDED)
    known = {name.upper() for name in Settings.model_fields}
    assert set(FLY["env"]) <= known


# ---- how Dockerfiles are read -----------------------------------------------------------------


def test_lines_are_joined_and_comments_between_them_left_out() -> None:
    text = 'FROM a AS b\nRUN one \\\n# why\n    && two\nCMD ["x"]\n'
    (stage,) = dockerfile.stages(text)
    assert (stage.base, stage.name) == ("a", "b")
    assert [(step.name, step.rest.split()) for step in stage.steps] == [
        ("RUN", ["one", "&&", "two"]),
        ("CMD", ['["x"]']),
    ]


@pytest.mark.parametrize("line", ["ADD a b", "ENTRYPOINT x", "run lower", "ONBUILD RUN x"])
def test_what_is_not_understood_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="not understood"):
        dockerfile.stages(f"FROM a\n{line}\n")


@pytest.mark.parametrize("form", ["relay serve", '{"a": 1}', "[1]"])
def test_the_shell_form_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match="exec form"):
        dockerfile.words(form)


def test_variables_build_on_earlier_ones() -> None:
    assert dockerfile.environment('A=$B/x C="d e"', {"B": "b"}) == {
        "B": "b",
        "A": "b/x",
        "C": "d e",
    }


@pytest.mark.parametrize(
    ("path", "goes"),
    [("keep/a", True), ("keep/x.o", False), ("deep/keep", False), ("drop", False)],
)
def test_the_last_match_decides(path: str, goes: bool) -> None:
    assert dockerfile.sent(path, dockerfile.patterns("# all\n*\n!keep\n**/*.o\n")) is goes


# ---- make image-check -------------------------------------------------------------------------


def test_it_names_all_that_is_missing_and_does_not_pass(tmp_path: Path) -> None:
    """A machine with nothing on it: bash and the few tools that the script starts with."""
    for name in ("bash", "dirname", "id"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    done = subprocess.run(
        ["/usr/bin/bash", str(HERE / "scripts" / "image_check.sh")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    for tool in ("unshare", "chroot", "python3", "debootstrap: apt-get install -y debootstrap"):
        assert f"  {tool}\n" in done.stderr
    assert ("root, for chroot" in done.stderr) is (os.getuid() != 0)


# ---- docs/deploy.md -----------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    """What a reader is told to paste."""
    found = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found
    return found


def test_the_guide_and_fly_toml_name_the_same_things() -> None:
    assert FLY["app"] in GUIDE
    assert all(name in GUIDE for name in NEEDED)
    named = set(re.findall(r"PUBLIC_URL/twilio/([a-z-]+)", GUIDE))
    assert named == {"incoming", "status"}
    assert all(f"/{name}" in PAGES for name in named)


def test_every_command_can_be_pasted() -> None:
    for block in blocks("sh"):
        done = subprocess.run(
            ["bash", "-n"], input=block, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), block


def test_every_secret_is_set_before_the_first_deploy() -> None:
    commands = "\n".join(blocks("sh")).partition("fly deploy")[0]
    secrets = commands.partition("fly secrets set")[2]
    assert {name for name in NEEDED if f'{name}="${name}"' in secrets} == set(NEEDED)


def test_the_twiml_bin_is_well_formed_and_dials() -> None:
    (text,) = blocks("xml")
    assert text.startswith("<")  # Twilio takes no blank before the declaration
    verbs = list(ElementTree.fromstring(text))  # noqa: S314 - our own text
    assert [verb.tag for verb in verbs] == ["Say", "Dial", "Say", "Record"]
    # A Record without an action asks for its own document again: from the top, after each message.
    assert verbs[-1].get("action", "").startswith("https://handler.twilio.com/twiml/")
    assert text in (HERE / "docs" / "twilio-setup.md").read_text()


def test_what_the_guide_adds_to_fly_toml_fits() -> None:
    (text,) = blocks("toml")
    added = {name: value for name, value in tomllib.loads(text).items() if name not in FLY["env"]}
    settings = fly_settings(**added)
    assert added.keys() >= {"BUSINESS_FILE", "NOTIFY_SMS_TO", "MAX_CALL_USD", "MAX_DAY_USD"}
    assert settings.notify_sms_to is not None
    folder = image_environment()["PROMPTS_DIR"]
    assert settings.business_file == Path(folder) / "business.toml"
    assert "cp relay/adapters/business.toml prompts/business.toml" in GUIDE


def test_what_was_written_down_is_read_as_the_guide_says(tmp_path: Path) -> None:
    migrated(tmp_path / "relay.db")
    with closing(sqlite3.connect(tmp_path / "relay.db")) as database, database:
        database.execute(
            "INSERT INTO calls (call_sid, started_at, disposition) VALUES ('CA1', 'noon', 'ended')"
        )
    (line,) = [line for line in "".join(blocks("sh")).splitlines() if "sqlite3" in line]
    python, flag, program = shlex.split(shlex.split(line)[-1])
    assert (python, flag) == ("/opt/relay/bin/python", "-c")
    done = subprocess.run(
        [sys.executable, "-c", program.replace("/data/", f"{tmp_path}/")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("noon | ended | None\n", "")
