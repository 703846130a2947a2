"""Docs/Attacks.md says what the tests are; this keeps it true."""

from attack import table
from attack.cases import CASES, WITHOUT_TEST


def page_rows():
    cells = (line.strip("| \n").split(" | ") for line in table.PAGE.read_text().splitlines() if line.startswith("| "))
    return {row[0].strip(): [cell.strip() for cell in row] for row in cells if row[0].strip() in CASES}


def test_every_case_has_a_test_or_a_reason():
    tests = table.tests_by_case()
    assert len(CASES) == 63
    assert set(tests) | set(WITHOUT_TEST) == set(CASES)
    assert not set(tests) & set(WITHOUT_TEST)


def test_every_test_says_in_words_what_is_attacked():
    for case, tests in table.tests_by_case().items():
        for name, words in tests:
            assert len(words) > 30, f"{case}: {name}"


def test_the_page_has_a_row_for_every_case_with_its_tests():
    rows = page_rows()
    for case, title, tests in table.rows():
        assert case in rows, f"no row for {case}: python -m attack.table writes the page"
        assert rows[case][1:3] == [title, tests], f"{case}: python -m attack.table writes the page"


def test_the_page_claims_no_failure_and_nothing_untried():
    for case, row in page_rows().items():
        assert row[3] == "held", f"{case}: {row[3]}"
