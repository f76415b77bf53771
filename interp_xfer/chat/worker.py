r"""A process that renders chat templates. Started by `process.py` as a script; it imports nothing of ours.

A template is a program by a stranger: in Jinja's sandbox it can open no file, but it can loop for ever
(`{% for i in range(99999) %}{% for j in range(99999) %}`), count in C code that no signal handler interrupts
(`{{ 9 ** 9 ** 9 }}`), or fill memory. Here it has a limit of processor time, kept by the kernel, and one of memory.

The environment is that of transformers (`utils/chat_template_utils.py`, which takes a second to import), but for the
clock, which stands still. Protocol: one JSON object a line in, one out.

    in   {"template": text, "variables": object}
    out  {"text": text, "dated": whether the date was asked for}, {"refused": why} or {"limit": what it did}
"""

import contextlib
import json
import signal
import sys
from datetime import datetime
from functools import lru_cache

import jinja2
import jinja2.ext
from jinja2.nodes import CallBlock
from jinja2.sandbox import ImmutableSandboxedEnvironment

CPU_SECONDS = 1  # an ordinary template takes a thousandth of one
MEMORY_BYTES = 2**29
MAX_CHARACTERS = 2**22
DATE = datetime(2024, 7, 26)  # what the templates of Llama 3 write where no clock is given

_asked = {"date": False}


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what an assistant wrote; the text is the same."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


class _Dict:
    """`dict` without what a class would give away."""

    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def fromkeys(self, *args, **kwargs):
        return dict.fromkeys(*args, **kwargs)


class _Namespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attributes = dict(*args, **kwargs)
        for name in attributes:
            _Namespace._check(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        _Namespace._check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def _check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace cannot hold {name!r}")


def _raise(message):
    raise jinja2.exceptions.TemplateError(message)


def _strftime(form):
    _asked["date"] = True
    return DATE.strftime(form)


def _tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


@lru_cache(maxsize=16)
def _compiled(template):
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals.update(raise_exception=_raise, strftime_now=_strftime, dict=_Dict(), namespace=_Namespace)
    return environment.from_string(template)


def _render(request):
    _asked["date"] = False
    parts, length = [], 0
    for part in _compiled(request["template"]).generate(**request["variables"]):
        length += len(part)
        if length > MAX_CHARACTERS:
            return {"limit": f"writes more than {MAX_CHARACTERS} characters"}
        parts.append(part)
    return {"text": "".join(parts), "dated": _asked["date"]}


def main() -> None:
    """Answers requests until standard input ends."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # absent on Windows

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; the parent ends first, and with it standard input
    out = sys.stdout
    sys.stdout = sys.stderr  # nothing but answers on the pipe
    limited = hasattr(signal, "setitimer")
    for line in sys.stdin:
        request = json.loads(line)
        if limited:
            # Nobody handles SIGPROF, so the kernel ends the process, whatever it is doing.
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        try:
            reply = json.dumps(_render(request))
        except jinja2.exceptions.TemplateError as error:
            reply = json.dumps({"refused": (error.message or type(error).__name__)[:300]})
        except MemoryError:
            reply = json.dumps({"limit": f"needs more than {MEMORY_BYTES >> 20} MiB of memory"})
        except Exception as error:  # the program is not ours: whatever it raises is its own fault
            reply = json.dumps({"refused": f"{type(error).__name__}: {error}"[:300]})
        if limited:
            signal.setitimer(signal.ITIMER_PROF, 0)
        out.write(reply + "\n")
        out.flush()


if __name__ == "__main__":
    main()
