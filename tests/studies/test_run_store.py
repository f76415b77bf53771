"""The folder of a run while it goes on."""

import shutil

import pytest


def test_a_run_that_is_removed_while_it_goes_on(tmp_path):
    """Nothing is written into a folder that comes back half empty."""
    from interp_xfer.errors import WriteError
    from interp_xfer.studies.cell_record import CellRecord
    from interp_xfer.studies.config import make_study
    from interp_xfer.studies.run_store import RunStore

    study = make_study({"parent": "a", "child": "b", "dataset": "sums"})
    store = RunStore(tmp_path / "run")
    store.write_study(study)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(WriteError, match="run was removed or moved while the run was going on; run the command again"):
        store.write_cell(CellRecord.model_construct(), [])
    assert not (tmp_path / "run").exists()


def test_settings_that_the_user_wrote_stay(tmp_path):
    from interp_xfer.errors import ArtifactError
    from interp_xfer.studies.config import make_study
    from interp_xfer.studies.run_store import RunStore

    study = make_study({"parent": "a", "child": "b", "dataset": "sums"})
    (tmp_path / "study.yaml").write_text("parent: mine\n")
    with pytest.raises(ArtifactError, match="study.yaml was not written by a run; nothing was changed"):
        RunStore(tmp_path).write_study(study)
    assert (tmp_path / "study.yaml").read_text() == "parent: mine\n"
