"""reference.yaml must be plain YAML with exactly the keys and kinds of value of the format."""

from pathlib import Path

import pytest

from tests.brokerage.inbox.build import assert_reference_refused

# What is spoilt, with what; the refusal: text of its line, its field, what it says.
SPOILT = {
    "another format": (
        '"golden/1"', '"golden/2"', "format:", "format",
        "'golden/2' is not golden/1, the format read here",
    ),
    "other house rules": (
        '"v1"', '"v2"', "house_rules:", "house_rules",
        "'v2' is not v1, the rules applied here",
    ),
    "an unknown section": (
        "clients:\n", "prices: []\nclients:\n", "prices:", "prices", "the key is unknown",
    ),
    "a missing section": (
        "pools: [CLIENT, HOUSE, INSURANCE]\n", "", "format:", "pools", "the key is missing",
    ),
    "an unknown key": (
        "{asset: BTC, kind", "{asset: BTC, colour: red, kind", "{asset: BTC",
        "assets[1].colour", "the key is unknown",
    ),
    "an unknown key that is no word": (
        "{asset: BTC, kind", '{asset: BTC, "a b": red, kind', "{asset: BTC",
        "assets[1].'a b'", "the key is unknown",
    ),
    "a missing key": (
        ', haircut: "0.20"', "", "{asset: BTC", "assets[1].haircut", "the key is missing",
    ),
    "a key without a value": (
        "asset: BTC, kind: money", "asset: , kind: money", '"0.20"',
        "assets[1].asset", "there is no value",
    ),
    "a key twice": (
        "{asset: BTC, kind", "{asset: BTC, asset: ETH, kind", "{asset: BTC",
        "assets[1].asset", "this key stands here twice",
    ),
    "a section twice": (
        "clients:\n", "pools: [CLIENT]\nclients:\n", "pools: [CLIENT]\n", "pools",
        "this key stands here twice",
    ),
    "an anchor": (
        "scale: \"8\"", "scale: &eight \"8\"", "&eight", "assets[1].scale",
        "anchors are not read (&eight)",
    ),
    "an alias": (
        "scale: \"8\"", "scale: *eight", "*eight", "assets[1].scale",
        "aliases are not read (*eight)",
    ),
    "a tag": (
        "scale: \"8\"", "scale: !!python/object \"8\"", "!!python", "assets[1].scale",
        "tags are not read",
    ),
    "deep nesting": (
        "assets: [SPY]}\n- {location: \"wallet:client-btc\"",
        "assets: [[[[[[[SPY]]]]]]]}\n- {location: \"wallet:client-btc\"", "[[[",
        "locations[1].assets[0][0][0][0][0]", "nested more than 8 levels deep",
    ),
    "a second document": (
        "clients:\n", "---\nclients:\n", "---", None, "a second document starts here",
    ),
    "broken YAML": (
        "clients:\n", "clients: [\n", "- {client: C1", None,
        "this is not YAML (did not find expected node content)",
    ),
    "a control character": (
        "First client", "First\a client", "First", None,
        "this is not YAML (control characters are not allowed)",
    ),
    "a list where a mapping belongs": (
        'firm: {name: "Example Brokerage", as_of_time: "21:00:00"}', "firm: []", "firm:", "firm",
        "a mapping belongs here",
    ),
    "a mapping where a list belongs": (
        "pools: [CLIENT, HOUSE, INSURANCE]", "pools: {a: b}", "pools:", "pools",
        "a list belongs here",
    ),
    "text where a list belongs": (
        'clients:\n- {client: C1, name: "First client"}\n- {client: C2, name: "Second client"}',
        "clients: none", "clients:", "clients", "a list belongs here",
    ),
    "text where a mapping belongs": (
        '{client: C1, name: "First client"}', "C1", "- C1", "clients[0]",
        "a mapping belongs here",
    ),
    "a list where text belongs": (
        "client: C1,", "client: [C1],", "[C1]", "clients[0].client", "text belongs here",
    ),
    "a list where a number belongs": (
        'scale: "8"', 'scale: ["8"]', "{asset: BTC", "assets[1].scale",
        "a number in quotes belongs here",
    ),
    "an unquoted number": (
        'scale: "8"', "scale: 8", "{asset: BTC", "assets[1].scale",
        "a number stands in quotes; '8' does not",
    ),
    "a number that is not one": (
        'amount: "500.00"', 'amount: "NaN"', "NaN", "opening.claims[0].amount",
        "'NaN' is not a number",
    ),
    "an exponent": (
        'amount: "500.00"', 'amount: "5e2"', "5e2", "opening.claims[0].amount",
        "'5e2' is not a number",
    ),
    "digits of another script": (
        'amount: "500.00"', 'amount: "\u0665"', "\u0665", "opening.claims[0].amount",
        "'\u0665' is not a number",
    ),
    "a number beyond the book": (
        'amount: "500.00"', 'amount: "500000000000000000000"', "5000000",
        "opening.claims[0].amount", "'500000000000000000000' has too many digits",
    ),
    "decimals beyond the book": (
        'haircut: "0.20"', 'haircut: "0.2000000000000000000"', "{asset: BTC",
        "assets[1].haircut", "'0.2000000000000000000' has more than 18 decimals",
    ),
    "a code that YAML takes for a number": (
        "client: C1,", "client: 17,", "client: 17", "clients[0].client",
        "'17' is not text; put it in quotes",
    ),
    "a code that YAML takes for a truth": (
        "client: C1,", "client: ON,", "client: ON", "clients[0].client",
        "'ON' is not text; put it in quotes",
    ),
    "a code with a line end": (
        "client: C1,", 'client: "C\\n1",', "C\\n1", "clients[0].client", "'C\\n1' is not a code",
    ),
    "an endless code": (
        "client: C1,", f"client: {'C' * 65},", "CCC", "clients[0].client",
        "the code has 65 characters, above 64",
    ),
    "a client without a name": (
        '"First client"', '" "', '" "', "clients[0].name", "' ' is not a line of text",
    ),
    "an endless name": (
        '"First client"', f'"{"x" * 201}"', "xxx", "clients[0].name",
        "the text has 201 characters, above 200",
    ),
    "a time of the day that is none": (
        '"21:00:00"', '"21:60:00"', "firm:", "firm.as_of_time", "'21:60:00' is not a time",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "fragment", "field", "what"), SPOILT.values(), ids=SPOILT)
def test_a_reference_is_refused_for(
    tmp_path: Path, old: str, new: str, fragment: str, field: str | None, what: str
) -> None:
    assert_reference_refused(tmp_path, old=old, new=new, at=fragment, field=field, what=what)
