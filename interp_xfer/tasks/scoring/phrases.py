"""Patterns from lists of phrases."""


def any_of(*lists: str) -> str:
    r"""A pattern for one of several phrases.

    Arguments:
        lists: phrases with commas between; a space stands for any white space, and what is special in patterns is so.
    Returns: a group without a name, "a b, c" as "(?:a\s+b|c)".
    """
    phrases = [phrase.strip() for each in lists for phrase in each.split(",")]
    return f"(?:{'|'.join(phrase.replace(' ', chr(92) + 's+') for phrase in phrases)})"
