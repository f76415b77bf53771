"""A killed run, resumed, is the undisturbed one."""


def test_a_run_killed_at_any_change_of_a_file_ends_as_if_undisturbed(tmp_path):
    from kills import count

    assert count(root=tmp_path) == {"equal": 3, "different": 0}
