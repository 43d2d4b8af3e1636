"""Studies."""

from __future__ import annotations

import pytest
from verb_process import refused


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["study", "progression", "--cohort", "{tmp}/empty", "--out", "{tmp}/o"], "known layouts"),
        (["study", "progression", "--quick", "--out", "{course}"], "holds no study"),
        (["study", "progression", "--quick", "--out", "{tmp}/note.txt/o"], "cannot be written"),
        (["study", "progression", "--quick", "--out", "{tmp}/o", "--seeds", "0"], "one training at least"),
        (["study", "progression", "--quick", "--out", "{tmp}/o", "--minutes", "0"], "needs some time"),
        (["study", "progression", "--quick", "--out", "{tmp}/o", "--methods", "R9"], "no method 'R9'"),
    ],
)
def test_mistakes_end_in_one_line(course, tmp_path, words, told):
    assert told in refused(words, tmp_path, course=course)
