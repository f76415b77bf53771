"""The two filters of lm-eval's `gsm8k` task, as it applies them to a text that its own harness generated.

Our own generations end elsewhere (as soon as the answer is complete) and answer another prompt, so that what a filter
reads from them is not lm-eval's number. `crosscheck` applies the filters to texts that end where the harness ends them.
"""

import re


def lm_eval_strict(text: str) -> str:
    r"""What lm-eval's `gsm8k` reads with its `strict-match` filter; "[invalid]" without a match.

    The first match of `#### (\-?[0-9\.\,]+)`.

    Arguments:
        text: a generation.
    Returns: the string that lm-eval compares, after its own normalisation.
    Source: lm-evaluation-harness, `lm_eval/tasks/gsm8k/gsm8k.yaml`.
    """
    match = re.search(r"#### (\-?[0-9\.\,]+)", text)
    return lm_eval_normal(match[1] if match else "[invalid]")


def lm_eval_flexible(text: str) -> str:
    """What lm-eval's `gsm8k` reads with its `flexible-extract` filter; "[invalid]" without a match.

    The last match of `(-?[$0-9.,]{2,})|(-?[0-9]+)`, the first non-empty group.

    Arguments:
        text: a generation.
    Returns: the string that lm-eval compares, after its own normalisation.
    Source: lm-evaluation-harness, `lm_eval/tasks/gsm8k/gsm8k.yaml`.
    """
    match = None
    for match in re.finditer(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", text):  # noqa: B007
        pass
    return lm_eval_normal((match[1] or match[2]).strip() if match else "[invalid]")


def lm_eval_normal(text: str) -> str:
    r"""lm-eval's `regexes_to_ignore` (`,`  `\$`  `(?s).*#### `  `\.$`) and `ignore_case` of the gsm8k task."""
    text = text.replace(",", "").replace("$", "").rpartition("#### ")[2]
    return re.sub(r"\.$", "", text).lower()
