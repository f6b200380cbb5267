"""The table of conformance fits the tests, and the script that says so would notice if it did not."""

import conformance
import pytest

TABLE = """# A table

| id | ★ | what weir does | status | tests |
|---|---|---|---|---|
| SOTW-01 | ★ | It does this. | met | ModuleTests: SOTW-01 a name with a \\| in it<br>test_x.py: test_SOTW_01_on_the_wire |
| SOTW-02 | ★ sotw | And this. | otherwise: it does that, because | test_x.py: test_SOTW_02_one_kind |
| UP-11 |  | Not this. | not yet | |
"""
TESTS = {
    "SOTW-01": ["ModuleTests: SOTW-01 a name with a | in it", "test_x.py: test_SOTW_01_on_the_wire"],
    "SOTW-02": ["test_x.py: test_SOTW_02_one_kind"],
}


def event(kind, test, **fields):
    return {"kind": "event", "payload": {"kind": kind, "testID": test, **fields}}


def swift_file(tmp_path, *events):
    """An event stream of one test of SOTW-01."""
    test = {"kind": "test", "payload": {
        "kind": "function", "id": "t", "name": "f()", "displayName": "SOTW-01 a name with a | in it"}}
    path = tmp_path / "swift.jsonl"
    ends = () if "broken off" in events else ({"kind": "event", "payload": {"kind": "runEnded"}}, )
    records = (test, *(record for record in events if record != "broken off"), *ends)
    path.write_text("\n".join(conformance.json.dumps(record) for record in records))
    return path


def pytest_file(tmp_path, *cases):
    """A JUnit file; a case is a name, or a name and what became of it."""
    lines = [f'<testcase name="{case}"/>' if isinstance(case, str) else f'<testcase name="{case[0]}"><{case[1]}/></testcase>'
             for case in cases]
    path = tmp_path / "integration.xml"
    path.write_text(f"<testsuites><testsuite>{''.join(lines)}</testsuite></testsuites>")
    return path


BOTH = ("test_SOTW_01_on_the_wire[up-delta]", "test_SOTW_01_on_the_wire[up-sotw-down-delta]", "test_SOTW_02_one_kind")


def faults_of(tmp_path, swift, *cases):
    items, faults = conformance.read_table(TABLE)
    assert faults == []
    return conformance.check_results(
        items, conformance.read_swift_results(swift_file(tmp_path, *swift)),
        conformance.read_pytest_results(pytest_file(tmp_path, *cases)))


def test_the_table_fits_the_names_of_the_tests():
    items, faults = conformance.read_table(conformance.TABLE.read_text())
    assert len(items) == 161 and {item.group for item in items} == set(conformance.GROUPS)
    assert faults + conformance.check_sources(items, conformance.source_tests()) == []


def test_names_give_their_ids():
    assert conformance.ids_in("SOTW-05 DELTA-16 every response") == ["SOTW-05", "DELTA-16"]
    assert conformance.ids_in("test_SOTW_12a_AGG_07_and_UTF_8") == ["SOTW-12", "AGG-07"]
    assert conformance.ids_in("XLT is no id, nor is BACKUP-10, nor UP-100") == []


def test_a_column_that_is_written_anew_fits():
    blank = "\n".join(line.rpartition("met |")[0] + "met | |" if line.endswith("on_the_wire |") else line
                      for line in TABLE.splitlines())
    assert conformance.check_sources(conformance.read_table(blank)[0], TESTS) != []
    assert conformance.write_tests(blank, TESTS) == TABLE
    assert conformance.check_sources(conformance.read_table(TABLE)[0], TESTS) == []


@pytest.mark.parametrize("change, words", [
    (lambda tests: tests.update({"AGG-99": ["test_x.py: test_AGG_99"]}), "AGG-99 stands in the name of a test"),
    (lambda tests: tests["SOTW-02"].clear(), "no test carries its id"),
    (lambda tests: tests["SOTW-02"].clear(), "names a test that does not exist"),
    (lambda tests: tests["SOTW-02"].append("test_x.py: test_SOTW_02_new"), "does not name its test"),
])
def test_drift_is_found(change, words):
    tests = {each: list(labels) for each, labels in TESTS.items()}
    change(tests)
    faults = conformance.check_sources(conformance.read_table(TABLE)[0], tests)
    assert any(words in fault for fault in faults), faults


@pytest.mark.parametrize("row, words", [
    ("| SOTW-03 | | Text. | met |", "4 columns"),
    ("| SOTW-01 | | Text. | met | |", "stands twice"),
    ("| SOTW-03 | * | Text. | met | |", "is none of"),
    ("| SOTW-03 | | Text. | nearly | |", "the status is"),
    ("| SOTW-03 | | Text. | otherwise: | |", "the status is"),
])
def test_a_broken_row_is_found(row, words):
    faults = conformance.read_table(TABLE + row + "\n")[1]
    assert len(faults) == 1 and words in faults[0]


def test_everything_passed(tmp_path):
    assert faults_of(tmp_path, [event("testEnded", "t")], *BOTH) == []


def test_a_known_issue_is_no_failure_and_an_issue_is(tmp_path):
    known = event("issueRecorded", "t", issue={"isKnown": True})
    assert faults_of(tmp_path, [known, event("testEnded", "t")], *BOTH) == []
    issue = event("issueRecorded", "t", issue={"isKnown": False})
    faults = faults_of(tmp_path, [issue, event("testEnded", "t")], *BOTH)
    assert faults == ["failed: SOTW-01 a name with a | in it"]


def test_a_run_that_broke_off_proves_nothing(tmp_path):
    (tmp_path / "x").mkdir()
    file = swift_file(tmp_path / "x", event("testEnded", "t"), "broken off")
    assert conformance.read_swift_results(file) == {}


def test_what_was_skipped_or_failed_proves_nothing(tmp_path):
    faults = faults_of(tmp_path, [event("testSkipped", "t")], *BOTH[:2], (BOTH[2], "skipped"))
    assert [fault.split(":")[0] for fault in faults[:2]] == ["skipped, so that it proves nothing"] * 2
    assert any("SOTW-02 is met" in fault for fault in faults)
    faults = faults_of(tmp_path, [event("testEnded", "t")], *BOTH[:2], (BOTH[2], "failure"))
    assert "failed: test_SOTW_02_one_kind" in faults


def test_a_star_wants_both_kinds_of_upstream(tmp_path):
    faults = faults_of(tmp_path, [event("testEnded", "t")], BOTH[0], BOTH[2])
    assert faults == ["SOTW-01 has a star, and no integration test of it ran with up-sotw"]
    faults = faults_of(tmp_path, [event("testEnded", "t")], BOTH[2])
    assert faults == ["SOTW-01 has a star, and no integration test that carries its id has passed"]


def test_the_summary_counts_and_is_loud_about_what_is_missing():
    lines = conformance.summary(conformance.read_table(TABLE)[0])
    assert "SOTW     2/2  (1 decided otherwise)" in lines
    assert lines[-1] == "NOT YET MET: 1 of 3 items: UP-11"
