"""What a run shows, in words made from its numbers.

The words follow the intervals: where the paired 95 % interval covers 0 (which is where p is .05 or more) there is "no
detectable effect", whatever the sign of the estimate, and the smallest effect that so many questions could have shown
is named.
"""

from collections.abc import Sequence
from statistics import median

from scipy.stats import binomtest

from interp_xfer.evaluation.record import ArmRecord, Difference
from interp_xfer.stats.power import minimum_detectable_effect
from interp_xfer_analyses.cells import Cell
from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.questions.results_table import ALPHA

NO_EFFECT = "no detectable effect"
_ASSUMED_DISCORDANCE = 0.1


def summary(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Paragraphs of plain text.

    Arguments:
        cells: of one run, at least one.
    """
    return _one(cells[0]) if len(cells) == 1 else _many(cells)


def verdict(difference: Difference) -> str:
    """What a paired difference allows to say."""
    if difference.low <= 0 <= difference.high or difference.p_value >= ALPHA:
        return NO_EFFECT
    return "a gain" if difference.delta > 0 else "a loss"


def detectable(difference: Difference) -> str:
    """The smallest effect that so many questions find, in words."""
    changed = difference.broken + difference.fixed
    share = changed / difference.n if changed else _ASSUMED_DISCORDANCE
    effect = minimum_detectable_effect(difference.n, share)
    how = (
        f"{style.percent(share)} of the answers changing"
        if changed
        else f"{style.percent(share)} of the answers changing (assumed, as none did)"
    )
    text = f"with {difference.n} questions and {how}, "
    if effect >= share:
        return text + (
            "no effect can be found reliably: even changes in one direction only would be missed more than once in "
            "five times."
        )
    return text + f"an effect of about ±{100 * effect:.1f} points is the smallest that is found four times in five."


def _one(cell: Cell) -> tuple[str, ...]:
    baseline, star, vote = cell.test.baseline, cell.test.lambda_star, cell.test.vote
    out = [
        f"Without steering, {cell.child} answers {baseline.correct} of {baseline.n} test questions of {cell.dataset}: "
        f"{_accuracy(baseline)}."
    ]
    how = f"at λ* = {cell.lambda_star:g} ({cell.study.unit}), {_chosen(cell)}"
    if not cell.has_strength:
        how = f"by {cell.study.operator}, which has no strength and is applied once"
    out.append(f"Steered with the concept of {cell.parent} {how}, it answers {_accuracy(star)}: {_change(star)}.")
    if vote is not None:
        out.append(
            f"The vote over {len(cell.grid)} strengths, which spends {len(cell.grid)} generations a question, answers "
            f"{_accuracy(vote)}: {_change(vote)}. {_unsteered(cell)}A vote among unsteered samples gains too; this run "
            f"does not compare with one."
        )
    if star.difference is not None:
        out.append(_sentence(detectable(star.difference)))
    out += _best_of_grid(cell)
    out.append(
        f"Answers that could not be read: {baseline.invalid} at baseline, {star.invalid} at λ*; cut at the token "
        f"limit: {baseline.truncated} and {star.truncated}; tokens per answer: {baseline.mean_tokens:.0f} and "
        f"{star.mean_tokens:.0f}. Read by rule, baseline against λ*: {_rules(baseline, star)}. Steering often "
        f"changes the form of answers rather than their reasoning."
    )
    return tuple(out)


def _unsteered(cell: Cell) -> str:
    """How much of the vote is the model's own answer."""
    found = cell.test.unsteered_votes
    if found is None:
        return ""
    idle = {0: "every strength changes some text", 1: "1 strength changes no text at all"}
    return (
        f"In {found.answers} of {found.n_questions} questions most of the {found.n_strengths} strengths give the "
        f"unsteered answer, so that there the vote is the baseline before anyone votes; "
        f"{idle.get(found.idle, f'{found.idle} strengths change no text at all')}. "
    )


def _rules(*arms: ArmRecord) -> str:
    """Like "hash 80 % and 61 %, last_number 15 % and 30 %"."""
    names = dict.fromkeys(rule for arm in arms for rule in arm.rules)
    shares = [f"{name} {' and '.join(style.percent(arm.rules.get(name, 0) / arm.n) for arm in arms)}" for name in names]
    given_up = [f"comparisons given up {' and '.join(str(arm.timed_out) for arm in arms)}"]
    return ", ".join([*shares, *(given_up if any(arm.timed_out for arm in arms) else [])]) or "none"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _many(cells: Sequence[Cell]) -> tuple[str, ...]:
    out = [f"{len(cells)} cells: {_number(cells, 'parent')}, {_number(cells, 'child')}, {_number(cells, 'dataset')}."]
    differences, votes = (
        [arm.difference for arm in arms if arm and arm.difference]
        for arms in ([cell.test.lambda_star for cell in cells], [cell.test.vote for cell in cells])
    )
    for words, found in (("At λ*, chosen on validation", differences), ("With the vote over strengths", votes)):
        if found:
            out.append(f"{words}: {_tally(found)}")
    if differences:
        sizes = [cell.test.n for cell in cells]
        typical = sorted(differences, key=lambda d: d.n)[len(differences) // 2]
        size = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
        out.append(f"Each cell has {size} test questions. In a typical one: {detectable(typical)}")
    return tuple(out)


def _tally(found: Sequence[Difference]) -> str:
    above = sum(difference.delta > 0 for difference in found)
    below = sum(difference.delta < 0 for difference in found)
    middle = median(difference.delta for difference in found)
    verdicts = [verdict(difference) for difference in found]
    gains, losses, none = (verdicts.count(word) for word in ("a gain", "a loss", NO_EFFECT))
    sign_p = float(binomtest(above, above + below).pvalue) if above + below else 1.0
    luck = f"{ALPHA * len(found):.0f} of {len(found)}"
    return (
        f"{above} of {len(found)} cells lie above their baseline, {len(found) - above - below} equal it, {below} lie "
        f"below (sign test {style.p_text(sign_p)}); the median change is {style.points(middle)} points. Taken singly, "
        f"{gains} show a gain and {losses} a loss at p < .05, where luck alone gives up to {luck}; {none} show "
        f"{NO_EFFECT}. Cells that share a child or its "
        f"questions are not independent, so the sign test is a guide only."
    )


def _number(cells: Sequence[Cell], field: str) -> str:
    words = {"parent": ("parent", "parents"), "child": ("child", "children"), "dataset": ("data set", "data sets")}
    count = len({getattr(cell, field) for cell in cells})
    return f"{count} {words[field][count != 1]}"


def _accuracy(arm: ArmRecord) -> str:
    return f"{style.percent(arm.accuracy)} {style.percent_interval(arm.low, arm.high)}"


def _change(arm: ArmRecord) -> str:
    found = arm.difference
    if found is None:
        return "not compared with the baseline"
    return (
        f"{verdict(found)}, {style.points(found.delta)} points "
        f"{style.point_interval(found.low, found.high)}, {found.fixed} questions gained and"
        f" {found.broken} lost, {style.p_text(found.p_value)}"
    )


def _chosen(cell: Cell) -> str:
    if len(cell.grid) == 1:
        return "the only strength that was tried"
    return f"the best of {len(cell.grid)} strengths on {cell.record.validation.n} validation questions"


def _best_of_grid(cell: Cell) -> list[str]:
    best = cell.test.best_of_grid
    if best is None:
        return []
    if best.strength is None:
        return [f"Looking at every strength on the test questions: {best.note}."]
    return [
        f"Looking at every strength on the test questions, the best is {best.strength:g}, with "
        f"{style.p_text(best.p_adjusted)} after adjusting for the search (max-T, one-sided)."
    ]
