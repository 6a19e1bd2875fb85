"""Both languages are complete, and pages say nothing that is not in the catalogue."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import jinja2
from jinja2 import nodes

from edge.console.phrases import catalogue
from edge.console.roles import OPTIONAL, Role, Scope
from retention.audit_chain import Action, Outcome

ROOT = Path(__file__).parents[3] / "edge" / "console"
_CHINESE = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")
_KEY = re.compile(r"[a-z_]+\.[a-z_]+")
#: Phrases whose key is put together at run time.
FAMILIES = ("role.", "error.", "refused.", "done.")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def template_keys() -> set[str]:
    """Constant keys of ``t(…)`` in templates; a key that is put together must be of a family."""
    environment = jinja2.Environment(autoescape=True)
    found = set()
    for path in (ROOT / "templates").glob("*.html"):
        for call in environment.parse(path.read_text()).find_all(nodes.Call):
            if not (isinstance(call.node, nodes.Name) and call.node.name == "t"):
                continue
            key = call.args[0]
            if isinstance(key, nodes.Const):
                found.add(key.value)
            elif isinstance(key, nodes.Concat):
                first = key.nodes[0]
                assert isinstance(first, nodes.Const), path.name
                assert any(k.startswith(str(first.value)) for k in catalogue()), path.name
    return found


def code_keys() -> set[str]:
    """Every text of the code that has the form of a key of a known section."""
    sections = {key.partition(".")[0] for key in catalogue()}
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and _KEY.fullmatch(node.value)
                and node.value.partition(".")[0] in sections
            ):
                found.add(node.value)
    return {key for key in found if not key.endswith((".html", ".json", ".js", ".css"))}


def test_every_phrase_stands_in_both_languages() -> None:
    for key, texts in catalogue().items():
        assert len(texts) == 2, key
        chinese, english = texts
        assert chinese.strip(), key
        assert english.strip(), key
        assert fields(chinese) == fields(english), key
        if key != "nav.language":
            assert _CHINESE.search(chinese) or not chinese.isalpha(), key
            assert not _CHINESE.search(english), key


def test_templates_and_code_use_phrases_that_there_are() -> None:
    used = template_keys() | code_keys()
    assert used - set(catalogue()) == set()


def test_no_phrase_is_left_over() -> None:
    used = template_keys() | code_keys()
    left = {key for key in catalogue() if not key.startswith(FAMILIES)} - used
    assert left - {key for key in left if _is_put_together(key)} == set()


def _is_put_together(key: str) -> bool:
    """``t('state.' ~ level)`` uses all that begins so, ``f"state.{level}"`` likewise."""
    pages = "".join(path.read_text() for path in (ROOT / "templates").glob("*.html"))
    code = "".join(path.read_text() for path in ROOT.rglob("*.py"))
    prefixes = re.findall(r"(?:t|word)\('([a-z_]+\.[a-z_]*)' ~", pages)
    prefixes += re.findall(r'f"([a-z_]+\.[a-z_]*)\{', code)
    return key.startswith(tuple(prefixes))


def test_every_word_of_the_logs_has_its_phrase() -> None:
    """A new kind of audit record, role, permission or scope is one in the console, too."""
    words = [
        *(f"action.{one}" for one in Action),
        *(f"outcome.{one}" for one in Outcome),
        *(f"{section}.{role}" for role in Role for section in ("role", "about_role")),
        *(f"extra.{one}" for role in Role for one in OPTIONAL[role]),
        *(f"scope.{one}" for one in Scope),
    ]
    assert set(words) <= set(catalogue())


def test_templates_say_nothing_by_themselves() -> None:
    """Text of a page comes from the catalogue: no Chinese or English sentence in a template."""
    environment = jinja2.Environment(autoescape=True)
    for path in (ROOT / "templates").glob("*.html"):
        for output in environment.parse(path.read_text()).find_all(nodes.Output):
            for part in output.nodes:
                if isinstance(part, nodes.TemplateData):
                    text = re.sub(r"<[^>]*>?|^[^<]*>", " ", part.data)
                    assert not _CHINESE.search(text), (path.name, text)
