"""The tasks by name. A new task is one file and one line here."""

from interp_xfer.kinds import Table
from interp_xfer.tasks.arc import ARC_CHALLENGE
from interp_xfer.tasks.competition_math import MATH, MATH_FULL
from interp_xfer.tasks.gsm8k import GSM8K
from interp_xfer.tasks.problems import Task
from interp_xfer.tasks.sums import SUMS

TASKS: Table[Task] = Table("task", (SUMS, GSM8K, MATH, MATH_FULL, ARC_CHALLENGE))


def get_task(task: str | Task) -> Task:
    """The task of that name; a task is returned as it is.

    Raises: ConfigError for an unknown name, with the names there are.
    """
    return task if isinstance(task, Task) else TASKS[task]
