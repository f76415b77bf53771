r"""A process that reads and compares expressions with math-verify.

`math_pool` starts it as a script; it imports nothing of ours.
It stands alone because math-verify limits its time with SIGALRM, which works in the main thread only, and because
hostile LaTeX (`9^{9^{9^9}}`) can hang or fill memory in C code that no Python handler interrupts. Each request has a
limit of CPU time, after which the kernel ends the process (SIGPROF of a profiling timer, whose default is to end it),
so that other processes on the machine take nothing from it; memory has a limit too. The process ends with its parent.

Protocol: one line out when it is ready; then one JSON object a line in, one out.

    in   {"gold": LaTeX, "answer": LaTeX}      out  {"equal": bool, "canonical": text or null, "failure": null}
    in   {"read": LaTeX}                       out  {"canonical": ..., "numeric": [re, im] or null, "exact": bool, ...}

`failure` is "crash" where memory or the depth of recursion did not suffice.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time

_MEMORY_BYTES = 3 * 2**30
_MAX_CANONICAL = 500
_DIGITS = 30


def main() -> None:
    """Answers requests until standard input ends; the argument is the CPU time of one, in seconds."""
    logging.disable(logging.CRITICAL)  # math-verify warns that its own time limit is off, and of each failed parse
    limit_s = float(sys.argv[1])
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # absent on Windows

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    import math_verify

    out = sys.stdout
    sys.stdout = sys.stderr  # nothing but answers on the pipe
    _read(math_verify, "1")  # what is imported late does not count towards the first limit
    _send(out, {"failure": None})
    for line in sys.stdin:
        _limit_cpu(limit_s)
        reply = _answer(math_verify, json.loads(line))
        _limit_cpu(0)
        _send(out, reply)


def _send(out, reply):
    out.write(json.dumps(reply) + "\n")
    out.flush()


def _end_with_parent(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def _limit_cpu(seconds):
    if hasattr(signal, "setitimer"):  # not on Windows, where the parent's clock is the only limit
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _answer(math_verify, request):
    reply = {"equal": False, "canonical": None, "numeric": None, "exact": False, "failure": None}
    try:
        # Hostile input raises nearly anything in the parser: antlr and sympy errors, KeyError, TypeError.
        with contextlib.suppress(
            ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError
        ):
            if "read" in request:
                reply |= _read(math_verify, request["read"])
            else:
                reply |= _compare(math_verify, request["gold"], request["answer"])
    except (MemoryError, RecursionError):
        reply["failure"] = "crash"
    except Exception:  # an error class of the parser
        pass
    return reply


def _compare(math_verify, gold, answer):
    answer = _parse(math_verify, answer)
    canonical = _describe(answer[0])["canonical"] if answer else None
    gold = _parse(math_verify, gold)
    # The gold answer comes first: for intervals and sets the order matters.
    equal = bool(gold and answer) and math_verify.verify(gold, answer, timeout_seconds=None, raise_on_error=False)
    return {"equal": bool(equal), "canonical": canonical}


def _read(math_verify, latex):
    parsed = _parse(math_verify, latex)
    return _describe(parsed[0]) if parsed else {}


def _parse(math_verify, latex):
    return math_verify.parse(f"${latex}$", parsing_timeout=None)


def _describe(expression):
    """One spelling for equal values; for a constant its digits; whether unequal spellings are unequal values."""
    import sympy

    if isinstance(expression, str):
        return {"canonical": None}
    if isinstance(expression, sympy.Eq) and isinstance(expression.lhs, sympy.Symbol):
        expression = expression.rhs
    expression = expression.doit()
    imaginary = {symbol: sympy.I for symbol in expression.free_symbols if str(symbol) == "i"}
    expression = expression.xreplace(imaginary)
    floats = expression.atoms(sympy.Float)
    if floats:
        expression = expression.xreplace({number: sympy.Rational(str(number)) for number in floats})
    if isinstance(expression, sympy.Equality):
        return {"canonical": _equation(sympy, expression)}
    if not isinstance(expression, sympy.Expr):
        return {"canonical": _spelt(sympy, expression)}
    if not expression.free_symbols:
        return _constant(sympy, expression)
    expression = sympy.cancel(sympy.together(expression)) if expression.is_commutative else sympy.expand(expression)
    rational = all(number.is_Rational for number in expression.atoms(sympy.Number, sympy.NumberSymbol))
    algebra = expression.is_rational_function(*expression.free_symbols) and rational
    if not algebra:
        expression = sympy.expand(expression)
    return {"canonical": _spelt(sympy, expression), "exact": bool(algebra) and not expression.atoms(sympy.Function)}


def _constant(sympy, expression):
    """A fraction, a sum of rational multiples of square roots and powers of pi, or else 30 digits."""
    if expression in (sympy.oo, -sympy.oo, sympy.zoo, sympy.nan):
        return {"canonical": str(expression), "exact": True}
    simple = sympy.expand(sympy.radsimp(sympy.sqrtdenest(sympy.expand(expression, complex=True))))
    value = sympy.N(simple, _DIGITS + 10)
    real, imaginary = (sympy.N(part, _DIGITS) for part in value.as_real_imag())
    if not (real.is_Float or real.is_Integer) or not (imaginary.is_Float or imaginary.is_Integer):
        return {"canonical": _spelt(sympy, simple)}
    numeric = [str(real), str(imaginary)]
    if simple.is_Rational:
        return {"canonical": str(simple), "exact": True}
    if all(_is_plain_term(sympy, term) for term in sympy.Add.make_args(simple)):
        return {"canonical": _spelt(sympy, simple), "numeric": numeric, "exact": True}
    rational = sympy.nsimplify(real, rational=True, tolerance=sympy.Rational(1, 10 ** (_DIGITS - 5)))
    if imaginary == 0 and rational.q < 10**6 and simple.equals(rational):
        return {"canonical": str(rational), "numeric": numeric, "exact": True}
    digits = str(real) if imaginary == 0 else f"{real} + {imaginary}*I"
    return {"canonical": f"~{digits}", "numeric": numeric, "exact": True}


def _is_plain_term(sympy, term):
    for factor in sympy.Mul.make_args(term):
        base, exponent = factor.as_base_exp()
        root = base.is_Integer and exponent == sympy.Rational(1, 2)
        pi = base == sympy.pi and exponent.is_Integer
        if not (factor.is_Rational or factor == sympy.I or root or pi):
            return False
    return True


def _equation(sympy, equation):
    difference = sympy.numer(sympy.together(equation.lhs - equation.rhs))
    difference = sympy.expand(difference)
    _, difference = difference.as_content_primitive()
    if difference.could_extract_minus_sign():
        difference = -difference
    return _spelt(sympy, sympy.Eq(difference, 0, evaluate=False))


def _spelt(sympy, expression):
    text = sympy.sstr(expression)
    return text if len(text) <= _MAX_CANONICAL else None


if __name__ == "__main__":
    main()
