"""docs/business-api.openapi.yaml is OpenAPI, and says what the code says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from relay.adapters import business_contract as contract
from relay.adapters.business_file import load_business
from relay.adapters.business_local import LocalBusiness
from relay.web.business import BASE, create_business_app
from tests.fakes import MemoryBookings

FILE = Path(__file__).parents[2] / "docs" / "business-api.openapi.yaml"
SPEC: dict[str, Any] = yaml.safe_load(FILE.read_text())
SCHEMAS = SPEC["components"]["schemas"]
STRUCTS = {
    name: value
    for name, value in vars(contract).items()
    if isinstance(value, type) and issubclass(value, msgspec.Struct)
}
# Types that the file names and the code has as aliases.
NAMED = {"Moment", "Clock", "Reference", "Name", "Phone"}
PROSE = {"description", "title"}


def plain(schema: Any) -> Any:
    """A schema without names and prose: references followed, only what validates."""
    if isinstance(schema, list):
        return [plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return plain(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    whole = {key: plain(value) for key, value in schema.items() if key not in PROSE}
    for part in whole.pop("allOf", []):
        whole |= part
    if "enum" in whole:
        whole |= {"type": "string", "enum": sorted(whole["enum"])}
    if "properties" in schema:
        whole["properties"] = {name: plain(value) for name, value in schema["properties"].items()}
        whole["required"] = sorted(schema.get("required", []))
    return whole


def of_code(struct: type[msgspec.Struct]) -> Any:
    _, components = msgspec.json.schema_components([struct], ref_template="#/x/{name}")
    return plain(components[struct.__name__])


def test_it_is_openapi() -> None:
    validate(SPEC, cls=OpenAPIV31SpecValidator)


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_every_type_of_the_code_is_there_and_the_same(name: str) -> None:
    assert of_code(STRUCTS[name]) == plain(SCHEMAS[name])


def test_there_is_no_type_that_the_code_does_not_know() -> None:
    assert set(SCHEMAS) - set(STRUCTS) == NAMED


def test_the_pages_are_those_that_are_served() -> None:
    business = LocalBusiness(load_business(), MemoryBookings())
    served = {
        (method, rule.rule.removeprefix(BASE))
        for rule in create_business_app(business).url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static"
    }
    told = {(method.upper(), path) for path, methods in SPEC["paths"].items() for method in methods}
    assert told == served


@pytest.mark.parametrize("change", ["type", "required", "bound"])
def test_a_difference_would_be_seen(change: str) -> None:
    """The comparison itself, tried on a contract that has drifted."""
    drifted: dict[str, Any] = {**plain(SCHEMAS["Booking"])}
    match change:
        case "type":
            drifted["properties"] = {**drifted["properties"], "service": {"type": "integer"}}
        case "required":
            drifted["required"] = ["reference"]
        case "bound":
            drifted["properties"] = {**drifted["properties"], "reference": {"type": "string"}}
    assert of_code(contract.Booking) != drifted
