"""The report in a real browser: every figure drawn, no console error, slider and chooser work, nothing is fetched.

The page is opened by headless Chromium with a few lines of test script appended, which press keys, read what is shown,
and write it into the document for `--dump-dom`.
"""

import html
import json
import re
import subprocess

import pytest

pytestmark = pytest.mark.browser

PROBE = """
<script>
window.addEventListener("load", function () {
  function text(selector) {
    return Array.from(document.querySelectorAll(selector)).map(function (e) { return e.textContent; });
  }
  function move(element, value, event) {
    element.value = value;
    element.dispatchEvent(new Event(event, { bubbles: true }));
  }
  var out = { errors: window.probeErrors, plots: [] };
  out.overflow = document.documentElement.scrollWidth > window.innerWidth;
  document.querySelectorAll(".plot").forEach(function (div) {
    var svg = div.querySelector("svg.main-svg");
    var box = svg ? svg.getBoundingClientRect() : { width: 0, height: 0 };
    out.plots.push({
      id: div.id, width: box.width, height: box.height,
      marks: div.querySelectorAll(".points path, .point path, .js-line, .errorbar path, image").length
    });
  });
  var slider = document.querySelector("input[type=range]");
  out.before = text(".steered pre");
  out.label = slider.getAttribute("aria-valuetext");
  move(slider, 0, "input");
  out.atBaseline = text(".steered pre");
  out.baselineLabel = text("output")[0];
  move(slider, slider.max, "input");
  out.atLargest = text(".steered pre");
  var choose = document.querySelector(".choose select");
  if (choose) {
    var plot = document.querySelector(".plot[data-choose='" + choose.id + "']");
    out.firstAlt = plot.getAttribute("aria-label");
    move(choose, "1", "change");
    out.secondAlt = plot.getAttribute("aria-label");
  }
  var result = document.createElement("pre");
  result.id = "probe";
  result.textContent = JSON.stringify(out);
  document.body.appendChild(result);
});
</script>
"""
CATCH = """<script>
window.probeErrors = [];
window.addEventListener("error", function (event) { window.probeErrors.push(String(event.message)); });
document.addEventListener("securitypolicyviolation", function (event) {
  window.probeErrors.push("policy: " + event.blockedURI);
});
["error", "warn"].forEach(function (name) {
  console[name] = function () { window.probeErrors.push(Array.from(arguments).join(" ")); };
});
</script>"""


@pytest.fixture(scope="session")
def chrome():
    from interp_xfer_analyses.export_images import find_chrome

    found = find_chrome()
    if found is None:
        pytest.skip("no Chrome or Chromium was found; install chromium to draw the report in the tests")
    return found


@pytest.fixture
def look(chrome, tmp_path):
    """Opens a report of a run and returns what the test script saw."""
    from interp_xfer_analyses.page.report import write_report

    def look(store, width=1280, dark=False):
        page = write_report(store).read_text(encoding="utf-8")
        assert page.count("<head>") == 1
        probed = tmp_path / "probed.html"
        probed.write_text(
            page.replace("<head>", "<head>" + CATCH).replace("</body>", PROBE + "</body>"), encoding="utf-8"
        )
        command = [
            chrome, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=20000", f"--window-size={width},900", "--dump-dom", probed.as_uri(),
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
        assert found, f"the page did not finish: {done.stderr[-2000:]}"
        return json.loads(html.unescape(found.group(1))), done.stdout

    return look


def test_demo_report(look, demo):
    seen, dom = look(demo)
    assert seen["errors"] == []
    assert [plot["id"].removeprefix("figure-") for plot in seen["plots"]] == [
        "lambda-robustness",
        "inference-scaling",
        "flips",
        "concept-profile",
        "transfer-profile",
        "pc-alignment",
    ]
    for plot in seen["plots"]:
        assert plot["width"] > 300 and plot["height"] > 100 and plot["marks"] > 0, plot
    assert not seen["overflow"]
    drawn = re.sub(r"<script.*?</script>", "", dom, flags=re.DOTALL)
    buttons = set(re.findall(r'data-title="([^"]*)"', drawn))
    assert buttons == {"Download plot as a PNG", "Zoom", "Pan", "Reset axes"}  # none sends the figure to a server


def test_slider_shows_the_answers_of_its_strength(look, demo):
    seen, _ = look(demo)
    (cell,) = (found.model_dump(mode="json") for found in demo.read_cells())
    items = [item for item in demo.read_items(cell["key"]) if item.swept]
    star = cell["validation"]["lambda_star"]
    for name, strength in (("before", star), ("atBaseline", 0.0), ("atLargest", 1.0)):
        expected = [item.text for item in items if item.strength == strength][:4]
        assert seen[name] == expected
    assert seen["label"] == f"λ = {star:g} (λ*)"
    assert seen["baselineLabel"] == "baseline (λ = 0)"


def test_phone_in_the_dark(look, demo):
    seen, _ = look(demo, width=500, dark=True)
    assert seen["errors"] == []
    assert not seen["overflow"]
    assert all(plot["marks"] > 0 and plot["width"] < 500 for plot in seen["plots"])


def test_hostile_run(look, tmp_path):
    from fake_runs import HOSTILE, demo_run

    seen, dom = look(demo_run(tmp_path / "hostile", hostile=True))
    assert seen["errors"] == []
    assert all(text.startswith(HOSTILE) for text in seen["atLargest"])
    assert "<script>alert" not in dom


def test_many_cells_and_the_chooser(look, small_grid, tmp_path):
    import shutil

    from interp_xfer.studies.run_store import RunStore

    shutil.copytree(small_grid.root, tmp_path / "grid")
    seen, _ = look(RunStore(tmp_path / "grid"))
    assert seen["errors"] == []
    assert len(seen["plots"]) == 10  # eight analyses, two of them also for one cell
    assert all(plot["marks"] > 0 for plot in seen["plots"])
    assert seen["firstAlt"] != seen["secondAlt"]
