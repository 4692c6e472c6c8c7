"""A pytest plugin in place of llama.cpp's conftest.py, which would download the model of every preset: runs those of its
server tests that left-out.json doesn't name, and says what became of all of them."""

import json
import os
from pathlib import Path

import pytest

GROUPS = json.loads(Path(__file__).with_name("left-out.json").read_text())
REPORT = Path(os.environ["ADAPTIVE_SPEC_SUITE_REPORT"])

counts = {"collected": 0, "leftOut": 0, "passed": 0, "failed": 0, "inPart": 0, "groups": {}, "files": {}}
# Tests that run until they start a server with a setting that has no counterpart; with its name.
UNTIL = {test: setting for group in GROUPS.values() for test, setting in group.get("until", {}).items()}


class RestLeftOut(BaseException):
    """Ends such a test there. No Exception, which a test might catch."""


def file_of(nodeid):
    return nodeid.split("::")[0].split("/")[-1]


def count(nodeid, what):
    file = counts["files"].setdefault(file_of(nodeid), {"passed": 0, "failed": 0, "leftOut": 0})
    file[what] += 1
    counts[what] += 1


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
        file = file_of(item.nodeid)
        plain = f"{file}::{getattr(item, 'originalname', item.name)}"
        entry = next((one for one in (f"{file}::{item.name}", plain, file) if one in places), None)
        if entry is None:
            selected.append(item)
        else:
            used.add(entry)
            left.append(item)
            count(item.nodeid, "leftOut")
            counts["groups"][places[entry]] = counts["groups"].get(places[entry], 0) + 1
    # Arguments may ask for some of the files only.
    files = {file_of(item.nodeid) for item in items}
    run = {f"{file_of(item.nodeid)}::{item.name}" for item in selected}
    stale = [entry for entry in places if entry not in used and entry.split("::")[0] in files]
    stale += [entry for entry in UNTIL if entry not in run and entry.split("::")[0] in files]
    if stale and not config.args_are_narrowed:
        raise pytest.UsageError(f"left-out.json names what there is not: {', '.join(stale)}")
    counts["collected"] = len(items)
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


@pytest.fixture(autouse=True)
def leave_out_rests(request, monkeypatch):
    from utils import ServerProcess

    setting = UNTIL.get(f"{file_of(request.node.nodeid)}::{request.node.name}")
    if setting is None:
        return
    start = ServerProcess.start

    def start_or_end(self, *args, **kwargs):
        if getattr(self, setting) is not None:
            raise RestLeftOut
        return start(self, *args, **kwargs)

    monkeypatch.setattr(ServerProcess, "start", start_or_end)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    expected = f"{file_of(pyfuncitem.nodeid)}::{pyfuncitem.name}" in UNTIL
    try:
        yield
    except RestLeftOut:
        counts["inPart"] += 1
    else:
        # Then all of it runs, and the entry is stale.
        assert not expected, "left-out.json names a setting that the test doesn't come to"
    return True


def pytest_runtest_logreport(report):
    # One that skips itself has shown nothing; nor has one whose servers could not be stopped.
    if report.failed or report.skipped:
        count(report.nodeid, "failed")
    elif report.when == "call":
        count(report.nodeid, "passed")


def pytest_sessionfinish(session, exitstatus):
    REPORT.write_text(json.dumps({**counts, "exitStatus": int(exitstatus)}))
