r"""A process that compares answers with math-verify. Started by `math_pool` as a script; it imports nothing of ours.

It stands alone because math-verify limits its time with SIGALRM, which works in the main thread only, and because
hostile LaTeX (`9^{9^{9^9}}`) can hang or fill memory in C code that no signal interrupts: the parent then kills this
process. Protocol: one JSON object a line in, one out.

    in   {"gold": LaTeX or null, "answer": text, "whole_text": bool}
    out  {"equal": bool, "canonical": text or null}
"""

import contextlib
import json
import logging
import sys

_MEMORY_BYTES = 3 * 2**30
_MAX_CANONICAL = 500


def main() -> None:
    """Answers requests until standard input ends."""
    logging.disable(logging.CRITICAL)  # math-verify warns that its own time limit is off, and of each failed parse
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # absent on Windows

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    import math_verify

    out = sys.stdout
    sys.stdout = sys.stderr  # nothing but answers on the pipe
    for line in sys.stdin:
        request = json.loads(line)
        reply = {"equal": False, "canonical": None}
        # Hostile input raises nearly anything in the parser: RecursionError, MemoryError, antlr and sympy errors.
        with contextlib.suppress(Exception):
            answer = _parse(math_verify, request["answer"], request["whole_text"])
            if answer:
                with contextlib.suppress(Exception):
                    reply["canonical"] = _canonical(answer[0])
                gold = _parse(math_verify, request["gold"], False) if request["gold"] else []
                # The gold answer comes first: for intervals and sets the order matters.
                reply["equal"] = bool(gold) and math_verify.verify(gold, answer, timeout_seconds=None)
        out.write(json.dumps(reply) + "\n")
        out.flush()


def _parse(math_verify, text, whole_text):
    if whole_text:
        return math_verify.parse(text, parsing_timeout=None)
    return math_verify.parse(f"${text}$", parsing_timeout=None)


def _canonical(expression):
    """One spelling for equal values: evaluated, with exact numbers."""
    import sympy

    if isinstance(expression, str):
        return expression.strip() or None
    if isinstance(expression, sympy.Eq) and isinstance(expression.lhs, sympy.Symbol):
        expression = expression.rhs
    expression = expression.doit()
    floats = expression.atoms(sympy.Float)
    if floats:
        expression = expression.xreplace({number: sympy.Rational(str(number)) for number in floats})
    if isinstance(expression, sympy.Expr) and expression.is_number is False:
        expression = sympy.expand(expression)
    text = sympy.sstr(expression)
    return text if len(text) <= _MAX_CANONICAL else None


if __name__ == "__main__":
    main()
