"""The estimate: more than it will be, by the same prices, and in proportion to the calls."""

from __future__ import annotations

from dataclasses import replace

from relay import config
from relay.core.budget import Prices
from relay.prices import load_prices
from relay.prompts import Prompts
from relay.rehearse.cost import at_most
from relay.rehearse.scripts import ROLES
from relay.wiring_money import call_prices
from tests.test_config import ENVIRON

SETTINGS = config.load(ENVIRON)
PRICES = call_prices(SETTINGS, load_prices())
PROMPTS = Prompts("You answer. " * 100)


def test_a_rehearsal_stays_far_below_the_cap_that_it_has_by_itself() -> None:
    assert 0 < at_most(ROLES, PRICES, PROMPTS, SETTINGS) < 1_000_000


def test_every_caller_and_every_turn_adds_to_it() -> None:
    whole = at_most(ROLES, PRICES, PROMPTS, SETTINGS)
    parts = [at_most([role], PRICES, PROMPTS, SETTINGS) for role in ROLES]
    assert abs(sum(parts) - whole) <= len(parts)  # each is rounded up
    longer = replace(ROLES[-1], responses=ROLES[-1].responses + 1)
    assert at_most([longer], PRICES, PROMPTS, SETTINGS) > parts[-1]


def test_a_longer_prompt_and_a_dearer_model_cost_more() -> None:
    whole = at_most(ROLES, PRICES, PROMPTS, SETTINGS)
    longer = Prompts(PROMPTS.system_text * 2)
    assert at_most(ROLES, PRICES, longer, SETTINGS) > whole
    dearer = replace(PRICES, model=load_prices().model("gpt-realtime-2.1"))
    assert at_most(ROLES, dearer, PROMPTS, SETTINGS) > whole
    assert at_most(ROLES, Prices(), PROMPTS, SETTINGS) == 0


def test_a_second_voice_has_its_price_too() -> None:
    whole = at_most(ROLES, PRICES, PROMPTS, SETTINGS)
    second = {"VOICE_PROVIDER": "elevenlabs", "ELEVENLABS_VOICE_ID": "v"}
    settings = config.load({**ENVIRON, **second, "ELEVENLABS_API_KEY": "el-secret"})
    assert at_most(ROLES, PRICES, PROMPTS, settings) > whole
