"""A table that is copied from the page: nothing of it is carried out where it is pasted."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess

import pytest

from bench.report.page import TEMPLATES
from tests.bench.store.test_spreadsheets import HARMLESS, HOSTILE

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="needs node")
NUMBERS = ("-1.23", "+0.100", "-1,234.5", "-12 %", "-0.012 [-0.020, -0.004]", "+1e-3")


def copied(form: str, texts: list[str], about: str = "about") -> str:
    table = {"heads": [{"text": "=head", "unit": "", "numeric": False}], "rows": [[text] for text in texts]}
    script = (
        f"{(TEMPLATES / 'formats.js').read_text(encoding='utf-8')}\n"
        f"process.stdout.write(formats[{json.dumps(form)}]({json.dumps({**table, 'about': about})}));"
    )
    return subprocess.run(["node", "-"], input=script.encode(), capture_output=True, check=True).stdout.decode()


def test_csv_has_no_formulas_and_keeps_numbers() -> None:
    plain = [text for text in HARMLESS if text and "\t" not in text]
    rows = list(csv.reader(io.StringIO(copied("CSV", [*HOSTILE, *plain, *NUMBERS]), newline="")))
    expected = [f"'{text}" for text in HOSTILE] + plain + list(NUMBERS)
    assert [row[0] for row in rows] == ["'=head", *expected]


def test_a_row_of_markdown_and_a_comment_of_latex_end_where_they_should() -> None:
    held = ["a\nb | c", "`x` <script>", "=1+1", "[l](javascript:x)"]
    lines = copied("Markdown", held).splitlines()
    assert len(lines) == 2 + len(held)
    assert lines[2] == r"| a b \| c |"
    assert lines[3] == r"| \`x\` \<script\> |"
    text = copied("LaTeX", held, about="of\n\\input{/etc/passwd}")
    assert text.splitlines()[0] == r"% of \input{/etc/passwd}"
    assert r"\input" not in "".join(text.splitlines()[1:])
