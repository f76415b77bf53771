"""Templates rendered in their own process: the text that transformers gives, within limits, whatever they try."""

import os
import subprocess
import sys
import threading
import time
from datetime import datetime

import pytest
from templates import REFUSES_OPTIONS, TEMPLATES, tokenizer_with, turns

from interp_xfer.chat import PINNED_DATE, has_chat_template, render_chat, worker
from interp_xfer.chat.process import TemplateProcess, TemplateRefused, shared_process
from interp_xfer.chat.rendering import render_turns
from interp_xfer.errors import ModelError

HELLO = turns("Hello.")
CONVERSATIONS = [
    turns("one?"),
    turns("one? \n", "  two", "é <b> {{ 3 }} \U0001f600\ud800"),
    [{"role": "system", "content": "Be brief."}, *turns("a", "b", "c")],
]


@pytest.mark.parametrize("conversation", range(len(CONVERSATIONS)))
@pytest.mark.parametrize("add_generation_prompt", [True, False])
@pytest.mark.parametrize("template", TEMPLATES)
def test_same_text_as_transformers(template, add_generation_prompt, conversation, monkeypatch):
    from jinja2.exceptions import TemplateError
    from transformers.utils import chat_template_utils

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromisoformat(PINNED_DATE)

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    chat_template_utils._compile_jinja_template.cache_clear()
    tokenizer = tokenizer_with(TEMPLATES[template])
    options = {"add_generation_prompt": add_generation_prompt, "enable_thinking": True}
    try:
        expected = tokenizer.apply_chat_template(CONVERSATIONS[conversation], tokenize=False, **options)
    except TemplateError as error:
        with pytest.raises(TemplateRefused, match=str(error)):
            render_turns(tokenizer, CONVERSATIONS[conversation], **options)
    else:
        assert render_turns(tokenizer, CONVERSATIONS[conversation], **options).text == expected


def test_the_date_stands_still():
    rendered = render_turns(tokenizer_with(TEMPLATES["dated"]), turns("a"), add_generation_prompt=True)
    day = datetime.fromisoformat(PINNED_DATE).strftime("%d %b %Y")
    assert rendered.dated and f"Today Date: {day}\n" in rendered.text
    assert not render_turns(tokenizer_with(TEMPLATES["chatml"]), turns("a"), add_generation_prompt=True).dated


DOUBLED = "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}"
HOSTILE = {
    "power": ("{{ 9 ** (9 ** 9) }}", "still ran after"),
    "recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
    "memory": ("{{ 'a' * 10 ** 10 }}", "needs more than 512 MiB"),
    "doubling": (DOUBLED, "needs more than 512 MiB|still ran after"),  # whichever limit a machine meets first
    "output": ("{% for i in range(99999) %}{{ 'a' * 999 }}{% endfor %}", "writes more than"),
    "files": ("{% include '/etc/passwd' %}", "cannot render"),
    "classes": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
    "globals": ("{{ cycler.__init__.__globals__.os.system('true') }}", "unsafe"),
    "underscore": ("{% set ns = namespace(__class__=1) %}", "cannot hold"),
    "syntax": ("{% if", "end of template"),
    "undefined": ("{{ messages.what.ever }}", "has no attribute"),
    "no text": (7, "is a int, not a text"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_end_in_an_error(name):
    template, message = HOSTILE[name]
    with pytest.raises(ModelError, match=message):
        render_chat(tokenizer_with(template), "Be brief.", HELLO, add_generation_prompt=True)
    # The next template is none the worse for it.
    assert "Hello." in render_chat(tokenizer_with(TEMPLATES["chatml"]), "", HELLO, add_generation_prompt=True)


def test_a_template_cannot_write_to_the_pipe_or_outlive_its_limit():
    process = TemplateProcess()
    began = time.process_time()
    with pytest.raises(ModelError, match=f"still ran after {worker.CPU_SECONDS} s of computing"):
        process.render("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", {})
    assert process._process is None, "it is gone"
    assert time.process_time() - began < worker.CPU_SECONDS, "the time was not ours"
    assert process.render("{{ a }}", {"a": "\n{}\n"}).text == "\n{}\n"
    process.close()


def test_threads_get_their_own_texts():
    found = {}
    template = "{% for i in range(50) %}{{ a }}{% endfor %}"

    def ask(n):
        found[n] = [shared_process().render(template, {"a": n}).text for _ in range(20)]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [str(n) * 50] * 20 for n in range(4)}


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "busy"])
def test_the_worker_dies_with_its_parent(idle, tmp_path):
    code = (
        "import os, sys, threading\n"
        "from interp_xfer.chat.process import TemplateProcess\n"
        "p = TemplateProcess()\n"
        "p.render('{{ 1 }}', {})\n"
        "print(p._process.pid, flush=True)\n"
        "if sys.argv[1] == 'busy':\n"
        "    threading.Thread(target=p.render, args=('{{ 9 ** (9 ** 9) }}', {}), daemon=True).start()\n"
        "    threading.Event().wait(0.2)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "idle" if idle else "busy"], capture_output=True, text=True, cwd=os.getcwd()
    )
    pid = int(run.stdout)
    for _ in range(600):
        try:
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.1)
    pytest.fail("the worker is still there")


def test_options_that_a_template_refuses_are_left_off():
    tokenizer = tokenizer_with(REFUSES_OPTIONS)
    expected = render_chat(tokenizer_with(TEMPLATES["chatml"]), "Be brief.", HELLO, add_generation_prompt=True)
    assert render_chat(tokenizer, "Be brief.", HELLO, add_generation_prompt=True) == expected
    with pytest.raises(ModelError, match="unknown option"):
        render_chat(tokenizer, "", HELLO, add_generation_prompt=True, enable_thinking=True)


def test_which_template_counts():
    tokenizer = tokenizer_with({"default": TEMPLATES["chatml"], "tool_use": "{{ 'no' }}"})
    assert "Hello." in render_chat(tokenizer, "", HELLO, add_generation_prompt=True)
    tokenizer.chat_template = {"rag": "x", "tool_use": "y"}
    with pytest.raises(ModelError, match="has chat templates, but none for ordinary use"):
        has_chat_template(tokenizer)
    for nothing in (None, "", {}):
        tokenizer.chat_template = nothing
        assert not has_chat_template(tokenizer)


def test_a_tokenizer_that_cannot_say_gets_no_plain_prompts():
    class Foreign:
        def apply_chat_template(self, messages, **_):
            return "[INST]"

    with pytest.raises(ModelError, match="the tokenizer Foreign has no attribute chat_template"):
        has_chat_template(Foreign())
    tokenizer = tokenizer_with(None)
    tokenizer.__class__ = type(
        "OwnWay", (type(tokenizer),), {"apply_chat_template": lambda self, messages, **_: "[INST]"}
    )
    with pytest.raises(ModelError, match="the tokenizer OwnWay renders conversations by code of its own"):
        has_chat_template(tokenizer)
