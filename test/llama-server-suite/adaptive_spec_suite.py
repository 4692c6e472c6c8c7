"""A pytest plugin in place of llama.cpp's conftest.py, which would download the model of every preset: runs those of its
server tests that left-out.json doesn't name, and says what became of all of them."""

import json
import os
from pathlib import Path

import pytest

GROUPS = json.loads(Path(__file__).with_name("left-out.json").read_text())
REPORT = Path(os.environ["ADAPTIVE_SPEC_SUITE_REPORT"])

counts = {"collected": 0, "leftOut": 0, "passed": 0, "failed": 0, "groups": {}}


def pytest_collection_modifyitems(config, items):
    # An entry is a file, a test with all of its parameters, or one with some: the longer one that fits holds.
    places = {}
    for name, group in GROUPS.items():
        for entry in group["tests"]:
            if entry in places:
                raise pytest.UsageError(f"left-out.json has {entry} twice")
            places[entry] = name
    used = set()
    selected, left = [], []
    for item in items:
        file = item.nodeid.split("::")[0].split("/")[-1]
        plain = f"{file}::{getattr(item, 'originalname', item.name)}"
        entry = next((one for one in (f"{file}::{item.name}", plain, file) if one in places), None)
        if entry is None:
            selected.append(item)
        else:
            used.add(entry)
            left.append(item)
            counts["groups"][places[entry]] = counts["groups"].get(places[entry], 0) + 1
    # Arguments may ask for some of the files only.
    files = {item.nodeid.split("::")[0].split("/")[-1] for item in items}
    stale = [entry for entry in places if entry not in used and entry.split("::")[0] in files]
    if stale and not config.args_are_narrowed:
        raise pytest.UsageError(f"left-out.json names what there is not: {', '.join(stale)}")
    counts["collected"] = len(items)
    counts["leftOut"] = len(left)
    config.hook.pytest_deselected(items=left)
    items[:] = selected


def pytest_configure(config):
    config.args_are_narrowed = any("::" in str(arg) for arg in config.args)


@pytest.fixture(autouse=True)
def stop_servers():
    from utils import server_instances

    yield
    for server in set(server_instances):
        server.stop()


def pytest_runtest_logreport(report):
    # One that skips itself has shown nothing; nor has one whose servers could not be stopped.
    if report.failed or report.skipped:
        counts["failed"] += 1
    elif report.when == "call":
        counts["passed"] += 1


def pytest_sessionfinish(session, exitstatus):
    REPORT.write_text(json.dumps({**counts, "exitStatus": int(exitstatus)}))
