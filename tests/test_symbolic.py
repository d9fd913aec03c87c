"""Verifpal finds no attack on identities, openings and exchanges, and finds those that must
be there."""

import shutil

import pytest
from symbolic import SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_analyser_says_what_the_requirement_says(scenario, tmp_path):
    verifpal = shutil.which("verifpal")
    assert verifpal, "run `make setup-test`"
    scenario.check(verifpal, tmp_path)
    assert scenario.verdicts == scenario.queries
