"""README against the code: its Python runs as written, its table of verbs is the application's."""

import re
from pathlib import Path

from tiny_models import OTHER_CORPUS, make_tokenizer, tiny

import interp_xfer

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def test_the_python_block_runs_as_written(monkeypatch, capsys):
    """On tiny models where the bundled ones are loaded, and few questions of the many: those take minutes."""
    models = {
        "bundled:gemma-3-270m": tiny("gemma3", 1, make_tokenizer(chat=False, corpus=OTHER_CORPUS)),
        "bundled:smollm2-135m-instruct": tiny("llama", max_position_embeddings=2048),
    }
    load, asked = interp_xfer.load_problems, []

    def few(name, split, limit):
        asked.append((name, split, limit))
        return load(name, split, limit if split == "train" else 2)

    monkeypatch.setattr(interp_xfer, "load_model", models.__getitem__, raising=False)
    monkeypatch.setattr(interp_xfer, "load_problems", few, raising=False)
    [code] = blocks("python")
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert asked == [("sums", "train", 280), ("sums", "validation", 16), ("sums", "test", 48)]
    assert [names["parent"], names["child"]] == list(models.values())
    *generated, printed = capsys.readouterr().out.splitlines()
    assert generated and len(names["search"].grid) == 19
    assert printed == repr(names["result"]) and [arm.name for arm in names["result"].arms][0] == "baseline"


def test_the_table_of_verbs_is_the_application():
    from interp_xfer_cli.app import app

    [table] = re.findall(r"^\| verb \| does \|\n((?:\|.*\n)+)", README, re.MULTILINE)
    first = [row.split("|")[1] for row in table.splitlines()[1:]]
    named = [code.removeprefix("interp-xfer ").split()[0] for cell in first for code in re.findall(r"`(.+?)`", cell)]
    assert sorted(named) == sorted(command.name or "" for command in app.registered_commands)
    typed = re.findall(r"^interp-xfer (\S+)", "\n".join(blocks("")), re.MULTILINE)
    assert set(typed + re.findall(r"`interp-xfer (\S+?)[ `]", README)) <= set(named)
