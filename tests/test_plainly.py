"""What a command makes of what ends it."""

from __future__ import annotations

import click
import pytest

from relay.errors import ConfigError
from relay.plainly import told_plainly


def test_ctrl_c_is_no_bug_whatever_nurseries_it_went_through() -> None:
    inner = BaseExceptionGroup("inner", [KeyboardInterrupt()])
    with pytest.raises(click.Abort), told_plainly():
        raise BaseExceptionGroup("outer", [inner])


def test_a_bug_beside_ctrl_c_is_shown() -> None:
    both = BaseExceptionGroup("both", [KeyboardInterrupt(), ValueError("a bug")])
    with pytest.raises(BaseExceptionGroup), told_plainly():
        raise both


def test_what_can_be_mended_is_one_line_out_of_any_nursery(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught, told_plainly():
        raise ExceptionGroup("nursery", [ConfigError("PORT is malformed")])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "relay: PORT is malformed\n"
