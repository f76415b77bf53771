"""Figures as files: HTML always, images where kaleido and a Chrome are found, one line otherwise."""

import pytest


def test_table_and_page(demo):
    from interp_xfer_analyses.export_images import export_analysis

    export = export_analysis(demo, "flips")
    assert [path.name for path in export.files] == ["flips.json", "flips.html"]
    assert export.note is None
    page = export.files[1].read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>") and 'id="flips"' in page
    assert '"modeBarButtons": [["toImage"' in page  # none of the buttons that send figures to a server
    assert export_analysis(demo, "flips").files[1].read_text(encoding="utf-8") == page


def test_without_kaleido_one_line_says_so(demo, monkeypatch):
    from interp_xfer_analyses import export_images

    monkeypatch.setattr(export_images, "find_spec", lambda name: None)
    export = export_images.export_analysis(demo, "flips", ("png",))
    assert [path.suffix for path in export.files] == [".json", ".html"]
    assert export.note == "no images were written: kaleido is not installed; pip install 'interp-xfer[images]'."


def test_without_a_chrome_one_line_says_so(demo, monkeypatch):
    from interp_xfer_analyses import export_images

    monkeypatch.setattr(export_images, "find_spec", lambda name: object())
    monkeypatch.setattr(export_images.shutil, "which", lambda name: None)
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    export = export_images.export_analysis(demo, "flips", ("svg",))
    assert "no Chrome or Chromium was found; install one, or name it in BROWSER_PATH" in str(export.note)


def test_unknown_format_is_refused(demo):
    from interp_xfer_analyses.export_images import export_figure
    from interp_xfer_analyses.registry import ANALYSES

    from interp_xfer.errors import ConfigError

    figure = ANALYSES["flips"].figure(ANALYSES["flips"].compute(demo))
    with pytest.raises(ConfigError, match=r"image format \['gif'\] is not one of png, svg, pdf"):
        export_figure.__wrapped__(figure, demo.root, "flips", ("gif",))


def test_the_results_table_is_also_text(demo):
    from interp_xfer_analyses.export_images import export_analysis

    names = [path.name for path in export_analysis(demo, "results-table").files]
    assert names[1:4] == ["results-table.table.html", "results-table.table.md", "results-table.table.tex"]
    assert "smollm2-135m-instruct" in (demo.root / "figures" / "results-table.table.md").read_text(encoding="utf-8")


def test_a_chrome_that_does_not_answer_ends_in_one_line(demo, monkeypatch, tmp_path):
    """Kaleido waits for ever for a browser that hangs; the export does not."""
    from interp_xfer_analyses import export_images

    if export_images.find_spec("kaleido") is None:
        pytest.skip("kaleido is not installed")
    silent = tmp_path / "chromium"
    silent.write_text("#!/bin/sh\nexec sleep 8\n", encoding="utf-8")
    silent.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(silent))
    monkeypatch.setattr(export_images, "_SECONDS", 3)
    export = export_images.export_analysis(demo, "flips", ("png",))
    assert export.note == "no images were written: Chrome gave no image within 3 s."
    assert [path.suffix for path in export.files] == [".json", ".html"]
    assert not (demo.root / "figures" / "flips.png").exists()


@pytest.mark.browser
def test_images(demo):
    from interp_xfer_analyses.export_images import export_analysis, why_no_images

    if reason := why_no_images():
        pytest.skip(reason)
    export = export_analysis(demo, "flips", ("png", "svg"))
    png, svg = export.files[2:]
    assert png.read_bytes().startswith(b"\x89PNG") and png.stat().st_size > 5000
    assert "<svg" in svg.read_text(encoding="utf-8") and "gained" in svg.read_text(encoding="utf-8")
